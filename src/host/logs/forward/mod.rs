//! Each line of a log to a receiver outside, beside the files.
//!
//! ```text
//!  the shim's loop ─queue─▶ the log's thread ─▶ files
//!                             └ join ─queue─▶ a thread of its own ─▶ encode ─▶ socket
//! ```
//!
//! The second queue is bounded. A receiver that takes lines slowly is waited for (unless `mode: non-blocking`), one that is
//! gone is not: then lines wait in the queue while there is room, and what is beyond is counted, and told in the files when
//! the receiver is back, or at the end.

mod connection;
mod encode;
mod fluentd;
mod gelf;
mod join;
mod journal;
mod local_time;
mod queue;
mod sender;
mod syslog;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::connection::Connection;
use self::join::Joiner;
pub(super) use self::queue::Backlog;
use self::sender::Sender;
use super::record::{End, push};
use super::{Error, Stream, time};
use crate::desired::LogFormat;

/// At the end of a program a receiver that takes lines gets so long for the last of them.
pub(crate) const LAST: Duration = Duration::from_secs(1);

/// The thread needs little: its buffers are on the heap.
const STACK: usize = 128 << 10;

/// Where lines go, with nothing left to look up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    /// The receiver as the user calls it.
    pub receiver: String,
    /// Its addresses; the first that answers is taken.
    pub targets: Vec<Target>,
    /// The container does not start without it.
    pub required: bool,
    /// Bytes that wait for a slow receiver before lines are lost; `None`: the program waits.
    pub buffer: Option<u64>,
    /// What it is told.
    pub format: LogFormat,
    /// How the container calls itself there.
    pub tag: String,
    /// This machine's name.
    pub host: String,
    /// Labels and variables that are told with each line.
    pub extra: BTreeMap<String, String>,
    /// Whose lines they are.
    pub origin: Origin,
}

/// An address of a receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// Datagrams.
    Udp(SocketAddr),
    /// A connection.
    Tcp(SocketAddr),
    /// A connection to a socket of this machine.
    Unix(PathBuf),
    /// Datagrams to a socket of this machine.
    Unixgram(PathBuf),
}

/// The container that the lines are of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image's id.
    pub image_id: String,
    /// Its image as the user wrote it.
    pub image: String,
    /// Its program and arguments.
    pub command: String,
    /// When it was made, as RFC 3339 has it.
    pub created: String,
}

/// A line of a container's output, or a part of a long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Nanoseconds since 1970.
    time: u64,
    stream: Stream,
    /// Its place, where it is a part only.
    part: Option<Part>,
    /// Without its end.
    text: Vec<u8>,
}

/// The place of a part in its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The same for all parts of a line.
    id: u64,
    /// From 1.
    ordinal: u32,
    /// No further one comes.
    last: bool,
}

impl Part {
    /// The id as a text.
    fn id(&self) -> String {
        format!("{:016x}", self.id)
    }
}

/// A receiver that was reached, if it can be; no thread yet.
#[derive(Debug)]
pub struct Opened {
    forward: Forward,
    queue: Arc<Backlog>,
    connection: Option<Connection>,
}

impl Forward {
    /// Reaches the receiver, waiting for a moment at most.
    ///
    /// # Errors
    /// When it does not answer and the container is not to start without it.
    pub fn open(self) -> Result<Opened, Error> {
        let queue = Arc::new(Backlog::new(self.buffer).map_err(Error::Start)?);
        let connection = match Connection::open(&self.targets, &queue) {
            Ok(connection) => Some(connection),
            Err(source) if self.required => {
                return Err(match self.format {
                    LogFormat::Journal => Error::NoJournal(source),
                    _ => Error::Receiver { receiver: self.receiver, source },
                });
            }
            Err(_) => None,
        };
        Ok(Opened { forward: self, queue, connection })
    }
}

/// The end of it that the log's thread has.
#[derive(Debug)]
pub(super) struct Forwarder {
    queue: Arc<Backlog>,
    joiner: Joiner,
    thread: thread::JoinHandle<()>,
}

impl Forwarder {
    /// Starts the thread; `told` is the queue of the log, which is woken when there is something to tell.
    pub fn start(opened: Opened, told: Arc<super::queue::Queue>) -> io::Result<Self> {
        let queue = Arc::clone(&opened.queue);
        let sender = Sender::new(opened, told);
        let thread = thread::Builder::new().name("forward".into()).stack_size(STACK).spawn(move || sender.run())?;
        Ok(Self { queue, joiner: Joiner::default(), thread })
    }

    /// Takes whole records.
    pub fn take(&mut self, records: &[u8]) {
        let queue = &self.queue;
        self.joiner.add(records, |line| queue.put(line));
    }

    /// Appends what is to be told, as records.
    pub fn notes(&self, out: &mut Vec<u8>) {
        append(out, self.queue.notes());
    }

    /// What is told that the program has ended.
    pub fn backlog(&self) -> Arc<Backlog> {
        Arc::clone(&self.queue)
    }

    /// No more lines: waits until the last is sent or lost, and appends what is to be told of it.
    pub fn finish(self, out: &mut Vec<u8>) {
        self.queue.hurry(LAST);
        self.queue.close();
        // A thread that panicked has told so by itself.
        let _ = self.thread.join();
        append(out, self.queue.notes());
    }
}

fn append(out: &mut Vec<u8>, notes: Vec<String>) {
    for note in notes {
        push(out, &time::encode(super::writer::now()), Stream::System, End::Line, note.as_bytes());
    }
}
