//! All that the passes ask of the file system; everything else in `compose` is a function of its arguments.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Larger files are not compose files, env files or label files; `/dev/zero` is none either.
const LARGEST: u64 = 64 * 1024 * 1024;

/// The text of a file, pipes too. The error says why it cannot be had.
pub fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is larger than 64 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
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
