//! Compose files from elsewhere: fetched into the user's cache, by `git` or from a registry.

mod cache;
mod git;
mod oci;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::compose::remote::{Fetched, RemoteError, Remotes, Source};
use crate::lock::Revision;

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

/// What sources are held to, by their names in the lock file.
pub type Pins = BTreeMap<String, Revision>;

/// Where the pins come from.
type Held = Box<dyn Fn() -> Result<Pins, RemoteError>>;

/// The adapter of [`Remotes`]. A source is asked for once, however often its files are loaded.
pub struct Fetcher {
    reach: Cell<Reach>,
    pins: RefCell<Held>,
    resolved: RefCell<BTreeMap<Source, String>>,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self { reach: Cell::default(), pins: RefCell::new(Box::new(|| Ok(Pins::new()))), resolved: RefCell::default() }
    }
}

impl Fetcher {
    /// For what is loaded from now on: whom to ask, and what holds whatever anybody says.
    pub fn hold(&self, reach: Reach, pins: Held) {
        self.reach.set(reach);
        *self.pins.borrow_mut() = pins;
    }

    /// What a source is now, whatever was locked.
    ///
    /// # Errors
    /// What git or the registry said.
    pub fn now(&self, source: &Source) -> Result<String, RemoteError> {
        if let Some(revision) = self.resolved.borrow().get(source) {
            return Ok(revision.clone());
        }
        let revision = match source {
            Source::Git { url, reference } => Repository { source, url, reference }.resolve(),
            Source::Oci { reference } => oci::resolve(reference),
        }?;
        self.resolved.borrow_mut().insert(source.clone(), revision.clone());
        Ok(revision)
    }

    /// What a source is to be.
    fn revision(&self, source: &Source, cache: &Cache) -> Result<String, RemoteError> {
        let pins = (self.pins.borrow())()?;
        match (pins.get(&source.to_string()), self.reach.get()) {
            (Some(pin), _) => Ok(pin.as_str().to_owned()),
            (None, Reach::Cache) => cache.last(source).ok_or_else(|| not_here("it")),
            (None, Reach::Servers) => self.now(source),
        }
    }
}

impl Remotes for Fetcher {
    fn fetch(&self, source: &Source) -> Result<Fetched, RemoteError> {
        let cache = Cache::open(|name| std::env::var(name).ok())?;
        let revision = self.revision(source, &cache)?;
        if self.reach.get() == Reach::Servers && cache.last(source).as_ref() != Some(&revision) {
            cache.remember(source, &revision);
        }
        if let Some(folder) = cache.find(source, &revision) {
            return Ok(Fetched { folder, revision, new: false });
        }
        if self.reach.get() == Reach::Cache {
            return Err(not_here(&revision));
        }
        let folder = cache.take(source, &revision, |folder| match source {
            Source::Git { url, reference } => Repository { source, url, reference }.fetch(&revision, folder),
            Source::Oci { reference } => oci::fetch(reference, &revision, folder),
        })?;
        Ok(Fetched { folder, revision, new: true })
    }
}

fn not_here(what: &str) -> RemoteError {
    RemoteError::with_help(
        format!("{what} is not in the cache, and nobody is asked for it now"),
        "`windlass config` fetches it",
    )
}
