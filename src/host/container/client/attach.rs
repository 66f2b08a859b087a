//! The streams of a container's first process, for a terminal or a pipe of a client.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use tokio::io::unix::AsyncFd;

use super::super::protocol::{Call, Event, Message, Request, VERSION};
use super::super::record::ExitRecord;
use super::super::wire::{Kind, Packet};
use super::connection;

/// What came from an attached process.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Bytes of standard output (or of the terminal).
    Stdout(Vec<u8>),
    /// Bytes of standard error.
    Stderr(Vec<u8>),
    /// It has ended; nothing follows.
    Exited(ExitRecord),
}

/// A connection that carries the streams. Dropping it detaches.
#[derive(Debug)]
pub struct Attached {
    socket: AsyncFd<OwnedFd>,
    number: std::sync::atomic::AtomicU64,
}

/// Attaches to the process of the container whose run folder is `run`: its output from now on, and if `stdin`, its input.
/// To miss nothing, attach before the start.
///
/// # Errors
/// When there is no shim.
pub async fn attach(run: &Path, stdin: bool) -> io::Result<Attached> {
    let socket = connection::connect(run)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    let attached = Attached { socket: super::super::sys::watch(socket)?, number: std::sync::atomic::AtomicU64::new(1) };
    attached.ask(Request::Hello { version: VERSION, supervisor: false }).await?;
    attached.ask(Request::Attach { stdin }).await?;
    // Both are answered in order: after the second answer the output flows.
    for _ in 0..2 {
        connection::receive(&attached.socket).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    }
    Ok(attached)
}

impl Attached {
    async fn ask(&self, request: Request) -> io::Result<()> {
        let number = self.number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        connection::send(&self.socket, &Packet::message(&Call { number, request }, Vec::new())?).await
    }

    /// The next output; `None` if the shim is gone.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&self) -> io::Result<Option<Output>> {
        while let Some(packet) = connection::receive(&self.socket).await? {
            match packet.kind {
                Kind::Stream(1) => return Ok(Some(Output::Stdout(packet.body))),
                Kind::Stream(_) => return Ok(Some(Output::Stderr(packet.body))),
                Kind::Json | Kind::Memory => {
                    if let Ok((Message::Event(Event::Exited(record)), _)) = packet.parse::<Message>() {
                        return Ok(Some(Output::Exited(record)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Sends input; waits while the process takes none.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(Packet::STREAM) {
            connection::send(&self.socket, &Packet::stream(0, part)).await?;
        }
        Ok(())
    }

    /// Ends the input: a pipe is closed, a terminal gets its end-of-file character.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn close_stdin(&self) -> io::Result<()> {
        self.ask(Request::CloseStdin).await
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        self.ask(Request::Resize { rows, columns }).await
    }
}
