//! Finding the last n lines without reading what is before them.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

use super::files::Numbered;
use super::reader::{Options, open};
use super::record::{End, parse};
use super::{Error, record};

/// The first piece that is looked at from the end of a file; each further one is four times as long.
const PIECE: u64 = 64 << 10;

/// Where reading begins.
#[derive(Default)]
pub(super) struct Start {
    /// The file's number and its bytes from there on; `None`: at the first file.
    pub input: Option<(u64, Box<dyn BufRead + Send>)>,
    /// Lines to pass over first.
    pub skip: u64,
}

/// Finds the place with `lines` lines between it and the end.
pub(super) fn find(dir: &Path, files: &[Numbered], lines: u64, options: &Options) -> Result<Start, Error> {
    let mut missing = lines;
    for file in files.iter().rev() {
        let found = if file.compressed { None } else { plain(dir, *file, missing, options)? };
        let (start, count) = match found {
            Some(found) => found,
            None => compressed(dir, *file, missing, options)?,
        };
        if count >= missing {
            return Ok(start);
        }
        missing -= count;
    }
    // Less than asked for: all of it.
    Ok(Start::default())
}

/// Looks from the end of a file back; `None` where it is gone, or was compressed meanwhile.
fn plain(dir: &Path, file: Numbered, lines: u64, options: &Options) -> Result<Option<(Start, u64)>, Error> {
    let path = file.path(dir);
    let failed = |source| Error::file("read", &path, source);
    let mut input = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let length = input.metadata().map_err(failed)?.len();
    let mut piece = PIECE;
    loop {
        let from = length.saturating_sub(piece);
        let mut bytes = Vec::new();
        input.seek(SeekFrom::Start(from)).map_err(failed)?;
        Read::by_ref(&mut input).take(length - from).read_to_end(&mut bytes).map_err(failed)?;
        let (offset, count) = cut(&bytes, from == 0, lines, options);
        if count >= lines || from == 0 {
            input.seek(SeekFrom::Start(from + offset)).map_err(failed)?;
            let input: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(64 << 10, input));
            return Ok(Some((Start { input: Some((file.number, input)), skip: 0 }, count)));
        }
        piece = piece.saturating_mul(4);
    }
}

/// The offset in `bytes` behind which `lines` lines stand, or all; and how many stand there.
fn cut(bytes: &[u8], whole: bool, lines: u64, options: &Options) -> (u64, u64) {
    let mut ends = Vec::new();
    let mut at = if whole { 0 } else { next_line(bytes, 0) };
    let first = at;
    while at < bytes.len() {
        let next = next_line(bytes, at);
        let text = &bytes[at..next];
        if let Some(record) = parse(text.strip_suffix(b"\n").unwrap_or(text)).filter(|record| options.wants(record))
            && record.end != End::Partial
        {
            ends.push(next);
        }
        at = next;
    }
    // A line that is not finished yet is shown once it is.
    let count = ends.len() as u64;
    let before = usize::try_from(count.saturating_sub(lines)).unwrap_or(usize::MAX);
    let offset = match before {
        _ if lines == 0 => bytes.len(),
        0 => first,
        before => ends.get(before - 1).copied().unwrap_or(first),
    };
    (offset as u64, count)
}

fn next_line(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| from + end + 1)
}

/// Counts the lines of a compressed file, which has no other way in than from its beginning.
fn compressed(dir: &Path, file: Numbered, lines: u64, options: &Options) -> Result<(Start, u64), Error> {
    let Some(mut input) = open(dir, file)? else { return Ok((Start::default(), 0)) };
    let (mut count, mut line) = (0, Vec::new());
    while input.read_until(b'\n', &mut line).map_err(|source| Error::file("read", &file.path(dir), source))? > 0 {
        let record = record::parse(line.strip_suffix(b"\n").unwrap_or(&line)).filter(|record| options.wants(record));
        count += u64::from(record.is_some_and(|record| record.end != End::Partial));
        line.clear();
    }
    let input = open(dir, file)?.map(|input| (file.number, input));
    Ok((Start { input, skip: count.saturating_sub(lines) }, count))
}
