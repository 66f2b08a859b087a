//! One blob: fetch it, unpack it, judge it, publish what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::download::Download;
use super::intake::{Intake, Verdict};
use super::partial::Partial;
use super::{Chunk, Shared, Target, implied, step};
use crate::host::image::ImageError;
use crate::host::image::manifest::{Descriptor, Layer, Packing};
use crate::host::image::progress::{Phase, Watcher};
use crate::host::image::registries::Endpoint;
use crate::host::image::store::{LayerRecord, Stage, Store};
use crate::host::image::unpack::{self, Fault, Limits, Unpacked};

/// Pieces of a body on their way from the network to the unpacker (some 8 to 400 kB each).
const AHEAD: usize = 32;
/// Progress is told once for so many bytes.
const TOLD: u64 = 256 << 10;

/// Makes all `targets` from the blob of `layer`.
pub(super) async fn run(
    shared: Arc<Shared>,
    layer: Layer,
    targets: Vec<Target>,
    progress: Watcher,
) -> Result<(), ImageError> {
    let job = Job { shared, layer, progress, told: AtomicU64::new(0) };
    for (at, target) in targets.iter().enumerate() {
        job.target(target, at + 1 == targets.len()).await?;
        job.shared.published.send_modify(|count| *count += 1);
    }
    job.say(job.layer.blob.size, Phase::Done);
    Ok(())
}

struct Job {
    shared: Arc<Shared>,
    layer: Layer,
    progress: Watcher,
    /// Bytes at which progress was told last.
    told: AtomicU64,
}

impl Job {
    fn say(&self, done: u64, phase: Phase) {
        self.progress.progress(step(&self.shared.name, &self.layer, done, phase));
    }

    async fn target(&self, target: &Target, last: bool) -> Result<(), ImageError> {
        let store = &self.shared.store;
        // Never closed.
        let permit = store.permits().acquire_owned().await.ok();
        let waiting = |done| {
            self.say(done, Phase::Waiting);
            !store.layer_present(&target.chain)
        };
        let Some(partial) = Partial::take(store, &self.layer.blob.digest, waiting).await? else { return Ok(()) };
        if store.layer_present(&target.chain) {
            return if last { partial.remove() } else { Ok(()) };
        }
        let (stage, unpacked) = self.make(target, &partial).await?;
        self.say(self.layer.blob.size, Phase::Extracting);
        if !unpacked.implied.is_empty() {
            // Whoever makes the layers below may need our place in the queue.
            drop(permit);
            self.below(target).await;
        }
        let record = LayerRecord {
            diff: target.diff.clone(),
            chain: target.chain.clone(),
            blob: self.layer.blob.digest.clone(),
            size: unpacked.size,
            entries: unpacked.entries,
        };
        publish(store, stage, record, unpacked.implied, target.below.clone()).await?;
        if last { partial.remove() } else { Ok(()) }
    }

