//! Layers on disk: made in a folder of `tmp`, published by one rename.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Store, record};
use crate::desired::ImageSpec;
use crate::host::image::ImageError;
use crate::host::image::unpack::tree::remove_tree;
use crate::name::Digest;

/// What a layer was made from (`diff.json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct LayerRecord {
    pub diff: Digest,
    pub chain: Digest,
    /// Digest of the blob that it came in.
    pub blob: Digest,
    /// Bytes of its tar.
    pub size: u64,
    /// Members of its tar.
    pub entries: u64,
    /// Device nodes of its tar, which were left out.
    pub devices: u64,
}

/// A layer that is being made; removed again unless it is published.
#[derive(Debug)]
pub(in super::super) struct Stage {
    path: PathBuf,
    /// Locked: somebody is at work here.
    folder: File,
}

impl Stage {
    pub(in super::super) fn new(store: &Store) -> Result<Self, ImageError> {
        let path = store.temporary("layer");
        let make = || -> std::io::Result<File> {
            std::fs::create_dir(&path)?;
            let folder = File::open(&path)?;
            folder.lock()?;
            // What a layer without a member for its root shows.
            std::fs::create_dir(path.join("fs"))?;
            rustix::fs::chmod(path.join("fs"), rustix::fs::Mode::from_raw_mode(0o755))?;
            Ok(folder)
        };
        let folder = make().map_err(|error| store.full_or_io("make", &path, 4096, error))?;
        Ok(Self { path, folder })
    }

    pub(in super::super) fn fs(&self) -> PathBuf {
        self.path.join("fs")
    }

    /// Writes all to disk, then makes it visible. Another process may have been faster: then its layer stays.
    pub(in super::super) fn publish(self, store: &Store, layer: &LayerRecord) -> Result<(), ImageError> {
        let target = store.layer_folder(&layer.chain);
        let path = self.path.join("diff.json");
        let bytes = record::encode(layer, &path)?;
        std::fs::write(&path, bytes).map_err(|error| store.full_or_io("write", &path, 4096, error))?;
        // One call for thousands of files; without it a power cut would leave a published layer with empty files.
        rustix::fs::syncfs(&self.folder)
            .map_err(|error| store.full_or_io("sync", &self.path, layer.size, error.into()))?;
        let _lock = store.lock()?;
        if store.layer_present(&layer.chain) {
            return Ok(());
        }
        if target.exists() {
            store.discard(&target)?;
        }
        std::fs::rename(&self.path, &target).map_err(ImageError::io("publish", &target))?;
        let parent = store.path("layers");
        File::open(&parent).and_then(|folder| folder.sync_all()).map_err(ImageError::io("sync", &parent))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // After a publish nothing has this name. A failure leaves rubbish that the next sweep takes.
        let _ = remove(&self.path);
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = File::open(parent)?;
    Ok(remove_tree(parent.as_fd(), name.as_encoded_bytes())?)
}

impl Store {
    /// The folder of a layer that overlayfs mounts.
    pub fn layer_path(&self, chain: &Digest) -> PathBuf {
        self.layer_folder(chain).join("fs")
    }

    pub(super) fn layer_folder(&self, chain: &Digest) -> PathBuf {
        self.path("layers").join(chain.hex())
    }

    /// Whether a layer is there, whole.
    pub(in super::super) fn layer_present(&self, chain: &Digest) -> bool {
        let folder = self.layer_folder(chain);
        folder.join("diff.json").is_file() && folder.join("fs").is_dir()
    }

    pub(super) fn layer_record(&self, chain: &Digest) -> Option<LayerRecord> {
        record::read(&self.layer_folder(chain).join("diff.json"))
    }

    /// Whether all layers of an image are there.
    pub fn layers_present(&self, image: &ImageSpec) -> bool {
        image.layers.iter().all(|chain| self.layer_present(chain))
    }

    /// Takes a folder away at once, and then its content. The store's lock must be held where others could see it.
    pub(super) fn discard(&self, path: &Path) -> Result<(), ImageError> {
        let rubbish = self.temporary("removed");
        match std::fs::rename(path, &rubbish) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(ImageError::io("remove", path))?,
        }
        remove(&rubbish).map_err(ImageError::io("remove", &rubbish))
    }

    /// Removes what processes that are gone have left in `tmp`.
    pub(in super::super) fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(self.path("tmp")) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let Ok(node) = File::open(&path) else { continue };
            let old = node.metadata().and_then(|meta| meta.modified()).is_ok_and(|time| {
                // A file of this moment may not be locked yet.
                time.elapsed().is_ok_and(|age| age.as_secs() > 60)
            });
            if old && node.try_lock().is_ok() {
                // What can't be removed now is tried again next time.
                let _ = remove(&path);
            }
        }
    }
}
