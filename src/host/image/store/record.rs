//! Small JSON files with a checksum; a damaged one is put aside and named, and stops nobody.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::host::image::{ImageError, digest};
use crate::name::Digest;

/// The version of all records of the store.
const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    schema: u32,
    checksum: Digest,
    #[serde(flatten)]
    record: T,
}

fn checksum(record: &impl Serialize) -> Result<Digest, serde_json::Error> {
    Ok(digest::of(&serde_json::to_vec(record)?))
}

/// The text of a record.
pub(super) fn encode(record: &impl Serialize, path: &Path) -> Result<Vec<u8>, ImageError> {
    let encode = || serde_json::to_vec(&Envelope { schema: SCHEMA, checksum: checksum(record)?, record });
    encode().map_err(|error| ImageError::io("write", path)(error.into()))
}

/// Reads a record. `None`: there is none, or it was damaged and is now put aside as `<name>.bad`.
pub(super) fn read<T: Serialize + DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = std::fs::read(path).ok()?;
    let envelope: Option<Envelope<T>> = serde_json::from_slice(&bytes).ok();
    match envelope {
        Some(envelope) if envelope.schema > SCHEMA => {
            tracing::warn!(path = %path.display(), "a record of a newer windlass is left alone");
            None
        }
        Some(envelope) if checksum(&envelope.record).ok().as_ref() == Some(&envelope.checksum) => Some(envelope.record),
        _ => {
            tracing::warn!(path = %path.display(), "a damaged record was put aside as .bad");
            // If that fails it stays, and is ignored again next time.
            let _ = std::fs::rename(path, path.with_extension("bad"));
            None
        }
    }
}
