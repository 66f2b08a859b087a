//! Fetching the layers of a resolved image: in parallel, each unpacked while it arrives, shared with whoever else fetches it.

mod download;
mod implied;
mod intake;
mod job;
mod partial;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::client::Client;
use super::manifest::Layer;
use super::progress::{Phase, Progress, Watcher};
use super::reference::Reference;
use super::registries::Endpoint;
use super::store::{Ref, Store};
use super::{ImageError, digest};
use crate::desired::ImageSpec;
use crate::name::Digest;

use intake::Chunk;
pub(super) use intake::Intake;
pub(super) use job::{judge, publish, stage_and_unpack};

/// One layer of the store that is to be made from a blob.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub diff: Digest,
    pub chain: Digest,
    /// The layers below, lowest first.
    pub below: Vec<Digest>,
}

/// What all layers of one fetch share.
#[derive(Debug)]
struct Shared {
    store: Store,
    client: Arc<Client>,
    endpoints: Vec<Endpoint>,
    /// The image as the user wrote it.
    name: String,
    /// Changes whenever a layer was published.
    published: watch::Sender<u64>,
}

impl Store {
    /// Fetches the layers of an image that are not here yet, and makes its name mean it once all are. What a failure
    /// leaves is kept for the next try. Dropping the future stops it.
    ///
    /// # Errors
    /// The first layer's error, or that of the manifest where the store has lost it.
    pub async fn fetch(&self, client: &Arc<Client>, image: &ImageSpec, progress: &Watcher) -> Result<(), ImageError> {
        let store = self.clone();
        // Errors of a sweep matter to nobody; it must not hold up the first byte.
        tokio::task::spawn_blocking(move || store.sweep());
        let entry = self.entry_of(image);
        let reference = reference_of(image, entry.as_ref());
        let parts = match self.stored_parts(&image.manifest) {
            Some(parts) => parts,
            None => self.refetch_manifest(client, image, reference.as_ref()).await?,
        };
        let (manifest, config) = parts;
        let chains = digest::chains(&config.diffs);
        if chains != image.layers {
            let reason = "the layers asked for are not those of its manifest".to_owned();
            return Err(ImageError::BadManifest { what: image.name.clone(), reason });
        }
        let jobs = self.missing(&manifest.layers, &config.diffs, &chains, &image.name, progress);
        if !jobs.is_empty() {
            let reference = reference.ok_or_else(|| ImageError::NotLocal { name: image.name.clone() })?;
            let shared = Arc::new(Shared {
                store: self.clone(),
                client: client.clone(),
                endpoints: client.endpoints(&reference)?,
                name: image.name.clone(),
                published: watch::Sender::new(0),
            });
            run(&shared, jobs, progress).await?;
        }
        if let Some(entry) = entry {
            self.promote(&entry)?;
        }
        progress.progress(Progress {
            reference: image.name.clone(),
            layer: None,
            done: 0,
            total: 0,
            phase: Phase::Done,
        });
        Ok(())
    }

    /// As [`Store::fetch`], for an image of which only the name and the id are known: one that was resolved before.
    ///
    /// # Errors
    /// [`ImageError::NoSuchImage`] if it was not; else as [`Store::fetch`].
    pub async fn fetch_id(
        &self,
        client: &Arc<Client>,
        name: &str,
        id: &Digest,
        progress: &Watcher,
    ) -> Result<(), ImageError> {
        let known = self.pending().into_iter().chain(self.refs()).filter(|entry| entry.id == *id);
        let image = known.into_iter().find_map(|entry| self.stored(name, &entry));
        let image = image.ok_or_else(|| ImageError::NoSuchImage { name: format!("{name} ({id})") })?;
        self.fetch(client, &image.spec, progress).await
    }

    /// The record that an image was resolved to.
    fn entry_of(&self, image: &ImageSpec) -> Option<Ref> {
        let same = |entry: &Ref| entry.id == image.id && entry.manifest == image.manifest;
        let canonical = Reference::parse(&image.name).ok().map(|reference| reference.to_string());
        let mut known: Vec<Ref> = self.pending().into_iter().chain(self.refs()).filter(same).collect();
        let best = known.iter().position(|entry| entry.name == canonical).unwrap_or(0);
        if known.is_empty() { None } else { Some(known.swap_remove(best)) }
    }

    /// The layers that are missing, grouped by the blob that they come in.
    fn missing(
        &self,
        layers: &[Layer],
        diffs: &[Digest],
        chains: &[Digest],
        name: &str,
        progress: &Watcher,
    ) -> Vec<(Layer, Vec<Target>)> {
        let mut order: Vec<Digest> = Vec::new();
        let mut jobs: BTreeMap<Digest, (Layer, Vec<Target>)> = BTreeMap::new();
        for (at, ((layer, diff), chain)) in layers.iter().zip(diffs).zip(chains).enumerate() {
            if self.layer_present(chain) {
                progress.progress(step(name, layer, layer.blob.size, Phase::Exists));
                continue;
            }
            let target = Target { diff: diff.clone(), chain: chain.clone(), below: chains[..at].to_vec() };
            let job = jobs.entry(layer.blob.digest.clone()).or_insert_with(|| {
                order.push(layer.blob.digest.clone());
                (layer.clone(), Vec::new())
            });
            job.1.push(target);
        }
        order.into_iter().filter_map(|digest| jobs.remove(&digest)).collect()
    }
}

async fn run(shared: &Arc<Shared>, jobs: Vec<(Layer, Vec<Target>)>, progress: &Watcher) -> Result<(), ImageError> {
    let mut tasks = JoinSet::new();
    for (layer, targets) in jobs {
        tasks.spawn(job::run(shared.clone(), layer, targets, progress.clone()));
    }
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(result) => result?,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => {}
        }
    }
    Ok(())
}

/// The name under which registries know an image: as written, or where that is an id, the name it was pulled by.
fn reference_of(image: &ImageSpec, entry: Option<&Ref>) -> Option<Reference> {
    let known = entry.and_then(|entry| entry.name.as_deref()).and_then(|name| Reference::parse(name).ok());
    if digest::parse(&image.name).is_ok() {
        return known;
    }
    Reference::parse(&image.name).ok().or(known)
}

/// A step of one layer.
fn step(name: &str, layer: &Layer, done: u64, phase: Phase) -> Progress {
    let digits = layer.blob.digest.hex().get(..12).map(str::to_owned);
    Progress { reference: name.to_owned(), layer: digits, done, total: layer.blob.size, phase }
}
