//! Images from archives: OCI layouts (`buildctl`, `buildah`, `skopeo`, `docker save` since 25) and older docker archives.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::archive::{Archive, Section, bad, blob_name};
use super::config::Config;
use super::fetch::{Intake, Target, judge, publish, stage_and_unpack};
use super::manifest::{self, CONFIG_LIMIT, Document, Entry, Layer, Manifest, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, Packing};
use super::platform::Platform;
use super::progress::{Phase, Progress, Watcher};
use super::reference::Reference;
use super::store::{LayerRecord, Ref, Store};
use super::{ImageError, digest};
use crate::desired::ResolvedImage;
use crate::name::Digest;

const MANIFEST_LIMIT: u64 = 4 << 20;
const DEPTH: usize = 4;

/// An image that lies in an archive.
#[derive(Debug)]
pub(super) struct Packed {
    /// Text of the manifest.
    pub manifest: Vec<u8>,
    /// Text of the config.
    pub config: Vec<u8>,
    /// Canonical names.
    pub names: Vec<String>,
    /// Where the layers' blobs are.
    pub layers: Vec<Section>,
}

/// An entry of a docker archive's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Store {
    /// Takes in the images of an archive (OCI layout or docker's form; plain, gzip or zstd). `tag` names the image instead
    /// of the name that it has in the archive, which must then hold only one.
    ///
    /// # Errors
    /// When the archive is no such thing, or anything in it is not what its digest says.
    pub async fn load(
        &self,
        source: impl Read + Send + 'static,
        tag: Option<&str>,
        progress: &Watcher,
    ) -> Result<Vec<ResolvedImage>, ImageError> {
        let tag = tag.map(Reference::parse).transpose()?;
        let store = self.clone();
        let read = move || -> Result<(Archive, Vec<Packed>), ImageError> {
            let archive = Archive::read(&store, source)?;
            let images = if archive.find("index.json").is_some() {
                oci_images(&archive)?
            } else if archive.find("manifest.json").is_some() {
                docker_images(&archive)?
            } else {
                return Err(bad("it is no archive of images: it has neither index.json nor manifest.json".into()));
            };
            Ok((archive, images))
        };
        let (archive, mut images) = blocking(read).await?;
        if let Some(tag) = tag {
            let [image] = images.as_mut_slice() else {
                return Err(bad(format!("it holds {} images, which can't all be named `{tag}`", images.len())));
            };
            image.names = vec![tag.to_string()];
        }
        let archive = Arc::new(archive);
        let mut loaded = Vec::new();
        for image in images {
            loaded.push(self.install(&archive, image, progress).await?);
        }
        Ok(loaded)
    }

    /// Unpacks an image of an archive into the store, verified like one from a registry.
    pub(super) async fn install(
        &self,
        archive: &Arc<Archive>,
        image: Packed,
        progress: &Watcher,
    ) -> Result<ResolvedImage, ImageError> {
        let what = image.names.first().map_or("the archive's image", String::as_str).to_owned();
        let Document::Manifest(manifest) = manifest::parse(&image.manifest, None, &what)? else {
            return Err(bad("it has an index where a manifest must be".into()));
        };
        let config = Config::parse(&image.config, manifest.layers.len(), &what)?;
        let (id, digest) = (manifest.config.digest.clone(), digest::of(&image.manifest));
        self.write_blob(&id, &image.config)?;
        self.write_blob(&digest, &image.manifest)?;
        let name = image.names.first().and_then(|name| Reference::parse(name).ok());
        let resolved = config.resolved(&name.map_or_else(|| id.to_string(), |name| name.familiar()), &id, &digest);
        let platform = config.platform.as_ref().map(ToString::to_string).unwrap_or_default();
        let names: Vec<Option<String>> =
            if image.names.is_empty() { vec![None] } else { image.names.iter().cloned().map(Some).collect() };
        let refs: Vec<Ref> = names
            .into_iter()
            .map(|name| Ref {
                name,
                platform: platform.clone(),
                id: id.clone(),
                manifest: digest.clone(),
                source: digest.clone(),
                pulled_at: super::store::now(),
            })
            .collect();
        for entry in &refs {
            self.remember(entry)?;
        }
        let chains = &resolved.spec.layers;
        for (at, (layer, section)) in manifest.layers.iter().zip(&image.layers).enumerate() {
            let target = Target { diff: config.diffs[at].clone(), chain: chains[at].clone(), below: chains[..at].to_vec() };
            self.install_layer(archive, layer, *section, &target, &resolved.spec.name, progress).await?;
        }
        for entry in &refs {
            self.promote(entry)?;
        }
        Ok(resolved)
    }

    async fn install_layer(
        &self,
        archive: &Arc<Archive>,
        layer: &Layer,
        section: Section,
        target: &Target,
        name: &str,
        progress: &Watcher,
    ) -> Result<(), ImageError> {
        let digits = layer.blob.digest.hex().get(..12).map(str::to_owned);
        let say = |phase, done| {
            let layer_of = digits.clone();
            progress.progress(Progress { reference: name.to_owned(), layer: layer_of, done, total: section.size, phase });
        };
        if self.layer_present(&target.chain) {
            say(Phase::Exists, section.size);
            return Ok(());
        }
        say(Phase::Extracting, 0);
        let intake = Intake::section(archive.handle()?, section.base, section.size);
        let (stage, result, verdict) = stage_and_unpack(self, intake, layer.packing, section.size).await?;
        let unpacked = judge(self, &layer.blob, target, result, verdict)?;
        let record = LayerRecord {
            diff: target.diff.clone(),
            chain: target.chain.clone(),
            blob: layer.blob.digest.clone(),
            size: unpacked.size,
            entries: unpacked.entries,
        };
        publish(self, stage, record, unpacked.implied, target.below.clone()).await?;
        say(Phase::Done, section.size);
        Ok(())
    }
}

