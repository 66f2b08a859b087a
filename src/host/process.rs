//! What a process takes from its caller, and how it is rid of it.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, fork, setsid};

use super::container::sys::{Cloned, clone3, pidfd_open};

/// Which process a call of [`detach`] returned in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller's child: it ends now.
    Caller,
    /// The detached process.
    Detached {
        /// It was born in the control group that was asked for.
        home: bool,
    },
}

/// Forks twice around a new session, the second time right into the v2 control group `home`: to move there later takes a
/// grace period. Only for a process that has no threads yet.
///
/// # Errors
/// When the kernel refuses a fork.
pub fn detach(home: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    // SAFETY: called first thing in main, before any thread exists, so the child may run any code.
    if let ForkResult::Parent { .. } = unsafe { fork() }? {
        return Ok(Side::Caller);
    }
    setsid()?;
    // SAFETY: as above; the child of a process with one thread.
    let clone = |home| unsafe { clone3(0, home) };
    let (cloned, home) = match clone(home) {
        // The group may have gone meanwhile.
        Err(_) if home.is_some() => (clone(None)?, false),
        cloned => (cloned?, home.is_some()),
    };
    match cloned {
        // Not by a return: the first child must not run what only the detached process may.
        Cloned::Parent { .. } => std::process::exit(0),
        Cloned::Child => Ok(Side::Detached { home }),
    }
}

/// Goes on in a child that is born in the v2 control group `home`, and returns there when this process has ended: so a process
/// leaves its group without a grace period. Descriptors and locks go along.
///
/// # Errors
/// When this process has other threads, or the kernel refuses: then it is still this one.
pub fn go_on_in(home: BorrowedFd<'_>) -> io::Result<()> {
    if threads() != 1 {
        return Err(io::Error::other("there are other threads"));
    }
    let this = pidfd_open(nix::unistd::getpid().as_raw())?;
    // SAFETY: there is one thread.
    match unsafe { clone3(0, Some(home)) }? {
        Cloned::Parent { .. } => std::process::exit(0),
        Cloned::Child => {
            let mut ended = [PollFd::new(this.as_fd(), PollFlags::POLLIN)];
            while poll(&mut ended, PollTimeout::NONE) == Err(nix::errno::Errno::EINTR) {}
            Ok(())
        }
    }
}

/// So many threads has this process.
pub fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Default dispositions, no blocked signals, no limits of a shell's, umask 022, the root folder.
///
/// # Errors
/// When the kernel refuses one of them.
pub fn clean_slate() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        if matches!(signal, Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGPIPE) {
            continue;
        }
        // SAFETY: the default disposition runs no code of ours.
        unsafe { sigaction(signal, &default) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
    lift_limits();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    std::env::set_current_dir("/")
}

/// Stack of a process, as every service manager gives it: more changes where the kernel places a program's memory.
const STACK: u64 = 8 << 20;
/// Open files at most, as the kernel allows them by default.
const FILES: u64 = 1 << 20;

/// Takes off what the shell that a caller came from had limited: what is started goes on as if a service manager had
/// started it, by docker's unit, whoever came first. What needs CAP_SYS_RESOURCE and may not be is as high as it may be.
pub fn lift_limits() {
    let most = [
        (Resource::RLIMIT_AS, u64::MAX),
        (Resource::RLIMIT_CORE, u64::MAX),
        (Resource::RLIMIT_CPU, u64::MAX),
        (Resource::RLIMIT_DATA, u64::MAX),
        (Resource::RLIMIT_FSIZE, u64::MAX),
        (Resource::RLIMIT_NOFILE, FILES),
        (Resource::RLIMIT_NPROC, u64::MAX),
        (Resource::RLIMIT_RSS, u64::MAX),
    ];
    for (resource, wanted) in most {
        let Ok((_, hard)) = getrlimit(resource) else { continue };
        let wanted = wanted.max(hard);
        if setrlimit(resource, wanted, wanted).is_err() {
            // Up to the hard limit it is always allowed.
            let _ = setrlimit(resource, hard, hard);
        }
    }
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_STACK) {
        let (soft, infinite) = (STACK.min(hard), setrlimit(Resource::RLIMIT_STACK, STACK, u64::MAX));
        if infinite.is_err() {
            let _ = setrlimit(Resource::RLIMIT_STACK, soft, hard);
        }
    }
}

/// Waits until this process has one thread, at most so long: one that was joined is gone a moment later.
pub fn await_one_thread(limit: Duration) {
    let end = Instant::now() + limit;
    while threads() > 1 && Instant::now() < end {
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Puts a file, normally /dev/null, in the place of standard input, output and error.
///
/// # Errors
/// When it can't be opened.
pub fn null_stdio(path: &OsStr) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    dup2_stdin(&file)?;
    dup2_stdout(&file)?;
    dup2_stderr(&file)?;
    Ok(())
}

/// Gives freed memory back to the kernel: a process that waits is to be small, and glibc keeps what was freed.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers; it takes the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has all threads share one heap: each that allocates would get one of its own, and keep what it once needed. To be called
/// before there are threads.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers; it sets a number.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
