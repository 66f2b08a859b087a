//! Records: everything that windlass remembers of a project, a container, a network, a volume. The one way to write and to
//! read them.
//!
//! A record is a file that is replaced as a whole (temporary name, rename): a line with the version of its layout and the
//! checksum of the rest, then a line of JSON. One that does not fit its checksum is moved aside as `<name>.bad` and named
//! by the error; one that a newer windlass wrote is refused and left alone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::desired::SCHEMA;

/// Why a record can't be had.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It can't be written.
    #[error("cannot write the record {}", path.display())]
    Write {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can't be read.
    #[error("cannot read the record {}", path.display())]
    Read {
        /// The record.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is damaged, and was moved aside.
    #[error("a record was damaged ({reason}) and is now at {}", path.display())]
    Damaged {
        /// Where it is now.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer windlass wrote it.
    #[error("the record {} has schema {schema}: a newer windlass wrote it, use that one", path.display())]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its version.
        schema: u32,
    },
}

impl RecordError {
    /// Whether it is this record that can't be had; else this process lacks what it takes to read any.
    pub fn is_of_record(&self) -> bool {
        let lacking = [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EINTR];
        match self {
            Self::Read { source, .. } => !source.raw_os_error().is_some_and(|code| lacking.contains(&code)),
            Self::Write { .. } => false,
            Self::Damaged { .. } | Self::Newer { .. } => true,
        }
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Header {
    schema: u32,
    sha256: String,
}

/// Whether a record has to be on the disk before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Synced: intent that a power cut must not lose.
    Synced,
    /// Not synced: what is made again, or found, after a power cut. The checksum tells a torn one.
    Lazy,
}

/// Writes a record: temporary name, (sync,) rename.
///
/// # Errors
/// When the file can't be written, for instance for want of space; the old record is then still whole.
pub fn write<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<(), RecordError> {
    let failed = |source| RecordError::Write { path: path.to_owned(), source };
    let body = serde_json::to_vec(value).map_err(|e| failed(e.into()))?;
    let header = Header { schema: SCHEMA, sha256: hex(&Sha256::digest(&body)) };
    let mut text = serde_json::to_vec(&header).map_err(|e| failed(e.into()))?;
    text.push(b'\n');
    text.extend_from_slice(&body);
    text.push(b'\n');
    replace(path, &text, durability).map_err(failed)
}

/// Puts a file in the place of another, whole or not at all; mode 0600.
///
/// # Errors
/// When it can't be written; what was there is then still whole.
pub fn replace(path: &Path, text: &[u8], durability: Durability) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut file = match tempfile::Builder::new().prefix(".new-").tempfile_in(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?
        }
        other => other?,
    };
    file.write_all(text)?;
    if durability == Durability::Synced {
        file.as_file().sync_all()?;
    }
    file.persist(path)?;
    if durability == Durability::Synced {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Reads a record; `None` if there is none.
///
/// # Errors
/// [`RecordError::Damaged`] for a record that is torn or no record at all: it has then been moved aside, and the caller
/// goes on without it. [`RecordError::Newer`] for one that a newer windlass wrote.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, RecordError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(source) => return Err(RecordError::Read { path: path.to_owned(), source }),
    };
    match parse(&text) {
        Ok(value) => Ok(Some(value)),
        Err(Bad::Newer(schema)) => Err(RecordError::Newer { path: path.to_owned(), schema }),
        Err(Bad::Damaged(reason)) => Err(RecordError::Damaged { path: quarantine(path), reason }),
    }
}

enum Bad {
    Newer(u32),
    Damaged(String),
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Bad> {
    let damaged = |reason: &str| Bad::Damaged(reason.to_owned());
    let end = text.iter().position(|b| *b == b'\n').ok_or_else(|| damaged("it has no header line"))?;
    let header: Header = serde_json::from_slice(&text[..end]).map_err(|_| damaged("its header is not one"))?;
    if header.schema > SCHEMA {
        return Err(Bad::Newer(header.schema));
    }
    let body = text[end + 1..].strip_suffix(b"\n").ok_or_else(|| damaged("it is cut short"))?;
    if hex(&Sha256::digest(body)) != header.sha256 {
        return Err(damaged("its checksum does not match"));
    }
    serde_json::from_slice(body).map_err(|e| Bad::Damaged(e.to_string()))
}

/// Moves a bad record aside under a name that nobody reads, and says which. It never stops the rest.
fn quarantine(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bad");
    let aside = PathBuf::from(name);
    match fs::rename(path, &aside) {
        Ok(()) => aside,
        Err(_) => path.to_owned(),
    }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn reads_what_it_wrote() {
        let folder = folder();
        let path = folder.path().join("below").join("record");
        write(&path, &vec!["a", "b"], Durability::Synced).expect("written");
        assert_eq!(read::<Vec<String>>(&path).expect("read"), Some(vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_missing_record_is_none() {
        assert!(read::<u32>(&folder().path().join("none")).expect("read").is_none());
    }

    #[test]
    fn a_damaged_record_is_moved_aside_and_named() {
        let folder = folder();
        let path = folder.path().join("record");
        write(&path, &7, Durability::Lazy).expect("written");
        let mut text = fs::read(&path).expect("there");
        let last = text.len() - 2;
        text[last] = b'8';
        fs::write(&path, text).expect("changed");
        let error = read::<u32>(&path).expect_err("it is damaged");
        assert!(error.to_string().contains("record.bad"), "{error}");
        assert!(read::<u32>(&path).expect("gone").is_none());
    }

    #[test]
    fn a_newer_record_is_left_alone() {
        let folder = folder();
        let path = folder.path().join("record");
        fs::write(&path, "{\"schema\":99,\"sha256\":\"\"}\n7\n").expect("written");
        assert!(matches!(read::<u32>(&path), Err(RecordError::Newer { schema: 99, .. })));
        assert!(path.exists());
    }
}
