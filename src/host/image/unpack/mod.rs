//! From the bytes of a layer to a folder that overlayfs can mount.
//!
//! ```text
//!  source (network, partial file) ─▶ decode: gunzip, unzstd ─▶ blocks of 256 KiB ─▶ stream: sha256 = diff id, limits
//!     one thread                                                one thread     ─▶ member: tar headers
//!                                                                              ─▶ apply: rules of layers ─▶ tree: files
//! ```
//!
//! Nothing in a layer is trusted: names are resolved below the target's descriptor (`tree`), sizes are bounded before
//! anything is allocated (`limits`), device nodes are dropped, and what overlayfs itself means by something (whiteouts,
//! its xattrs) can only come from whiteout members (`apply`).

pub(super) mod apply;
mod decode;
mod limits;
mod member;
mod pax;
mod sparse;
mod stream;
pub(super) mod tree;

use std::io::{self, Read};
use std::path::Path;

pub(super) use limits::Limits;
pub(super) use member::{Kind, Member, Members};
pub(super) use stream::{SourceBroke, Stream};

use super::manifest::Packing;
use crate::name::Digest;

/// Why a layer can't be unpacked.
#[derive(Debug)]
pub(super) enum Fault {
    /// The content is bad; no second try helps unless the bytes are not those named.
    Bad(String),
    /// No space left.
    Full,
    /// The source broke off; it knows why.
    Source,
    /// Something else failed on this machine.
    Io { operation: &'static str, member: String, source: io::Error },
}

/// A layer that was unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// Digest of the whole tar stream.
    pub diff: Digest,
    /// Bytes of that.
    pub size: u64,
    /// Members.
    pub entries: u64,
    /// Device nodes that were left out.
    pub dropped: u64,
    /// Folders that the layer has no member for: they are given the owner and mode of the same folder below.
    pub implied: Vec<Vec<u8>>,
}

/// Unpacks `source` into the empty folder `target`. Gives the source back, for its own verdict on the bytes.
pub(super) fn unpack<R: Read + Send>(
    source: R,
    packing: Packing,
    target: &Path,
    limits: Limits,
) -> (Result<Unpacked, Fault>, R) {
    std::thread::scope(|scope| {
        let (blocks, recycle, stream) = stream::pair(limits.stream);
        let decoder = scope.spawn(move || decode::run(source, packing, &blocks, &recycle));
        let result = apply::layer(stream, target, limits);
        match decoder.join() {
            Ok(source) => (result, source),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Shows each member of a tar to `visit`, which may read its data; the rest of that is skipped.
pub(super) fn each<R: Read + Send>(
    source: R,
    packing: Packing,
    visit: &mut dyn FnMut(&Member, &mut Members) -> Result<(), Fault>,
) -> Result<(), Fault> {
    std::thread::scope(|scope| {
        let (blocks, recycle, stream) = stream::pair(u64::MAX);
        scope.spawn(move || drop(decode::run(source, packing, &blocks, &recycle)));
        let mut members = Members::new(stream);
        while let Some(member) = members.next()? {
            visit(&member, &mut members)?;
        }
        Ok(())
    })
}

/// The fault of a system call on a member.
fn failed(operation: &'static str, member: &[u8]) -> impl FnOnce(rustix::io::Errno) -> Fault {
    use rustix::io::Errno;
    let member = super::digest::printable(&String::from_utf8_lossy(member));
    move |errno| match errno {
        Errno::NOSPC | Errno::DQUOT => Fault::Full,
        Errno::NAMETOOLONG => Fault::Bad(format!("the name `{member}` is too long")),
        Errno::LOOP | Errno::NOTDIR => Fault::Bad(format!("`{member}` leads through something that is no folder")),
        Errno::FBIG => Fault::Bad(format!("`{member}` is larger than a file may be")),
        errno => Fault::Io { operation, member, source: errno.into() },
    }
}
