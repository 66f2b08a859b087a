//! One connection to a shim: calls and their replies, events.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect as connect_to, socket};
use rustix::fs::{Mode, OFlags};
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::super::protocol::{Call, Event, Message, Reply, Request};
use super::super::shim::SOCKET;
use super::super::wire::Packet;

type Answer = (Reply, Vec<OwnedFd>);

/// A connection whose messages a task of its own reads.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Arc<AsyncFd<OwnedFd>>,
    next: AtomicU64,
    /// Callers that wait, by number; `None` once the connection has ended.
    waiting: Arc<Waiting>,
    reader: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, events: mpsc::UnboundedSender<Event>) -> io::Result<Arc<Connection>> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        let socket = Arc::new(super::super::sys::watch(socket)?);
        let waiting = Arc::new(Mutex::new(Some(BTreeMap::new())));
        let reader = tokio::spawn(read_all(socket.clone(), waiting.clone(), events));
        Ok(Arc::new(Connection { socket, next: AtomicU64::new(1), waiting, reader }))
    }

    /// Asks, and waits for the answer.
    pub(super) async fn call(&self, request: Request, fds: Vec<OwnedFd>) -> io::Result<Answer> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some(waiting) => drop(waiting.insert(number, sender)),
            None => return Err(io::ErrorKind::NotConnected.into()),
        }
        send(&self.socket, &Packet::message(&Call { number, request }, fds)?).await?;
        receiver.await.map_err(|_| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Sends one packet when there is room.
pub(super) async fn send(socket: &AsyncFd<OwnedFd>, packet: &Packet) -> io::Result<()> {
    socket.async_io(tokio::io::Interest::WRITABLE, |socket| packet.send(socket.as_fd())).await
}

/// Receives one packet.
pub(super) async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<Option<Packet>> {
    socket.async_io(tokio::io::Interest::READABLE, |socket| Packet::receive(socket.as_fd())).await
}

type Waiting = Mutex<Option<BTreeMap<u64, oneshot::Sender<Answer>>>>;

async fn read_all(socket: Arc<AsyncFd<OwnedFd>>, waiting: Arc<Waiting>, events: mpsc::UnboundedSender<Event>) {
    while let Ok(Some(packet)) = receive(&socket).await {
        match packet.parse::<Message>() {
            Ok((Message::Reply { number, reply }, fds)) => {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(sender) = waiting.as_mut().and_then(|waiting| waiting.remove(&number)) {
                    // The caller may have given up.
                    let _ = sender.send((reply, fds));
                }
            }
            Ok((Message::Event(event), _)) => drop(events.send(event)),
            // A message of a later version that this one does not know.
            Err(_) => {}
        }
    }
    // All who wait learn that no answer comes.
    *waiting.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Connects to the socket of the shim whose run folder is `run`, through the folder's descriptor: a socket's path has
/// only 108 bytes.
pub(in super::super) fn connect(run: &Path) -> io::Result<OwnedFd> {
    let folder = rustix::fs::open(run, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let address = UnixAddr::new(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()).as_str())?;
    connect_to(socket.as_raw_fd(), &address)?;
    Ok(socket)
}
