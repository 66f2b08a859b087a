//! Brings a lost supervisor back: the shims of a project notice its connection end, and one of them starts a new one.

use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use super::super::{executable, sys};
use super::Place;
use super::peers::Peer;

/// Name in the store of the executable that a new supervisor is started from; without it, the shim's own.
pub(crate) const EXECUTABLE: &str = "executable";
/// First wait: a supervisor that is being replaced has its successor connect well within it.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(30);

/// When to look next.
#[derive(Default)]
pub(super) struct Revive {
    due: Option<Instant>,
    wait: Duration,
    /// Held while a supervisor that this shim started comes up, so that the others start none.
    lock: Option<File>,
}

impl Revive {
    /// The supervisor's connection has ended.
    pub(super) fn lost(&mut self) {
        self.wait = FIRST;
        self.due = Some(Instant::now() + self.wait);
    }

    /// When to look.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is time to act. A supervisor that is connected ends the matter.
    pub(super) fn is_due(&mut self, peers: &[Peer]) -> bool {
        if peers.iter().any(|peer| peer.supervisor) {
            self.due = None;
            self.lock = None;
            return false;
        }
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Starts a supervisor unless one is there or another shim is at it; looks again later in any case, as the one that
    /// was started may fail too.
    pub(super) fn act(&mut self, place: &Place, program: Option<&OwnedFd>) {
        self.wait = (self.wait * 2).min(LONGEST);
        self.due = Some(Instant::now() + self.wait);
        let folder = place.world_run.join("projects").join(&place.project);
        self.lock = lock(folder.join("revive.lock"));
        if self.lock.is_some() && lock(folder.join("supervisor.lock")).is_some() {
            // What fails now is tried again; there is nobody to tell.
            let _ = start(place, program);
        }
    }
}

/// The lock on `path`; `None` if somebody else has it. Released by dropping.
fn lock(path: PathBuf) -> Option<File> {
    fs::create_dir_all(path.parent()?).ok()?;
    let file = File::options().create(true).truncate(false).write(true).open(path).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// Starts `__supervisor` as nobody's child, with nothing of this process but its arguments.
fn start(place: &Place, program: Option<&OwnedFd>) -> io::Result<()> {
    let path = match program {
        Some(fd) => executable::path(fd.as_fd()),
        None => PathBuf::from("/proc/self/exe"),
    };
    let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
    let path = text(path.as_os_str())?;
    let argv = [
        OsStr::new("windlass"),
        OsStr::new("__supervisor"),
        OsStr::new("--project"),
        OsStr::new(&place.project),
        OsStr::new("--root"),
        place.world_root.as_os_str(),
        OsStr::new("--run"),
        place.world_run.as_os_str(),
    ]
    .into_iter()
    .map(text)
    .collect::<io::Result<Vec<_>>>()?;
    let env = [c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"];
    let argv: Vec<_> = argv.iter().map(|part| part.as_ptr()).chain([std::ptr::null()]).collect();
    let env: Vec<_> = env.iter().map(|part| part.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: the children only call async-signal-safe functions (the log's writer thread may hold the allocator's lock)
    // on memory that was made before the fork, and end by exec or _exit.
    unsafe {
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::setsid();
                if libc::fork() == 0 {
                    sys::reset_signals();
                    libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr());
                }
                sys::exit_now(0)
            }
            child => {
                libc::waitpid(child, std::ptr::null_mut(), 0);
                Ok(())
            }
        }
    }
}
