//! Picks what this process is from its first argument.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A container's own processes come first: they must not pay for, or be disturbed by, anything of the others.
    if let Some(code) = windlass::host::container::dispatch() {
        return code;
    }
    ExitCode::FAILURE
}
