//! The root folder of a container, for who reads and writes in it from outside (`cp`, `watch`).
//!
//! A descriptor of the root keeps its overlay alive after the process has died, and a second overlay on the same upper
//! layer would not see what is written through the first. So whoever holds a root shares a lock, and a new root is mounted
//! only when nobody holds the old one ([`wait_for_writers`]).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::bundle::Resolved;
use super::protocol::StartError;
use super::record::{self, ProcessRecord};
use super::stopped::{self, Holder};
use crate::desired::ContainerSpec;
use crate::host::record::RecordError;

/// So long a start waits for those who write into the last root. Who is frozen in the middle must not hold up a container.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a root can't be had.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The container's records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Its lock, or the root itself.
    #[error("cannot open the root of the container of {}", run.display())]
    Open {
        /// Its run folder.
        run: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not run, and its layers and mounts can't be put together.
    #[error("cannot put the files of the container together: {0}")]
    Assemble(#[from] StartError),
    /// They are in another kernel's hands.
    #[error(
        "the files of a container that runs under `{0}` can't be reached from outside: its programs have a kernel of their \
         own; use a volume, or `exec` with a program of the container"
    )]
    Hidden(String),
}

/// The root folder of a container, as an `O_PATH` descriptor below which nothing outside can be reached. Held only while
/// something is read or written: the container's next start waits for it.
pub struct Root {
    fd: OwnedFd,
    process: Option<ProcessRecord>,
    /// In this order: the lock is given up when the mounts are gone.
    _mounts: Option<Holder>,
    _lock: Option<File>,
}

impl Root {
    /// The root of the process that lives now; `None` where none does. `run` is the container's run folder.
    ///
    /// # Errors
    /// When the records can't be read, or the kernel does not let us in.
    pub fn of_living(run: &Path) -> Result<Option<Self>, RootError> {
        let failed = |source: io::Error| RootError::Open { run: run.to_owned(), source };
        let lock = match lock(run, FlockOperation::LockShared) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let Some(process) = record::living(run)? else { return Ok(None) };
        if let (true, Some(runtime)) = (process.hidden, &process.runtime) {
            return Err(RootError::Hidden(runtime.name.clone()));
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(format!("/proc/{}/root", process.pid), flags, Mode::empty());
        // The number may have changed hands between the record and the open.
        if !record::is_same(process.pid, process.ticks) {
            return Ok(None);
        }
        let fd = opened.map_err(|errno| failed(errno.into()))?;
        Ok(Some(Self { fd, process: Some(process), _mounts: None, _lock: Some(lock) }))
    }

    /// The root of a container that does not run, with the mounts and files that `spec` has; `None` where it does. Nothing else
    /// can be mounted on its layers meanwhile.
    ///
    /// # Errors
    /// When the records can't be read, a part is not there, or the kernel refuses.
    pub fn of_stopped(host: &Resolved, spec: &ContainerSpec) -> Result<Option<Self>, RootError> {
        let failed = |source: io::Error| RootError::Open { run: host.run.clone(), source };
        // One that was never started has no such folder yet.
        std::fs::create_dir_all(&host.run).map_err(failed)?;
        let lock = lock(&host.run, FlockOperation::LockExclusive).map_err(failed)?;
        if record::living(&host.run)?.is_some() {
            return Ok(None);
        }
        let (fd, holder) = stopped::assemble(host, spec)?;
        Ok(Some(Self { fd, process: None, _mounts: Some(holder), _lock: Some(lock) }))
    }

    /// A folder in place of a container's root.
    pub fn standing_for(fd: OwnedFd) -> Self {
        Self { fd, process: None, _mounts: None, _lock: None }
    }

    /// The process whose root it is.
    pub fn process(&self) -> Option<&ProcessRecord> {
        self.process.as_ref()
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn lock(run: &Path, how: FlockOperation) -> io::Result<File> {
    let lock = File::open(run)?;
    flock(&lock, how)?;
    Ok(lock)
}

/// Waits until nobody writes into the last root any more, and keeps newcomers out while the returned lock is held. After
/// two seconds it gives up: a frozen writer must not hold up a container.
pub(crate) fn wait_for_writers(run: &Path) -> io::Result<Option<File>> {
    let lock = File::open(run)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(lock)),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(Duration::from_millis(1)),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
