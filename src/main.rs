//! Picks what this process is from its first argument.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A container's own processes come first: they must not pay for, or be disturbed by, anything of the others.
    if let Some(code) = windlass::host::container::dispatch() {
        return code;
    }
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.first().and_then(|first| first.to_str()) {
        Some(windlass::supervisor::VERB) => windlass::supervisor::main(&arguments[1..]),
        _ => windlass::cli::main(std::env::args_os().collect(), windlass::cli::backend::real::Real::open),
    }
}
