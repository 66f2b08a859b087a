//! The members of a tar: ustar, GNU (long names, base-256 numbers, sparse files) and pax.

use super::pax::{self, Pax};
use super::sparse::{self, Map};
use super::stream::Stream;
use super::{Fault, limits};
use crate::host::image::digest::printable;
use crate::name::Digest;

const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    File,
    Folder,
    /// Target.
    Symlink(Vec<u8>),
    /// Name of another member.
    Link(Vec<u8>),
    Fifo,
    /// A device other than 0/0.
    Device,
    /// Device 0/0: no device at all, but what overlayfs takes for a whiteout.
    NoDevice,
}

/// One member; its data is read with [`Members::data`] before the next one.
#[derive(Clone, Debug)]
pub(in super::super) struct Member {
    /// As written.
    pub path: Vec<u8>,
    pub kind: Kind,
    /// Permission bits, setuid, setgid, sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970, nanoseconds.
    pub mtime: (i64, i64),
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data goes, in a sparse file.
    pub(super) sparse: Option<Map>,
}

/// Reads one member after the other.
#[derive(Debug)]
pub(in super::super) struct Members {
    stream: Stream,
    /// Data of the present member that was not read yet.
    left: u64,
    /// Bytes after it, up to the next block.
    padding: u64,
}

/// What headers before the real one said about it.
#[derive(Default)]
struct Before {
    pax: Pax,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Members {
    pub(in super::super) fn new(stream: Stream) -> Self {
        Self { stream, left: 0, padding: 0 }
    }

    /// The next member; `None`: the tar's end.
    pub(in super::super) fn next(&mut self) -> Result<Option<Member>, Fault> {
        self.skip()?;
        let mut before = Before::default();
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = number(&header.as_old().size, "size")?;
            self.left = size;
            self.padding = size.next_multiple_of(BLOCK as u64) - size;
            match header.as_old().linkflag[0] {
                b'x' => before.pax = Pax::parse(&self.small(limits::PAX, "pax header")?)?,
                // Defaults for all members: comments of `git archive`. Docker and containerd ignore them, too.
                b'g' => drop(self.small(limits::PAX, "pax header")?),
                b'L' => before.path = Some(until_nul(self.small(limits::LONG_NAME, "GNU long name")?)),
                b'K' => before.link = Some(until_nul(self.small(limits::LONG_NAME, "GNU long link name")?)),
                _ => return self.member(&header, before).map(Some),
            }
        }
    }

