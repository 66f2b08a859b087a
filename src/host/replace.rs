//! Putting something in a place where readers may look at any moment: it is made beside the place under a temporary name,
//! and renamed. No reader sees a part of it, and no node that is there is ever opened for writing: it may be a device, a
//! FIFO, or a symlink that a container has set (kernel.md 8).

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, renameat, unlinkat};
use rustix::io::Errno;

use super::container::inroot;

/// Makes a node by `make`, which is given its temporary name, and puts it in the place of `name` in `folder`.
///
/// # Errors
/// `make`'s own; of rename(2); EBUSY where something is mounted on `name`: seen from another mount namespace the rename
/// would be done, and take that mount away.
pub fn replace<E: From<Errno>>(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    make: impl FnOnce(&OsStr) -> Result<(), E>,
) -> Result<(), E> {
    let temporary = temporary_name();
    let result = make(&temporary).and_then(|()| Ok(put(folder, &temporary, name)?));
    // Of what was half made nothing stays. Two names of one node: the rename does nothing, and the temporary one is left.
    let _ = unlinkat(folder, &temporary, AtFlags::empty());
    result
}

fn put(folder: BorrowedFd<'_>, temporary: &OsStr, name: &OsStr) -> Result<(), Errno> {
    if is_mount_point(folder, name)? {
        return Err(Errno::BUSY);
    }
    renameat(folder, temporary, folder, name)
}

/// Whether something is mounted on `name` in `folder`.
///
/// # Errors
/// Of statx(2).
pub fn is_mount_point(folder: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Errno> {
    let here = inroot::mount_at(folder, OsStr::new("")).map_err(errno)?;
    let there = inroot::mount_at(folder, name).map_err(errno)?;
    Ok(there.is_some() && there != here)
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

/// A name beside the final one that nobody else uses.
fn temporary_name() -> OsString {
    format!("{TEMPORARY}{}-{:x}", std::process::id(), nonce()).into()
}

/// How temporary names begin.
pub const TEMPORARY: &str = ".windlass-";

fn nonce() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Freshly keyed by the system's randomness each time.
    std::hash::RandomState::new().build_hasher().finish()
}
