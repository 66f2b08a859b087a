//! What lies between the shim's one loop and the thread that writes: bytes up to 1 MiB.
//!
//! The loop never waits: where there is no room it takes no more from the pipe, so that the program waits in its write, and
//! is told by a descriptor when there is room again. That is the least a bounded memory allows: nothing is thrown away, and
//! the shim answers signals and exits with the disk standing still.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Stream;

/// Bytes that may wait.
pub(super) const LIMIT: usize = 1 << 20;

/// What a chunk costs beside its bytes, so that single bytes are bounded too.
const OVERHEAD: usize = size_of::<Chunk>();

/// Chunks that came within this time of each other are one: they have one time stamp.
const TOGETHER: u64 = 1_000_000;

/// Capacity that is kept while nothing is to be done.
const KEPT: usize = 4 << 10;

/// Some bytes of one stream that were read at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub stream: Stream,
    pub time: u64,
    pub length: usize,
}

/// A batch of chunks and their bytes.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub bytes: Vec<u8>,
    pub chunks: Vec<Chunk>,
}

/// What the writer finds when it looks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The batch has something.
    Some,
    /// Nothing came in the time.
    Nothing,
    /// Nothing more will come.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    closed: bool,
    refused: bool,
    woken: bool,
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    came: Condvar,
    room: EventFd,
}

impl Queue {
    pub fn new() -> io::Result<Self> {
        let room = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { state: Mutex::default(), came: Condvar::new(), room })
    }

    /// Bytes that [`Queue::put`] would take now.
    pub fn room(&self) -> usize {
        self.lock().batch.room()
    }

    /// Takes as many of the bytes as there is room for; returns how many. Where that is not all, [`Queue::room_fd`] becomes
    /// readable with the next room.
    pub fn put(&self, time: u64, stream: Stream, bytes: &[u8]) -> usize {
        let mut state = self.lock();
        let taken = bytes.len().min(state.batch.room());
        if taken < bytes.len() {
            state.refused = true;
            // Nothing to read is no error.
            let _ = self.room.read();
        }
        if taken > 0 {
            state.batch.push(time, stream, &bytes[..taken]);
            self.came.notify_one();
        }
        taken
    }

    pub fn room_fd(&self) -> BorrowedFd<'_> {
        self.room.as_fd()
    }

    /// Exchanges `batch`, which is cleared, for what has come. Waits for something, at most so long.
    pub fn take(&self, batch: &mut Batch, limit: Option<Duration>) -> Found {
        batch.clear();
        let idle = |state: &mut State| state.batch.chunks.is_empty() && !state.closed && !state.woken;
        let mut state = self.lock();
        if idle(&mut state) {
            let large = batch.shrink() | state.batch.shrink();
            if large {
                crate::host::process::trim();
            }
            state = match limit {
                None => self.came.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
                Some(limit) => {
                    let waited = self.came.wait_timeout_while(state, limit, idle);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.woken = false;
        std::mem::swap(batch, &mut state.batch);
        if std::mem::take(&mut state.refused) {
            // The counter can't overflow: it is read back to 0 at every refusal.
            let _ = self.room.write(1);
        }
        match (batch.chunks.is_empty(), state.closed) {
            (false, _) => Found::Some,
            (true, true) => Found::Closed,
            (true, false) => Found::Nothing,
        }
    }

    /// Has [`Queue::take`] return, with nothing if there is nothing.
    pub fn wake(&self) {
        self.lock().woken = true;
        self.came.notify_one();
    }

    /// Nothing more is put.
    pub fn close(&self) {
        self.lock().closed = true;
        self.came.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn room(&self) -> usize {
        LIMIT.saturating_sub(self.bytes.len() + (self.chunks.len() + 1) * OVERHEAD)
    }

    fn push(&mut self, time: u64, stream: Stream, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        match self.chunks.last_mut() {
            Some(last) if last.stream == stream && time.wrapping_sub(last.time) < TOGETHER => {
                last.length += bytes.len()
            }
            _ => self.chunks.push(Chunk { stream, time, length: bytes.len() }),
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.chunks.clear();
    }

    /// Goes back to a small size, both parts being empty; whether it was larger.
    fn shrink(&mut self) -> bool {
        let large = self.bytes.capacity() > KEPT || self.chunks.capacity() > KEPT / OVERHEAD;
        self.bytes.shrink_to(KEPT);
        self.chunks.shrink_to(KEPT / OVERHEAD);
        large
    }
}