    /// The next piece of the present member's data; empty: no more. Go on with [`Members::take`].
    pub(in super::super) fn data(&mut self) -> Result<&[u8], Fault> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let bytes = self.stream.fill()?;
        if bytes.is_empty() {
            return Err(Fault::Bad("the tar breaks off in a member".into()));
        }
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        Ok(&bytes[..count])
    }

    /// Goes on by `count` bytes of data.
    pub(in super::super) fn take(&mut self, count: usize) {
        self.stream.consume(count);
        self.left -= (count as u64).min(self.left);
    }

    /// Reads on to the end of the stream, whatever follows the tar's end; its digest and size.
    pub(in super::super) fn finish(self) -> Result<(Digest, u64), Fault> {
        self.stream.finish()
    }

    /// Goes to the next header.
    fn skip(&mut self) -> Result<(), Fault> {
        loop {
            let count = self.data()?.len();
            if count == 0 {
                break;
            }
            self.take(count);
        }
        self.left = std::mem::take(&mut self.padding);
        while self.left > 0 {
            let count = self.data()?.len();
            self.take(count);
        }
        Ok(())
    }

    /// Whole data of a header member, if it is not more than `limit`.
    fn small(&mut self, limit: u64, what: &str) -> Result<Vec<u8>, Fault> {
        if self.left > limit {
            return Err(Fault::Bad(format!("it has a {what} of {} bytes, more than {limit}", self.left)));
        }
        let mut bytes = Vec::new();
        loop {
            let piece = self.data()?;
            if piece.is_empty() {
                break;
            }
            let count = piece.len();
            bytes.extend_from_slice(piece);
            self.take(count);
        }
        self.skip()?;
        Ok(bytes)
    }

    /// A header block; `None` at the end: a block of zeros, or nothing more.
    fn header(&mut self) -> Result<Option<tar::Header>, Fault> {
        let mut header = tar::Header::new_old();
        let count = self.stream.read(header.as_mut_bytes())?;
        match count {
            0 => return Ok(None),
            BLOCK => {}
            _ => return Err(Fault::Bad("the tar breaks off in a header".into())),
        }
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The sum is made with spaces in its own field (bytes 148 to 155).
        let sum: u64 = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if number(&header.as_old().cksum, "checksum")? != sum {
            return Err(Fault::Bad("it is no tar, or a header's checksum is wrong".into()));
        }
        Ok(Some(header))
    }

    fn member(&mut self, header: &tar::Header, before: Before) -> Result<Member, Fault> {
        let pax = &before.pax;
        let sparse_name = pax.get("GNU.sparse.name").map(<[u8]>::to_vec);
        let path = sparse_name
            .or_else(|| pax.get("path").map(<[u8]>::to_vec))
            .or(before.path)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = pax.get("linkpath").map(<[u8]>::to_vec).or(before.link);
        let link = link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        for name in [&path, &link] {
            if name.contains(&0) {
                return Err(Fault::Bad("it has a name with a NUL".into()));
            }
        }
        let old = header.as_old();
        if let Some(size) = pax.number("size")? {
            self.left = size;
            self.padding = size
                .checked_next_multiple_of(BLOCK as u64)
                .ok_or_else(|| Fault::Bad("it has a member of an impossible size".into()))?
                - size;
        }
        let flag = old.linkflag[0];
        // Numbers of a device: bytes 329 to 344.
        let numbered = header.as_bytes()[329..345].iter().any(|byte| !matches!(byte, 0 | b'0' | b' '));
        let kind = match kind(flag, &path, link)? {
            Kind::Device if !numbered => Kind::NoDevice,
            kind => kind,
        };
        let sparse = match &kind {
            Kind::File => self.sparse(flag, header, pax)?,
            _ => None,
        };
        let mtime = match pax.mtime()? {
            Some(mtime) => mtime,
            None => (signed(&old.mtime).unwrap_or(0), 0),
        };
        Ok(Member {
            kind,
            mode: u32::try_from(number(&old.mode, "mode")? & 0o7777).unwrap_or(0),
            uid: id(pax.number("uid")?, &old.uid, "uid")?,
            gid: id(pax.number("gid")?, &old.gid, "gid")?,
            mtime,
            xattrs: pax.xattrs(),
            sparse,
            path,
        })
    }

    /// The map of a sparse file, read from wherever it stands.
    fn sparse(&mut self, flag: u8, header: &tar::Header, pax: &Pax) -> Result<Option<Map>, Fault> {
        let map = if flag == b'S' {
            Some(self.old_gnu_map(header)?)
        } else if let Some(size) = sparse::in_data(pax)? {
            Some(self.map_in_data(size)?)
        } else {
            sparse::from_pax(pax)?
        };
        if let Some(map) = &map {
            map.check(self.left)?;
        }
        Ok(map)
    }

    /// Four pieces in the header, more in blocks of 21 that follow it.
    fn old_gnu_map(&mut self, header: &tar::Header) -> Result<Map, Fault> {
        let bytes = header.as_bytes();
        let mut map = Map { pieces: Vec::new(), size: number(&bytes[483..495], "size")? };
        pieces(&mut map, &bytes[386..482])?;
        let mut more = bytes[482] != 0;
        while more {
            let mut block = [0u8; BLOCK];
            if self.stream.read(&mut block)? < BLOCK {
                return Err(Fault::Bad("the tar breaks off in a sparse map".into()));
            }
            pieces(&mut map, &block[..504])?;
            more = block[504] != 0;
        }
        Ok(map)
    }

    /// Lines of decimal numbers before the data: how many pieces, then offset and length of each; padded to a block.
    fn map_in_data(&mut self, size: u64) -> Result<Map, Fault> {
        let mut block = Vec::new();
        let count = self.line(&mut block)?;
        let mut map = Map { pieces: Vec::new(), size };
        for _ in 0..count {
            let piece = (self.line(&mut block)?, self.line(&mut block)?);
            sparse::push(&mut map.pieces, piece)?;
        }
        Ok(map)
    }

    /// One number and its line end; `block` has the rest of the present block, last byte first.
    fn line(&mut self, block: &mut Vec<u8>) -> Result<u64, Fault> {
        let broken = || Fault::Bad("it has a broken sparse map".into());
        let mut digits = Vec::new();
        loop {
            if block.is_empty() {
                *block = self.block_of_data()?;
                block.reverse();
            }
            match block.pop() {
                Some(b'\n') => return pax::decimal(&digits).ok_or_else(broken),
                Some(byte) if digits.len() < 20 => digits.push(byte),
                _ => return Err(broken()),
            }
        }
    }

    fn block_of_data(&mut self) -> Result<Vec<u8>, Fault> {
        let mut block = Vec::with_capacity(BLOCK);
        while block.len() < BLOCK {
            let piece = self.data()?;
            let count = piece.len().min(BLOCK - block.len());
            if count == 0 {
                return Err(Fault::Bad("it has a broken sparse map".into()));
            }
            block.extend_from_slice(&piece[..count]);
            self.take(count);
        }
        Ok(block)
    }
}

