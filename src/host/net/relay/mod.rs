//! The relay behind the published ports of a project.
//!
//! The kernel's rules carry nearly everything. What they can't reaches the listeners that hold the ports: ::1, [::] for
//! a container without IPv6, a connection that began while the rules were being flushed, and all that another firewall's input
//! chain is to decide about. A small process, one a project, takes that to the container. It is started when the
//! first such packet is there, survives the supervisor, and ends when nothing is published any more.
//!
//! ```text
//!  supervisor: keeper ── requests, with listeners as SCM_RIGHTS ──▶ control socket ── relay: serve ─┬─ tcp
//!                        (one packet each, answered by one)                                       └─ udp
//! ```

pub(crate) mod keeper;
mod message;
mod tcp;
mod udp;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use nix::sys::socket::{SockFlag, accept4, getsockopt, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use message::Request;

/// A relay that nobody has given anything to do for so long ends.
const IDLE: Duration = Duration::from_secs(5);

/// The first argument of a relay.
pub const VERB: &str = "__relay";

/// The hidden verb `__relay`: serves the control socket that is its standard input.
pub fn main() -> ExitCode {
    // Its own session: the end of a terminal or of the supervisor's session is not its end.
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    match io::stdin().as_fd().try_clone_to_owned().and_then(serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Serves a listening control socket until nothing is published and no supervisor is connected.
///
/// # Errors
/// When the socket is none.
pub fn serve(control: OwnedFd) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(control))
}

/// What is relayed of one container.
type Ports = Vec<JoinHandle<()>>;

async fn run(control: OwnedFd) -> io::Result<()> {
    message::set_nonblocking(control.as_fd())?;
    let control = message::registered(control, Interest::READABLE)?;
    let (requests, mut incoming) = mpsc::channel(16);
    let mut containers: BTreeMap<String, Ports> = BTreeMap::new();
    let mut clients = 0usize;
    let mut patience = IDLE;
    loop {
        let idle = containers.is_empty() && clients == 0;
        tokio::select! {
            connection = accept(&control) => {
                clients += 1;
                tokio::spawn(read_requests(connection?, requests.clone()));
            }
            request = incoming.recv() => match request {
                Some(Some(job)) => {
                    act(&mut containers, job.request, job.sockets).await;
                    patience = Duration::ZERO;
                    // Nobody waits for the answer any more: the supervisor has gone.
                    let _ = job.done.send(());
                }
                // A supervisor has gone; the containers stay.
                Some(None) => clients = clients.saturating_sub(1),
                None => return Ok(()),
            },
            () = tokio::time::sleep(patience), if idle => return Ok(()),
        }
    }
}

async fn accept(control: &AsyncFd<OwnedFd>) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd;
    let accepted = control
        .async_io(Interest::READABLE, |control| {
            Ok(accept4(control.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?)
        })
        .await?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(accepted) })
}

/// A request, and who waits for it to be done.
struct Job {
    request: Request,
    sockets: Vec<OwnedFd>,
    done: oneshot::Sender<()>,
}

/// Hands on what a supervisor asks for, answers each when it is done, and tells the supervisor's end with `None`.
async fn read_requests(connection: OwnedFd, requests: mpsc::Sender<Option<Job>>) {
    if let Ok(connection) = message::registered(connection, Interest::READABLE.add(Interest::WRITABLE)) {
        while let Ok(Some((request, sockets))) = message::receive(&connection).await {
            let (done, finished) = oneshot::channel();
            let sent = requests.send(Some(Job { request, sockets, done })).await;
            if sent.is_err() || finished.await.is_err() || message::answer(&connection).await.is_err() {
                break;
            }
        }
    }
    let _ = requests.send(None).await;
}

async fn act(containers: &mut BTreeMap<String, Ports>, request: Request, sockets: Vec<OwnedFd>) {
    match request {
        Request::Add { container, targets } => {
            let ports = targets.into_iter().zip(sockets).filter_map(|(targets, socket)| relay(socket, targets));
            containers.entry(container.to_string()).or_default().extend(ports);
        }
        Request::Drop { container } => {
            stop(containers.remove(container.as_str())).await;
        }
        Request::Retain { containers: kept } => {
            let gone: Vec<String> =
                containers.keys().filter(|one| !kept.iter().any(|kept| kept.as_str() == *one)).cloned().collect();
            for container in gone {
                stop(containers.remove(&container)).await;
            }
        }
    }
}

/// No new connection is taken, and the sockets are closed when this returns: somebody may want the ports. Connections
/// of TCP that are being carried come to their own end.
async fn stop(ports: Option<Ports>) {
    for port in ports.into_iter().flatten() {
        port.abort();
        let _ = port.await;
    }
}

/// Carries what comes to a socket to the first of the targets that answers.
fn relay(socket: OwnedFd, targets: Vec<SocketAddr>) -> Option<JoinHandle<()>> {
    let kind = getsockopt(&socket, sockopt::SockType).ok()?;
    message::set_nonblocking(socket.as_fd()).ok()?;
    if kind == nix::sys::socket::SockType::Stream {
        let listener = tokio::net::TcpListener::from_std(socket.into()).ok()?;
        Some(tokio::spawn(tcp::relay(listener, targets)))
    } else {
        let socket = tokio::net::UdpSocket::from_std(socket.into()).ok()?;
        Some(tokio::spawn(udp::relay(socket, targets)))
    }
}
