//! What was read before and still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::with_causes;
use crate::desired::{ContainerSpec, Desired};
use crate::host::ledger::container::{self as ledger, Made};
use crate::host::ledger::project;
use crate::host::net::{Kept, Survey, Unheard};
use crate::host::paths::Paths;
use crate::host::record::RecordError;
use crate::name::{ContainerId, ProjectName};
use crate::observed::{ObservedContainer, State};

/// What was read before and still holds.
#[derive(Debug, Default)]
pub struct Cache {
    /// What containers are made of never changes: read once.
    made: Mutex<BTreeMap<ContainerId, Arc<Made>>>,
    /// The desired state: read anew when it was recorded anew.
    desired: Mutex<project::Read>,
    /// What is kept by one who is told of changes; `None` for those who only look.
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    seen: Mutex<Seen>,
    networks: Kept,
}

/// How containers stood.
#[derive(Debug, Default)]
struct Seen {
    /// Counts them: what was read while one came is not kept.
    changes: u64,
    /// Those whose shims are lost: nobody tells of them, and nothing is kept.
    lost: BTreeSet<ContainerId>,
    /// Without their specifications, which are kept once.
    containers: BTreeMap<ContainerId, ObservedContainer>,
}

impl Cache {
    /// For a supervisor, who has taken its containers over: it makes all changes itself or is told of them by the shims, and
    /// calls [`Cache::changed`]. What it keeps of the networks is for `networks` to say.
    pub fn told(networks: Kept) -> Self {
        Self { told: Some(Told { seen: Mutex::default(), networks }), ..Self::default() }
    }

    /// A container is not as it was.
    pub fn changed(&self, id: &ContainerId) {
        self.change(id, |_| {});
    }

    /// Its shim is lost: it may change, and nobody tells.
    pub fn lost(&self, id: &ContainerId) {
        self.change(id, |seen| {
            seen.lost.insert(id.clone());
        });
    }

    /// A shim tells of its end, or it has none and nothing of it lives: only this process changes it.
    pub fn followed(&self, id: &ContainerId) {
        self.change(id, |seen| {
            seen.lost.remove(id);
        });
    }

    /// Forgets a container that was removed.
    pub fn forget(&self, id: &ContainerId) {
        lock(&self.made).remove(id);
        self.followed(id);
    }

    fn change(&self, id: &ContainerId, also: impl FnOnce(&mut Seen)) {
        let Some(told) = &self.told else { return };
        let mut seen = lock(&told.seen);
        seen.changes += 1;
        seen.containers.remove(id);
        also(&mut seen);
    }

    /// The networks are not as they were.
    pub fn networks_changed(&self) {
        if let Some(told) = &self.told {
            told.networks.changed();
        }
    }

    /// A network goes, and perhaps with it all that is kept of them.
    pub fn rest_networks(&self) -> Option<Unheard> {
        self.told.as_ref().map(|told| told.networks.rest())
    }

    /// Nobody hears of changes of the networks any more.
    pub fn keep_no_networks(&self) {
        if let Some(told) = &self.told {
            told.networks.keep_none();
        }
    }

    /// The networks as they were seen last, else by a `look`.
    pub(super) fn survey<E>(&self, look: impl FnOnce() -> Result<Survey, E>) -> Result<Arc<Survey>, E> {
        match &self.told {
            Some(told) => told.networks.get(look),
            None => look().map(Arc::new),
        }
    }

    /// What a container is made of. `None`: its making was not finished. So it is with a damaged record, which the user is
    /// told of: what is left of the container is made anew. One that can't be read, or that a newer windlass wrote, is
    /// nobody's to be removed.
    ///
    /// # Errors
    /// When the record can't be read, or is a newer windlass's.
    pub fn made(
        &self,
        paths: &Paths,
        id: &ContainerId,
        told: &mut Vec<String>,
    ) -> Result<Option<Arc<Made>>, RecordError> {
        if let Some(made) = lock(&self.made).get(id) {
            return Ok(Some(made.clone()));
        }
        let made = match ledger::made(paths, id) {
            Err(error @ RecordError::Damaged { .. }) => {
                told.push(with_causes(&error));
                None
            }
            other => other?.map(Arc::new),
        };
        lock(&self.made).extend(made.iter().map(|made| (id.clone(), made.clone())));
        Ok(made)
    }

    /// The desired state that was last applied; `None` for a project that was never up.
    ///
    /// # Errors
    /// When the record is damaged, newer, or can't be read.
    pub fn desired(&self, paths: &Paths, project: &ProjectName) -> Result<Option<Arc<Desired>>, RecordError> {
        lock(&self.desired).desired(paths, project)
    }

    /// A container as it was seen last, else by a `look`.
    pub(super) fn seen<E>(
        &self,
        id: &ContainerId,
        look: impl FnOnce() -> Result<ObservedContainer, E>,
    ) -> Result<ObservedContainer, E> {
        let Some(told) = &self.told else { return look() };
        let changes = {
            let seen = lock(&told.seen);
            if let (Some(container), Some(made)) = (seen.containers.get(id), lock(&self.made).get(id)) {
                return Ok(ObservedContainer { spec: made.spec.clone(), ..container.clone() });
            }
            seen.changes
        };
        let container = look()?;
        let mut seen = lock(&told.seen);
        if seen.changes == changes && !seen.lost.contains(id) && container.state != State::Incomplete {
            let ObservedContainer { spec, .. } = container;
            let container = ObservedContainer { spec: ContainerSpec::default(), ..container };
            seen.containers.insert(id.clone(), container.clone());
            return Ok(ObservedContainer { spec, ..container });
        }
        Ok(container)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_read_anew_when_it_changed_or_nobody_tells_of_it() {
        let (cache, id, project) = (Cache::told(Kept::default()), ContainerId::from("c"), ProjectName::from("p"));
        let paths = Paths { root: "/nowhere".into(), run: "/nowhere".into() };
        let created = || ObservedContainer { state: State::Created, ..super::super::half_made(&paths, &project, &id) };
        lock(&cache.made).insert(id.clone(), Arc::default());
        let looks = std::cell::Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            Ok::<_, RecordError>(created())
        };
        cache.seen(&id, look).expect("a look");
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 1);
        cache.changed(&id);
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 2);
        cache.changed(&id);
        cache
            .seen(&id, || {
                cache.changed(&id);
                look()
            })
            .expect("a look");
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 4, "it changed while it was looked at");
        cache.lost(&id);
        cache.seen(&id, look).expect("a look");
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 6, "nobody tells of it");
        cache.followed(&id);
        cache.seen(&id, look).expect("a look");
        cache.seen(&id, look).expect("a look");
        assert_eq!(looks.get(), 7);
    }
}
