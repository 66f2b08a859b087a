//! The numbered files of a folder.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Numbered {
    pub number: u64,
    pub compressed: bool,
}

impl Numbered {
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("{:010}.log{}", self.number, if self.compressed { ".gz" } else { "" }))
    }

    fn parse(name: &str) -> Option<Self> {
        let (digits, rest) = name.split_at_checked(10)?;
        let compressed = match rest {
            ".log" => false,
            ".log.gz" => true,
            _ => return None,
        };
        Some(Self { number: digits.parse().ok()?, compressed })
    }
}

/// All files of a folder in order. Where a file is there both as it was and compressed, the compressing is under way: the
/// first counts.
pub(super) fn list(dir: &Path) -> Result<Vec<Numbered>, Error> {
    let failed = |source| Error::file("read", dir, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        files.extend(entry.map_err(failed)?.file_name().to_str().and_then(Numbered::parse));
    }
    files.sort();
    files.dedup_by_key(|file| file.number);
    Ok(files)
}

/// Removes all files of a folder but the last `kept`, at least one. What can't be removed now is among those of the next time.
pub(super) fn keep_last(dir: &Path, kept: u32) {
    let files = list(dir).unwrap_or_default();
    let kept = usize::try_from(kept.max(1)).unwrap_or(usize::MAX);
    for file in &files[..files.len().saturating_sub(kept)] {
        let _ = fs::remove_file(file.path(dir));
    }
}
