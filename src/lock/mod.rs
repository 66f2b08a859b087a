//! `windlass.lock`: which content every image reference of a project stood for when it was locked, and what the files
//! beside it were. Pure: whoever uses it reads the files, and asks registries through [`Registry`].
//!
//! ```text
//!  Project ─▶ wanted     the references that are locked
//!  text    ─▶ file       TOML ⇄ Lock; errors point into the text
//!  Lock    ─▶ drift      what is not any more as it was locked
//!  Lock    ─▶ renew      what is missing or to be updated, asked of the Registry
//! ```

mod drift;
mod file;
mod registry;
mod renew;
#[cfg(test)]
mod tests;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Digest;

pub use drift::{Drift, Move, inputs_drift, moved, references_drift};
pub use file::{parse, render};
pub use registry::{Registry, RegistryError, lines};
pub use renew::{Renewed, renew};
pub use wanted::{Wanted, wanted};

/// The name of the file, beside the first compose file.
pub const FILE: &str = "windlass.lock";

/// The version of the file's form that this windlass writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// A lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(title = "windlass.lock", extend("$id" = "windlass.lock.json")))]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of this file's form.
    #[cfg_attr(test, schemars(range(min = 1, max = 1)))]
    pub schema: u32,
    /// The windlass that wrote it.
    pub windlass: String,
    /// Names of the variables that the compose files read. Never a value.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub variables: BTreeSet<String>,
    /// Env files (of the project and of services), by path → digest of the content.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env_files: BTreeMap<String, Pin>,
    /// Addresses of compose files that lie elsewhere, without passwords → the commit of a git repository, the digest of an
    /// artifact.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remotes: BTreeMap<String, Revision>,
    /// Configs, by name → digest of the content. Secrets are not here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configs: BTreeMap<String, Pin>,
    /// Services with `build` → digest of what is built from: contexts (but for what .dockerignore leaves out), Dockerfile.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub builds: BTreeMap<String, Pin>,
    /// Image references, as the compose files have them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, LockedImage>,
}

/// What an image reference stood for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LockedImage {
    /// Digest of what the registry had under the reference: an index, or the manifest of an image for one platform.
    pub digest: Pin,
    /// Platform (`linux/amd64`) → digest of its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub platforms: BTreeMap<String, Pin>,
}

/// A digest that was checked: `sha256:` and 64 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(with = "String", extend("pattern" = "^sha256:[0-9a-f]{64}$")))]
#[serde(try_from = "String", into = "String")]
pub struct Pin(Digest);

impl Pin {
    /// The digest.
    pub fn digest(&self) -> &Digest {
        &self.0
    }

    /// The text of the digest.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Self(Digest::new(text)));
        }
        Err(format!("`{}` is no digest: it must be `sha256:` and 64 digits 0-9 a-f", text.escape_debug()))
    }
}

impl From<Pin> for String {
    fn from(pin: Pin) -> Self {
        pin.0.as_str().to_owned()
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which content a remote compose file has, for ever: a commit (40 or 64 digits), or `sha256:` and 64 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(with = "String", extend("pattern" = "^([0-9a-f]{40}|(sha256:)?[0-9a-f]{64})$")))]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

impl Revision {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Revision {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let hex = text.strip_prefix("sha256:").unwrap_or(&text);
        let lengths: &[usize] = if hex.len() == text.len() { &[40, 64] } else { &[64] };
        if lengths.contains(&hex.len()) && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Self(text));
        }
        Err(format!("`{}` is neither a commit, which has 40 or 64 digits, nor a digest", text.escape_debug()))
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a lock file says of everything but images, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// As [`Lock::variables`].
    pub variables: BTreeSet<String>,
    /// As [`Lock::env_files`].
    pub env_files: BTreeMap<String, Pin>,
    /// As [`Lock::remotes`].
    pub remotes: BTreeMap<String, Revision>,
    /// As [`Lock::configs`].
    pub configs: BTreeMap<String, Pin>,
    /// As [`Lock::builds`].
    pub builds: BTreeMap<String, Pin>,
}

impl Lock {
    /// A lock of these inputs and images, by this windlass.
    pub fn new(inputs: Inputs, images: BTreeMap<String, LockedImage>) -> Self {
        Self {
            schema: SCHEMA,
            windlass: env!("CARGO_PKG_VERSION").to_owned(),
            variables: inputs.variables,
            env_files: inputs.env_files,
            remotes: inputs.remotes,
            configs: inputs.configs,
            builds: inputs.builds,
            images,
        }
    }

    /// All that it holds but images.
    pub fn inputs(&self) -> Inputs {
        Inputs {
            variables: self.variables.clone(),
            env_files: self.env_files.clone(),
            remotes: self.remotes.clone(),
            configs: self.configs.clone(),
            builds: self.builds.clone(),
        }
    }
}
