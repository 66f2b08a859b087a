//! Picks what this process is from its first argument.

use std::ffi::OsString;
use std::process::ExitCode;

use windlass::{cli, host, supervisor};

fn main() -> ExitCode {
    // A container's own processes come first: they must not pay for, or be disturbed by, anything of the others.
    if let Some(code) = host::container::dispatch() {
        return code;
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1).and_then(|first| first.to_str()) {
        Some(supervisor::VERB) => supervisor::main(&arguments[2..]),
        Some(host::net::relay::VERB) => host::net::relay::main(),
        Some(cli::demo::VERB) => cli::demo::service::main(&arguments[2..]),
        _ => cli::main_with(arguments, cli::backend::real::Real::open),
    }
}
