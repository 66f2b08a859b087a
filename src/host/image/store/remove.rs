//! Names, images and layers go when nobody needs them.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::{Ref, Store, refs};
use crate::host::image::reference::Reference;
use crate::host::image::{ImageError, digest};
use crate::name::Digest;

/// Manifests of images that were resolved but never fetched are kept so long.
const PENDING: u64 = 24 * 3600;
/// So are layers that arrived in part.
const PARTIAL: u64 = 7 * 24 * 3600;

/// What is removed by [`Store::prune`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Images without a name that no container uses.
    Nameless,
    /// All images that no container uses.
    Unused,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Names that no longer mean anything, as people write them.
    pub untagged: Vec<String>,
    /// Ids of images that are gone.
    pub deleted: Vec<Digest>,
    /// Bytes of the layers that went.
    pub bytes: u64,
}

impl Store {
    /// Takes a name away, and the image with it if that was its last one. By id: all names. `in_use`: ids of images that
    /// containers are made of; with `force` such an image loses its name, but keeps its layers.
    ///
    /// # Errors
    /// [`ImageError::NoSuchImage`], [`ImageError::InUse`].
    pub fn remove(&self, name: &str, in_use: &BTreeSet<Digest>, force: bool) -> Result<Removed, ImageError> {
        let _lock = self.lock()?;
        let going = self.find(name)?;
        let Some(first) = going.first() else { return Err(ImageError::NoSuchImage { name: name.to_owned() }) };
        let staying = self.refs().into_iter().filter(|entry| !going.contains(entry));
        let is_last = !staying.into_iter().any(|entry| entry.id == first.id);
        if is_last && !force && going.iter().any(|entry| in_use.contains(&entry.id)) {
            return Err(ImageError::InUse { name: name.to_owned() });
        }
        self.take_away(&going, in_use)
    }

    /// Removes images that nobody uses, half-fetched layers that nobody came back for, and what crashes left.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn prune(&self, what: Removal, in_use: &BTreeSet<Digest>) -> Result<Removed, ImageError> {
        self.sweep();
        let _lock = self.lock()?;
        let unused = self.refs().into_iter().filter(|entry| !in_use.contains(&entry.id));
        let going: Vec<Ref> = unused.filter(|entry| what == Removal::Unused || entry.name.is_none()).collect();
        let limit = refs::now().saturating_sub(PENDING);
        for entry in self.pending().iter().filter(|entry| entry.pulled_at < limit && !in_use.contains(&entry.id)) {
            self.remove_ref("pending", entry)?;
        }
        self.drop_partials()?;
        self.take_away(&going, in_use)
    }

    /// Removes refs, then all that no ref and no container needs any more.
    fn take_away(&self, going: &[Ref], in_use: &BTreeSet<Digest>) -> Result<Removed, ImageError> {
        let mut removed = Removed::default();
        for entry in going {
            self.remove_ref("refs", entry)?;
            let familiar = entry.name.as_deref().and_then(|name| Reference::parse(name).ok());
            removed.untagged.extend(familiar.map(|reference| reference.familiar()));
        }
        let left: BTreeSet<Digest> = self.refs().into_iter().map(|entry| entry.id).collect();
        // A container's image without a name stays findable, so that it goes when the container has gone.
        for entry in going.iter().filter(|entry| in_use.contains(&entry.id) && !left.contains(&entry.id)) {
            let nameless = Ref { name: None, ..entry.clone() };
            let path = self.ref_path("refs", &nameless);
            self.write_file(&path, &super::record::encode(&nameless, &path)?)?;
        }
        let gone: BTreeSet<&Digest> = going.iter().map(|entry| &entry.id).collect();
        let gone = gone.into_iter().filter(|id| !left.contains(*id) && !in_use.contains(*id));
        removed.deleted = gone.cloned().collect();
        removed.bytes = self.collect(going, in_use)?;
        Ok(removed)
    }

    /// Removes layers and blobs that nothing needs, at once those that were needed by what has just gone. Bytes of the layers.
    fn collect(&self, going: &[Ref], in_use: &BTreeSet<Digest>) -> Result<u64, ImageError> {
        let mut blobs: BTreeSet<Digest> = in_use.clone();
        let mut layers: BTreeSet<Digest> = BTreeSet::new();
        for entry in self.refs().into_iter().chain(self.pending()) {
            blobs.extend([entry.id.clone(), entry.manifest.clone()]);
            if let Some((_, config)) = self.stored_parts(&entry.manifest) {
                layers.extend(digest::chains(&config.diffs));
            } else if self.read_blob(&entry.id).is_some() {
                layers.extend(self.chains_of(&entry.id));
            }
        }
        for id in in_use {
            layers.extend(self.chains_of(id));
        }
        let mut bytes = 0;
        for hex in children(&self.path("layers")) {
            let chain = Digest::new(format!("sha256:{hex}"));
            if !layers.contains(&chain) {
                bytes += self.layer_record(&chain).map_or(0, |record| record.size);
                self.discard(&self.layer_folder(&chain))?;
            }
        }
        for hex in children(&self.path("blobs/sha256")) {
            let blob = Digest::new(format!("sha256:{hex}"));
            let was_needed = going.iter().any(|entry| entry.id == blob || entry.manifest == blob);
            if !blobs.contains(&blob) && (was_needed || !is_new(&self.blob_path(&blob))) {
                refs::remove_file(&self.blob_path(&blob))?;
            }
        }
        Ok(bytes)
    }

    /// The layers of an image of which only the config is known to be there.
    fn chains_of(&self, id: &Digest) -> Vec<Digest> {
        let Some(bytes) = self.read_blob(id) else { return Vec::new() };
        let config: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let texts = config.pointer("/rootfs/diff_ids").and_then(|ids| ids.as_array()).cloned().unwrap_or_default();
        let diffs: Vec<Digest> = texts.iter().filter_map(|text| digest::parse(text.as_str()?).ok()).collect();
        digest::chains(&diffs)
    }

    /// Removes old partial layers that nobody is fetching.
    fn drop_partials(&self) -> Result<(), ImageError> {
        for name in children(&self.path("partial")) {
            let path = self.path("partial").join(name);
            let Ok(file) = std::fs::File::open(&path) else { continue };
            let age = file.metadata().and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
            if age.is_some_and(|age| age.as_secs() > PARTIAL) && file.try_lock().is_ok() {
                refs::remove_file(&path)?;
            }
        }
        Ok(())
    }
}

/// Whoever resolves an image just now has not written its record yet.
fn is_new(path: &Path) -> bool {
    let age = std::fs::metadata(path).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_none_or(|age| age.as_secs() < 600)
}

fn children(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
