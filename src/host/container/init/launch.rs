//! The last stretch, common to a container's first process and to those that join it: from root to program.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Uid};

use super::super::protocol::StartError;
use super::super::sys;
use super::privileges::Rights;
use super::problem::{At, Step, doing};
use super::user::Identity;
use super::{cwd, keyring, label, limits, privileges, program, reaper, user};
use crate::desired::{SecuritySpec, Ulimit};
use crate::host::seccomp::Program;

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
    /// The system call filter that goes with that.
    pub filter: Option<&'a Program>,
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
    folder: OwnedFd,
    status: OwnedFd,
) -> Result<Infallible, (OwnedFd, StartError)> {
    let env = match settle(launch, &folder, &status) {
        Ok(env) => env,
        Err(error) => return Err((status, error)),
    };
    let status = match launch.reaper {
        false => status,
        // PID 1 stays, with the identity and the rights of its program.
        true => match reaper::split((status, folder), launch.tty) {
            Ok((status, _)) => status,
            Err(((status, _), cause)) => {
                return Err((status, StartError::new("init", format!("start the program's process: {cause}"))));
            }
        },
    };
    match become_program(launch, &env) {
        Ok(never) => match never {},
        Err(error) => Err((status, error)),
    }
}

/// From root to the program's own identity and folder; returns its environment.
fn settle(launch: &Launch<'_>, folder: &OwnedFd, status: &OwnedFd) -> Result<Vec<String>, StartError> {
    let (identity, rights) = prepare(launch)?;
    if launch.reaper {
        // Nothing of this process is ever executed over. While no system call filter is in the way yet.
        // SAFETY: whoever owns the others belongs to the shim, of which this is a copy, and is never come back to.
        unsafe { sys::close_from(3, [folder.as_fd(), status.as_fd()]) }
            .map_err(|cause| StartError::new("descriptors", cause))?;
    }
    privileges::drop_to(&identity, &rights).at("privileges")?;
    cwd::enter(folder).at("working directory")?;
    let hostname = nix::unistd::gethostname().unwrap_or_default();
    Ok(program::complete_env(launch.env, &identity.home, &hostname.to_string_lossy(), launch.tty))
}

fn become_program(launch: &Launch<'_>, env: &[String]) -> Result<Infallible, StartError> {
    let found = program::find(launch.argv, env).at("program")?;
    Err(program::execute(&found)).at("program")
}

fn prepare<'a>(launch: &Launch<'a>) -> Result<(Identity, Rights<'a>), StartError> {
    let root = open_root().at("root")?;
    let identity = user::look_up(root.as_fd(), launch.user, launch.groups).at("user")?;
    let rights = privileges::of(launch.security, launch.filter).at("privileges")?;
    limits::set(launch.ulimits).at("ulimits")?;
    keyring::join().at("keyring")?;
    give_streams(&identity, launch.tty).at("standard streams")?;
    label::set(launch.security).at("security label")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // The last word on descriptors (CVE-2024-21626): whatever was opened above 2, by whomever, ends at exec.
    sys::close_from_on_exec(3).map_err(|cause| StartError::new("descriptors", cause))?;
    if launch.reaper {
        let _ = sys::prctl(libc::PR_SET_NAME, c"windlass-init".as_ptr() as libc::c_ulong, 0);
    }
    Ok((identity, rights))
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
