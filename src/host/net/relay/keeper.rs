//! The supervisor's side of the relay: it watches the held listeners, starts the relay when something reaches one, and tells it
//! what changes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr, bind, connect, listen, recv, setsockopt,
    shutdown, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use tokio::io::Interest;

use super::message::{self, Request, SOCKETS};
use crate::name::{ContainerId, ProjectName};

/// A relay that does not answer for so long hangs.
const PATIENCE: i64 = 5;
/// Between two attempts to start it.
const PAUSE: Duration = Duration::from_secs(1);

/// A socket that holds a published port, and where that leads.
pub(crate) struct Port {
    pub socket: OwnedFd,
    pub targets: Vec<SocketAddr>,
}

/// The listeners of a project, and its relay.
pub(crate) struct Keeper {
    /// Readable when something has reached a listener.
    epoll: Epoll,
    folder: PathBuf,
    name: String,
    /// The executable that knows the verb `__relay`.
    program: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ports: BTreeMap<ContainerId, Vec<Port>>,
    connection: Option<OwnedFd>,
    child: Option<Child>,
}

impl Keeper {
    /// Takes over the project's relay if one runs.
    pub fn open(run: &Path, program: &Path, project: &ProjectName) -> io::Result<Self> {
        let keeper = Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            folder: run.join("relay"),
            name: format!("{project}.sock"),
            program: program.to_owned(),
            state: Mutex::default(),
        };
        if let Ok(connection) = keeper.connect() {
            keeper.state().connection = Some(connection);
        }
        Ok(keeper)
    }

    /// Watches the listeners of a container, in place of those that it had.
    pub fn add(&self, container: &ContainerId, ports: Vec<Port>) -> io::Result<()> {
        let mut state = self.state();
        self.forget(&mut state, container);
        for port in &ports {
            self.epoll.add(&port.socket, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
        }
        let told = state.connection.as_ref().map(|connection| tell(connection.as_fd(), container, &ports));
        state.ports.insert(container.clone(), ports);
        if let Some(Err(_)) = told {
            // It has just ended or hangs: the next packet starts another.
            state.connection = None;
        }
        Ok(())
    }

    /// Stops watching the listeners of a container, and relaying for it.
    pub fn remove(&self, container: &ContainerId) {
        let mut state = self.state();
        self.forget(&mut state, container);
        let request = Request::Drop { container: container.clone() };
        if let Some(connection) = &state.connection
            && message::ask(connection.as_fd(), &request, &[]).is_err()
        {
            state.connection = None;
        }
    }

    /// Ends the relay: nothing is published any more.
    pub fn close(&self) {
        let mut state = self.state();
        if let Some(connection) = state.connection.take() {
            let _ = message::ask(connection.as_fd(), &Request::Retain { containers: Vec::new() }, &[]);
            // Not by closing: the task that watches it has a duplicate.
            let _ = shutdown(connection.as_raw_fd(), Shutdown::Both);
        }
        let _ = fs::remove_file(self.folder.join(&self.name));
        if let Some(mut child) = state.child.take() {
            reap(&mut child);
        }
    }

    /// An entry of the epoll set outlives the descriptor as long as somebody else holds the socket.
    fn forget(&self, state: &mut State, container: &ContainerId) {
        for port in state.ports.remove(container).into_iter().flatten() {
            let _ = self.epoll.delete(&port.socket);
        }
    }

    /// Starts the relay whenever something has reached a listener and none runs. Runs until it is aborted.
    pub async fn watch(self: Arc<Self>) {
        loop {
            let begin = Instant::now();
            if let Err(error) = self.watch_once().await {
                tracing::warn!(%error, relay = self.name, "the relay for published ports does not start");
            }
            // One that ends at once must not be started again and again.
            tokio::time::sleep(PAUSE.saturating_sub(begin.elapsed())).await;
        }
    }

    async fn watch_once(self: &Arc<Self>) -> io::Result<()> {
        if self.state().connection.is_none() {
            self.wait_for_packet().await?;
            let keeper = Arc::clone(self);
            tokio::task::spawn_blocking(move || keeper.start()).await??;
        }
        self.wait_for_end().await?;
        let child = {
            let mut state = self.state();
            state.connection = None;
            state.child.take()
        };
        if let Some(mut child) = child {
            tokio::task::spawn_blocking(move || child.wait()).await??;
        }
        Ok(())
    }

    async fn wait_for_packet(&self) -> io::Result<()> {
        let watched = message::registered(self.epoll.0.try_clone()?, Interest::READABLE)?;
        loop {
            let mut events = [EpollEvent::empty()];
            if self.epoll.wait(&mut events, EpollTimeout::ZERO)? > 0 {
                return Ok(());
            }
            watched.readable().await?.clear_ready();
        }
    }

    async fn wait_for_end(&self) -> io::Result<()> {
        let Some(connection) = self.state().connection.as_ref().map(OwnedFd::try_clone) else { return Ok(()) };
        let connection = message::registered(connection?, Interest::READABLE)?;
        loop {
            let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            // An answer to a request that is under way is none of our business here.
            match recv(connection.get_ref().as_raw_fd(), &mut [0; 8], look) {
                Ok(0) => return Ok(()),
                Ok(_) | Err(nix::errno::Errno::EAGAIN) => {}
                Err(_) => return Ok(()),
            }
            if self.state().connection.is_none() {
                return Ok(());
            }
            connection.readable().await?.clear_ready();
        }
    }

    /// Finds a relay that runs, or starts one, and hands it all listeners.
    fn start(&self) -> io::Result<()> {
        let mut state = self.state();
        let connection = match self.connect() {
            Ok(connection) => connection,
            Err(_) => {
                state.child = Some(self.spawn()?);
                self.connect()?
            }
        };
        let containers = state.ports.keys().cloned().collect();
        message::ask(connection.as_fd(), &Request::Retain { containers }, &[])?;
        for (container, ports) in &state.ports {
            tell(connection.as_fd(), container, ports)?;
        }
        state.connection = Some(connection);
        Ok(())
    }

    fn spawn(&self) -> io::Result<Child> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let _ = fs::remove_file(self.folder.join(&self.name));
        let control = packet_socket()?;
        let folder = fs::File::open(&self.folder)?;
        bind(control.as_raw_fd(), &self.address(&folder)?)?;
        listen(&control, Backlog::new(8)?)?;
        // Everything it needs comes over its control socket, nothing from the environment.
        Command::new(&self.program)
            .arg("__relay")
            .env_clear()
            .stdin(Stdio::from(control))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }

    fn connect(&self) -> io::Result<OwnedFd> {
        let folder = fs::File::open(&self.folder)?;
        let connection = packet_socket()?;
        let limit = TimeVal::seconds(PATIENCE);
        setsockopt(&connection, sockopt::ReceiveTimeout, &limit)?;
        setsockopt(&connection, sockopt::SendTimeout, &limit)?;
        connect(connection.as_raw_fd(), &self.address(&folder)?)?;
        Ok(connection)
    }

    /// By way of the folder's descriptor: the whole path may be longer than the 107 bytes of a socket's address.
    fn address(&self, folder: &fs::File) -> io::Result<UnixAddr> {
        Ok(UnixAddr::new(&PathBuf::from(format!("/proc/self/fd/{}/{}", folder.as_raw_fd(), self.name)))?)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Waits for a relay that has been told to end, and kills one that does not.
fn reap(child: &mut Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let flags = rustix::process::PidfdFlags::empty();
    if let Some(Ok(pidfd)) = pid.map(|pid| rustix::process::pidfd_open(pid, flags)) {
        // Readable once it has ended.
        let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(2000_u16));
    }
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let _ = child.kill();
    let _ = child.wait();
}

fn packet_socket() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None)?)
}

/// Tells a relay all ports of a container, in place of what it had.
fn tell(connection: BorrowedFd<'_>, container: &ContainerId, ports: &[Port]) -> io::Result<()> {
    message::ask(connection, &Request::Drop { container: container.clone() }, &[])?;
    for part in ports.chunks(SOCKETS) {
        let targets = part.iter().map(|port| port.targets.clone()).collect();
        let sockets: Vec<BorrowedFd<'_>> = part.iter().map(|port| port.socket.as_fd()).collect();
        message::ask(connection, &Request::Add { container: container.clone(), targets }, &sockets)?;
    }
    Ok(())
}
