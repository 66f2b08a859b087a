//! What is said to a shim and what it answers. The protocol only grows: a field that is added has a default, and a
//! supervisor speaks every older version.
//!
//! ```text
//!   supervisor                       shim
//!      │ Hello{supervisor} ───────────▶ │ ◀── Hello
//!      │ Create ──────────────────────▶ │ makes the sandbox
//!      │ ◀────────── Sandbox + fds      │
//!      │ Start{bundle} + shared fds ──▶ │ clone3 ─▶ init ─▶ exec
//!      │ ◀──── Started + root, pidfd    │
//!      │ ◀──── Event: Exited            │ (at any time)
//!      │ Shutdown ────────────────────▶ │ ends
//! ```

use serde::{Deserialize, Serialize};

use super::bundle::{Bundle, Shared};
use super::record::{ExitRecord, ProcessRecord};
use crate::desired::Namespaces;

/// Version of this protocol.
pub const VERSION: u32 = 1;

/// A message to a shim: the number comes back with its reply.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    /// Chosen by the caller.
    pub number: u64,
    /// What is asked.
    pub request: Request,
}

/// What a shim can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// The first message of a connection.
    Hello {
        /// Of the caller.
        version: u32,
        /// The caller is the supervisor: it gets events, and its end of the connection means that it is lost.
        supervisor: bool,
    },
    /// Make the sandbox; or, if it is there, hand out its descriptors again.
    Sandbox {
        /// Which namespaces are its own.
        namespaces: Namespaces,
        /// Bytes of /dev/shm.
        shm_size: u64,
    },
    /// Start the process. The descriptors of `shared` come along in that order.
    Start {
        /// All about it.
        bundle: Box<Bundle>,
        /// What the descriptors are.
        shared: Vec<Shared>,
    },
    /// Send a signal to PID 1.
    Signal {
        /// Its number.
        number: i32,
    },
    /// Have the OCI runtime freeze its processes; our own are frozen by their group.
    Pause,
    /// Have the OCI runtime let them go on.
    Resume,
    /// How things are; the reply carries the pidfd and the root if a process lives.
    State,
    /// Keep the descriptors that come along under this name, in place of what was there.
    Store {
        /// The name.
        name: String,
    },
    /// Hand out duplicates of what is kept under this name; it stays kept.
    Take {
        /// The name.
        name: String,
    },
    /// Close what is kept under this name.
    Forget {
        /// The name.
        name: String,
    },
    /// Copy the process's output to this connection from now on.
    Attach {
        /// And what this connection sends to its standard input.
        stdin: bool,
    },
    /// Set the size of the terminal.
    Resize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Close the process's standard input.
    CloseStdin,
    /// End, once no process lives.
    Shutdown,
}

/// A message from a shim.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// To the call with this number.
    Reply {
        /// The call's number.
        number: u64,
        /// The answer.
        reply: Reply,
    },
    /// Something happened.
    Event(Event),
}

/// What a shim answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// Done.
    Done,
    /// To `Hello`.
    Hello {
        /// Of the shim.
        version: u32,
        /// The shim's process id.
        pid: i32,
    },
    /// The descriptors of the sandbox come along in this order.
    Sandbox {
        /// What each is.
        parts: Vec<Part>,
    },
    /// The process runs; its pidfd and root come along, and what else `parts` names.
    Started {
        /// Its record.
        process: ProcessRecord,
        /// Things that could not be done and were not essential.
        warnings: Vec<String>,
        /// What the descriptors are.
        parts: Vec<Part>,
    },
    /// How things are.
    State {
        /// The living process.
        process: Option<ProcessRecord>,
        /// How the last one ended.
        exit: Option<ExitRecord>,
        /// Names of the store.
        stored: Vec<String>,
        /// What the descriptors are.
        parts: Vec<Part>,
    },
    /// What was kept comes along.
    Taken,
    /// It could not be done.
    Failed(StartError),
}

/// What a descriptor is that a shim hands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Network namespace.
    Net,
    /// ipc namespace.
    Ipc,
    /// Host name namespace.
    Uts,
    /// The /dev/shm, a detached mount.
    Shm,
    /// A route netlink socket inside the network namespace.
    RouteNetlink,
    /// A netfilter netlink socket inside the network namespace.
    NetfilterNetlink,
    /// The name server's UDP socket, bound to 127.0.0.11:40053.
    DnsUdp,
    /// The name server's TCP socket, listening on 127.0.0.11:40053.
    DnsTcp,
    /// The process, for good.
    Pidfd,
    /// The process's root folder (O_PATH).
    Root,
    /// The terminal's master end.
    Terminal,
    /// Read end of standard output.
    Stdout,
    /// Read end of standard error.
    Stderr,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The process has ended, and all its output that was there has been read.
    Exited(ExitRecord),
}

/// Why something could not be done: at which stage, in words for people, and `docker run`'s exit code for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{stage}: {message}")]
pub struct StartError {
    /// What was being set up: `root file system`, `user`, `program`, …
    pub stage: String,
    /// What failed.
    pub message: String,
    /// 125: the container could not be set up; 126: the program can't be executed; 127: there is no such program.
    pub code: i32,
}

impl StartError {
    /// An error of windlass's own (125).
    pub(crate) fn new(stage: &str, message: impl std::fmt::Display) -> StartError {
        StartError { stage: stage.to_owned(), message: message.to_string(), code: 125 }
    }
}
