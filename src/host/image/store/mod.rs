//! The image store on disk.
//!
//! ```text
//!  images/blobs/sha256/<hex>   manifests and configs, whole and verified
//!  images/partial/<hex>        layers on their way, kept over failures; whoever fetches one holds an flock on it
//!  images/refs/<key>.json      one record per name and platform (or per image without a name): manifest, id, when pulled
//!  images/pending/<key>.json   the same for images whose layers are still to come; becomes a ref when all are there
//!  images/layers/<chain id>/   fs: what overlayfs mounts; diff.json: what it was made from. Published by one rename
//!  images/tmp/                 being made or being removed; a folder here whose flock can be had is nobody's
//!  images/lock                 flock of those who write refs or remove
//! ```

mod layers;
mod list;
mod record;
mod refs;
mod remove;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

pub(super) use layers::{LayerRecord, Stage};
pub use list::{ImageDetails, ImageSummary};
pub(super) use refs::{Ref, now};
pub use remove::{Removal, Removed};

use super::{ImageError, digest};
use crate::name::Digest;

/// Layers that are fetched at the same time, over all images.
const PARALLEL: usize = 6;

/// The images of this machine. Cheap to clone; several processes may use one folder.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `<state root>/images`.
    root: PathBuf,
    permits: Arc<Semaphore>,
    counter: AtomicU64,
}

impl Store {
    /// Opens the store below a state root; makes its folders (mode 0700) where they are missing.
    ///
    /// # Errors
    /// [`ImageError::Io`].
    pub fn open(root: &Path) -> Result<Self, ImageError> {
        let root = root.join("images");
        for folder in ["blobs/sha256", "partial", "refs", "pending", "layers", "tmp"] {
            let path = root.join(folder);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(ImageError::io("make", &path))?;
        }
        let inner = Inner { root, permits: Arc::new(Semaphore::new(PARALLEL)), counter: AtomicU64::new(0) };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.inner.root.join(below)
    }

    pub(super) fn permits(&self) -> Arc<Semaphore> {
        self.inner.permits.clone()
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path("blobs/sha256").join(digest.hex())
    }

    /// A name in `tmp` that nobody else has.
    pub(super) fn temporary(&self, what: &str) -> PathBuf {
        let number = self.inner.counter.fetch_add(1, Ordering::Relaxed);
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.path("tmp").join(format!("{what}-{}-{nanos:x}-{number}", std::process::id()))
    }

    /// Writes a blob that is already verified.
    pub(super) fn write_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), ImageError> {
        self.write_file(&self.blob_path(digest), bytes)
    }

    /// Reads a blob and verifies it; `None`: not there, or damaged (then it is removed, to be fetched again).
    pub(super) fn read_blob(&self, digest: &Digest) -> Option<Vec<u8>> {
        let path = self.blob_path(digest);
        let bytes = std::fs::read(&path).ok()?;
        if digest::of(&bytes) == *digest {
            return Some(bytes);
        }
        tracing::warn!(path = %path.display(), "a damaged file in the image store was removed");
        // Gone already, or it can't be: either way it is not used.
        let _ = std::fs::remove_file(&path);
        None
    }

    /// Writes a file whole or not at all: temporary name, sync, rename, sync of the folder.
    pub(super) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), ImageError> {
        let temporary = self.temporary("file");
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(|error| {
            // The error at hand is the one to tell.
            let _ = std::fs::remove_file(&temporary);
            self.full_or_io("write", path, bytes.len() as u64, error)
        })
    }

    /// Waits for the store's lock; it is free again when the file is dropped.
    pub(super) fn lock(&self) -> Result<File, ImageError> {
        let path = self.path("lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        open.and_then(|file| file.lock().map(|()| file)).map_err(ImageError::io("lock", &path))
    }

    /// Bytes that are free where the store is.
    pub(super) fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.inner.root).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    pub(super) fn full(&self, what: &str, needed: u64) -> ImageError {
        ImageError::DiskFull { what: what.to_owned(), path: self.inner.root.clone(), needed, free: self.free() }
    }

    pub(super) fn full_or_io(
        &self,
        operation: &'static str,
        path: &Path,
        needed: u64,
        error: std::io::Error,
    ) -> ImageError {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => self.full("a file", needed),
            _ => ImageError::io(operation, path)(error),
        }
    }
}
