//! What locking asks of registries.

use std::future::Future;

use super::{LockedImage, Pin};

/// Where image references are looked up.
pub trait Registry {
    /// What a reference stands for now, with the manifest of each platform.
    fn pin(&self, reference: &str) -> impl Future<Output = Result<LockedImage, RegistryError>>;

    /// Only the digest that a reference stands for now: cheaper than [`Registry::pin`].
    fn digest(&self, reference: &str) -> impl Future<Output = Result<Pin, RegistryError>>;
}

/// Why a reference could not be looked up: names the reference and the registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// What, where and why.
    pub message: String,
}
