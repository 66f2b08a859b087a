//! All that the passes ask of the file system; everything else in `compose` is a function of its arguments.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Larger files are not compose files, env files or label files; `/dev/zero` is none either.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The text of a file, pipes too. The error says why it cannot be had.
pub fn read(path: &Path) -> Result<String, String> {
    String::from_utf8(bytes(path)?).map_err(|_| "it is not UTF-8 text".to_owned())
}

/// The text of a file of YAML, which may be UTF-16 too, if it begins with its mark.
pub fn read_yaml(path: &Path) -> Result<String, String> {
    let bytes = bytes(path)?;
    let little = match &bytes[..] {
        [0xff, 0xfe, ..] => true,
        [0xfe, 0xff, ..] => false,
        _ => return String::from_utf8(bytes).map_err(|_| "it is neither UTF-8 nor UTF-16 text".to_owned()),
    };
    let (pairs, odd) = bytes[2..].as_chunks();
    let unit = |pair: &[u8; 2]| if little { u16::from_le_bytes(*pair) } else { u16::from_be_bytes(*pair) };
    let text: Result<String, _> = char::decode_utf16(pairs.iter().map(unit)).collect();
    text.ok().filter(|_| odd.is_empty()).ok_or_else(|| "it begins as UTF-16 text and is none".to_owned())
}

/// What pipes have held, by device and inode: it comes once, and a command may read its files more than once.
static PIPES: Mutex<BTreeMap<(u64, u64), Vec<u8>>> = Mutex::new(BTreeMap::new());

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = path.metadata().map_err(|error| error.to_string())?;
    if metadata.is_file() || metadata.is_dir() {
        return whole(path);
    }
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    match pipes.entry((metadata.dev(), metadata.ino())) {
        Entry::Occupied(known) => Ok(known.get().clone()),
        Entry::Vacant(new) => Ok(new.insert(whole(path)?).clone()),
    }
}

fn whole(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is larger than 64 MiB".to_owned());
    }
    Ok(bytes)
}

/// Is there a folder?
pub fn is_folder(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Is there anything that can be read as a file? Pipes count.
pub fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| !metadata.is_dir())
}

/// The path without symbolic links, of as much of it as exists.
pub fn real_path(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        let real = std::fs::canonicalize(above).ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    })
}
