//! The on-disk record of intent: what was asked for, and what was made of it. The kernel is the truth about what runs.
//!
//! Every record is one file that is replaced as a whole; a bad one is moved aside and named, and never stops the rest.

pub mod container;
pub mod project;
pub mod record;

use std::io;
use std::path::PathBuf;

/// Why a record can't be had.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It can't be written.
    #[error("cannot write the record {}", path.display())]
    Write {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can't be read.
    #[error("cannot read the record {}", path.display())]
    Read {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is damaged, and was moved aside.
    #[error("a record was damaged ({reason}) and is now at {}", path.display())]
    Damaged {
        /// Where it is now.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer windlass wrote it.
    #[error("the record {} has schema {schema}: a newer windlass wrote it, use that one", path.display())]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its version.
        schema: u32,
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
