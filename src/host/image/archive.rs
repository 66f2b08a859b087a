//! Archives of images: a tar, packed or not, whose files are looked at by name.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::manifest::Packing;
use super::store::Store;
use super::unpack::{self, Fault, Kind, Members, apply::clean};
use super::{ImageError, digest};
use crate::name::Digest;

/// Members of an archive.
const MEMBERS: usize = 100_000;

/// An archive's files, copied one after the other into a file of ours: standard input can't be read twice, and a packed
/// archive not by position.
#[derive(Debug)]
pub(super) struct Archive {
    file: File,
    path: PathBuf,
    /// Name → where its bytes are.
    files: BTreeMap<Vec<u8>, Section>,
    /// Old docker archives name a layer that two images share by a symlink.
    links: BTreeMap<Vec<u8>, Vec<u8>>,
    end: u64,
}

/// A file of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub base: u64,
    pub size: u64,
}

impl Archive {
    /// An empty one, to be filled by [`Archive::add`].
    pub(super) fn new(store: &Store) -> Result<Self, ImageError> {
        let path = store.temporary("archive");
        let open = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = open.and_then(|file| file.lock().map(|()| file)).map_err(ImageError::io("create", &path))?;
        Ok(Self { file, path, files: BTreeMap::new(), links: BTreeMap::new(), end: 0 })
    }

    /// Reads a whole archive.
    pub(super) fn read(store: &Store, mut source: impl Read + Send) -> Result<Self, ImageError> {
        let mut archive = Self::new(store)?;
        let mut magic = [0u8; 6];
        let mut filled = 0;
        while filled < magic.len() {
            match source.read(&mut magic[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(bad(format!("it can't be read: {error}"))),
            }
        }
        let packing = sniff(&magic[..filled])?;
        let whole = std::io::Cursor::new(magic[..filled].to_vec()).chain(source);
        let result = unpack::each(whole, packing, &mut |member, members| {
            let name = clean(&member.path)?;
            if archive.files.len() + archive.links.len() >= MEMBERS {
                return Err(Fault::Bad(format!("it has more than {MEMBERS} files")));
            }
            match &member.kind {
                Kind::File => archive.copy(name, members)?,
                Kind::Symlink(target) | Kind::Link(target) => {
                    let hard = matches!(member.kind, Kind::Link(_));
                    archive.links.insert(name.clone(), if hard { clean(target)? } else { join(&name, target) });
                }
                _ => {}
            }
            Ok(())
        });
        match result {
            Ok(()) => Ok(archive),
            Err(Fault::Full) => Err(store.full("the archive", archive.end)),
            Err(Fault::Bad(reason)) => Err(bad(reason)),
            Err(Fault::Source) => Err(bad("it breaks off".into())),
            Err(Fault::Io { operation, source, .. }) => Err(ImageError::io(operation, &archive.path)(source)),
        }
    }

    fn copy(&mut self, name: Vec<u8>, members: &mut Members) -> Result<(), Fault> {
        let base = self.end;
        loop {
            let data = members.data()?;
            if data.is_empty() {
                break;
            }
            let count = data.len();
            self.file.write_all_at(data, self.end).map_err(|error| match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Fault::Full,
                _ => Fault::Io { operation: "write", member: String::new(), source: error },
            })?;
            members.take(count);
            self.end += count as u64;
        }
        self.files.insert(name, Section { base, size: self.end - base });
        Ok(())
    }

    /// Adds what `write` writes as a file of its own.
    pub(super) fn add(&mut self, write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> std::io::Result<Section> {
        let mut writer = std::io::BufWriter::with_capacity(256 << 10, &self.file);
        write(&mut writer)?;
        writer.flush()?;
        drop(writer);
        let base = self.end;
        self.end = self.file.metadata()?.len();
        Ok(Section { base, size: self.end - base })
    }

    /// A file by its name.
    pub(super) fn find(&self, name: &str) -> Option<Section> {
        let mut name = clean(name.as_bytes()).ok()?;
        for _ in 0..8 {
            if let Some(section) = self.files.get(&name) {
                return Some(*section);
            }
            name = self.links.get(&name)?.clone();
        }
        None
    }

    /// A small file's bytes.
    pub(super) fn bytes(&self, name: &str, limit: u64) -> Result<Vec<u8>, ImageError> {
        let section = self.find(name).ok_or_else(|| bad(format!("it has no `{}`", digest::printable(name))))?;
        if section.size > limit {
            return Err(bad(format!("its `{}` has {} bytes, more than {limit}", digest::printable(name), section.size)));
        }
        let mut bytes = vec![0; usize::try_from(section.size).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, section.base).map_err(ImageError::io("read", &self.path))?;
        Ok(bytes)
    }

    /// A blob's bytes, verified.
    pub(super) fn blob(&self, wanted: &Digest, limit: u64) -> Result<Vec<u8>, ImageError> {
        let bytes = self.bytes(&blob_name(wanted), limit)?;
        let got = digest::of(&bytes);
        if got == *wanted {
            return Ok(bytes);
        }
        Err(ImageError::WrongDigest { what: "a file of the archive".into(), expected: wanted.clone(), got })
    }

    /// The digest of a file, and how it is packed.
    pub(super) fn digest(&self, section: Section) -> Result<(Digest, Packing), ImageError> {
        let mut hasher = digest::Hasher::default();
        let mut buffer = vec![0; 256 << 10];
        let (mut at, mut magic) = (0, Vec::new());
        while at < section.size {
            let most = usize::try_from(section.size - at).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.file.read_exact_at(&mut buffer[..most], section.base + at);
            read.map_err(ImageError::io("read", &self.path))?;
            if at == 0 {
                magic = buffer[..most.min(6)].to_vec();
            }
            hasher.update(&buffer[..most]);
            at += most as u64;
        }
        Ok((hasher.finish(), sniff(&magic)?))
    }

    /// A second handle on the file.
    pub(super) fn handle(&self) -> Result<File, ImageError> {
        self.file.try_clone().map_err(ImageError::io("open", &self.path))
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // A failure leaves rubbish that the next sweep takes.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Where an OCI layout has a blob.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(super) fn bad(reason: String) -> ImageError {
    ImageError::BadArchive { reason }
}

/// How something is packed, by its first bytes.
fn sniff(magic: &[u8]) -> Result<Packing, ImageError> {
    match magic {
        [0x1f, 0x8b, ..] => Ok(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Packing::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Err(bad("it is packed with xz: unpack it first (`xz -d`)".into())),
        [b'B', b'Z', b'h', ..] => Err(bad("it is packed with bzip2: unpack it first (`bzip2 -d`)".into())),
        [] => Err(bad("it is empty".into())),
        _ => Ok(Packing::Plain),
    }
}

/// The target of a symlink as a name of the archive; only ever looked up, so `..` beyond the top does no harm.
fn join(name: &[u8], target: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
    parts.pop();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}
