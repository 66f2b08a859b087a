//! What is not any more as it was locked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::stream::{self, StreamExt};

use super::{Inputs, Lock, Registry, RegistryError, Wanted};

/// Registries asked at the same time.
pub(super) const AT_ONCE: usize = 8;

/// One thing that is not as it was locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drift {
    /// `image`, `remote`, `env file`, `config`, `build`, `variable`.
    pub kind: &'static str,
    /// Its name or path.
    pub name: String,
    /// What became of it.
    pub moved: Move,
}

/// What became of a thing that was locked, or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Move {
    /// It is used, and not in the lock.
    Added,
    /// It is in the lock, and not used any more.
    Removed,
    /// It is not what it was.
    Changed {
        /// Digest or commit, as it was locked.
        old: String,
        /// As it is.
        new: String,
    },
}

impl Drift {
    /// Is it something elsewhere that stands for other content by now, which only `lock --update` takes?
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.moved, Move::Changed { .. }) && matches!(self.kind, "image" | "remote")
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, moved } = self;
        match moved {
            Move::Added => write!(f, "{kind} {name} is not in the lock file"),
            Move::Removed => write!(f, "{kind} {name} is in the lock file and not used any more"),
            Move::Changed { old, new } if *kind == "image" => {
                write!(f, "{kind} {name} has moved in its registry: {old} → {new}")
            }
            Move::Changed { old, new } if *kind == "remote" => write!(f, "{kind} {name} has moved: {old} → {new}"),
            Move::Changed { old, new } => write!(f, "{kind} {name} has changed: {old} → {new}"),
        }
    }
}

/// What the lock says of references that are used, and of others. One that may be built is missed by nobody.
pub fn references_drift(lock: &Lock, wanted: &BTreeMap<String, Wanted>) -> Vec<Drift> {
    let is_missed = |name: &String, one: &Wanted| !one.may_be_built || lock.images.contains_key(name);
    let used = wanted.iter().filter(|(name, one)| is_missed(name, one)).map(|(name, _)| name).collect();
    keys("image", &lock.images.keys().collect(), &used)
}

/// What differs of all but images.
pub fn inputs_drift(lock: &Lock, now: &Inputs) -> Vec<Drift> {
    let mut drift = keys("variable", &lock.variables.iter().collect(), &now.variables.iter().collect());
    drift.extend(pins("env file", &lock.env_files, &now.env_files));
    drift.extend(pins("remote", &lock.remotes, &now.remotes));
    drift.extend(pins("config", &lock.configs, &now.configs));
    drift.extend(pins("build", &lock.builds, &now.builds));
    drift
}

fn keys(kind: &'static str, locked: &BTreeSet<&String>, used: &BTreeSet<&String>) -> Vec<Drift> {
    let one = |name: &&String, moved| Drift { kind, name: (*name).clone(), moved };
    let added = used.difference(locked).map(|name| one(name, Move::Added));
    added.chain(locked.difference(used).map(|name| one(name, Move::Removed))).collect()
}

fn pins<T: PartialEq + fmt::Display>(
    kind: &'static str,
    locked: &BTreeMap<String, T>,
    now: &BTreeMap<String, T>,
) -> Vec<Drift> {
    let mut drift = keys(kind, &locked.keys().collect(), &now.keys().collect());
    for (name, old) in locked {
        if let Some(new) = now.get(name).filter(|new| *new != old) {
            let moved = Move::Changed { old: old.to_string(), new: new.to_string() };
            drift.push(Drift { kind, name: name.clone(), moved });
        }
    }
    drift
}

/// Asks what references stand for now; those of the lock that have moved, and those that nobody could be asked about.
pub async fn moved<'a, R: Registry>(
    lock: &Lock,
    references: impl IntoIterator<Item = &'a String>,
    registry: &R,
) -> (Vec<Drift>, Vec<RegistryError>) {
    let locked = references.into_iter().filter_map(|name| lock.images.get_key_value(name));
    let asked: Vec<_> = stream::iter(locked)
        .map(|(name, image)| async move { (name, image, registry.digest(name).await) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let (mut drift, mut errors) = (Vec::new(), Vec::new());
    for (name, image, answer) in asked {
        match answer {
            Ok(new) if new == image.digest => {}
            Ok(new) => {
                let moved = Move::Changed { old: image.digest.to_string(), new: new.to_string() };
                drift.push(Drift { kind: "image", name: name.clone(), moved });
            }
            Err(error) => errors.push((name, error)),
        }
    }
    drift.sort();
    errors.sort_by_key(|(name, _)| *name);
    (drift, errors.into_iter().map(|(_, error)| error).collect())
}
