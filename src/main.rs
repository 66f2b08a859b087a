//! Picks what this process is from its first argument.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A container's own processes come first: they must not pay for, or be disturbed by, anything of the others.
    if let Some(code) = windlass::host::container::dispatch() {
        return code;
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1).and_then(|first| first.to_str()) {
        Some(windlass::supervisor::VERB) => windlass::supervisor::main(&arguments[2..]),
        Some(windlass::cli::demo::VERB) => windlass::cli::demo::service::main(&arguments[2..]),
        _ => windlass::cli::main(arguments, windlass::cli::backend::real::Real::open),
    }
}
