//! Images from registries, several at a time, with their progress.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::super::super::error::CliError;
use super::super::super::progress::{Kind, Phase, Report, Tell};
use super::super::{LockUse, PullWish};
use super::{Real, failed};
use crate::desired::ResolvedImage;
use crate::host::image::{self, Client, ImageError, Platform, PullPolicy, Reference, Store, Watch, Watcher};
use crate::lock::Lock;
use crate::name::Digest;

/// An image to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// As it is written.
    pub name: String,
    /// `os/arch[/variant]`; `None`: this machine's.
    pub platform: Option<String>,
    policy: Policy,
    /// By lock file, it is the image of one of these: the index, or this platform's manifest. Empty: not locked.
    pins: Vec<Digest>,
}

/// [`PullPolicy`], in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Policy {
    Always,
    Missing,
    Never,
    Every(std::time::Duration),
}

impl Wanted {
    /// An image by a policy.
    pub fn new(name: String, platform: Option<String>, policy: PullPolicy) -> Self {
        let policy = match policy {
            PullPolicy::Always => Policy::Always,
            PullPolicy::Missing => Policy::Missing,
            PullPolicy::Never => Policy::Never,
            PullPolicy::Every(time) => Policy::Every(time),
        };
        Self { name, platform, policy, pins: Vec::new() }
    }

    /// Holds it to what a lock file says, if that has it.
    ///
    /// # Errors
    /// A platform that can't be read.
    pub fn locked(mut self, lock: Option<&Lock>) -> Result<Self, ImageError> {
        let Some(image) = lock.and_then(|lock| lock.images.get(&self.name)) else { return Ok(self) };
        let platform = self.platform.as_deref().map_or_else(|| Ok(Platform::host()), Platform::parse)?;
        let own = image.platforms.get(&platform.to_string());
        self.pins = std::iter::once(&image.digest).chain(own).map(|pin| pin.digest().clone()).collect();
        Ok(self)
    }

    /// Whether an image that is here will do: one that is named by its digest always does.
    pub fn is_satisfied(&self) -> bool {
        !self.pins.is_empty() || matches!(self.policy, Policy::Missing | Policy::Never)
    }

    /// The image, if the store has it; under the name that the user wrote.
    ///
    /// # Errors
    /// A name or platform that can't be read.
    pub fn local(&self, store: &Store) -> Result<Option<ResolvedImage>, ImageError> {
        for name in self.names()? {
            if let Some(image) = store.local(&name, self.platform.as_deref())? {
                return Ok(Some(self.under_its_name(image)));
            }
        }
        Ok(None)
    }

    /// What it is looked for by: the name, or the name with each of its digests.
    fn names(&self) -> Result<Vec<String>, ImageError> {
        if self.pins.is_empty() {
            return Ok(vec![self.name.clone()]);
        }
        let reference = Reference::parse(&self.name)?;
        let with = |digest: &Digest| Reference { digest: Some(digest.clone()), ..reference.clone() }.familiar();
        Ok(self.pins.iter().map(with).collect())
    }

    fn under_its_name(&self, mut image: ResolvedImage) -> ResolvedImage {
        image.spec.name.clone_from(&self.name);
        image
    }

    fn policy(&self) -> PullPolicy {
        match self.policy {
            Policy::Always | Policy::Every(_) if !self.pins.is_empty() => PullPolicy::Missing,
            Policy::Always => PullPolicy::Always,
            Policy::Missing => PullPolicy::Missing,
            Policy::Never => PullPolicy::Never,
            Policy::Every(time) => PullPolicy::Every(time),
        }
    }
}

/// How much of an image is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What it is, for a plan: the store keeps its names, and no layer is fetched.
    Identity,
    /// All of it.
    Whole,
}

/// Passes the steps of a pull on as lines of progress.
struct Shown {
    name: String,
    tell: Tell,
    layers: std::sync::Mutex<std::collections::BTreeMap<String, (u64, u64)>>,
}

impl Watch for Shown {
    fn progress(&self, progress: image::Progress) {
        let Some(layer) = progress.layer else { return };
        let mut layers = self.layers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let done = match progress.phase {
            image::Phase::Exists => return,
            image::Phase::Done | image::Phase::Extracting => progress.total,
            _ => progress.done,
        };
        layers.insert(layer, (done, progress.total));
        if progress.phase == image::Phase::Retrying {
            // A connection broke, or nothing came for a while: a change of its own, not only of the amount.
            return self.tell.report(Report::new(Kind::Image, &self.name, Phase::Working, "Retrying"));
        }
        let amount = layers.values().fold((0, 0), |(done, all), (d, a)| (done + d, all + a));
        let mut report = Report::new(Kind::Image, &self.name, Phase::Working, "Pulling");
        report.amount = Some(amount);
        self.tell.report(report);
    }
}