fn pieces(map: &mut Map, bytes: &[u8]) -> Result<(), Fault> {
    for piece in bytes.chunks_exact(24) {
        // The first empty field ends the map.
        if piece[0] == 0 || piece[12] == 0 {
            break;
        }
        sparse::push(&mut map.pieces, (number(&piece[..12], "offset")?, number(&piece[12..], "length")?))?;
    }
    Ok(())
}

fn kind(flag: u8, path: &[u8], link: Vec<u8>) -> Result<Kind, Fault> {
    Ok(match flag {
        // Very old programs mark folders by a slash only.
        b'\0' | b'0' if path.ends_with(b"/") => Kind::Folder,
        b'\0' | b'0' | b'7' | b'S' => Kind::File,
        b'1' => Kind::Link(link),
        b'2' => Kind::Symlink(link),
        b'3' | b'4' => Kind::Device,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        other => {
            let name = printable(&String::from_utf8_lossy(path));
            return Err(Fault::Bad(format!("its member `{name}` is of the unknown type {:?}", char::from(other))));
        }
    })
}

fn id(pax: Option<u64>, field: &[u8], what: &str) -> Result<u32, Fault> {
    let wide = match pax {
        Some(wide) => wide,
        None => number(field, what)?,
    };
    // The last one means "no change" to chown.
    u32::try_from(wide)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| Fault::Bad(format!("it has a member with the impossible {what} {wide}")))
}

/// A number field: octal digits between spaces or NULs, or base-256 if the first bit is set; empty is 0.
fn number(field: &[u8], what: &str) -> Result<u64, Fault> {
    let bad = |reason: &str| Fault::Bad(format!("it has a member whose {what} is {reason}"));
    match signed(field) {
        Some(value) => u64::try_from(value).map_err(|_| bad("negative")),
        None => Err(bad("no number")),
    }
}

fn signed(field: &[u8]) -> Option<i64> {
    if field.first().is_some_and(|first| first & 0x80 != 0) {
        // Two's complement, the mark itself is not part of it: 0x80… positive, 0xff… negative.
        let negative = field[0] & 0x40 != 0;
        let mut value: i128 = if negative { -1 } else { 0 };
        for (at, byte) in field.iter().enumerate() {
            let byte = match (at, negative) {
                (0, false) => byte & 0x7f,
                _ => *byte,
            };
            value = (value << 8) | i128::from(byte);
        }
        return i64::try_from(value).ok();
    }
    let end = field.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |at| at + 1);
    let digits = &field[..end];
    let start = digits.iter().position(|byte| *byte != b' ').unwrap_or(end);
    let digits = digits[start..].split(|byte| matches!(byte, 0 | b' ')).next().unwrap_or_default();
    let text = std::str::from_utf8(digits).ok()?;
    if text.is_empty() { Some(0) } else { i64::from_str_radix(text, 8).ok() }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}
