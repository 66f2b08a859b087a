//! Carrying UDP: each client gets a socket of its own towards the container, for as long as there is talk.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// A flow without a packet for so long is forgotten, as conntrack does with one that is answered.
const SILENCE: Duration = Duration::from_secs(120);
/// So many clients at a time; more are not answered until some have gone.
const FLOWS: usize = 4096;
/// After an error, so that one that stays does not keep a processor busy.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest packet.
const PACKET: usize = 64 << 10;

type Flows = Arc<Mutex<BTreeMap<SocketAddr, Arc<UdpSocket>>>>;

/// Takes packets for as long as the task lives; its end ends all its flows.
pub(crate) async fn relay(socket: UdpSocket, targets: Vec<SocketAddr>) {
    let socket = Arc::new(socket);
    let flows = Flows::default();
    let mut answers = JoinSet::new();
    let mut packet = vec![0; PACKET];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut packet).await else {
            // That of an earlier packet, which a client did not take.
            sleep(PAUSE).await;
            continue;
        };
        while answers.try_join_next().is_some() {}
        let known = lock(&flows).get(&client).cloned();
        let flow = match known {
            Some(flow) => flow,
            None if answers.len() >= FLOWS => continue,
            None => {
                let Ok(flow) = open(&targets).await.map(Arc::new) else { continue };
                lock(&flows).insert(client, Arc::clone(&flow));
                answers.spawn(answer(Arc::clone(&socket), client, Arc::clone(&flow), Arc::clone(&flows)));
                flow
            }
        };
        let _ = flow.send(&packet[..length]).await;
    }
}

fn lock(flows: &Flows) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Arc<UdpSocket>>> {
    flows.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
async fn answer(socket: Arc<UdpSocket>, client: SocketAddr, flow: Arc<UdpSocket>, flows: Flows) {
    while timeout(SILENCE, flow.readable()).await.is_ok() {
        // Only while there is a packet: thousands of idle clients must not hold a buffer each.
        let mut packet = vec![0; PACKET];
        match flow.try_recv(&mut packet) {
            Ok(length) => {
                let _ = socket.send_to(&packet[..length], client).await;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The container refuses: nobody listens there now, perhaps later.
            Err(_) => sleep(PAUSE).await,
        }
    }
    lock(&flows).remove(&client);
}
