//! The output of containers, on disk: written by shims, read by whoever asks. One folder per replica of a service, kept when
//! its container is made anew.
//!
//! A folder holds numbered files, `0000000001.log` and so on; the highest is being written, older ones may be compressed
//! (`.log.gz`). Rotation only makes the next number and removes the lowest: no file is ever renamed under a reader.
//!
//! A record is a line, in the form that Kubernetes' runtimes write and every log collector reads:
//!
//! ```text
//! 2026-11-24T07:08:54.123456789Z stdout F a whole line
//! 2026-11-24T07:08:54.123456789Z stderr P the begin of a long line, or of one whose end has not come yet
//! 2026-11-24T07:08:54.123456789Z stderr F and its end
//! 2026-11-24T07:08:54.123456789Z stdout F:eof the last words of a process that wrote no line end after them
//! 2026-11-24T07:08:54.123456789Z system F 4096 bytes of output lost: No space left on device
//! ```
//!
//! The text is the program's bytes as they were; only the line end is taken as the record's own, which `P` and `F:eof` say
//! was not there. So the concatenation of the entries of a stream is what the program wrote, byte for byte.

mod compress;
mod files;
mod follow;
pub(crate) mod forward;
mod frame;
mod merge;
mod queue;
mod reader;
mod record;
mod sink;
mod tail;
#[cfg(test)]
mod tests;
mod time;
mod writer;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use follow::{Follow, FollowAll};
pub use forward::{Forward, Opened, Origin, Target};
pub use merge::{Merge, merge};
pub use reader::{Options, Reader};
pub use time::{format as format_time, parse as parse_time};
pub use writer::Writer;

/// Where bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output; all of it with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// Not the program: a word of the writer about what it could not keep.
    System,
}

/// A line, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was read from the program, nanoseconds since 1970.
    pub time: u64,
    /// Where it came from.
    pub stream: Stream,
    /// The line goes on in the next entry of this stream.
    pub partial: bool,
    /// The bytes as they were written, with their line end if there was one.
    pub bytes: Vec<u8>,
}

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder of it.
    #[error("cannot {operation} the log {}", path.display())]
    File {
        /// `open`, `read`, …
        operation: &'static str,
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The thread that writes, or the descriptors that it needs.
    #[error("cannot start the log writer")]
    Start(#[source] std::io::Error),
    /// The receiver of the lines.
    #[error("cannot reach {receiver}: {source}")]
    Receiver {
        /// Which.
        receiver: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// There is no journal.
    #[error("journald is not enabled on this host: {0}")]
    NoJournal(std::io::Error),
}

impl Error {
    /// For what failed on a file or a folder.
    pub fn file(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File { operation, path: path.to_owned(), source }
    }
}
