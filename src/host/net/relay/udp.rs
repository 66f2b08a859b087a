//! Carrying UDP: each client gets a socket of its own towards the container, for as long as there is talk.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// A flow without a packet for so long is forgotten, as conntrack does with one that goes on after an answer.
const SILENCE: Duration = Duration::from_secs(120);
/// The same for one of which the client has sent one packet only, as conntrack does.
const ONCE: Duration = Duration::from_secs(30);
/// So many clients at a time; for a new one that goes which was heard of least lately.
const FLOWS: usize = 4096;
/// After an error, so that one that stays does not keep a processor busy.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest packet.
const PACKET: usize = 64 << 10;

/// A client, and the address at which it asked: from another one it would take no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Talk {
    client: SocketAddr,
    local: Option<Local>,
}

/// An address of this machine; with a link-local one goes the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Local {
    address: IpAddr,
    link: u32,
}

struct Flow {
    socket: UdpSocket,
    /// The client has sent more than one packet.
    goes_on: AtomicBool,
}

struct Entry {
    flow: Arc<Flow>,
    heard: Instant,
    answers: AbortHandle,
}

type Flows = Arc<Mutex<BTreeMap<Talk, Entry>>>;

/// Ends all flows with the listener, which each of them holds.
struct Ending(Flows);

impl Drop for Ending {
    fn drop(&mut self) {
        lock(&self.0).values().for_each(|entry| entry.answers.abort());
    }
}

/// Takes packets for as long as the task lives; its end ends all its flows.
pub(crate) async fn relay(socket: UdpSocket, targets: Vec<SocketAddr>) {
    let _ = match socket.local_addr() {
        Ok(SocketAddr::V4(_)) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true),
        _ => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true),
    };
    let socket = Arc::new(socket);
    let flows = Flows::default();
    let _ending = Ending(Arc::clone(&flows));
    let mut packet = vec![0; PACKET];
    loop {
        let received = socket.async_io(Interest::READABLE, || receive(socket.as_raw_fd(), &mut packet)).await;
        let Ok((length, talk)) = received else {
            // That of an earlier packet, which a client did not take.
            sleep(PAUSE).await;
            continue;
        };
        let known = lock(&flows).get_mut(&talk).map(|entry| {
            entry.heard = Instant::now();
            entry.flow.goes_on.store(true, Ordering::Relaxed);
            Arc::clone(&entry.flow)
        });
        let flow = match known {
            Some(flow) => flow,
            None => {
                let Ok(to_container) = open(&targets).await else { continue };
                let flow = Arc::new(Flow { socket: to_container, goes_on: AtomicBool::new(false) });
                begin(&socket, talk, &flow, &flows);
                flow
            }
        };
        let _ = flow.socket.send(&packet[..length]).await;
    }
}

/// Takes a flow in, in the place of the one that was heard of least lately if there are too many.
fn begin(socket: &Arc<UdpSocket>, talk: Talk, flow: &Arc<Flow>, flows: &Flows) {
    let mut all = lock(flows);
    if all.len() >= FLOWS
        && let Some(oldest) = all.iter().min_by_key(|(_, entry)| entry.heard).map(|(talk, _)| *talk)
        && let Some(entry) = all.remove(&oldest)
    {
        entry.answers.abort();
    }
    let answers = tokio::spawn(answer(Arc::clone(socket), talk, Arc::clone(flow), Arc::clone(flows))).abort_handle();
    all.insert(talk, Entry { flow: Arc::clone(flow), heard: Instant::now(), answers });
}

fn lock(flows: &Flows) -> MutexGuard<'_, BTreeMap<Talk, Entry>> {
    flows.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn open(targets: &[SocketAddr]) -> io::Result<UdpSocket> {
    let target = targets.first().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let any: SocketAddr =
        if target.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// Carries the container's answers back to one client.
async fn answer(socket: Arc<UdpSocket>, talk: Talk, flow: Arc<Flow>, flows: Flows) {
    let patience = || if flow.goes_on.load(Ordering::Relaxed) { SILENCE } else { ONCE };
    while timeout(patience(), flow.socket.readable()).await.is_ok() {
        // Only while there is a packet: thousands of idle clients must not hold a buffer each.
        let mut packet = vec![0; PACKET];
        match flow.socket.try_recv(&mut packet) {
            Ok(length) => {
                let fd = socket.as_raw_fd();
                let _ = socket.async_io(Interest::WRITABLE, || send(fd, &packet[..length], &talk)).await;
                if let Some(entry) = lock(&flows).get_mut(&talk) {
                    entry.heard = Instant::now();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The container refuses: nobody listens there now, perhaps later.
            Err(_) => sleep(PAUSE).await,
        }
    }
    lock(&flows).remove(&talk);
}

/// One packet, who sent it, and to which address of this machine.
fn receive(socket: RawFd, packet: &mut [u8]) -> io::Result<(usize, Talk)> {
    let mut control = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(packet)];
    let message = recvmsg::<SockaddrStorage>(socket, &mut parts, Some(&mut control), MsgFlags::empty())?;
    let mut local = None;
    for control in message.cmsgs()? {
        local = match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                let address = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
                Some(Local { address: address.into(), link: 0 })
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let link = if address.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                Some(Local { address: address.into(), link }).filter(|_| !address.is_multicast())
            }
            _ => local,
        };
    }
    let length = message.bytes;
    let client = message.address.and_then(|address| {
        let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
    });
    Ok((length, Talk { client: client.ok_or(io::ErrorKind::InvalidData)?, local }))
}

/// Sends one packet to a client, from the address at which it asked.
fn send(socket: RawFd, packet: &[u8], talk: &Talk) -> io::Result<usize> {
    let (parts, to) = ([IoSlice::new(packet)], SockaddrStorage::from(talk.client));
    let send = |control: &[ControlMessage]| sendmsg(socket, &parts, control, MsgFlags::empty(), Some(&to));
    let sent = match talk.local {
        Some(Local { address: IpAddr::V4(address), .. }) => {
            let address = libc::in_addr { s_addr: u32::from(address).to_be() };
            let any = libc::in_addr { s_addr: 0 };
            send(&[ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: address,
                ipi_addr: any,
            })])
        }
        Some(Local { address: IpAddr::V6(address), link }) => {
            let address = libc::in6_addr { s6_addr: address.octets() };
            send(&[ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: link })])
        }
        None => send(&[]),
    };
    Ok(sent?)
}
