//! Reading a log from a place in it to its end.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::files::{Numbered, list};
use super::{Entry, Error, Stream, record, tail};

const BUFFER: usize = 64 << 10;

/// What is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The last so many lines only; `None`: all.
    pub tail: Option<u64>,
    /// Nothing before this, nanoseconds since 1970.
    pub since: Option<u64>,
    /// Nothing after this.
    pub until: Option<u64>,
    /// This stream only.
    pub stream: Option<Stream>,
}

impl Options {
    pub(super) fn wants(&self, record: &record::Parsed<'_>) -> bool {
        self.since.is_none_or(|since| record.time >= since)
            && self.until.is_none_or(|until| record.time <= until)
            && self.stream.is_none_or(|stream| record.stream == stream || record.stream == Stream::System)
    }
}

/// A log being read: an iterator over its entries. At the end it gives `None`, and goes on where more has come.
pub struct Reader {
    dir: PathBuf,
    options: Options,
    current: Option<(u64, Box<dyn BufRead + Send>)>,
    /// The record that is being read; kept at the end of the file, where half a record may stand.
    line: Vec<u8>,
    /// Lines to pass over.
    skip: u64,
    /// A higher file was seen: what is still to come of the current one is there.
    last_look: bool,
}

impl Reader {
    /// Opens the log in a folder; a folder that is not there is an empty log.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let mut reader =
            Self { dir: dir.to_owned(), options: *options, current: None, line: Vec::new(), skip: 0, last_look: false };
        if let Some(tail) = options.tail {
            let start = tail::find(dir, &files_of(dir)?, tail, options)?;
            if let Some((file, input)) = start.input {
                reader.current = Some((file, input));
            }
            reader.skip = start.skip;
        }
        Ok(reader)
    }

    /// The folder that is read.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The next entry; `None`: there is no more by now.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn read(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if !self.read_line()? {
                if !self.advance()? {
                    return Ok(None);
                }
                continue;
            }
            let parsed = record::parse(self.line.strip_suffix(b"\n").unwrap_or(&self.line));
            let wanted = parsed.filter(|record| self.options.wants(record));
            let entry = match wanted {
                Some(record) if self.skip > 0 => {
                    self.skip -= u64::from(record.end != record::End::Partial);
                    None
                }
                wanted => wanted.map(|record| record.entry()),
            };
            self.line.clear();
            if entry.is_some() {
                return Ok(entry);
            }
        }
    }

    /// Reads the rest of a record; `false` at the end of the file.
    fn read_line(&mut self) -> Result<bool, Error> {
        let Some((number, input)) = &mut self.current else { return Ok(false) };
        let done = input.read_until(b'\n', &mut self.line);
        done.map_err(|source| {
            Error::file("read", &Numbered { number: *number, compressed: false }.path(&self.dir), source)
        })?;
        Ok(self.line.last() == Some(&b'\n'))
    }

    /// Goes on to the next file; `false`: there is none. A writer that rotates writes no more to the old file once the new one
    /// is there, so the old one is read once more before it is left.
    fn advance(&mut self) -> Result<bool, Error> {
        let number = self.current.as_ref().map(|(number, _)| *number);
        let files = files_of(&self.dir)?;
        for file in files.iter().copied().filter(|file| Some(file.number) > number) {
            if number.is_some() && !std::mem::replace(&mut self.last_look, true) {
                return Ok(true);
            }
            // One that was removed since is passed over.
            if let Some(input) = open(&self.dir, file)? {
                self.current = Some((file.number, input));
                self.line.clear();
                self.last_look = false;
                return Ok(true);
            }
        }
        if let Some(number) = number.filter(|number| files.iter().all(|file| file.number != *number)) {
            // The log was removed. An open file of it would keep its folder's inode, and so the news of its end.
            self.current = Some((number, Box::new(std::io::empty())));
        }
        Ok(false)
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("dir", &self.dir).field("options", &self.options).finish_non_exhaustive()
    }
}

fn files_of(dir: &Path) -> Result<Vec<Numbered>, Error> {
    match list(dir) {
        Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// Opens a file; the compressed one where it has become that; `None` where it was removed.
pub(super) fn open(dir: &Path, file: Numbered) -> Result<Option<Box<dyn BufRead + Send>>, Error> {
    for compressed in [file.compressed, true] {
        let file = Numbered { compressed, ..file };
        let path = file.path(dir);
        match File::open(&path) {
            Ok(open) => return Ok(Some(input(open, compressed))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::file("open", &path, error)),
        }
    }
    Ok(None)
}

fn input(file: File, compressed: bool) -> Box<dyn BufRead + Send> {
    let plain = BufReader::with_capacity(BUFFER, file);
    if compressed { Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(plain))) } else { Box::new(plain) }
}
