//! A blob as it arrives, as a reader for the unpacker: first what a partial file has, then what the network brings, which is
//! written to that file as well. Every byte is hashed on the way.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use tokio::sync::mpsc::Receiver;

use crate::host::image::digest::Hasher;
use crate::host::image::unpack::SourceBroke;
use crate::name::Digest;

/// A piece of a body.
pub(in super::super) type Chunk = tokio_util::bytes::Bytes;

/// The reader.
#[derive(Debug)]
pub(in super::super) struct Intake {
    file: File,
    /// Where in the file the blob begins.
    base: u64,
    /// Bytes of the file that were there before, still to be read.
    stored: u64,
    /// Bytes read so far.
    at: u64,
    /// Bytes that the blob must have.
    size: u64,
    chunks: Receiver<Chunk>,
    chunk: Chunk,
    hasher: Hasher,
    failure: Option<io::Error>,
}

/// What came.
#[derive(Debug)]
pub(in super::super) struct Verdict {
    /// Bytes.
    pub got: u64,
    /// Their digest.
    pub digest: Digest,
    /// Why the file could not be read or written.
    pub failure: Option<io::Error>,
}

impl Intake {
    /// `stored` bytes of `file` are there already; the rest of `size` comes by `chunks`.
    pub(in super::super) fn new(file: File, stored: u64, size: u64, chunks: Receiver<Chunk>) -> Self {
        let stored = stored.min(size);
        let (chunk, hasher) = (Chunk::new(), Hasher::default());
        Self { file, base: 0, stored, at: 0, size, chunks, chunk, hasher, failure: None }
    }

    /// A blob that lies whole in a file, from byte `base` on.
    pub(in super::super) fn section(file: File, base: u64, size: u64) -> Self {
        // The sending end is gone at once: nothing more comes.
        let (_, chunks) = tokio::sync::mpsc::channel(1);
        Self { base, ..Self::new(file, size, size, chunks) }
    }

    /// Reads whatever is left, to judge all of it.
    pub(in super::super) fn finish(mut self) -> Verdict {
        let mut buffer = vec![0; 64 << 10];
        while self.failure.is_none() && self.read(&mut buffer).is_ok_and(|count| count > 0) {}
        Verdict { got: self.at, digest: self.hasher.finish(), failure: self.failure }
    }

    /// Stops here: nothing more is read.
    pub(in super::super) fn stop(self) -> Verdict {
        Verdict { got: self.at, digest: self.hasher.finish(), failure: self.failure }
    }

    fn broke(&mut self, failure: Option<io::Error>) -> io::Error {
        self.failure = self.failure.take().or(failure);
        io::Error::other(SourceBroke)
    }

    fn from_file(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.stored).unwrap_or(usize::MAX).min(buffer.len());
        match self.file.read_at(&mut buffer[..most], self.base + self.at) {
            Ok(0) => Err(self.broke(Some(io::ErrorKind::UnexpectedEof.into()))),
            Ok(count) => {
                self.stored -= count as u64;
                Ok(count)
            }
            Err(error) => Err(self.broke(Some(error))),
        }
    }
}

impl Read for Intake {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = if self.stored > 0 {
            self.from_file(buffer)?
        } else {
            if self.chunk.is_empty() {
                match self.chunks.blocking_recv() {
                    Some(chunk) => {
                        if let Err(error) = self.file.write_all_at(&chunk, self.at) {
                            return Err(self.broke(Some(error)));
                        }
                        self.chunk = chunk;
                    }
                    None if self.at < self.size => return Err(self.broke(None)),
                    None => return Ok(0),
                }
            }
            let count = self.chunk.len().min(buffer.len());
            buffer[..count].copy_from_slice(&self.chunk.split_to(count));
            count
        };
        self.hasher.update(&buffer[..count]);
        self.at += count as u64;
        Ok(count)
    }
}
