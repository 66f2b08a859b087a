//! Images, volumes and logins of this machine.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::desired::VolumeSpec;
use crate::name::Digest;

/// An image to pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullWish {
    /// Its name.
    pub name: String,
    /// `os/arch[/variant]`; `None`: this machine's.
    pub platform: Option<String>,
    /// Even if it is there.
    pub always: bool,
}

/// An image of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredImage {
    /// Its id (digest of its config).
    pub id: Digest,
    /// Names it goes by: `repository:tag`; empty: none is left.
    pub names: Vec<String>,
    /// Digest of its manifest.
    pub digest: Option<Digest>,
    /// Bytes of its layers, unpacked.
    pub size: u64,
    /// When it was made, nanoseconds since 1970.
    pub created: Option<u64>,
    /// `os/arch[/variant]`.
    pub platform: String,
}

/// What a removal of all that is unused came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// What went.
    pub removed: Vec<String>,
    /// Bytes freed.
    pub bytes: u64,
}

/// A volume of this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredVolume {
    /// What it was made of.
    pub spec: VolumeSpec,
    /// When, nanoseconds since 1970.
    pub created: Option<u64>,
    /// Where its content is.
    pub mountpoint: PathBuf,
    /// Containers that have it, by name.
    pub users: BTreeSet<String>,
}

/// What came of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginResult {
    /// The registry.
    pub registry: String,
    /// Where the login is kept, for people: a path, or the helper's name.
    pub kept: String,
    /// It is kept in clear text.
    pub clear: bool,
}
