//! Why something could not be done with an image.

use std::io;
use std::path::{Path, PathBuf};

use crate::engine::port::HostError;
use crate::name::Digest;

/// Why something could not be done with an image: operation and object, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A reference that is none.
    #[error("`{text}` is no image reference: {reason}")]
    BadReference {
        /// As written.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// A digest that is none, or of another algorithm.
    #[error("`{text}` is no digest that can be used: it must be `sha256:` and 64 digits 0-9 a-f")]
    BadDigest {
        /// As written.
        text: String,
    },
    /// A platform that is none.
    #[error("`{text}` is no platform: write os/arch or os/arch/variant, as linux/amd64 or linux/arm/v7")]
    BadPlatform {
        /// As written.
        text: String,
    },
    /// A pull policy that is none.
    #[error("`{text}` is no pull policy: always, never, missing, daily, weekly or every_<duration>")]
    BadPolicy {
        /// As written.
        text: String,
    },
    /// Not in the store, and the policy forbids to fetch it.
    #[error(
        "image {name} is not on this machine and must not be pulled: pull it first (`windlass image pull {name}`), or allow it with `pull_policy: missing`"
    )]
    NotLocal {
        /// As written.
        name: String,
    },
    /// Not in the store.
    #[error("no image {name} on this machine; `windlass image ls` lists them")]
    NoSuchImage {
        /// As written.
        name: String,
    },
    /// An id prefix that several images share.
    #[error("`{name}` is the beginning of several image ids: {ids}; write more of it", ids = .ids.join(", "))]
    Ambiguous {
        /// As written.
        name: String,
        /// Their short ids.
        ids: Vec<String>,
    },
    /// The registry has no such image.
    #[error("{registry} has no image {name}: check the name and the tag")]
    NotFound {
        /// As written.
        name: String,
        /// The registry asked, and whose place it has.
        registry: String,
    },
    /// The image is there, but not for this platform.
    #[error("image {name} is not there for {wanted}; it is for {offered}{hint}", offered = .offered.join(", "))]
    NoPlatform {
        /// As written.
        name: String,
        /// The platform asked for.
        wanted: String,
        /// Those that exist.
        offered: Vec<String>,
        /// What to do, or empty.
        hint: String,
    },
    /// The registry can't be reached or does not answer.
    #[error("registry {registry} can't be reached for {what}: {reason}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// The causes, in one line.
        reason: String,
    },
    /// The registry answered with an error of its own.
    #[error("registry {registry} answered {status} to the request for {what}{detail}")]
    Status {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// Its own words, or empty.
        detail: String,
    },
    /// The registry refuses us.
    #[error("registry {registry} refuses access to {what}: {reason}")]
    Denied {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The registry does not take a user and password.
    #[error(
        "registry {registry} does not let {user} in: the user name or the password is wrong (for many registries the password is an access token)"
    )]
    WrongLogin {
        /// The registry.
        registry: String,
        /// The user.
        user: String,
    },
    /// The registry answered something that makes no sense.
    #[error("registry {registry} sent a bad answer for {what}: {reason}")]
    BadAnswer {
        /// The registry.
        registry: String,
        /// What was asked for.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The transfer broke off, again and again.
    #[error(
        "{what} from {registry} broke off at {got} of {size} bytes ({reason}), {attempts} attempts; what came is kept, the next pull goes on there"
    )]
    Broken {
        /// What was fetched.
        what: String,
        /// The registry.
        registry: String,
        /// Bytes that came.
        got: u64,
        /// Bytes that were announced.
        size: u64,
        /// The last cause.
        reason: String,
        /// So often it was tried.
        attempts: u32,
    },
    /// Content that is not what it was named.
    #[error("{what} is not what its digest says: expected {expected}, got {got}; it was thrown away")]
    WrongDigest {
        /// What.
        what: String,
        /// The digest named.
        expected: Digest,
        /// The digest of what came.
        got: Digest,
    },
    /// Content of another size than named.
    #[error("{what} is not of the size that the manifest says: expected {expected} bytes, got {got}")]
    WrongSize {
        /// What.
        what: String,
        /// The size named.
        expected: u64,
        /// The size of what came, or at least that.
        got: u64,
    },
    /// A manifest or config that can't be used.
    #[error("{what} can't be used: {reason}")]
    BadManifest {
        /// Which one.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer that can't be unpacked.
    #[error("layer {layer} can't be unpacked: {reason}")]
    BadLayer {
        /// Its digest.
        layer: String,
        /// What is wrong, with the member's name.
        reason: String,
    },
    /// No space left.
    #[error(
        "no space left for {what} in {path}: at least {needed} bytes needed, {free} free; make room (`windlass image prune`) and try again"
    )]
    DiskFull {
        /// What was to be written.
        what: String,
        /// Where.
        path: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// Somebody uses the image.
    #[error("image {name} is used by a container: remove that first")]
    InUse {
        /// As written.
        name: String,
    },
    /// An archive that can't be loaded.
    #[error("the archive can't be loaded: {reason}")]
    BadArchive {
        /// What is wrong.
        reason: String,
    },
    /// A settings file that can't be used (registries.conf, config.json).
    #[error("{path} can't be used: {reason}")]
    BadSettings {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A credential helper that does not work.
    #[error("credential helper {helper} {reason}")]
    Helper {
        /// Its program's name.
        helper: String,
        /// What it did.
        reason: String,
    },
    /// A file operation of ours.
    #[error("can't {operation} {path}: {source}")]
    Io {
        /// `write`, `rename`, …
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
}

impl ImageError {
    /// A file operation that failed.
    pub(super) fn io(operation: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { operation, path, source }
    }

    /// Whether trying again by itself may help.
    pub fn transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

impl From<ImageError> for HostError {
    fn from(error: ImageError) -> Self {
        Self { transient: error.transient(), message: error.to_string(), code: Some(125) }
    }
}
