//! What comes out of running containers, and what goes into them.

use std::collections::BTreeMap;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::oneshot;

use crate::name::{ContainerId, ServiceName};

use super::super::error::CliError;

/// Which lines of the logs are wanted.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Only these services; empty: all.
    pub services: Vec<ServiceName>,
    /// Only this replica of each.
    pub index: Option<u32>,
    /// Go on with what comes.
    pub follow: bool,
    /// From this moment on, nanoseconds since 1970.
    pub since: Option<u64>,
    /// Up to this moment.
    pub until: Option<u64>,
    /// The last lines of each container only.
    pub tail: Option<usize>,
    /// What stands before the lines of a container, by its service and number; of others that: `web-1`.
    pub labels: BTreeMap<(ServiceName, u32), String>,
}

/// One line that a container has printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The service.
    pub service: ServiceName,
    /// The container's name without the project's, as it stands before the line: `web-1`.
    pub label: String,
    /// On standard error.
    pub stderr: bool,
    /// When, nanoseconds since 1970.
    pub time: u64,
    /// What, without the line's end.
    pub text: Vec<u8>,
}

/// Lines as they come.
pub struct Lines {
    lines: Receiver<LogLine>,
    finish: Option<oneshot::Sender<()>>,
}

/// So many lines are read ahead of a reader who does not take them; the others wait where they are written.
const AHEAD: usize = 4096;

impl Lines {
    /// What lines come by: who sends waits when nobody reads.
    pub fn channel() -> (Sender<LogLine>, Receiver<LogLine>) {
        mpsc::channel(AHEAD)
    }

    /// Lines that end by themselves, or once `finish` is sent and what was printed until then has come.
    pub fn new(lines: Receiver<LogLine>, finish: Option<oneshot::Sender<()>>) -> Self {
        Self { lines, finish }
    }

    /// The next; `None`: no line will come any more.
    pub async fn next(&mut self) -> Option<LogLine> {
        self.lines.recv().await
    }

    /// The next that has come already.
    pub fn come(&mut self) -> Option<LogLine> {
        self.lines.try_recv().ok()
    }

    /// Whether none has come that was not taken.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Nobody prints any more: the stream ends with what was printed until now.
    pub fn finish(&mut self) {
        match self.finish.take() {
            // One that has ended already needs no word.
            Some(finish) => drop(finish.send(())),
            None => self.lines.close(),
        }
    }
}

/// Something that happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, nanoseconds since 1970.
    pub time: u64,
    /// What, in docker's words: `create`, `start`, `die`, `stop`, `kill`, `restart`, `pause`, `unpause`, `destroy`, `oom`,
    /// `health_status: healthy`.
    pub action: String,
    /// The container.
    pub id: ContainerId,
    /// Its service.
    pub service: ServiceName,
    /// Its name.
    pub name: String,
    /// What else there is to say, in docker's words: `image`, `name`, the user's labels, and with some `exitCode`, `signal`, ….
    pub attributes: BTreeMap<String, String>,
    /// With `die`: the code.
    pub exit_code: Option<i32>,
    /// With `die`: it was stopped to be made anew or started again.
    pub again: bool,
    /// With `die`: its restart policy starts it again.
    pub policy: bool,
    /// It is no replica of a service: made by `run`, or to prepare one.
    pub oneoff: bool,
}

impl Event {
    /// What is said of an end among the lines of logs, in docker's words; `None`: it is none.
    pub fn end(&self) -> Option<String> {
        let code = self.exit_code?;
        let again = if self.again || self.policy { " (restarting)" } else { "" };
        Some(format!("exited with code {code}{again}"))
    }
}

/// How long [`super::Backend::events`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// As long as something of the project is left. There must be something, or somebody about to bring it up.
    WhileUp,
    /// For ever: also of what is brought up later.
    Ever,
}

/// A command to run inside a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecWish {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// `KEY=value` beside the container's own.
    pub env: Vec<String>,
    /// Instead of the container's.
    pub user: Option<String>,
    /// Instead of the container's.
    pub workdir: Option<String>,
    /// All capabilities.
    pub privileged: bool,
    /// What its standard streams are.
    pub stdio: Stdio,
}

/// What the standard streams of an `exec` are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// Pipes, whose other ends come back in the session.
    #[default]
    Piped,
    /// The same but for standard input, which is empty.
    NoInput,
    /// A new terminal, whose other end comes back in the session.
    Terminal,
    /// Nothing; nobody waits for it.
    Null,
}

/// A connection to a process in a container.
pub struct Session {
    /// What is written here is its input; `None`: it has none.
    pub input: Option<OwnedFd>,
    /// What it prints; of a terminal, both streams. `None`: nobody hears it.
    pub output: Option<OwnedFd>,
    /// What it prints on standard error, where that is apart.
    pub error: Option<OwnedFd>,
    /// It has a terminal (`input` and `output` are its other end).
    pub terminal: bool,
    /// Where the size of its terminal is set.
    pub size: Option<OwnedFd>,
    /// Its end: the exit code, 128 + n for signal n.
    pub exit: Pin<Box<dyn Future<Output = Result<i32, CliError>>>>,
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time, nanoseconds since it was started.
    pub cpu: u64,
    /// Bytes of memory, without the cache that can be dropped.
    pub memory: u64,
    /// Its limit in bytes; that of the machine where it has none.
    pub memory_limit: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes received and sent.
    pub network: (u64, u64),
    /// Bytes read and written.
    pub block: (u64, u64),
}
