//! Compose files from elsewhere: fetched into the user's cache, by `git` or from a registry.

mod cache;
mod git;
mod oci;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::compose::remote::{Fetched, RemoteError, Remotes, Source};

use cache::Cache;
use git::Repository;

/// Who may be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Servers, for what a source is now and for what is not here.
    #[default]
    Servers,
    /// Nobody: a source is what it was when it was last asked for, if that is here.
    Cache,
}

/// The adapter of [`Remotes`]. A source is asked for once, however often its files are loaded.
#[derive(Debug, Default)]
pub struct Fetcher {
    reach: Cell<Reach>,
    resolved: RefCell<BTreeMap<Source, String>>,
}

impl Fetcher {
    /// For what is loaded from now on.
    pub fn reach(&self, reach: Reach) {
        self.reach.set(reach);
    }

    /// What a source is now.
    fn resolve(&self, source: &Source, cache: &Cache) -> Result<String, RemoteError> {
        if let Some(revision) = self.resolved.borrow().get(source) {
            return Ok(revision.clone());
        }
        if self.reach.get() == Reach::Cache {
            return cache.last(source).ok_or_else(not_here);
        }
        let revision = ask(source)?;
        cache.remember(source, &revision);
        self.resolved.borrow_mut().insert(source.clone(), revision.clone());
        Ok(revision)
    }
}

impl Remotes for Fetcher {
    fn fetch(&self, source: &Source) -> Result<Fetched, RemoteError> {
        let cache = Cache::open(|name| std::env::var(name).ok())?;
        let revision = self.resolve(source, &cache)?;
        if let Some(folder) = cache.find(source, &revision) {
            return Ok(Fetched { folder, revision, new: false });
        }
        if self.reach.get() == Reach::Cache {
            return Err(not_here());
        }
        let folder = cache.take(source, &revision, |folder| match source {
            Source::Git { url, reference } => Repository { source, url, reference }.fetch(&revision, folder),
            Source::Oci { reference } => oci::fetch(reference, &revision, folder),
        })?;
        Ok(Fetched { folder, revision, new: true })
    }
}

fn ask(source: &Source) -> Result<String, RemoteError> {
    match source {
        Source::Git { url, reference } => Repository { source, url, reference }.resolve(),
        Source::Oci { reference } => oci::resolve(reference),
    }
}

fn not_here() -> RemoteError {
    RemoteError::with_help("it is not in the cache, and nobody is asked for it now", "`windlass config` fetches it")
}
