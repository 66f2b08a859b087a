//! Compose files that lie elsewhere: in a git repository, or in a registry as an OCI artifact.
//!
//! `address` reads what the user wrote, [`Remotes`] is the port through which somebody else fetches it, `checkouts` holds what
//! was fetched while one project is loaded, and keeps remote files within it.

mod address;
mod checkouts;

use std::path::PathBuf;

pub use address::{Address, Source, masked, without_passwords};
pub use checkouts::Checkouts;

/// Who brings what lies elsewhere to this machine.
pub trait Remotes {
    /// What lies at a source, as a folder that nobody writes into any more.
    ///
    /// # Errors
    /// Why it can't be had; without passwords.
    fn fetch(&self, source: &Source) -> Result<Fetched, RemoteError>;
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies, absolute and without symbolic links.
    pub folder: PathBuf,
    /// Which content it is, for ever: a commit, or the digest of an artifact.
    pub revision: String,
    /// It was not here before.
    pub new: bool,
}

/// Why something can't be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RemoteError {
    /// What went wrong, with the words of git or the registry.
    pub message: String,
    /// What to do, if that is known.
    pub help: Option<String>,
}

impl RemoteError {
    /// Without advice.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// With advice.
    pub fn with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}
