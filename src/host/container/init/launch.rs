//! The last stretch, common to a container's first process and to those that join it: from root to program.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Uid};

use super::problem::{At, Step, doing};
use super::user::Identity;
use super::super::bundle::Filter;
use super::super::protocol::StartError;
use super::super::sys;
use super::{cwd, keyring, label, limits, privileges, program, reaper, user};
use crate::desired::{SecuritySpec, Ulimit};

/// What is to run and as whom.
pub(crate) struct Launch<'a> {
    /// The program and its arguments.
    pub argv: &'a [String],
    /// `KEY=value`.
    pub env: &'a [String],
    /// `user[:group]`.
    pub user: &'a str,
    /// Supplementary groups.
    pub groups: &'a [String],
    /// Its standard streams are a terminal.
    pub tty: bool,
    /// What it may do.
    pub security: &'a SecuritySpec,
    /// The compiled filter.
    pub seccomp: Option<&'a Filter>,
    /// Resource limits.
    pub ulimits: &'a std::collections::BTreeMap<String, Ulimit>,
    /// Stay as PID 1 and start the program as a child.
    pub reaper: bool,
}

/// Becomes the program. This process is inside the root already, its standard streams in place; `folder` is the working
/// directory. `status` is closed by a successful exec.
///
/// # Errors
/// Always, if it returns: the stage that failed.
pub(crate) fn launch(
    launch: &Launch<'_>,
    folder: &OwnedFd,
    status: OwnedFd,
) -> Result<Infallible, (OwnedFd, StartError)> {
    let identity = match prepare(launch) {
        Ok(identity) => identity,
        Err(error) => return Err((status, error)),
    };
    let status = if launch.reaper {
        let spare = sys::dup(&status);
        match reaper::split(status, launch.tty) {
            Ok(status) => status,
            Err(cause) => {
                // The descriptor went with the failed split; without the duplicate nobody can be told.
                let Ok(spare) = spare else { sys::exit_now(125) };
                return Err((spare, StartError::new("init", format!("start the program's process: {cause}"))));
            }
        }
    } else {
        status
    };
    match go(launch, &identity, folder) {
        Ok(never) => match never {},
        Err(error) => Err((status, error)),
    }
}

fn prepare(launch: &Launch<'_>) -> Result<Identity, StartError> {
    let root = open_root().at("root")?;
    let identity = user::look_up(root.as_fd(), launch.user, launch.groups).at("user")?;
    limits::set(launch.ulimits).at("ulimits")?;
    keyring::join().at("keyring")?;
    give_streams(&identity, launch.tty).at("standard streams")?;
    label::set(launch.security).at("security label")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // The last word on descriptors (CVE-2024-21626): whatever was opened above 2, by whomever, ends at exec.
    sys::close_from_on_exec(3).map_err(|cause| StartError::new("descriptors", cause))?;
    if launch.reaper {
        // PID 1 of the container stays, with the identity and rights of its program.
        let _ = sys::prctl(libc::PR_SET_NAME, c"windlass-init".as_ptr() as libc::c_ulong, 0);
    }
    Ok(identity)
}

fn go(launch: &Launch<'_>, identity: &Identity, folder: &OwnedFd) -> Result<Infallible, StartError> {
    privileges::drop_to(identity, launch.security, launch.seccomp).at("privileges")?;
    cwd::enter(folder).at("working directory")?;
    let hostname = nix::unistd::gethostname().unwrap_or_default();
    let env = program::complete_env(launch.env, &identity.home, &hostname.to_string_lossy(), launch.tty);
    let found = program::find(launch.argv, &env).at("program")?;
    Err(program::execute(&found)).at("program")
}

fn open_root() -> Step<OwnedFd> {
    rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(doing("open /"))
}

/// Gives the standard streams to the user: /dev/stdout is opened anew by many programs, and would be root's.
fn give_streams(identity: &Identity, tty: bool) -> Step {
    for number in 0..3 {
        // SAFETY: 0, 1 and 2 are open: the caller has put them in place, and nobody closes them.
        let stream = unsafe { BorrowedFd::borrow_raw(number) };
        let stat = rustix::fs::fstat(stream).map_err(doing("look at a standard stream"))?;
        let own = matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket) || tty;
        if own && stat.st_uid != identity.uid {
            rustix::fs::fchown(stream, Some(Uid::from_raw(identity.uid)), None)
                .map_err(doing("give a standard stream to the user"))?;
        }
    }
    Ok(())
}
