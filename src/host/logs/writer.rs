//! The writing end, in the shim: no runtime, one thread that may stand still with the disk.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::forward::{self, Backlog, Forwarder, Opened};
use super::frame::Framer;
use super::queue::{Batch, Found, Queue};
use super::sink::Sink;
use super::{Error, Stream};
use crate::desired::LogSpec;

/// A line whose end does not come is written after this, so that a prompt is seen.
const PATIENCE: Duration = Duration::from_millis(100);

/// The thread needs little: its buffers are on the heap.
const STACK: usize = 128 << 10;

/// A log that is being written.
///
/// The caller reads from pipes at most [`Writer::room`] bytes at a time and hands them over; with no room it stops to poll
/// the pipes and polls [`Writer::room_fd`] instead. Nothing here waits for the disk but [`Writer::finish`], for as long as it
/// is told.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<Queue>,
    /// The lines that wait for a receiver.
    backlog: Option<Arc<Backlog>>,
    done: Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Goes on with the log in `dir`, or begins one, and starts the thread. After the first clone: a process with two
    /// threads must not clone one that runs on without exec.
    ///
    /// # Errors
    /// When the folder or the file can't be made, or there is no thread to be had.
    pub fn start(dir: &Path, spec: &LogSpec) -> Result<Self, Error> {
        Self::start_with(dir, spec, None)
    }

    /// As [`Writer::start`], with a receiver that gets each line too.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(dir: &Path, spec: &LogSpec, receiver: Option<Opened>) -> Result<Self, Error> {
        let sink = Sink::open(dir.to_owned(), spec.clone())?;
        let queue = Arc::new(Queue::new().map_err(Error::Start)?);
        let start = |opened| Forwarder::start(opened, Arc::clone(&queue)).map_err(Error::Start);
        let forward = receiver.map(start).transpose()?;
        let backlog = forward.as_ref().map(Forwarder::backlog);
        let (ended, done) = channel();
        let other = Arc::clone(&queue);
        let work = move || {
            run(&other, Outlet { sink, forward });
            // Nobody may be waiting any more.
            let _ = ended.send(());
        };
        let thread = thread::Builder::new().name("log".into()).stack_size(STACK).spawn(work).map_err(Error::Start)?;
        Ok(Self { queue, backlog, done, thread: Some(thread) })
    }

    /// Takes bytes of a stream as they came, stamped with this moment; returns how many. Never waits. Where it takes less
    /// than all, the rest must be offered again when [`Writer::room_fd`] is readable.
    #[must_use]
    pub fn write(&self, stream: Stream, bytes: &[u8]) -> usize {
        self.queue.put(now(), stream, bytes)
    }

    /// Bytes that [`Writer::write`] would take now; up to 1 MiB.
    pub fn room(&self) -> usize {
        self.queue.room()
    }

    /// Readable after [`Writer::write`] took less than all and there is room again. It need not be read: the next refusal
    /// does that.
    pub fn room_fd(&self) -> BorrowedFd<'_> {
        self.queue.room_fd()
    }

    /// Writes what is there and ends the last line; `false` if that takes longer than `limit`: then the thread goes on by
    /// itself until the process ends.
    pub fn finish(mut self, limit: Duration) -> bool {
        self.close();
        if self.done.recv_timeout(limit).is_err() {
            return false;
        }
        // It has said its last word: this takes no time, and the process has one thread again.
        self.thread.take().is_some_and(|thread| thread.join().is_ok())
    }
}

impl Writer {
    /// The program has ended: a receiver that is slow gets a moment for what there still is.
    pub fn hurry(&self) {
        if let Some(backlog) = &self.backlog {
            backlog.hurry(forward::LAST);
        }
    }

    fn close(&self) {
        self.hurry();
        self.queue.close();
    }
}

/// A writer that is forgotten must not keep its thread for ever.
impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Where records go: the files, and whoever gets the lines too.
struct Outlet {
    sink: Sink,
    forward: Option<Forwarder>,
}

impl Outlet {
    /// Writes the records once there are so many bytes of them: into the files first, since a receiver may be slow.
    fn write_from(&mut self, records: &mut Vec<u8>, least: usize) {
        if records.len() >= least {
            self.sink.write(records);
            if let Some(forward) = &mut self.forward {
                forward.take(records);
            }
            records.clear();
        }
    }
}

fn run(queue: &Queue, mut out: Outlet) {
    let (mut framer, mut batch, mut records) = (Framer::default(), Batch::default(), Vec::with_capacity(SMALL));
    loop {
        let found = queue.take(&mut batch, framer.is_waiting().then_some(PATIENCE));
        let mut rest = batch.bytes.as_slice();
        for chunk in &batch.chunks {
            let (bytes, later) = rest.split_at(chunk.length);
            for piece in bytes.chunks(PIECE) {
                framer.add(&mut records, chunk.time, chunk.stream, piece);
                out.write_from(&mut records, BLOCK);
            }
            rest = later;
        }
        match found {
            Found::Some => {}
            Found::Nothing => framer.flush(&mut records),
            Found::Closed => framer.finish(&mut records),
        }
        if let Some(forward) = &out.forward {
            forward.notes(&mut records);
        }
        out.write_from(&mut records, 1);
        if found == Found::Closed {
            if let Some(forward) = out.forward.take() {
                forward.finish(&mut records);
                out.write_from(&mut records, 1);
            }
            return;
        }
        records.shrink_to(SMALL);
    }
}

/// Bytes that are framed at a time: short lines become seven times as long.
const PIECE: usize = 8 << 10;

/// Bytes of records that make a write worth it.
const BLOCK: usize = 64 << 10;

/// The buffer goes back to this when its batch is written.
const SMALL: usize = 4 << 10;

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