/// Pulls images side by side.
pub async fn side_by_side(
    store: &Store,
    client: &Arc<Client>,
    (wanted, extent): (Vec<Wanted>, Extent),
    parallel: Option<usize>,
    tell: &Tell,
) -> Vec<(Wanted, Result<ResolvedImage, CliError>)> {
    let at_once = parallel.unwrap_or(8).max(1);
    stream::iter(wanted)
        .map(|one| async move {
            let result = match extent {
                Extent::Identity => look_up(store, client, &one, tell).await,
                Extent::Whole => obtain(store, client, &one, tell).await,
            };
            (one, result)
        })
        .buffer_unordered(at_once)
        .collect()
        .await
}

async fn look_up(store: &Store, client: &Arc<Client>, one: &Wanted, tell: &Tell) -> Result<ResolvedImage, CliError> {
    let report = |phase, text: &str| tell.report(Report::new(Kind::Image, &one.name, phase, text));
    report(Phase::Working, "Resolving");
    let work = async {
        let names = one.names()?;
        let (name, quiet): (_, Watcher) = (names.first().unwrap_or(&one.name), Arc::new(image::Quiet));
        store.look_up(client, name, one.platform.as_deref(), one.policy(), &quiet).await
    };
    match work.await {
        Ok(image) => {
            report(Phase::Done, "Resolved");
            Ok(one.under_its_name(image))
        }
        Err(error) => {
            report(Phase::Failed, "Error");
            Err(locked_failure(one, &error))
        }
    }
}

async fn obtain(store: &Store, client: &Arc<Client>, one: &Wanted, tell: &Tell) -> Result<ResolvedImage, CliError> {
    let report = |phase, text: &str| Report::new(Kind::Image, &one.name, phase, text);
    let (begun, done) = if one.policy == Policy::Never { ("Resolving", "Resolved") } else { ("Pulling", "Pulled") };
    tell.report(report(Phase::Working, begun));
    let shown = Shown { name: one.name.clone(), tell: tell.clone(), layers: Default::default() };
    let watcher: Watcher = Arc::new(shown);
    let work = async {
        let names = one.names()?;
        let name = names.first().unwrap_or(&one.name);
        let image = store.resolve(client, name, one.platform.as_deref(), one.policy(), &watcher).await?;
        store.fetch(client, &image.spec, &watcher).await?;
        Ok(one.under_its_name(image))
    };
    match work.await {
        Ok(image) => {
            tell.report(report(Phase::Done, done));
            Ok(image)
        }
        Err(error) => {
            tell.report(report(Phase::Failed, "Error"));
            let error: ImageError = error;
            Err(locked_failure(one, &error))
        }
    }
}

/// An error of a locked image says that the lock file asks for it.
fn locked_failure(one: &Wanted, error: &ImageError) -> CliError {
    match (one.pins.first(), error) {
        (Some(digest), ImageError::NotFound { .. }) => CliError::with_help(
            format!("{error}; the lock file asks for {} as {digest}", one.name),
            "`windlass lock --update` takes what the tag means now",
        ),
        _ => failed(error),
    }
}

impl Real {
    pub(super) async fn pull_all(&self, images: &[PullWish], lock: LockUse, tell: &Tell) -> Vec<Result<(), CliError>> {
        match self.prepare_pull(images, lock, tell) {
            Ok((store, client, wanted)) => self.pull_each(&store, &client, &wanted, tell).await,
            Err(error) => vec![Err(error)],
        }
    }

    fn prepare_pull(
        &self,
        images: &[PullWish],
        lock: LockUse,
        tell: &Tell,
    ) -> Result<(Store, Arc<Client>, Vec<Wanted>), CliError> {
        let lock = self.used_lock(lock)?;
        let wanted = images.iter().map(|wish| {
            let policy = if wish.always { PullPolicy::Always } else { PullPolicy::Missing };
            let wanted = Wanted::new(wish.name.clone(), wish.platform.clone(), policy);
            wanted.locked(lock.as_ref()).map_err(|e| failed(&e))
        });
        let wanted: Vec<Wanted> = wanted.collect::<Result<_, CliError>>()?;
        self.tell_unlocked(lock.as_ref(), wanted.iter().map(|one| one.name.as_str()), tell);
        let client = Client::new(image::Settings::from_env()).map_err(|e| failed(&e))?;
        Ok((self.images()?, Arc::new(client), wanted))
    }

    async fn pull_each(
        &self,
        store: &Store,
        client: &Arc<Client>,
        wanted: &[Wanted],
        tell: &Tell,
    ) -> Vec<Result<(), CliError>> {
        let mut unique = wanted.to_vec();
        unique.sort();
        unique.dedup();
        let results = side_by_side(store, client, (unique, Extent::Whole), self.parallel, tell).await;
        wanted
            .iter()
            .map(|one| match results.iter().find(|(other, _)| other == one) {
                Some((_, Err(error))) => Err(CliError::failed(error.to_string())),
                _ => Ok(()),
            })
            .collect()
    }
}
