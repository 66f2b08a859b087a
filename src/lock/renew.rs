//! A new lock from an old one: what is known stays, what is missing or to be updated is asked of the registry.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};

use super::drift::AT_ONCE;
use super::{Inputs, Lock, LockedImage, Registry, RegistryError, Wanted};

/// A lock as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The lock.
    pub lock: Lock,
    /// References that may be built, and that no registry was found to have: only what they are built from is locked.
    pub left_out: Vec<RegistryError>,
}

/// The lock of these references and inputs. A reference that `old` has keeps its digests unless it is in `update`.
///
/// # Errors
/// All references that could not be looked up, and that are not built.
pub async fn renew<R: Registry>(
    old: Option<&Lock>,
    wanted: &BTreeMap<String, Wanted>,
    update: &BTreeSet<String>,
    inputs: Inputs,
    registry: &R,
) -> Result<Renewed, Vec<RegistryError>> {
    let known = |name: &String| old.and_then(|lock| lock.images.get(name)).filter(|_| !update.contains(name));
    let kept = wanted.keys().filter_map(|name| Some((name.clone(), known(name)?.clone())));
    let mut images: BTreeMap<String, LockedImage> = kept.collect();
    let missing: Vec<&String> = wanted.keys().filter(|name| !images.contains_key(*name)).collect();
    let asked: BTreeMap<&String, Result<LockedImage, RegistryError>> = stream::iter(missing)
        .map(|name| async move { (name, registry.pin(name).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (mut left_out, mut errors) = (Vec::new(), Vec::new());
    for (name, answer) in asked {
        match answer {
            Ok(image) => {
                images.insert(name.clone(), image);
            }
            Err(error) if wanted.get(name).is_some_and(|one| one.may_be_built) => left_out.push(error),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(Renewed { lock: Lock::new(inputs, images), left_out }) } else { Err(errors) }
}
