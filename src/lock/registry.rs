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

/// Why a reference could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// The reference, as it is written.
    pub reference: String,
    /// Where and why; that a registry can't be reached is the same for all that it should have.
    pub message: String,
}

/// Errors as lines: what went wrong for the same reason is one line, with its references.
pub fn lines(errors: &[RegistryError]) -> Vec<String> {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for RegistryError { reference, message } in errors {
        match by_reason.iter_mut().find(|(other, _)| other == message) {
            Some((_, references)) => references.push(reference),
            None => by_reason.push((message, vec![reference])),
        }
    }
    let line = |(message, references): (&str, Vec<&str>)| match references[..] {
        [only] if message.contains(only) => message.to_owned(),
        _ => format!("{}: {message}", references.join(", ")),
    };
    by_reason.into_iter().map(line).collect()
}
