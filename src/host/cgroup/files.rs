//! Reading and writing the small files of the cgroup file system.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{Error, Result};

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::file("read", path, source))
}

/// Writes a value in one write(2), as the kernel wants it. The file is not created: a missing one is `NotFound`.
pub(super) fn write(path: &Path, value: &str) -> Result<()> {
    try_write(path, value).map_err(|source| Error::file("write", path, source))
}

/// As [`write`], for callers that look at the error.
pub(super) fn try_write(path: &Path, value: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(path)?, value.as_bytes())
}

/// The first number of a file; `None` where the file is missing, or says `max` or -1.
pub(super) fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}

/// The value of `key` in a file of `key value` lines.
pub(super) fn keyed(path: &Path, key: &str) -> Option<u64> {
    value_of(&fs::read_to_string(path).ok()?, key)
}

/// The value of `key` in a text of `key value` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Makes a folder; one that is there is no error.
pub(super) fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The folders in a folder; none where it is missing.
pub(super) fn folders(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if gone(&error) => return Ok(Vec::new()),
        other => other.map_err(|source| Error::file("read", path, source))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::file("read", path, source))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether the group was removed by somebody: a file of it that is open gives ENODEV.
pub(super) fn gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}
