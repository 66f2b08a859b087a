//! Compose files from elsewhere: fetched into the user's cache, by `git` or from a registry.

mod cache;
mod git;
mod oci;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::super::super::signals::Interrupts;
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
    interrupted: Cell<bool>,
}

impl Default for Fetcher {
    fn default() -> Self {
        Self {
            reach: Cell::default(),
            pins: RefCell::new(Box::new(|| Ok(Pins::new()))),
            resolved: RefCell::default(),
            interrupted: Cell::default(),
        }
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
    pub async fn now(&self, source: &Source) -> Result<String, RemoteError> {
        match self.resolved(source) {
            Some(revision) => Ok(revision),
            None => Ok(self.keep(source, ask(source).await?)),
        }
    }

    fn resolved(&self, source: &Source) -> Option<String> {
        self.resolved.borrow().get(source).cloned()
    }

    fn keep(&self, source: &Source, revision: String) -> String {
        self.resolved.borrow_mut().insert(source.clone(), revision.clone());
        revision
    }

    /// Whether Ctrl-C came while somebody was asked.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// Files are loaded where nothing waits for anything else: what waits for servers gets a thread of its own, and ends with
    /// Ctrl-C.
    fn wait<T: Send, F: Future<Output = Result<T, RemoteError>>>(
        &self,
        work: impl FnOnce() -> F + Send,
    ) -> Result<T, RemoteError> {
        if self.was_interrupted() {
            return Err(RemoteError::new("interrupted"));
        }
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| RemoteError::new(format!("can't wait for servers: {error}")))?;
            runtime.block_on(async {
                let interrupts = Interrupts::new();
                let mut interrupts = interrupts.map_err(|error| RemoteError::new(error.to_string()))?;
                tokio::select! {
                    done = work() => done.map(Some),
                    () = interrupts.next() => Ok(None),
                }
            })
        };
        let failed = || Err(RemoteError::new("what asks servers has failed"));
        let done = std::thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|_| failed()))?;
        done.ok_or_else(|| {
            self.interrupted.set(true);
            RemoteError::new("interrupted")
        })
    }

    /// What a source is to be.
    fn revision(&self, source: &Source, cache: &Cache) -> Result<String, RemoteError> {
        let pins = (self.pins.borrow())()?;
        match (pins.get(&source.to_string()), self.reach.get()) {
            (Some(pin), _) => Ok(pin.as_str().to_owned()),
            (None, Reach::Cache) => cache.last(source).ok_or_else(|| not_here("it")),
            (None, Reach::Servers) => match self.resolved(source) {
                Some(revision) => Ok(revision),
                None => Ok(self.keep(source, self.wait(|| ask(source))?)),
            },
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
        let folder = cache.take(source, &revision, |folder| {
            self.wait(|| async {
                match source {
                    Source::Git { url, reference } => {
                        Repository { source, url, reference }.fetch(&revision, folder).await
                    }
                    Source::Oci { reference } => oci::fetch(reference, &revision, folder).await,
                }
            })
        })?;
        Ok(Fetched { folder, revision, new: true })
    }
}

async fn ask(source: &Source) -> Result<String, RemoteError> {
    match source {
        Source::Git { url, reference } => Repository { source, url, reference }.resolve().await,
        Source::Oci { reference } => oci::resolve(reference).await,
    }
}

fn not_here(what: &str) -> RemoteError {
    RemoteError::with_help(
        format!("{what} is not in the cache, and nobody is asked for it now"),
        "`windlass config` fetches it",
    )
}
