//! Copying between a container's root and this machine: one side is packed into a tar stream, the other unpacks it.
//!
//! A container's side is reached through a descriptor of its root only, by calls that can't leave it (kernel.md 8); what is
//! written gets a new name first and is then renamed, so that no existing node is ever opened for writing.

mod pack;
mod tree;
mod unpack;

pub use pack::{pack, pack_alone};
pub use tree::{Place, Tree};
pub use unpack::Keep;

use std::io;
use std::path::{Path, PathBuf};

use super::error::CliError;
use unpack::unpack;

/// Copies `source` of one tree to `target` of another, by the rules of `docker cp`.
///
/// # Errors
/// What can't be read or written; a folder onto a file.
pub fn copy(from: &Tree, source: &str, to: &Tree, target: &str, follow: bool, keep: Keep) -> Result<(), CliError> {
    let top = from.source(source, follow)?;
    let (folder, name) = destination(to, target, &top.name, top.is_folder, top.contents)?;
    let (reader, writer) = io::pipe().map_err(|e| CliError::failed(format!("can't make a pipe: {e}")))?;
    std::thread::scope(|scope| {
        let packed = scope.spawn(|| pack(top.fd, &name, io::BufWriter::with_capacity(1 << 16, writer)));
        let unpacked = unpack(io::BufReader::with_capacity(1 << 16, reader), to, &folder, keep);
        // Where the reader failed, the writer's broken pipe is only its echo.
        let packed = packed.join().unwrap_or_else(|_| Err(CliError::failed("the packing thread ended by a panic")));
        unpacked.and(packed)
    })
}

/// Unpacks a tar stream into a folder of a tree.
///
/// # Errors
/// A target that is no folder; as [`unpack`].
pub fn extract(from: impl io::Read, to: &Tree, target: &str, keep: Keep) -> Result<(), CliError> {
    match to.look(Path::new(target))? {
        Place::Folder => unpack(from, to, Path::new(target), keep),
        Place::File => Err(CliError::failed(format!("{target} is no folder: an archive can only be unpacked in one"))),
        Place::Nothing => Err(CliError::failed(format!(
            "the folder {target} is not there: an archive can only be unpacked in a folder"
        ))),
    }
}

/// The folder to unpack in, and the name that the top of the archive gets there (empty: its content goes right in).
fn destination(
    to: &Tree,
    target: &str,
    name: &Path,
    is_folder: bool,
    contents: bool,
) -> Result<(PathBuf, PathBuf), CliError> {
    let path = PathBuf::from(target);
    match to.look(&path)? {
        Place::Folder if contents => Ok((path, PathBuf::new())),
        Place::Folder => Ok((path, name.to_owned())),
        Place::File if is_folder => Err(CliError::failed(format!("can't copy a folder onto the file {target}"))),
        Place::File if target.ends_with('/') => Err(CliError::failed(format!("{target} is no folder"))),
        Place::Nothing if target.ends_with('/') && !is_folder => Err(CliError::with_help(
            format!("the folder {target} is not there"),
            "make it first, or leave the slash away to copy to a file of this name",
        )),
        Place::File | Place::Nothing => {
            let path = if is_folder { path } else { to.landing(&path)? };
            let last = path.file_name().ok_or_else(|| CliError::usage(format!("`{target}` has no name in it")))?;
            let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
            match to.look(above)? {
                Place::Folder => Ok((above.to_owned(), last.into())),
                _ => Err(CliError::failed(format!("the folder {} is not there", above.display()))),
            }
        }
    }
}

/// An error about a path.
fn about<E: Into<io::Error>>(what: &str, path: &Path) -> impl Fn(E) -> CliError {
    let text = format!("can't {what} {}", path.display());
    move |error| CliError::failed(format!("{text}: {}", error.into()))
}

#[cfg(test)]
mod tests;
