//! `init: true` under a runtime: a copy of this program is PID 1, starts the container's program and reaps.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

use super::super::INIT;
use super::super::init::problem::{Step, doing};
use super::super::init::reaper;
use super::super::sys;
use super::shelf::Shelf;

/// Where it is inside: in /dev, which is memory, so that nothing of it stays in the container's layer.
const INSIDE: &str = "/dev/windlass-init";

/// Puts a copy of this program on the shelf: its path there, and inside. A shim runs from memory, and only a file can be
/// mounted; whoever writes into the copy from inside reaches nobody else's.
pub(super) fn place(shelf: &mut Shelf) -> Step<(PathBuf, &'static str)> {
    let (name, place) = shelf.place(false)?;
    drop(place);
    let path = shelf.path_of(&name);
    let copy = || -> io::Result<()> {
        let mut copy = File::create(&path)?;
        io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
        copy.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o555))
    };
    copy().map_err(doing("copy windlass for PID 1"))?;
    Ok((path, INSIDE))
}

/// The command line of a container, with PID 1 at `target` before it.
pub(super) fn argv(target: Option<&str>, argv: &[String]) -> Vec<String> {
    let before = target.into_iter().flat_map(|target| [target, INIT]);
    before.map(str::to_owned).chain(argv.iter().cloned()).collect()
}

/// Runs as PID 1; `words` are the program and its arguments.
pub(crate) fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Result<Vec<CString>, _> = words.map(|word| CString::new(word.into_vec())).collect();
    let Ok([program, ..]) = words.as_deref() else { return ExitCode::from(125) };
    let _ = sys::prctl(libc::PR_SET_NAME, c"windlass-init".as_ptr() as libc::c_ulong, 0);
    let Ok(null) = File::open("/dev/null") else { return ExitCode::from(125) };
    // It has no status to report to: that is the runtime's affair.
    if reaper::split(OwnedFd::from(null), std::io::IsTerminal::is_terminal(&std::io::stdin())).is_err() {
        return ExitCode::from(125);
    }
    match nix::unistd::execvp(program, words.as_deref().unwrap_or_default()) {
        Ok(never) => match never {},
        Err(cause) => {
            #[expect(clippy::print_stderr, reason = "the container's own standard error is all that there is")]
            {
                eprintln!("{}: {}", program.to_string_lossy(), cause.desc());
            }
            ExitCode::from(if cause == nix::Error::ENOENT { 127 } else { 126 })
        }
    }
}
