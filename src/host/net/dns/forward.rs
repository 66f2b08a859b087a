//! Asks other servers, from the network namespace of the caller: the host's.
//!
//! The query goes out as it came, but for its id, which is drawn anew: together with a new port for each query it keeps
//! others from guessing an answer.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout_at};

/// All servers together may take so long; the C library asks again after 5 s.
const LIMIT: Duration = Duration::from_millis(4500);

/// A server that has not answered after this time gets company by the next.
const PATIENCE: Duration = Duration::from_secs(1);

/// Each server is asked so often.
const ROUNDS: usize = 2;

/// Bytes of a header.
const HEADER: usize = 12;

/// The answer of the first server that has a good one, with the query's own id. `whole`: the client can take more than fits
/// into a datagram, so a cut answer is asked for again over TCP.
///
/// `None`: no server answered in time.
pub async fn ask(servers: &[SocketAddr], query: &[u8], whole: bool) -> Option<Vec<u8>> {
    let id: [u8; 2] = *query.first_chunk()?;
    let limit = Instant::now() + LIMIT;
    let mut waiting = servers.iter().cycle().take(servers.len() * ROUNDS);
    let mut asked = FuturesUnordered::new();
    let mut fallback = None;
    loop {
        let next = waiting.next();
        asked.extend(next.map(|server| exchange(*server, query, whole)));
        if asked.is_empty() {
            break;
        }
        // Without another server to ask, there is nothing to be impatient for.
        let patience = if next.is_some() { (Instant::now() + PATIENCE).min(limit) } else { limit };
        tokio::select! {
            Some(result) = asked.next() => match result {
                Ok(reply) if is_final(&reply) => {
                    fallback = Some(reply);
                    break;
                }
                Ok(reply) => fallback = Some(reply),
                Err(_) => {}
            },
            () = sleep_until(patience) => {
                if Instant::now() >= limit {
                    break;
                }
            }
        }
    }
    let mut reply = fallback?;
    reply.get_mut(..2)?.copy_from_slice(&id);
    Some(reply)
}

/// NOERROR and NXDOMAIN are answers; after anything else another server is asked.
fn is_final(reply: &[u8]) -> bool {
    reply.get(3).is_some_and(|flags| matches!(flags & 0x0f, 0 | 3))
}

async fn exchange(server: SocketAddr, query: &[u8], whole: bool) -> io::Result<Vec<u8>> {
    let mut query = query.to_vec();
    if let Some(id) = query.get_mut(..2) {
        id.copy_from_slice(&random());
    }
    let reply = over_udp(server, &query).await?;
    let is_cut = reply.get(2).is_some_and(|flags| flags & 0x02 != 0);
    if whole && is_cut { over_tcp(server, &query).await } else { Ok(reply) }
}

/// Two bytes that nobody can guess: the standard library's hash keys come from the kernel.
fn random() -> [u8; 2] {
    let bits = RandomState::new().build_hasher().finish();
    [bits as u8, (bits >> 8) as u8]
}

async fn over_udp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // Connected, so that only this server can answer, and a closed port is known at once.
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut reply = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut reply).await?;
        if belongs(query, &reply[..length]) {
            reply.truncate(length);
            return Ok(reply);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = timeout_at(Instant::now() + PATIENCE, TcpStream::connect(server)).await??;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes(), query].concat();
    stream.write_all(&framed).await?;
    let mut reply = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut reply).await?;
    if belongs(query, &reply) { Ok(reply) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Whether this is a reply to this query: same id, same question; letters may differ in case.
fn belongs(query: &[u8], reply: &[u8]) -> bool {
    let is_reply = reply.len() >= HEADER && reply[2] & 0x80 != 0 && reply[..2] == query[..2];
    // A server that refuses may leave the question out.
    let without = is_reply && reply[4..6] == [0, 0];
    let end = question_end(query);
    without
        || is_reply
            && end.is_some_and(|end| {
                reply.get(HEADER..end).is_some_and(|question| question.eq_ignore_ascii_case(&query[HEADER..end]))
            })
}

/// Where the first question of a query ends.
fn question_end(query: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match *query.get(at)? {
            0 => return (query.len() >= at + 5).then_some(at + 5),
            length if length < 64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}
