//! Gunzip and unzstd, in a thread of their own.

use std::io::{self, BufReader, Read};
use std::sync::mpsc::{Receiver, SyncSender};

use flate2::bufread::MultiGzDecoder;

use super::stream::{BLOCK, Block};
use crate::host::image::manifest::Packing;

/// Reads `source` to its end and sends it on in blocks, unpacked. Ends early when nobody takes them. An error goes the
/// same way as the blocks.
pub(super) fn run<R: Read>(mut source: R, packing: Packing, blocks: &SyncSender<Block>, recycle: &Receiver<Vec<u8>>) -> R {
    // Errors of making a decoder (no memory) and of reading are one to the taker.
    let outcome = match packing {
        Packing::Plain => pump(&mut source, blocks, recycle),
        Packing::Gzip => pump(&mut MultiGzDecoder::new(BufReader::with_capacity(BLOCK, &mut source)), blocks, recycle),
        Packing::Zstd => zstd::stream::read::Decoder::new(&mut source)
            .and_then(|mut decoder| pump(&mut decoder, blocks, recycle)),
    };
    if let Err(error) = outcome {
        // Nobody takes it: then nobody needs to know.
        let _ = blocks.send(Err(error));
    }
    source
}

fn pump(reader: &mut impl Read, blocks: &SyncSender<Block>, recycle: &Receiver<Vec<u8>>) -> io::Result<()> {
    loop {
        let mut block = recycle.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let mut filled = 0;
        while filled < BLOCK {
            match reader.read(&mut block[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        block.truncate(filled);
        if filled == 0 || blocks.send(Ok(block)).is_err() {
            return Ok(());
        }
    }
}
