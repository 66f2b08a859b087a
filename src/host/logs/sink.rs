//! The file that is being written: appending, rotation, and what happens when the disk takes no more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::files::{Numbered, keep_last, list};
use super::record::{End, parse, push};
use super::{Error, Stream, compress, time};
use crate::desired::LogSpec;

/// Bytes of one write at most.
const BLOCK: usize = 128 << 10;

/// More than the longest record.
const LAST_RECORD: u64 = 32 << 10;

/// The end of a log.
#[derive(Debug)]
pub(super) struct Sink {
    dir: PathBuf,
    spec: LogSpec,
    number: u64,
    /// `None`: it could not be made; tried again at the next write.
    file: Option<File>,
    /// Bytes in it.
    length: u64,
    /// Bytes that could not be kept since the last that could, and why.
    lost: Option<(u64, io::Error)>,
}

impl Sink {
    /// Goes on where the log ends, or begins one.
    pub fn open(dir: PathBuf, spec: LogSpec) -> Result<Self, Error> {
        fs::create_dir_all(&dir).map_err(|source| Error::file("create", &dir, source))?;
        let last = list(&dir)?.last().copied();
        let number = match last {
            Some(last) if last.compressed => last.number + 1,
            Some(last) => last.number,
            None => 1,
        };
        let mut sink = Self { dir, spec, number, file: None, length: 0, lost: None };
        let path = sink.current();
        sink.reopen().map_err(|source| Error::file("open", &path, source))?;
        sink.mend().map_err(|source| Error::file("mend", &path, source))?;
        compress::tidy(&sink.dir)?;
        sink.compress_older();
        Ok(sink)
    }

    /// Writes whole records and rotates where one does not fit any more. Bytes that the disk does not take are counted, told
    /// in the log as soon as it takes some again, and gone: the program is not stopped by a full disk.
    pub fn write(&mut self, records: &[u8]) {
        let mut rest = records;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.portion(rest));
            self.append(now);
            rest = later;
            if !rest.is_empty() && self.is_full(rest) {
                self.rotate();
            }
        }
    }

    /// How many bytes of `records`, up to the end of one, go into the file as it is; at least one record.
    fn portion(&self, records: &[u8]) -> usize {
        let left = self.left().min(BLOCK as u64);
        let left = usize::try_from(left).unwrap_or(BLOCK).min(records.len());
        if left == records.len() {
            return left;
        }
        match records[..left].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None => records.iter().position(|byte| *byte == b'\n').map_or(records.len(), |end| end + 1),
        }
    }

    fn left(&self) -> u64 {
        if self.spec.max_size == 0 { u64::MAX } else { self.spec.max_size.saturating_sub(self.length) }
    }

    fn is_full(&self, records: &[u8]) -> bool {
        let next = records.iter().position(|byte| *byte == b'\n').map_or(records.len(), |end| end + 1);
        self.left() < next as u64
    }

    fn append(&mut self, records: &[u8]) {
        if self.length > 0 && self.is_full(records) {
            self.rotate();
        }
        let note = self.lost.as_ref().map(|(bytes, error)| loss(*bytes, error));
        let done = self.note_and_write(note.as_deref().unwrap_or_default(), records);
        match done {
            Ok(()) => self.lost = None,
            Err(error) => {
                let before = self.lost.take().map_or(0, |(bytes, _)| bytes);
                self.lost = Some((before + records.len() as u64, error));
            }
        }
    }

    fn note_and_write(&mut self, note: &[u8], records: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.reopen()?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let done = file.write_all(note).and_then(|()| file.write_all(records));
        match done {
            Ok(()) => self.length += (note.len() + records.len()) as u64,
            // A record that is half there would swallow the next one.
            Err(_) => file.set_len(self.length)?,
        }
        done
    }

    /// Begins the next file and removes those that are too many.
    fn rotate(&mut self) {
        self.number += 1;
        self.file = None;
        self.length = 0;
        if let Err(error) = self.reopen() {
            let before = self.lost.take().map_or(0, |(bytes, _)| bytes);
            self.lost = Some((before, error));
            return;
        }
        keep_last(&self.dir, self.spec.max_file);
        self.compress_older();
    }

    fn compress_older(&self) {
        if self.spec.compress {
            compress::start(&self.dir, self.number, self.spec.max_file);
        }
    }

    fn current(&self) -> PathBuf {
        Numbered { number: self.number, compressed: false }.path(&self.dir)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let path = self.current();
        let open = || OpenOptions::new().read(true).append(true).create(true).mode(0o640).open(&path);
        let file = match open() {
            // Somebody removed the folder under the running container.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&self.dir)?;
                open()?
            }
            other => other?,
        };
        self.length = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Ends what a writer that was killed left open: half a record gets its line end, an unfinished line its end.
    fn mend(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut tail = Vec::new();
        file.seek(SeekFrom::Start(self.length.saturating_sub(LAST_RECORD)))?;
        file.read_to_end(&mut tail)?;
        let mut repair = Vec::new();
        if tail.last().is_some_and(|byte| *byte != b'\n') {
            repair.push(b'\n');
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut records = tail.split(|byte| *byte == b'\n').rev().filter_map(parse);
            if let Some(last) = records.find(|record| record.stream == stream).filter(|last| last.end == End::Partial) {
                push(&mut repair, &time::encode(last.time), stream, End::Eof, b"");
            }
        }
        file.write_all(&repair)?;
        self.length += repair.len() as u64;
        Ok(())
    }
}

fn loss(bytes: u64, error: &io::Error) -> Vec<u8> {
    let mut note = Vec::new();
    let text = format!("{bytes} bytes of output lost: {error}");
    push(&mut note, &time::encode(super::writer::now()), Stream::System, End::Line, text.as_bytes());
    note
}
