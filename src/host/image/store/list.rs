//! What images there are, and what they are.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::{Ref, Store};
use crate::host::image::ImageError;
use crate::host::image::digest;
use crate::host::image::reference::Reference;
use crate::name::Digest;

/// An image of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageSummary {
    /// Digest of its config.
    pub id: Digest,
    /// Its names, as people write them; none: the name has moved on.
    pub names: Vec<String>,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// `linux/amd64`.
    pub platform: String,
    /// When it was built, as its config says.
    pub created: Option<String>,
    /// Bytes of its unpacked layers; layers that images share count in each.
    pub size: u64,
    /// When a registry last named it, seconds since 1970.
    pub pulled_at: u64,
    /// Whether all layers are there; if not, the next `up` or pull fetches what is missing.
    pub complete: bool,
}

/// An image in the form of `docker image inspect`, and what windlass knows beside that.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
pub struct ImageDetails {
    /// Digest of its config.
    pub id: Digest,
    /// Its names.
    pub repo_tags: Vec<String>,
    /// Its names with the digests that registries gave.
    pub repo_digests: BTreeSet<String>,
    /// When it was built, as its config says.
    pub created: Option<String>,
    /// By whom, as its config says.
    pub author: Option<String>,
    /// `amd64`.
    pub architecture: Option<String>,
    /// `v8`.
    pub variant: Option<String>,
    /// `linux`.
    pub os: Option<String>,
    /// Bytes of its unpacked layers.
    pub size: u64,
    /// What it says of its containers, as the OCI image specification has it.
    pub config: Value,
    /// Its layers.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// Names of its layers in the store.
    pub chains: Vec<String>,
    /// When a registry last named it, seconds since 1970.
    pub pulled_at: u64,
    /// Device nodes in its layers, which were not unpacked.
    pub devices_left_out: u64,
    /// Whether all layers are there.
    pub complete: bool,
}

/// The layers of an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "Type")]
    pub kind: &'static str,
    /// Digests of the layers' archives, unpacked.
    pub layers: Vec<String>,
}

impl Store {
    /// All images, those with names first.
    pub fn list(&self) -> Vec<ImageSummary> {
        let mut images: BTreeMap<Digest, Vec<Ref>> = BTreeMap::new();
        for entry in self.refs() {
            images.entry(entry.id.clone()).or_default().push(entry);
        }
        let mut all: Vec<ImageSummary> = images.values().filter_map(|refs| self.summary(refs)).collect();
        all.sort_by(|a, b| (a.names.is_empty(), &a.names, &a.id).cmp(&(b.names.is_empty(), &b.names, &b.id)));
        all
    }

    fn summary(&self, refs: &[Ref]) -> Option<ImageSummary> {
        let first = refs.first()?;
        let parts = self.stored_parts(&first.manifest);
        let chains = parts.as_ref().map(|(_, config)| digest::chains(&config.diffs)).unwrap_or_default();
        Some(ImageSummary {
            id: first.id.clone(),
            names: names(refs),
            manifest: first.manifest.clone(),
            platform: first.platform.clone(),
            created: parts.as_ref().and_then(|(_, config)| config.created.clone()),
            size: chains.iter().filter_map(|chain| self.layer_record(chain)).map(|record| record.size).sum(),
            pulled_at: refs.iter().map(|entry| entry.pulled_at).max().unwrap_or_default(),
            complete: parts.is_some() && chains.iter().all(|chain| self.layer_present(chain)),
        })
    }

    /// An image in full.
    ///
    /// # Errors
    /// [`ImageError::NoSuchImage`], or if `name` means several.
    pub fn inspect(&self, name: &str) -> Result<ImageDetails, ImageError> {
        let missing = || ImageError::NoSuchImage { name: name.to_owned() };
        let id = self.find(name)?.first().map(|entry| entry.id.clone()).ok_or_else(missing)?;
        let refs: Vec<Ref> = self.refs().into_iter().filter(|entry| entry.id == id).collect();
        let summary = self.summary(&refs).ok_or_else(missing)?;
        let config = self.read_blob(&id).ok_or_else(missing)?;
        let config: Value = serde_json::from_slice(&config).map_err(|_| missing())?;
        let digests: BTreeSet<String> = refs
            .iter()
            .filter_map(|entry| {
                let reference = Reference::parse(entry.name.as_deref()?).ok()?;
                Some(Reference { tag: None, digest: Some(entry.source.clone()), ..reference }.familiar())
            })
            .collect();
        let diffs = config.pointer("/rootfs/diff_ids").cloned().unwrap_or_default();
        let chains = self.stored_parts(&summary.manifest).map(|(_, config)| digest::chains(&config.diffs));
        let layers = chains.iter().flatten().filter_map(|chain| self.layer_record(chain));
        let devices: u64 = layers.map(|record| record.devices).sum();
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(ImageDetails {
            id,
            repo_tags: summary.names,
            repo_digests: digests,
            created: text("created"),
            author: text("author"),
            architecture: text("architecture"),
            variant: text("variant"),
            os: text("os"),
            size: summary.size,
            config: config.get("config").cloned().unwrap_or_default(),
            root_fs: RootFs { kind: "layers", layers: serde_json::from_value(diffs).unwrap_or_default() },
            manifest: summary.manifest,
            chains: chains.unwrap_or_default().iter().map(ToString::to_string).collect(),
            pulled_at: summary.pulled_at,
            devices_left_out: devices,
            complete: summary.complete,
        })
    }
}

/// The names of refs as people write them.
pub(super) fn names(refs: &[Ref]) -> Vec<String> {
    let named = refs.iter().filter_map(|entry| entry.name.as_deref());
    let familiar = named.filter_map(|name| Reference::parse(name).ok()).map(|reference| reference.familiar());
    familiar.collect::<BTreeSet<_>>().into_iter().collect()
}
