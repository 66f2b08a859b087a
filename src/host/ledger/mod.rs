//! The on-disk record of intent: what was asked for, and what was made of it. The kernel is the truth about what runs.
//!
//! Every record is one file that is replaced as a whole; a bad one is moved aside and named, and never stops the rest.

pub mod container;
pub mod project;
pub mod secret;

use std::io;
use std::path::PathBuf;

use super::record::RecordError;

/// Why the ledger can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A record can't be written or read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A secret's or config's bytes are gone.
    #[error("the content of `{name}` should be in {}, and is not or was changed; `windlass up` records it again", path.display())]
    Secret {
        /// Its name in the compose file.
        name: String,
        /// Where it should be.
        path: PathBuf,
    },
    /// What is there can't be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can't be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
