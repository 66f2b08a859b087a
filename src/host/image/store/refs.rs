//! Which name means which image.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Store, record};
use crate::desired::ResolvedImage;
use crate::host::image::config::Config;
use crate::host::image::manifest::{self, Document, Manifest};
use crate::host::image::platform::Platform;
use crate::host::image::reference::Reference;
use crate::host::image::{ImageError, digest};
use crate::name::Digest;

/// A name (or none), and the image that it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct Ref {
    /// Canonical: `docker.io/library/redis:7`; `None`: the name has moved on to another image.
    pub name: Option<String>,
    /// `linux/amd64`; empty: the image does not say.
    pub platform: String,
    /// Digest of the config.
    pub id: Digest,
    /// Digest of the platform's manifest.
    pub manifest: Digest,
    /// Digest of what the registry had under the name: the manifest, or an index above it.
    pub source: Digest,
    /// When the registry last said so, seconds since 1970.
    pub pulled_at: u64,
}

impl Ref {
    fn key(&self) -> String {
        let text = match &self.name {
            Some(name) => format!("{name}\n{}", self.platform),
            None => format!("\n{}", self.id),
        };
        digest::of(text.as_bytes()).hex()[..32].to_owned()
    }
}

/// Seconds since 1970.
pub(in super::super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Store {
    /// All refs, in the order of their names.
    pub(in super::super) fn refs(&self) -> Vec<Ref> {
        self.read_all("refs")
    }

    /// Images whose layers are still to come.
    pub(in super::super) fn pending(&self) -> Vec<Ref> {
        self.read_all("pending")
    }

    fn read_all(&self, folder: &str) -> Vec<Ref> {
        let Ok(entries) = std::fs::read_dir(self.path(folder)) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        let records = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let mut all: Vec<Ref> = records.filter_map(|path| record::read(&path)).collect();
        all.sort_by(|a, b| (&a.name, &a.platform, &a.id).cmp(&(&b.name, &b.platform, &b.id)));
        all
    }

    pub(super) fn ref_path(&self, folder: &str, entry: &Ref) -> PathBuf {
        self.path(folder).join(entry.key() + ".json")
    }

    fn write_ref(&self, folder: &str, entry: &Ref) -> Result<(), ImageError> {
        let path = self.ref_path(folder, entry);
        let bytes = record::encode(entry, &path)?;
        self.write_file(&path, &bytes)
    }

    pub(super) fn remove_ref(&self, folder: &str, entry: &Ref) -> Result<(), ImageError> {
        remove_file(&self.ref_path(folder, entry))
    }

    /// Remembers an image whose layers are still to come.
    pub(in super::super) fn remember(&self, entry: &Ref) -> Result<(), ImageError> {
        self.write_ref("pending", entry)
    }

    /// Gives an image of the store one more name.
    ///
    /// # Errors
    /// [`ImageError::NoSuchImage`]; when `new` can't be read, or has a digest.
    pub fn tag(&self, name: &str, new: &str) -> Result<(), ImageError> {
        let reference = Reference::parse(new)?;
        if reference.digest.is_some() {
            let reason = "a new name can't have a digest".to_owned();
            return Err(ImageError::BadReference { text: digest::printable(new), reason });
        }
        let found = self.find(name)?;
        if found.is_empty() {
            return Err(ImageError::NoSuchImage { name: name.to_owned() });
        }
        for entry in found {
            self.promote(&Ref { name: Some(reference.to_string()), ..entry })?;
        }
        Ok(())
    }

    /// Makes a name mean an image whose layers are all there. The image that had the name keeps a record without one.
    pub(in super::super) fn promote(&self, entry: &Ref) -> Result<(), ImageError> {
        let _lock = self.lock()?;
        let refs = self.refs();
        let before = refs.iter().find(|old| old.name == entry.name && old.platform == entry.platform);
        let orphan = before
            .filter(|old| old.id != entry.id && !refs.iter().any(|other| other.id == old.id && other.name != old.name));
        if let Some(old) = orphan {
            self.write_ref("refs", &Ref { name: None, ..old.clone() })?;
        }
        self.write_ref("refs", entry)?;
        let nameless = Ref { name: None, ..entry.clone() };
        if entry.name.is_some() {
            self.remove_ref("refs", &nameless)?;
        }
        self.remove_ref("pending", entry)
    }

    /// The refs that a user's word may mean: a name, `name@digest`, an id, or the beginning of one.
    pub(in super::super) fn find(&self, text: &str) -> Result<Vec<Ref>, ImageError> {
        Self::pick(self.refs(), text)
    }

    pub(in super::super) fn pick(refs: Vec<Ref>, text: &str) -> Result<Vec<Ref>, ImageError> {
        if let Ok(id) = digest::parse(text) {
            return Ok(refs.into_iter().filter(|entry| entry.id == id).collect());
        }
        let reference = Reference::parse(text);
        if let Ok(reference) = &reference {
            let named: Vec<Ref> = refs.iter().filter(|entry| means(entry, reference)).cloned().collect();
            if !named.is_empty() {
                return Ok(named);
            }
        }
        if text.len() >= 4 && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let begun: Vec<Ref> = refs.into_iter().filter(|entry| entry.id.hex().starts_with(text)).collect();
            let mut ids: Vec<String> = begun.iter().map(|entry| entry.id.hex()[..16].to_owned()).collect();
            ids.dedup();
            return if ids.len() > 1 { Err(ImageError::Ambiguous { name: text.to_owned(), ids }) } else { Ok(begun) };
        }
        reference.map(|_| Vec::new())
    }

    /// The image of that name for that platform (`None`: this machine's), if its manifest and config are here. Whether its
    /// layers are, too, says [`Store::layers_present`].
    ///
    /// # Errors
    /// If `name` or `platform` can't be read.
    pub fn local(&self, name: &str, platform: Option<&str>) -> Result<Option<ResolvedImage>, ImageError> {
        Ok(self.local_ref(name, platform)?.map(|(_, image)| image))
    }

    /// As [`Store::local`], with its ref.
    pub(in super::super) fn local_ref(
        &self,
        name: &str,
        platform: Option<&str>,
    ) -> Result<Option<(Ref, ResolvedImage)>, ImageError> {
        let wanted = platform.map_or_else(|| Ok(Platform::host()), Platform::parse)?;
        let fits = |entry: &Ref| match entry.platform.as_str() {
            "" => Some(1000),
            text => wanted.fit(&Platform::parse(text).ok()?),
        };
        let mut found: Vec<(u32, Ref)> =
            self.find(name)?.into_iter().filter_map(|entry| Some((fits(&entry)?, entry))).collect();
        found.sort_by_key(|(fit, entry)| (*fit, std::cmp::Reverse(entry.pulled_at)));
        for (_, entry) in found {
            if let Some(image) = self.stored(name, &entry) {
                return Ok(Some((entry, image)));
            }
        }
        Ok(None)
    }

    /// Reads the image of a ref; `None`: its manifest or config is not there or damaged.
    pub(in super::super) fn stored(&self, name: &str, entry: &Ref) -> Option<ResolvedImage> {
        let (_, config) = self.stored_parts(&entry.manifest)?;
        Some(config.resolved(name, &entry.id, &entry.manifest))
    }

    /// Manifest and config of a stored image.
    pub(in super::super) fn stored_parts(&self, digest: &Digest) -> Option<(Manifest, Config)> {
        let bytes = self.read_blob(digest)?;
        let Ok(Document::Manifest(manifest)) = manifest::parse(&bytes, None, "a stored manifest") else { return None };
        let config = self.read_blob(&manifest.config.digest)?;
        let config = Config::parse(&config, manifest.layers.len(), "a stored config").ok()?;
        Some((manifest, config))
    }
}

fn means(entry: &Ref, reference: &Reference) -> bool {
    match (&entry.name, &reference.digest) {
        (Some(name), None) => *name == reference.to_string(),
        (None, None) => false,
        (name, Some(digest)) => {
            // An image whose name has moved on goes by its digest alone: that names its content.
            let known = name.as_deref().map(Reference::parse);
            let same_repository = known.is_none_or(|known| known.is_ok_and(|known| known.name() == reference.name()));
            same_repository && (entry.manifest == *digest || entry.source == *digest)
        }
    }
}

pub(super) fn remove_file(path: &Path) -> Result<(), ImageError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(ImageError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
