//! The unpacked tar stream: hashed and counted as it is read.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::Fault;
use crate::host::image::digest::Hasher;
use crate::name::Digest;

/// Bytes that go from thread to thread at once.
pub(super) const BLOCK: usize = 256 << 10;
/// Blocks on their way.
const AHEAD: usize = 4;

/// What goes from thread to thread.
pub(super) type Block = io::Result<Vec<u8>>;

/// The reading end.
#[derive(Debug)]
pub(in super::super) struct Stream {
    blocks: Receiver<Block>,
    recycle: SyncSender<Vec<u8>>,
    block: Vec<u8>,
    at: usize,
    hasher: Hasher,
    total: u64,
    limit: u64,
}

/// A stream, and the ends for the one who fills it: blocks, and used buffers that come back.
pub(in super::super) fn pair(limit: u64) -> (SyncSender<Block>, Receiver<Vec<u8>>, Stream) {
    let (blocks, taken) = sync_channel(AHEAD);
    let (recycle, used) = sync_channel(AHEAD + 2);
    let stream =
        Stream { blocks: taken, recycle, block: Vec::new(), at: 0, hasher: Hasher::default(), total: 0, limit };
    (blocks, used, stream)
}

impl Stream {
    /// Bytes that are there; none: the end.
    pub(super) fn fill(&mut self) -> Result<&[u8], Fault> {
        if self.at == self.block.len() {
            let old = std::mem::take(&mut self.block);
            // A full channel, or nobody who reuses buffers: it is freed instead.
            let _ = self.recycle.try_send(old);
            self.at = 0;
            match self.blocks.recv() {
                Err(_) => {}
                Ok(Err(error)) => return Err(fault(&error)),
                Ok(Ok(block)) => {
                    self.total += block.len() as u64;
                    if self.total > self.limit {
                        return Err(Fault::Bad(format!("it unpacks to more than {} bytes", self.limit)));
                    }
                    self.hasher.update(&block);
                    self.block = block;
                }
            }
        }
        Ok(&self.block[self.at..])
    }

    /// Goes on by `count` of the bytes that [`Stream::fill`] gave.
    pub(super) fn consume(&mut self, count: usize) {
        self.at = (self.at + count).min(self.block.len());
    }

    /// Fills `buffer`; returns how many bytes there were.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let mut filled = 0;
        while filled < buffer.len() {
            let bytes = self.fill()?;
            if bytes.is_empty() {
                break;
            }
            let count = bytes.len().min(buffer.len() - filled);
            buffer[filled..filled + count].copy_from_slice(&bytes[..count]);
            self.consume(count);
            filled += count;
        }
        Ok(filled)
    }

    /// Reads what is left: the diff id is of the whole stream, whatever follows the tar's end.
    pub(super) fn finish(mut self) -> Result<(Digest, u64), Fault> {
        loop {
            let count = self.fill()?.len();
            if count == 0 {
                return Ok((self.hasher.finish(), self.total));
            }
            self.consume(count);
        }
    }
}

/// A marker for errors of the source itself, as against those of decoding.
#[derive(Debug, thiserror::Error)]
#[error("the source broke off")]
pub(in super::super) struct SourceBroke;

fn fault(error: &io::Error) -> Fault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<SourceBroke>());
    match (inner, error.kind()) {
        (Some(_), _) => Fault::Source,
        (None, io::ErrorKind::UnexpectedEof) => Fault::Bad("its compressed stream breaks off".into()),
        (None, _) => Fault::Bad(format!("its compressed stream is damaged: {error}")),
    }
}
