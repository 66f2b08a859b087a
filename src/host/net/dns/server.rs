//! The sockets of the containers. One task a container answers from the table; only what is forwarded, and each connection
//! over TCP, has a task of its own. Nothing runs while nobody asks.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::{Transport, Verdict, answer, failure};
use super::forward;
use super::resolv::HostResolvers;
use super::zone::{Table, Upstream, View};
use crate::name::ContainerId;

/// Queries on their way and connections of one container; what is more, is told to fail.
const MOST: usize = 256;

/// Datagrams that are answered in a row before others get their turn.
const BATCH: usize = 64;

/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(10);

/// The longest datagram that is a query.
const LONGEST: usize = 4096;

/// The two sockets of a container, bound to 127.0.0.11 inside its network namespace.
#[derive(Debug)]
pub struct Sockets {
    /// For datagrams.
    pub udp: std::net::UdpSocket,
    /// For connections; listening.
    pub tcp: std::net::TcpListener,
}

/// Answers the containers of a project.
#[derive(Debug)]
pub struct DnsServer {
    shared: Arc<Shared>,
    clients: Mutex<BTreeMap<ContainerId, Client>>,
}

#[derive(Debug)]
struct Shared {
    table: RwLock<Arc<Table>>,
    host: HostResolvers,
    /// Counts the queries: the order of several addresses.
    seed: AtomicU64,
}

#[derive(Debug)]
struct Client {
    view: Arc<RwLock<Arc<View>>>,
    end: CancellationToken,
    task: JoinHandle<()>,
}

impl DnsServer {
    /// A server without clients. `resolv_conf` is the host's file, usually /etc/resolv.conf.
    pub fn new(resolv_conf: PathBuf) -> Self {
        let table = RwLock::new(Arc::new(Table::default()));
        let shared = Shared { table, host: HostResolvers::new(resolv_conf), seed: AtomicU64::new(0) };
        Self { shared: Arc::new(shared), clients: Mutex::new(BTreeMap::new()) }
    }

    /// Takes a new table for all; queries that are being answered see the old one to their end.
    pub fn publish(&self, table: Table) {
        *self.shared.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    /// Begins to answer a container; must be called inside a tokio runtime, in the host's network namespace. One that is
    /// answered already is answered on the new sockets.
    ///
    /// # Errors
    /// When the runtime can't take the sockets.
    pub fn serve(&self, id: ContainerId, sockets: Sockets, view: View) -> io::Result<()> {
        sockets.udp.set_nonblocking(true)?;
        sockets.tcp.set_nonblocking(true)?;
        let view = Arc::new(RwLock::new(Arc::new(view)));
        let end = CancellationToken::new();
        let line =
            Line { shared: self.shared.clone(), view: view.clone(), udp: Arc::new(UdpSocket::from_std(sockets.udp)?) };
        let tcp = TcpListener::from_std(sockets.tcp)?;
        let task = tokio::spawn(run(line, tcp, end.clone()));
        if let Some(old) = self.clients().insert(id, Client { view, end, task }) {
            old.end.cancel();
        }
        Ok(())
    }

    /// Changes what a container sees (it was connected to a network). Nothing happens if it is not answered.
    pub fn look(&self, id: &ContainerId, view: View) {
        if let Some(client) = self.clients().get(id) {
            *client.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        }
    }

    /// Stops to answer a container. When this is done, its sockets are closed and hold no namespace any more.
    pub async fn stop(&self, id: &ContainerId) {
        let client = self.clients().remove(id);
        if let Some(client) = client {
            client.end.cancel();
            // An error here is a task that has ended by itself.
            let _ = client.task.await;
        }
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<ContainerId, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        for client in self.clients().values() {
            client.end.cancel();
        }
    }
}

/// All that answering one container takes.
#[derive(Clone)]
struct Line {
    shared: Arc<Shared>,
    view: Arc<RwLock<Arc<View>>>,
    udp: Arc<UdpSocket>,
}

impl Line {
    fn answer(&self, query: &[u8], transport: Transport, out: &mut Vec<u8>) -> Verdict {
        let seed = self.shared.seed.fetch_add(1, Ordering::Relaxed);
        let table = self.shared.table.read().unwrap_or_else(PoisonError::into_inner).clone();
        answer(&table, &self.view(), (query, transport), seed, out)
    }

    fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks somebody else; a reply without answers where nobody says anything.
    async fn forward(&self, query: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let servers = match &self.view().upstream {
            Upstream::Nobody => Vec::new(),
            Upstream::Host => self.shared.host.servers(),
            Upstream::Servers(servers) => servers.clone(),
        };
        match forward::ask(&servers, query, transport == Transport::Tcp).await {
            Some(reply) => Some(reply),
            None => {
                let mut out = Vec::new();
                (failure(query, &mut out) == Verdict::Reply).then_some(out)
            }
        }
    }

    /// Sends a datagram. One that can't be sent is lost, as datagrams are.
    async fn send(&self, reply: &[u8], to: SocketAddr) {
        if let Err(error) = self.udp.try_send_to(reply, to)
            && error.kind() == io::ErrorKind::WouldBlock
        {
            let _ = self.udp.send_to(reply, to).await;
        }
    }
}

async fn run(line: Line, tcp: TcpListener, end: CancellationToken) {
    let mut work = JoinSet::new();
    let (mut query, mut reply) = (vec![0; LONGEST], Vec::with_capacity(LONGEST));
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            Some(_) = work.join_next(), if !work.is_empty() => {}
            ready = line.udp.readable() => match ready {
                Ok(()) => datagrams(&line, &mut work, &mut query, &mut reply).await,
                Err(_) => break,
            },
            accepted = tcp.accept(), if work.len() < MOST => match accepted {
                Ok((stream, _)) => drop(work.spawn(connection(line.clone(), stream))),
                // Out of descriptors, most likely: others must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    // The tasks hold the sockets too.
    work.shutdown().await;
}

/// Answers what has come, at most [`BATCH`] datagrams.
async fn datagrams(line: &Line, work: &mut JoinSet<()>, query: &mut [u8], reply: &mut Vec<u8>) {
    while work.try_join_next().is_some() {}
    for _ in 0..BATCH {
        let Ok((length, from)) = line.udp.try_recv_from(query) else { return };
        let query = &query[..length];
        match line.answer(query, Transport::Udp, reply) {
            Verdict::Reply => line.send(reply, from).await,
            Verdict::Forward if work.len() < MOST => {
                let (line, query) = (line.clone(), query.to_vec());
                work.spawn(async move {
                    if let Some(reply) = line.forward(&query, Transport::Udp).await {
                        line.send(&reply, from).await;
                    }
                });
            }
            Verdict::Forward => {
                if failure(query, reply) == Verdict::Reply {
                    line.send(reply, from).await;
                }
            }
            Verdict::Drop => {}
        }
    }
}

/// Answers one connection until it is closed, says nothing for long, or speaks nonsense.
async fn connection(line: Line, mut stream: TcpStream) {
    let mut reply = Vec::new();
    while let Ok(Ok(query)) = timeout(IDLE, frame(&mut stream)).await {
        match line.answer(&query, Transport::Tcp, &mut reply) {
            Verdict::Reply => {}
            Verdict::Forward => match line.forward(&query, Transport::Tcp).await {
                Some(answer) => reply = answer,
                None => return,
            },
            Verdict::Drop => return,
        }
        let Ok(length) = u16::try_from(reply.len()) else { return };
        reply.splice(..0, length.to_be_bytes());
        if !matches!(timeout(IDLE, stream.write_all(&reply)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// One query with its length before it.
async fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut query = vec![0; usize::from(length)];
    stream.read_exact(&mut query).await?;
    Ok(query)
}
