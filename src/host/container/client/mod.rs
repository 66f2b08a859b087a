//! The supervisor's side: a shim as a handle, its answers and events as futures.

mod attach;
pub(super) mod connection;
mod spawn;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::mpsc;

pub use attach::{Attached, Output, attach};
pub use spawn::SpawnRequest;

use self::connection::Connection;
use super::bundle::{Bundle, Shared};
use super::hold;
use super::protocol::{Event, Part, Reply, Request, StartError};
use super::record::{ExitRecord, ProcessRecord};
use crate::desired::Namespaces;

/// Name in a shim's store of what keeps the process of [`Shim::hold`].
const HELD: &str = "held";

/// A shim that lives greets at once, and so does one of a busy machine in this time.
const GREETING: Duration = Duration::from_secs(8);

/// Why a shim did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// It could not be started.
    #[error("can't start the shim of {0}")]
    Spawn(String, #[source] io::Error),
    /// There is none, or the connection to it broke.
    #[error("lost the connection to the shim in {0}: the container's parent process has ended or hangs")]
    Lost(String, #[source] io::Error),
    /// It answered with an error.
    #[error("{0}")]
    Failed(#[from] StartError),
    /// It answered something else than what was asked.
    #[error("the shim in {0} speaks a protocol that this windlass does not know")]
    Protocol(String),
}

/// The result of a call.
pub type Result<T> = std::result::Result<T, ShimError>;

/// The parts of a sandbox that are the container's own, as descriptors.
pub type Sandbox = BTreeMap<Part, OwnedFd>;

/// A process that was started or found.
#[derive(Debug)]
pub struct Running {
    /// How to know it again.
    pub process: ProcessRecord,
    /// Things that were asked for, could not be done and were not essential.
    pub warnings: Vec<String>,
    /// Its pidfd, root folder and duplicates of the stream ends: while somebody holds those, a lost shim breaks no pipe.
    pub parts: BTreeMap<Part, OwnedFd>,
}

/// How a shim says things are.
#[derive(Debug)]
pub struct ShimState {
    /// The living process.
    pub running: Option<Running>,
    /// How the last process ended.
    pub exit: Option<ExitRecord>,
    /// Names of what it keeps.
    pub stored: Vec<String>,
}

/// A connection to a shim. Dropping the supervisor's means to the shim that the supervisor is lost.
#[derive(Debug)]
pub struct Shim {
    run: PathBuf,
    pid: i32,
    connection: Arc<Connection>,
    events: Mutex<mpsc::UnboundedReceiver<Event>>,
}

impl Shim {
    /// Starts a shim. It has no sandbox yet: see [`Shim::sandbox`].
    ///
    /// # Errors
    /// When it can't be started or does not answer.
    pub async fn spawn(request: &SpawnRequest<'_>) -> Result<Shim> {
        let socket =
            spawn::spawn(request).map_err(|cause| ShimError::Spawn(request.run.display().to_string(), cause))?;
        Shim::greet(request.run.to_path_buf(), socket, true).await
    }

    /// Connects as the supervisor to the shim of the container whose run folder is `run`.
    ///
    /// # Errors
    /// When there is none.
    pub async fn adopt(run: &Path) -> Result<Shim> {
        Shim::connect(run, true).await
    }

    /// Connects as somebody else: no events, and no consequence when the connection ends.
    ///
    /// # Errors
    /// When there is none.
    pub async fn visit(run: &Path) -> Result<Shim> {
        Shim::connect(run, false).await
    }

    async fn connect(run: &Path, supervisor: bool) -> Result<Shim> {
        let socket = connection::connect(run).map_err(|cause| ShimError::Lost(run.display().to_string(), cause))?;
        Shim::greet(run.to_path_buf(), socket, supervisor).await
    }

    async fn greet(run: PathBuf, socket: OwnedFd, supervisor: bool) -> Result<Shim> {
        let (sender, events) = mpsc::unbounded_channel();
        let connection =
            Connection::new(socket, sender).map_err(|cause| ShimError::Lost(run.display().to_string(), cause))?;
        let mut shim = Shim { run, pid: 0, connection, events: Mutex::new(events) };
        let hello = Request::Hello { version: super::protocol::VERSION, supervisor };
        let answer = tokio::time::timeout(GREETING, shim.call(hello, Vec::new())).await;
        // Its socket may be held open by somebody who never answers.
        let silent = |_| ShimError::Lost(shim.run.display().to_string(), io::ErrorKind::TimedOut.into());
        let Reply::Hello { pid, .. } = answer.map_err(silent)??.0 else { return Err(shim.protocol()) };
        shim.pid = pid;
        Ok(shim)
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Makes the sandbox, or takes its descriptors anew. What is not in the answer is the host's or another container's.
    ///
    /// # Errors
    /// When it can't be made.
    pub async fn sandbox(&self, namespaces: &Namespaces, shm_size: u64) -> Result<Sandbox> {
        let request = Request::Sandbox { namespaces: namespaces.clone(), shm_size };
        match self.call(request, Vec::new()).await? {
            (Reply::Sandbox { parts }, fds) => Ok(parts.into_iter().zip(fds).collect()),
            _ => Err(self.protocol()),
        }
    }

    /// Starts the process. `shared` are the namespaces of other containers that [`super::bundle::shared`] names.
    ///
    /// # Errors
    /// [`ShimError::Failed`] with the stage, the message and docker's exit code when it can't be started; the container's
    /// exit record has the same.
    pub async fn start(&self, bundle: &Bundle, shared: BTreeMap<Shared, OwnedFd>) -> Result<Running> {
        let (kinds, fds) = shared.into_iter().unzip();
        let request = Request::Start { bundle: Box::new(bundle.clone()), shared: kinds };
        match self.call(request, fds).await? {
            (Reply::Started { process, warnings, parts }, fds) => {
                Ok(Running { process, warnings, parts: parts.into_iter().zip(fds).collect() })
            }
            _ => Err(self.protocol()),
        }
    }

    /// How things are.
    ///
    /// # Errors
    /// When the shim is lost.
    pub async fn state(&self) -> Result<ShimState> {
        match self.call(Request::State, Vec::new()).await? {
            (Reply::State { process, exit, stored, parts }, fds) => {
                let parts = parts.into_iter().zip(fds).collect();
                let running = process.map(|process| Running { process, warnings: Vec::new(), parts });
                Ok(ShimState { running, exit, stored })
            }
            _ => Err(self.protocol()),
        }
    }

    /// Sends a signal to the container's first process.
    ///
    /// # Errors
    /// When no process runs.
    pub async fn signal(&self, number: i32) -> Result<()> {
        self.done(Request::Signal { number }, Vec::new()).await
    }

    /// Has the OCI runtime that drives the container freeze it.
    ///
    /// # Errors
    /// When none does, or it refuses.
    pub async fn pause(&self) -> Result<()> {
        self.done(Request::Pause, Vec::new()).await
    }

    /// Has the OCI runtime let the container go on.
    ///
    /// # Errors
    /// As for [`Shim::pause`].
    pub async fn resume(&self) -> Result<()> {
        self.done(Request::Resume, Vec::new()).await
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// When it has none.
    pub async fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        self.done(Request::Resize { rows, columns }, Vec::new()).await
    }

    /// Has the shim keep descriptors under a name, in place of what it kept there.
    ///
    /// # Errors
    /// When the shim is lost.
    pub async fn store(&self, name: &str, fds: Vec<OwnedFd>) -> Result<()> {
        self.done(Request::Store { name: name.to_owned() }, fds).await
    }

    /// Duplicates of what the shim keeps under a name; it goes on keeping it.
    ///
    /// # Errors
    /// When the shim is lost.
    pub async fn take(&self, name: &str) -> Result<Vec<OwnedFd>> {
        match self.call(Request::Take { name: name.to_owned() }, Vec::new()).await? {
            (Reply::Taken, fds) => Ok(fds),
            _ => Err(self.protocol()),
        }
    }

    /// Has the shim close what it keeps under a name.
    ///
    /// # Errors
    /// When the shim is lost.
    pub async fn forget(&self, name: &str) -> Result<()> {
        self.done(Request::Forget { name: name.to_owned() }, Vec::new()).await
    }

    /// Hands over the program that a new supervisor is to be started from, if this one is lost.
    ///
    /// # Errors
    /// When the shim is lost.
    pub async fn set_executable(&self, program: OwnedFd) -> Result<()> {
        self.store(super::shim::EXECUTABLE, vec![program]).await
    }

    /// Starts a process that does nothing and lives as long as the shim, or until this is called again; its process id.
    ///
    /// # Errors
    /// When it can't be started, or the shim is lost.
    pub async fn hold(&self, program: BorrowedFd<'_>) -> Result<u32> {
        let failed = |cause| ShimError::Spawn(self.run.display().to_string(), cause);
        let (theirs, kept) = io::pipe().map_err(failed)?;
        let pid = hold::spawn(program, theirs).map_err(failed)?;
        self.store(HELD, vec![kept.into()]).await?;
        Ok(pid)
    }

    /// Whether [`Shim::hold`] has started a process, which may have ended since.
    ///
    /// # Errors
    /// When the shim is lost.
    pub async fn is_holding(&self) -> Result<bool> {
        Ok(self.state().await?.stored.iter().any(|name| name == HELD))
    }

    /// Ends the shim, and with it the sandbox, once nobody else holds its descriptors. When this returns, it is gone.
    ///
    /// # Errors
    /// When the process still runs.
    pub async fn shutdown(&self) -> Result<()> {
        self.done(Request::Shutdown, Vec::new()).await?;
        // It closes the connection by ending.
        while self.event().await.is_some() {}
        Ok(())
    }

    /// The next event; `None` once the connection has ended.
    pub async fn event(&self) -> Option<Event> {
        self.events.lock().await.recv().await
    }

    async fn done(&self, request: Request, fds: Vec<OwnedFd>) -> Result<()> {
        match self.call(request, fds).await? {
            (Reply::Done, _) => Ok(()),
            _ => Err(self.protocol()),
        }
    }

    async fn call(&self, request: Request, fds: Vec<OwnedFd>) -> Result<(Reply, Vec<OwnedFd>)> {
        let lost = |cause| ShimError::Lost(self.run.display().to_string(), cause);
        match self.connection.call(request, fds).await.map_err(lost)? {
            (Reply::Failed(error), _) => Err(error.into()),
            other => Ok(other),
        }
    }

    fn protocol(&self) -> ShimError {
        ShimError::Protocol(self.run.display().to_string())
    }
}
