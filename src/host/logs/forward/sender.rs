//! The thread that sends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::connection::{Connection, Failure};
use super::encode::Encoder;
use super::queue::Backlog;
use super::{Forward, Opened};

/// The first wait before a receiver that is gone is tried again; each next is twice as long, up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// What the thread has.
pub(super) struct Sender {
    forward: Forward,
    queue: Arc<Backlog>,
    /// The log's queue, which is woken when there is something to tell.
    told: Arc<super::super::queue::Queue>,
    connection: Option<Connection>,
    encoder: Encoder,
    /// The wait before the next attempt, while the receiver is gone.
    outage: Option<Duration>,
    /// Lines lost that nobody was told of.
    lost: u64,
}

impl Sender {
    pub fn new(opened: Opened, told: Arc<super::super::queue::Queue>) -> Self {
        let Opened { forward, queue, connection } = opened;
        let encoder = Encoder::new();
        Self { forward, queue, told, connection, encoder, outage: None, lost: 0 }
    }

    /// Until no line comes any more.
    pub fn run(mut self) {
        let mut given_up = false;
        while let Some(line) = self.queue.take() {
            let messages = self.encoder.encode(&self.forward, &line);
            let Some(messages) = messages else {
                self.lost += 1;
                continue;
            };
            given_up = given_up || !self.deliver(&messages);
            if given_up {
                // Nobody waits for room any more.
                self.queue.set_broken(true);
                self.lost += 1;
            } else {
                self.tell();
            }
        }
        self.lost += self.queue.take_dropped();
        if self.lost > 0 {
            self.queue.note(format!("{} of output did not reach {}", lines(self.lost), self.forward.receiver));
        }
    }

    /// Sends a line, as long as that takes; `false` when the log has ended before.
    fn deliver(&mut self, messages: &[Vec<u8>]) -> bool {
        loop {
            let was_connected = self.connection.is_some();
            let failure = match self.attempt(messages) {
                Ok(()) => return true,
                Err(Failure::Message) => {
                    self.lost += 1;
                    return true;
                }
                Err(Failure::Connection(failure)) => failure,
            };
            self.connection = None;
            if was_connected && failure.kind() != io::ErrorKind::TimedOut {
                // It may have been started anew, and be there. One that takes nothing would only do so again.
                continue;
            }
            let wait = self.broken(&failure);
            if !self.queue.pause(wait) {
                return false;
            }
        }
    }

    fn attempt(&mut self, messages: &[Vec<u8>]) -> Result<(), Failure> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.forward.targets, &self.queue).map_err(Failure::Connection)?,
        };
        let connection = self.connection.insert(connection);
        messages.iter().try_for_each(|message| connection.send(message, &self.queue))
    }

    /// The receiver is gone: says so once, and how long to wait.
    fn broken(&mut self, failure: &io::Error) -> Duration {
        let wait = self.outage.map_or(SHORTEST, |last| (last * 2).min(LONGEST));
        if self.outage.replace(wait).is_none() {
            self.queue.set_broken(true);
            self.note(format!("output does not reach {}: {failure}", self.forward.receiver));
        }
        wait
    }

    /// After a line went out: with the last that waited an outage ends, and what was lost is told. Not before: a receiver that
    /// only lets itself be connected to must not stop the program again and again.
    fn tell(&mut self) {
        if !self.queue.is_empty() {
            return;
        }
        let was_gone = self.outage.take().is_some();
        if was_gone {
            self.queue.set_broken(false);
        }
        self.lost += self.queue.take_dropped();
        let (lost, receiver) = (std::mem::take(&mut self.lost), &self.forward.receiver);
        match (was_gone, lost) {
            (false, 0) => {}
            (true, 0) => self.note(format!("output reaches {receiver} again, and nothing was lost")),
            (true, _) => self.note(format!("output reaches {receiver} again; {} lost", lines(lost))),
            (false, _) => self.note(format!("{} of output did not reach {receiver}", lines(lost))),
        }
    }

    fn note(&self, text: String) {
        self.queue.note(text);
        self.told.wake();
    }
}

fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}
