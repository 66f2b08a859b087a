//! Manifests and indexes, OCI and Docker schema 2, read strictly: what is not understood is refused, not guessed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::platform::Platform;
use super::{ImageError, digest};
use crate::name::Digest;

pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What a manifest request accepts.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Overlayfs takes 500 lower layers; docker makes at most 127.
const LAYERS: usize = 500;
/// Entries of an index.
const ENTRIES: usize = 1000;
/// Bytes of a config.
pub(super) const CONFIG_LIMIT: u64 = 8 << 20;

/// How a layer's tar is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A pointer to a blob, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub digest: Digest,
    pub size: u64,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub blob: Descriptor,
    pub packing: Packing,
}

/// The manifest of an image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub config: Descriptor,
    pub layers: Vec<Layer>,
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub target: Descriptor,
    /// `None`: not said.
    pub platform: Option<Platform>,
    pub annotations: BTreeMap<String, String>,
}

/// What a manifest request may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Index(Vec<Entry>),
    Manifest(Manifest),
}

/// A manifest or an index as it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Raw {
    schema_version: Option<u64>,
    media_type: Option<String>,
    pub artifact_type: Option<String>,
    pub config: Option<RawDescriptor>,
    pub layers: Option<Vec<RawDescriptor>>,
    pub manifests: Option<Vec<RawDescriptor>>,
}

/// A pointer to a blob as it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawDescriptor {
    #[serde(default)]
    pub media_type: String,
    pub artifact_type: Option<String>,
    pub digest: String,
    size: i64,
    platform: Option<RawPlatform>,
    pub annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

/// Reads a manifest or an index; `what` names it in messages, `sent_as` is the registry's Content-Type.
pub(super) fn parse(bytes: &[u8], sent_as: Option<&str>, what: &str) -> Result<Document, ImageError> {
    let (raw, is_index) = read(bytes, sent_as, what)?;
    if is_index {
        return Ok(Document::Index(entries(raw.manifests.unwrap_or_default(), what)?));
    }
    let bad = |reason: &str| ImageError::BadManifest { what: what.to_owned(), reason: reason.to_owned() };
    let config = raw.config.ok_or_else(|| bad("it names no config"))?;
    manifest(config, raw.layers.unwrap_or_default(), what).map(Document::Manifest)
}

/// As [`parse`], whatever it is the manifest of; and whether it is an index.
pub(super) fn read(bytes: &[u8], sent_as: Option<&str>, what: &str) -> Result<(Raw, bool), ImageError> {
    let bad = |reason: String| ImageError::BadManifest { what: what.to_owned(), reason };
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| bad(format!("it is no valid manifest: {error}")))?;
    match raw.schema_version {
        Some(2) => {}
        Some(1) => {
            return Err(bad("it has Docker's schema 1, which is no longer supported: push the image anew".into()));
        }
        _ => return Err(bad("it has no schemaVersion 2".into())),
    }
    let sent_as = sent_as.map(|text| text.split(';').next().unwrap_or_default().trim());
    // Content that could be read both ways is an attack on whoever checks it one way (CVE-2021-41190).
    let index = match (&raw.manifests, raw.layers.is_some() || raw.config.is_some()) {
        (Some(_), false) => true,
        (None, true) => false,
        (Some(_), true) => return Err(bad("it is both an index and a manifest".into())),
        (None, false) => return Err(bad("it is neither an index nor a manifest".into())),
    };
    for kind in [raw.media_type.as_deref(), sent_as.filter(|kind| is_manifest_type(kind))].into_iter().flatten() {
        let expected: &[&str] = if index { &[OCI_INDEX, DOCKER_LIST] } else { &[OCI_MANIFEST, DOCKER_MANIFEST] };
        if !expected.contains(&kind) {
            return Err(bad(format!("its content is not of its media type `{}`", digest::printable(kind))));
        }
    }
    Ok((raw, index))
}

fn is_manifest_type(kind: &str) -> bool {
    [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST].contains(&kind)
}

