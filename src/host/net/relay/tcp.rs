//! Carrying TCP connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// A container on the same machine answers at once or never.
const CONNECT: Duration = Duration::from_secs(5);
/// Out of descriptors or memory: wait for some connection to end.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes that are carried at a time, each way.
const BUFFER: usize = 64 << 10;

/// Takes connections for as long as the task lives; each is carried by a task of its own, which outlives it.
pub(crate) async fn relay(listener: TcpListener, targets: Vec<SocketAddr>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(carry(client, targets.clone()));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn carry(mut client: TcpStream, targets: Vec<SocketAddr>) {
    let Ok(mut server) = connect(&targets).await else {
        // A reset, as the kernel would have answered for a port that nobody listens on.
        let _ = client.set_zero_linger();
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    if copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await.is_err() {
        let _ = client.set_zero_linger();
    }
}

async fn connect(targets: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for target in targets {
        match timeout(CONNECT, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}
