//! The part of a blob that has arrived, kept over failures. Who holds its lock fetches it; others wait and share it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::host::image::ImageError;
use crate::host::image::store::Store;
use crate::name::Digest;

/// How often one who waits looks again. Locks of files tell nobody when they come free without holding up a thread.
const LOOK: Duration = Duration::from_millis(100);

/// A partial blob that is ours.
#[derive(Debug)]
pub(in super::super) struct Partial {
    path: PathBuf,
    file: File,
}

impl Partial {
    /// Takes the partial blob of `digest`, or makes an empty one. While another has it, `waiting` is told how many bytes
    /// that one has, and says whether to go on waiting.
    pub(in super::super) async fn take(
        store: &Store,
        digest: &Digest,
        waiting: impl Fn(u64) -> bool,
    ) -> Result<Option<Self>, ImageError> {
        let path = store.path("partial").join(digest.hex());
        loop {
            let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let file = open.map_err(|error| store.full_or_io("create", &path, 4096, error))?;
            match file.try_lock() {
                // The one before us may have removed it between our opening and our lock.
                Ok(()) if same_file(&file, &path) => return Ok(Some(Self { path, file })),
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => {
                    if !waiting(file.metadata().map_or(0, |meta| meta.len())) {
                        return Ok(None);
                    }
                    tokio::time::sleep(LOOK).await;
                }
                Err(std::fs::TryLockError::Error(error)) => return Err(ImageError::io("lock", &path)(error)),
            }
        }
    }

    /// A second handle on the same file, with the same lock: whoever of the two lives longer holds it.
    pub(in super::super) fn handle(&self) -> Result<File, ImageError> {
        self.file.try_clone().map_err(ImageError::io("open", &self.path))
    }

    /// Bytes that are there.
    pub(in super::super) fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }

    /// Throws away what is there.
    pub(in super::super) fn clear(&self) -> Result<(), ImageError> {
        self.file.set_len(0).map_err(ImageError::io("empty", &self.path))
    }

    /// It is not needed any more.
    pub(in super::super) fn remove(self) -> Result<(), ImageError> {
        std::fs::remove_file(&self.path).map_err(ImageError::io("remove", &self.path))
    }
}

fn same_file(file: &File, path: &std::path::Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    }
}
