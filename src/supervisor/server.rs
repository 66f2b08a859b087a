//! The supervisor's own life: take the project over, hold it, end when nothing of it is left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{Mutex, Notify, watch};

use super::intent::{self, Intent};
use super::lease::{Board, Lease};
use super::{conversation, socket, spent};
use crate::engine::progress::Progress;
use crate::engine::{Engine, Settings};
use crate::host::clock::SystemClock;
use crate::host::ledger::project;
use crate::host::machine::{Machine, MachineError};
use crate::host::paths::Paths;
use crate::host::record::RecordError;
use crate::name::ProjectName;

/// Why a supervisor can't take a project over.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The machine can't be used.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The desired state can't be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A call of the kernel failed.
    #[error("cannot {operation}")]
    Call {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// So long the threads of a supervisor may take to end with it.
const THREADS_END: Duration = Duration::from_secs(1);
/// So long it waits for those that were joined to be gone. That of a connection to systemd stays, and a grace period of the
/// one cgroup hierarchy that there is then takes no longer than this.
const THREADS_GONE: Duration = Duration::from_millis(20);

/// Changes how much is logged, as `WINDLASS_LOG` has it.
pub type LogLevel = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// All that the conversations share.
pub struct Shared {
    /// Where things are.
    pub paths: Paths,
    /// The engine.
    pub engine: Engine<Machine, SystemClock>,
    /// Whether what the engine holds is recorded.
    pub intent: Intent,
    /// Who may change the desired state.
    pub lease: Arc<Mutex<Lease>>,
    /// Who has it, for those who wait.
    pub board: Board,
    /// The machine, to close it.
    pub machine: Arc<Machine>,
    /// Changes how much is logged.
    pub level: LogLevel,
    /// Notified when this process is to end, with the containers left to the next.
    pub leave: Notify,
    /// The project.
    pub project: ProjectName,
    /// The conversations under way.
    pub talking: watch::Sender<Talking>,
    /// Duplicates of their connections, by their numbers.
    pub connections: std::sync::Mutex<Connections>,
}

impl Shared {
    /// Whether nothing is held and nobody may want something; `empty`: of that generation nothing is left.
    fn is_over(&self, empty: Option<u64>) -> bool {
        let talking = *self.talking.borrow();
        talking.asking == 0
            && match self.engine.desired() {
                Some(desired) => empty == Some(desired.generation),
                // Who watches before anything was ever asked for is about to ask.
                None => {
                    talking.watching == 0
                        && project::containers(&self.paths, &self.project).is_ok_and(|ids| ids.is_empty())
                }
            }
    }
}

/// Connections that stay open as long as they are here, whatever becomes of the tasks that serve them.
#[derive(Debug, Default)]
pub struct Connections {
    next: u64,
    open: BTreeMap<u64, UnixStream>,
}

/// The conversations under way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Talking {
    /// Those that may still ask for something.
    asking: usize,
    /// Those that only listen any more.
    watching: usize,
}

/// One conversation, as long as this lives.
pub struct Talk {
    shared: Arc<Shared>,
    watches: bool,
    connection: Option<u64>,
}

impl Talk {
    /// One that may ask.
    pub fn begin(shared: &Arc<Shared>) -> Self {
        shared.talking.send_modify(|talking| talking.asking += 1);
        Self { shared: shared.clone(), watches: false, connection: None }
    }

    /// Has a connection: it is closed when the conversation is over, or where that is the end of the supervisor, as the last
    /// thing of all. That tells the client that nothing of the project is left.
    pub fn connected(&mut self, connection: UnixStream) {
        let mut all = self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        all.next += 1;
        let number = all.next;
        all.open.insert(number, connection);
        self.connection = Some(number);
    }

    /// From now on it only listens.
    pub fn watch(&mut self) {
        self.watches = true;
        self.shared.talking.send_modify(|talking| {
            talking.asking -= 1;
            talking.watching += 1;
        });
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        if let Some(number) = self.connection {
            self.shared.connections.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&number);
        }
        let watches = self.watches;
        self.shared.talking.send_modify(|talking| {
            let count = if watches { &mut talking.watching } else { &mut talking.asking };
            *count -= 1;
        });
    }
}

/// Runs to the end. `ready` is called once the control socket is there.
///
/// # Errors
/// When the project can't be taken over.
pub fn run(
    paths: Paths,
    project: ProjectName,
    lock: File,
    level: LogLevel,
    ready: fn() -> io::Result<()>,
) -> Result<(), ServerError> {
    let call = |operation| move |source| ServerError::Call { operation, source };
    crate::host::process::share_heap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(Duration::from_secs(2))
        .enable_all()
        .build()
        .map_err(call("start the runtime"))?;
    let result = runtime.block_on(serve(paths, project, level, ready));
    // Whatever still blocks must not keep the project's lock for ever.
    runtime.shutdown_timeout(THREADS_END);
    let ended = result.map(|emptied| emptied.iter().for_each(Emptied::close));
    drop(lock);
    ended
}

