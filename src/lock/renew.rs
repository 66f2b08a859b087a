//! A new lock from an old one: what is known stays, what is missing or to be updated is asked of the registry.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};

use super::drift::AT_ONCE;
use super::{Inputs, Lock, LockedImage, Registry, RegistryError};

/// The lock of these references and inputs. A reference that `old` has keeps its digests unless it is in `update`.
///
/// # Errors
/// All references that could not be looked up.
pub async fn renew<R: Registry>(
    old: Option<&Lock>,
    wanted: &BTreeSet<String>,
    update: &BTreeSet<String>,
    inputs: Inputs,
    registry: &R,
) -> Result<Lock, Vec<RegistryError>> {
    let known = |name: &String| old.and_then(|lock| lock.images.get(name)).filter(|_| !update.contains(name));
    let kept = wanted.iter().filter_map(|name| Some((name.clone(), known(name)?.clone())));
    let mut images: BTreeMap<String, LockedImage> = kept.collect();
    let missing: Vec<&String> = wanted.iter().filter(|name| !images.contains_key(*name)).collect();
    let asked: BTreeMap<&String, Result<LockedImage, RegistryError>> = stream::iter(missing)
        .map(|name| async move { (name, registry.pin(name).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut errors = Vec::new();
    for (name, answer) in asked {
        match answer {
            Ok(image) => {
                images.insert(name.clone(), image);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Lock::new(inputs, images)) } else { Err(errors) }
}