/// Runs blocking work on a thread where it holds up nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(bad("its reading was stopped".into())),
    }
}

/// The images of an OCI layout: one for each name; of several platforms under one name, ours.
fn oci_images(archive: &Archive) -> Result<Vec<Packed>, ImageError> {
    let top = archive.bytes("index.json", MANIFEST_LIMIT)?;
    let Document::Index(entries) = manifest::parse(&top, None, "the archive's index.json")? else {
        return Err(bad("its index.json is no index".into()));
    };
    let mut groups: BTreeMap<Vec<String>, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        groups.entry(names_of(&entry)?).or_default().push(entry);
    }
    groups.into_iter().map(|(names, entries)| oci_image(archive, names, entries)).collect()
}

fn oci_image(archive: &Archive, names: Vec<String>, mut entries: Vec<Entry>) -> Result<Packed, ImageError> {
    let what = names.first().map_or("the archive's image", String::as_str).to_owned();
    let wanted = Platform::host();
    for _ in 0..=DEPTH {
        let entry = match entries.as_slice() {
            // A single entry is what there is, whatever it says of its platform.
            [only] => only,
            several => manifest::choose(several, &wanted).ok_or_else(|| ImageError::NoPlatform {
                name: what.clone(),
                wanted: wanted.to_string(),
                offered: manifest::offered(several),
                hint: String::new(),
            })?,
        };
        let text = archive.blob(&entry.target.digest, MANIFEST_LIMIT)?;
        match manifest::parse(&text, None, &what)? {
            Document::Index(inner) => entries = inner,
            Document::Manifest(manifest) => {
                let config = archive.blob(&manifest.config.digest, CONFIG_LIMIT)?;
                let find = |layer: &Layer| {
                    archive.find(&blob_name(&layer.blob.digest)).ok_or_else(|| bad(format!("it lacks {}", layer.blob.digest)))
                };
                let layers = manifest.layers.iter().map(find).collect::<Result<_, _>>()?;
                return Ok(Packed { manifest: text, config, names, layers });
            }
        }
    }
    Err(bad(format!("it has indexes in indexes, more than {DEPTH} deep")))
}

/// containerd's annotation has the whole name; OCI's own often only a tag, which alone names nothing.
fn names_of(entry: &Entry) -> Result<Vec<String>, ImageError> {
    let whole = entry.annotations.get("io.containerd.image.name");
    let short = entry.annotations.get("org.opencontainers.image.ref.name").filter(|name| name.contains(['/', ':']));
    whole.or(short).map(|name| Reference::parse(name).map(|reference| reference.to_string())).into_iter().collect()
}

/// The images of a docker archive, each with a manifest made for it.
fn docker_images(archive: &Archive) -> Result<Vec<Packed>, ImageError> {
    let text = archive.bytes("manifest.json", MANIFEST_LIMIT)?;
    let entries: Vec<DockerEntry> =
        serde_json::from_slice(&text).map_err(|error| bad(format!("its manifest.json can't be read: {error}")))?;
    entries.iter().map(|entry| docker_image(archive, entry)).collect()
}

fn docker_image(archive: &Archive, entry: &DockerEntry) -> Result<Packed, ImageError> {
    let config = archive.bytes(&entry.config, CONFIG_LIMIT)?;
    let (mut sections, mut layers) = (Vec::new(), Vec::new());
    for name in entry.layers.iter().flatten() {
        let section = archive.find(name).ok_or_else(|| bad(format!("it lacks `{}`", digest::printable(name))))?;
        let (digest, packing) = archive.digest(section)?;
        layers.push(Manifest::layer_json(&digest, section.size, packing));
        sections.push(section);
    }
    let names = entry.repo_tags.iter().flatten().map(|tag| Reference::parse(tag).map(|reference| reference.to_string()));
    let names = names.collect::<Result<_, _>>()?;
    let manifest = Manifest::json(&digest::of(&config), config.len() as u64, &layers);
    Ok(Packed { manifest, config, names, layers: sections })
}

impl Manifest {
    /// A layer's entry of a manifest that is made here.
    pub(super) fn layer_json(digest: &Digest, size: u64, packing: Packing) -> serde_json::Value {
        let suffix = match packing {
            Packing::Plain => "",
            Packing::Gzip => "+gzip",
            Packing::Zstd => "+zstd",
        };
        json!({ "mediaType": format!("{OCI_LAYER}{suffix}"), "digest": digest, "size": size })
    }

    /// The text of a manifest that is made here.
    pub(super) fn json(config: &Digest, size: u64, layers: &[serde_json::Value]) -> Vec<u8> {
        let value = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": { "mediaType": OCI_CONFIG, "digest": config, "size": size },
            "layers": layers,
        });
        value.to_string().into_bytes()
    }
}