    /// Waits until the layers below are there.
    async fn below(&self, target: &Target) {
        let mut published = self.shared.published.subscribe();
        while !target.below.iter().all(|chain| self.shared.store.layer_present(chain)) {
            // Ends with the fetch itself at the latest: the sender lives as long as we do.
            if published.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tries until the bytes are right, each time from another place.
    async fn make(&self, target: &Target, partial: &Partial) -> Result<(Stage, Unpacked), ImageError> {
        let places = &self.shared.endpoints;
        let resumed = partial.len() > 0;
        let rounds = places.len() + usize::from(resumed);
        let mut round = 0;
        loop {
            let error = match self.attempt(target, partial, &places[round.min(places.len() - 1)..]).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let lied = matches!(&error, ImageError::WrongDigest { expected, .. } if *expected == self.layer.blob.digest);
            if lied {
                partial.clear()?;
            }
            // A mirror that lies is left out next time; a part from an earlier pull may be the liar, too.
            if !lied || round + 1 >= rounds {
                return Err(error);
            }
            round += 1;
        }
    }

    async fn attempt(
        &self,
        target: &Target,
        partial: &Partial,
        places: &[Endpoint],
    ) -> Result<(Stage, Unpacked), ImageError> {
        let (store, blob) = (&self.shared.store, &self.layer.blob);
        if partial.len() > blob.size {
            partial.clear()?;
        }
        let at = partial.len();
        if blob.size - at > store.free() {
            return Err(store.full(&format!("layer {}", blob.digest), blob.size - at));
        }
        self.told.store(at, Ordering::Relaxed);
        self.say(at, Phase::Downloading);
        let (to, from) = mpsc::channel::<Chunk>(AHEAD);
        let intake = Intake::new(partial.handle()?, at, blob.size, from);
        let unpacking = stage_and_unpack(store, intake, self.layer.packing, blob.size);
        let tell = |at: u64, again: bool| {
            if again {
                self.say(at, Phase::Retrying);
            } else if at >= self.told.load(Ordering::Relaxed) + TOLD || at == blob.size {
                self.told.store(at, Ordering::Relaxed);
                self.say(at, Phase::Downloading);
            }
        };
        let download =
            Download { client: &self.shared.client, blob, image: &self.shared.name, to, at, tell: &tell }.run(places);
        let (downloaded, unpacked) = tokio::join!(download, unpacking);
        let (stage, result, verdict) = unpacked?;
        // A download that failed says more than the unpacker that got too little; but a full disk is the disk's fault.
        match (downloaded, &result, &verdict.failure) {
            (Err(error), Err(Fault::Source), None) => return Err(error),
            (Err(error), _, None) if verdict.got < blob.size => return Err(error),
            _ => {}
        }
        let unpacked = judge(store, blob, target, result, verdict)?;
        Ok((stage, unpacked))
    }
}

/// Unpacks what `intake` brings into a new stage, on threads of its own.
pub(in super::super) async fn stage_and_unpack(
    store: &Store,
    intake: Intake,
    packing: Packing,
    packed: u64,
) -> Result<(Stage, Result<Unpacked, Fault>, Verdict), ImageError> {
    let stage = Stage::new(store)?;
    let work = tokio::task::spawn_blocking(move || {
        let (result, intake) = unpack::unpack(intake, packing, &stage.fs(), Limits::of(packed));
        // Where the content is bad, the digest of all of it says whose fault that is.
        let verdict = match &result {
            Ok(_) | Err(Fault::Bad(_)) => intake.finish(),
            Err(_) => intake.stop(),
        };
        (stage, result, verdict)
    });
    match work.await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(ImageError::BadLayer { layer: String::new(), reason: "the unpacking was stopped".into() }),
    }
}

/// Whether a layer may be published: digest and size of the blob, and the digest of what it unpacks to, are right.
pub(in super::super) fn judge(
    store: &Store,
    blob: &Descriptor,
    target: &Target,
    result: Result<Unpacked, Fault>,
    verdict: Verdict,
) -> Result<Unpacked, ImageError> {
    let layer = format!("layer {}", blob.digest);
    if let Some(failure) = verdict.failure {
        return Err(store.full_or_io("keep", &store.path("partial").join(blob.digest.hex()), blob.size, failure));
    }
    match &result {
        Err(Fault::Full) => return Err(store.full(&layer, blob.size)),
        Err(Fault::Io { operation, member, source }) => {
            return Err(ImageError::Io {
                operation,
                path: member.into(),
                source: std::io::Error::new(source.kind(), source.to_string()),
            });
        }
        _ => {}
    }
    if verdict.got != blob.size {
        return Err(ImageError::WrongSize { what: layer, expected: blob.size, got: verdict.got });
    }
    if verdict.digest != blob.digest {
        return Err(ImageError::WrongDigest { what: layer, expected: blob.digest.clone(), got: verdict.digest });
    }
    match result {
        Ok(unpacked) if unpacked.diff == target.diff => Ok(unpacked),
        Ok(unpacked) => Err(ImageError::WrongDigest {
            what: format!("the content of {layer}"),
            expected: target.diff.clone(),
            got: unpacked.diff,
        }),
        Err(Fault::Bad(reason)) => Err(ImageError::BadLayer { layer: blob.digest.to_string(), reason }),
        Err(_) => Err(ImageError::BadLayer { layer: blob.digest.to_string(), reason: "it broke off".into() }),
    }
}

/// Gives implied folders their looks, writes all to disk, makes the layer visible.
pub(in super::super) async fn publish(
    store: &Store,
    stage: Stage,
    record: LayerRecord,
    implied: Vec<Vec<u8>>,
    below: Vec<crate::name::Digest>,
) -> Result<(), ImageError> {
    let store = store.clone();
    let work = tokio::task::spawn_blocking(move || {
        let lower: Vec<_> = below.iter().map(|chain| store.layer_path(chain)).collect();
        implied::dress(&stage.fs(), &implied, &lower)?;
        stage.publish(&store, &record)
    });
    match work.await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Ok(()),
    }
}