pub(super) fn descriptor(raw: &RawDescriptor, what: &str) -> Result<Descriptor, ImageError> {
    let size = u64::try_from(raw.size).map_err(|_| ImageError::BadManifest {
        what: what.to_owned(),
        reason: format!("it names a blob of {} bytes", raw.size),
    })?;
    Ok(Descriptor { digest: digest::parse(&raw.digest)?, size })
}

/// Entries of other kinds (attestations' platform is `unknown`) stay: nothing asks for them.
fn entries(raw: Vec<RawDescriptor>, what: &str) -> Result<Vec<Entry>, ImageError> {
    if raw.len() > ENTRIES {
        let reason = format!("it has {} entries, more than {ENTRIES}", raw.len());
        return Err(ImageError::BadManifest { what: what.to_owned(), reason });
    }
    let known = |entry: &RawDescriptor| entry.media_type.is_empty() || is_manifest_type(&entry.media_type);
    raw.into_iter()
        .filter(known)
        .map(|entry| {
            let platform = entry.platform.as_ref().map(|platform| {
                Platform::new(&platform.os, &platform.architecture, platform.variant.as_deref().unwrap_or_default())
            });
            let target = descriptor(&entry, what)?;
            Ok(Entry { target, platform, annotations: entry.annotations.unwrap_or_default() })
        })
        .collect()
}

fn manifest(config: RawDescriptor, layers: Vec<RawDescriptor>, what: &str) -> Result<Manifest, ImageError> {
    let bad = |reason: String| ImageError::BadManifest { what: what.to_owned(), reason };
    if ![OCI_CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        let kind = digest::printable(&config.media_type);
        return Err(bad(format!("it is no container image but an artifact (its config is of type `{kind}`)")));
    }
    if layers.len() > LAYERS {
        return Err(bad(format!("it has {} layers, more than {LAYERS}", layers.len())));
    }
    let config = descriptor(&config, what)?;
    if config.size > CONFIG_LIMIT {
        return Err(bad(format!("its config has {} bytes, more than {CONFIG_LIMIT}", config.size)));
    }
    let layers = layers
        .iter()
        .map(|raw| {
            let packing = packing(&raw.media_type).ok_or_else(|| {
                bad(format!("it has a layer of the unknown type `{}`", digest::printable(&raw.media_type)))
            })?;
            Ok(Layer { blob: descriptor(raw, what)?, packing })
        })
        .collect::<Result<_, ImageError>>()?;
    Ok(Manifest { config, layers })
}

/// The packing that a media type names. Foreign (non-distributable) layers are Windows' and refused.
fn packing(media_type: &str) -> Option<Packing> {
    let (base, suffix) = match media_type.strip_prefix(OCI_LAYER) {
        Some(suffix) => ('+', suffix),
        None => ('.', media_type.strip_prefix(DOCKER_LAYER)?),
    };
    match suffix.strip_prefix(['+', '.']) {
        None if suffix.is_empty() => Some(Packing::Plain),
        Some("gzip") if suffix.starts_with(base) => Some(Packing::Gzip),
        Some("zstd") => Some(Packing::Zstd),
        _ => None,
    }
}

/// The entry of an index that fits `wanted` best. An entry that names no platform is taken if no other fits: its config
/// says what it is, and is looked at.
pub(super) fn choose<'a>(entries: &'a [Entry], wanted: &Platform) -> Option<&'a Entry> {
    let fitting = entries.iter().filter_map(|entry| Some((wanted.fit(entry.platform.as_ref()?)?, entry)));
    // min_by_key takes the first of equals, as the specification asks.
    let best = fitting.min_by_key(|(fit, _)| *fit).map(|(_, entry)| entry);
    best.or_else(|| entries.iter().find(|entry| entry.platform.is_none()))
}

/// The platforms that an index offers, for messages.
pub(super) fn offered(entries: &[Entry]) -> Vec<String> {
    let mut all: Vec<String> = entries
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(|platform| platform.os != "unknown")
        .map(|platform| digest::printable(&platform.to_string()))
        .collect();
    all.sort();
    all.dedup();
    all.truncate(30);
    all
}

#[cfg(test)]
#[path = "tests/manifest.rs"]
mod tests;
