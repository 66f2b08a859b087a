//! What is asked of the lock file.

use std::path::PathBuf;

use crate::lock::{Drift, Lock};
use crate::name::ServiceName;

/// How a verb that needs images uses the lock file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockUse {
    /// If there is one, its digests hold; what it lacks is resolved as ever.
    #[default]
    IfThere,
    /// Not at all (`--no-lock`).
    Ignore,
    /// Nothing may differ from it (`--locked`).
    Locked,
    /// As `Locked`, and nobody is asked for anything (`--frozen`).
    Frozen,
}

impl LockUse {
    /// Whether nothing may differ from the lock file.
    pub fn is_strict(self) -> bool {
        matches!(self, Self::Locked | Self::Frozen)
    }
}

/// What `windlass lock` is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockWish {
    /// Take what the references of these services mean now (none named: all), not what is locked.
    pub update: Option<Vec<ServiceName>>,
    /// Write nothing.
    pub dry_run: bool,
}

/// What became of the lock file.
#[derive(Clone, Debug)]
pub struct Relocked {
    /// Where it is.
    pub path: PathBuf,
    /// What it was; `None`: there was none.
    pub old: Option<Lock>,
    /// What it is.
    pub new: Lock,
    /// What can't be locked, and why.
    pub notes: Vec<String>,
}

/// How the project is, against its lock file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockCheck {
    /// Where the file is.
    pub path: PathBuf,
    /// What differs.
    pub drift: Vec<Drift>,
    /// Which tags no registry could be asked about, and why: lines for people.
    pub unanswered: Vec<String>,
}
