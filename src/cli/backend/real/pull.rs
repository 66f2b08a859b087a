//! Images from registries, several at a time, with their progress.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::super::super::error::CliError;
use super::super::super::progress::{Kind, Phase, Report, Tell};
use super::super::PullWish;
use super::{Real, failed};
use crate::desired::ResolvedImage;
use crate::host::image::{self, Client, PullPolicy, Store, Watch, Watcher};

/// An image to have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// As it is written.
    pub name: String,
    /// `os/arch[/variant]`; `None`: this machine's.
    pub platform: Option<String>,
    policy: Policy,
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
        Self { name, platform, policy }
    }

    /// Whether an image that is here will do.
    pub fn is_satisfied(&self) -> bool {
        matches!(self.policy, Policy::Missing | Policy::Never)
    }

    fn policy(&self) -> PullPolicy {
        match self.policy {
            Policy::Always => PullPolicy::Always,
            Policy::Missing => PullPolicy::Missing,
            Policy::Never => PullPolicy::Never,
            Policy::Every(time) => PullPolicy::Every(time),
        }
    }
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
    wanted: Vec<Wanted>,
    parallel: Option<usize>,
    tell: &Tell,
) -> Vec<(Wanted, Result<ResolvedImage, CliError>)> {
    let at_once = parallel.unwrap_or(8).max(1);
    stream::iter(wanted)
        .map(|one| async move {
            let result = obtain(store, client, &one, tell).await;
            (one, result)
        })
        .buffer_unordered(at_once)
        .collect()
        .await
}

async fn obtain(store: &Store, client: &Arc<Client>, one: &Wanted, tell: &Tell) -> Result<ResolvedImage, CliError> {
    let report = |phase, text: &str| Report::new(Kind::Image, &one.name, phase, text);
    tell.report(report(Phase::Working, "Pulling"));
    let shown = Shown { name: one.name.clone(), tell: tell.clone(), layers: Default::default() };
    let watcher: Watcher = Arc::new(shown);
    let work = async {
        let image = store.resolve(client, &one.name, one.platform.as_deref(), one.policy(), &watcher).await?;
        store.fetch(client, &image.spec, &watcher).await?;
        Ok(image)
    };
    match work.await {
        Ok(image) => {
            tell.report(report(Phase::Done, "Pulled"));
            Ok(image)
        }
        Err(error) => {
            tell.report(report(Phase::Failed, "Error"));
            let error: image::ImageError = error;
            Err(failed(&error))
        }
    }
}

impl Real {
    pub(super) async fn pull_all(&self, images: &[PullWish], tell: &Tell) -> Vec<Result<(), CliError>> {
        let wanted: Vec<Wanted> = images
            .iter()
            .map(|wish| {
                let policy = if wish.always { PullPolicy::Always } else { PullPolicy::Missing };
                Wanted::new(wish.name.clone(), wish.platform.clone(), policy)
            })
            .collect();
        let opened = self
            .images()
            .and_then(|store| Ok((store, Arc::new(Client::new(image::Settings::from_env()).map_err(|e| failed(&e))?))));
        let (store, client) = match opened {
            Ok(opened) => opened,
            Err(error) => return vec![Err(error)],
        };
        let mut unique = wanted.clone();
        unique.sort();
        unique.dedup();
        let results = side_by_side(&store, &client, unique, self.parallel, tell).await;
        wanted
            .iter()
            .map(|one| match results.iter().find(|(other, _)| other == one) {
                Some((_, Err(error))) => Err(CliError::failed(error.to_string())),
                _ => Ok(()),
            })
            .collect()
    }
}