/// Nothing of the project is left.
struct Emptied {
    machine: Arc<Machine>,
    /// Keeps the next client waiting until this process is over.
    _lock: File,
    /// Keeps the last ones waiting.
    _connections: Connections,
}

impl Emptied {
    /// Removes what this process itself held. To be called when it has one thread again: with more, leaving its cgroups
    /// waits for a grace period in each hierarchy.
    fn close(&self) {
        tracing::info!("nothing of the project is left");
        crate::host::process::await_one_thread(THREADS_GONE);
        if let Err(error) = self.machine.close() {
            tracing::warn!(%error, "something of the project was not removed");
        }
    }
}

async fn serve(
    paths: Paths,
    project: ProjectName,
    level: LogLevel,
    ready: fn() -> io::Result<()>,
) -> Result<Option<Emptied>, ServerError> {
    let call = |operation| move |source| ServerError::Call { operation, source };
    let machine = Arc::new(Machine::open(&paths, &project)?);
    machine.adopt().await?;
    let engine = Engine::new(machine.clone(), Arc::new(SystemClock), Settings::default());
    if let Some(desired) = project::desired(&paths, &project)? {
        engine.set_desired(desired);
    }
    let intent = Intent::found(&paths, &project);
    let folder = paths.project_run(&project);
    let listener = socket::listen(&folder).map_err(call("make the control socket"))?;
    listener.set_nonblocking(true).map_err(call("make the control socket"))?;
    let listener = UnixListener::from_std(listener).map_err(call("make the control socket"))?;
    let shared = Arc::new(Shared {
        paths,
        engine,
        intent,
        lease: Arc::default(),
        board: Board::default(),
        machine,
        level,
        leave: Notify::new(),
        project,
        talking: watch::Sender::default(),
        connections: std::sync::Mutex::default(),
    });
    // Before the engine begins: nothing that it tells may be missed.
    let progress = shared.engine.subscribe();
    // The caller may have gone; that is no reason to give the project up.
    if let Err(error) = ready() {
        tracing::warn!(%error, "nobody waits for this supervisor");
    }
    tracing::info!(pid = std::process::id(), "holding the project");
    let emptied = tokio::select! {
        () = shared.engine.run() => None,
        () = accept(&listener, &shared) => None,
        () = spent::clear(&shared, progress) => None,
        () = intent::keep_up(&shared) => None,
        () = stay_small(&shared) => None,
        lock = emptied(&shared) => Some(Emptied {
            machine: shared.machine.clone(),
            _lock: lock,
            _connections: std::mem::take(&mut *shared.connections.lock().unwrap_or_else(PoisonError::into_inner)),
        }),
        () = shared.leave.notified() => {
            tracing::info!("leaving the project to the next supervisor");
            None
        }
    };
    shared.machine.end_probes().await;
    shared.machine.detach_all().await;
    Ok(emptied)
}

async fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(conversation::hold(stream, shared.clone(), Talk::begin(shared)));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Gives back what a change needed when it is over.
async fn stay_small(shared: &Shared) {
    let mut progress = shared.engine.subscribe();
    loop {
        match progress.recv().await {
            Ok(Progress::Settled(_)) => crate::host::process::trim(),
            Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
            Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Waits until nothing of the project is left and nobody talks to us or is about to. The lock that is given keeps the next
/// client waiting until this process is over.
async fn emptied(shared: &Shared) -> File {
    let mut progress = shared.engine.subscribe();
    let mut talking = shared.talking.subscribe();
    let mut empty = None;
    loop {
        talking.mark_unchanged();
        if shared.is_over(empty) {
            let (paths, project) = (shared.paths.clone(), shared.project.clone());
            let lock = tokio::task::spawn_blocking(move || project::start_lock(&paths, &project)).await;
            match lock {
                Ok(Ok(lock)) if shared.is_over(empty) => return lock,
                // A client came first: its end is told.
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "can't lock the project to end"),
                Err(error) => tracing::warn!(%error, "can't lock the project to end"),
            }
        }
        tokio::select! {
            told = progress.recv() => if let Ok(Progress::Settled(settled)) = told {
                empty = settled.empty.then_some(settled.generation);
            },
            // The sender lives as long as we do.
            _ = talking.changed() => {}
        }
    }
}
