//! Compressing files that are no longer written, beside the writer: it takes longer than a ring of 1 MiB lasts.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::Error;
use super::files::{Numbered, keep_last, list};
use crate::host::process::trim;

/// What is being made; it gets its name when it is whole.
const UNFINISHED: &str = ".gz.part";

/// Compresses all files below `number`, in a thread of its own. What can't be is left as it is, which costs space only.
/// Only the last `kept` files stay: the writer may have removed one while it was being compressed.
pub(super) fn start(dir: &Path, number: u64, kept: u32) {
    let dir = dir.to_owned();
    let work = move || {
        for file in list(&dir).unwrap_or_default() {
            if file.number < number && !file.compressed && compress(&dir, file.number).is_err() {
                let _ = fs::remove_file(unfinished(&dir, file.number));
            }
        }
        keep_last(&dir, kept);
        trim();
    };
    // Without a thread it happens at the next rotation.
    let _ = std::thread::Builder::new().name("log-gzip".into()).stack_size(256 << 10).spawn(work);
}

/// Removes what a compressor that was killed left.
pub(super) fn tidy(dir: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(dir).map_err(|source| Error::file("read", dir, source))?.flatten() {
        if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|source| Error::file("remove", &path, source))?;
        }
    }
    Ok(())
}

fn compress(dir: &Path, number: u64) -> io::Result<()> {
    let (plain, whole) = (Numbered { number, compressed: false }, Numbered { number, compressed: true });
    let part = unfinished(dir, number);
    let mut from = BufReader::with_capacity(64 << 10, File::open(plain.path(dir))?);
    let part_file = match create(&part) {
        // Files that fill faster than they are compressed have several compressors: another one is at this file.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    };
    let mut to = GzEncoder::new(part_file, Compression::fast());
    io::copy(&mut from, &mut to)?;
    to.finish()?.sync_data()?;
    fs::rename(&part, whole.path(dir))?;
    // A reader that has it open reads on.
    fs::remove_file(plain.path(dir))
}

/// For the same eyes as the file that it replaces.
fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o640).open(path)
}

fn unfinished(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.log{UNFINISHED}"))
}
