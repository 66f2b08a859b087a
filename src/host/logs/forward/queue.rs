//! Lines between the log's thread and the one that sends.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Line;

/// Bytes that may wait unless the user says otherwise.
const LIMIT: usize = 1 << 20;

/// What a line costs beside its text, so that empty ones are bounded too.
const OVERHEAD: usize = size_of::<Line>();

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Line>,
    /// Of all lines, with their overhead.
    bytes: usize,
    /// The receiver is gone: nobody waits for room.
    broken: bool,
    /// No line comes any more.
    closed: bool,
    /// Nobody waits for the receiver longer than this.
    deadline: Option<Instant>,
    /// Lines that there was no room for.
    dropped: u64,
    notes: Vec<String>,
}

/// The lines that wait.
#[derive(Debug)]
pub(in crate::host::logs) struct Backlog {
    state: Mutex<State>,
    came: Condvar,
    went: Condvar,
    closing: EventFd,
    limit: usize,
    /// Whether a line waits for room.
    patient: bool,
}

impl Backlog {
    /// `buffer`: bytes that may wait before lines are lost; without, the one who puts waits.
    pub fn new(buffer: Option<u64>) -> io::Result<Self> {
        let closing = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let limit = buffer.map_or(LIMIT, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let (state, came, went) = Default::default();
        Ok(Self { state, came, went, closing, limit, patient: buffer.is_none() })
    }

    /// Takes a line, or loses it: at once where the receiver is gone or lines do not wait, else when it is gone.
    pub fn put(&self, line: Line) {
        let cost = line.text.len() + OVERHEAD;
        let full = |state: &mut State| !state.lines.is_empty() && state.bytes + cost > self.limit;
        let mut state = self.lock();
        if self.patient {
            let wait = |state: &mut State| full(state) && !state.broken;
            state = self.went.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
        }
        if full(&mut state) {
            state.dropped += 1;
            return;
        }
        state.bytes += cost;
        state.lines.push_back(line);
        self.came.notify_one();
    }

    /// Waits for the next line; `None`: no more will come.
    pub fn take(&self) -> Option<Line> {
        let idle = |state: &mut State| state.lines.is_empty() && !state.closed;
        let mut state = self.lock();
        if idle(&mut state) {
            if state.lines.capacity() > 64 {
                state.lines.shrink_to_fit();
                crate::host::process::trim();
            }
            state = self.came.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        }
        let line = state.lines.pop_front()?;
        state.bytes -= line.text.len() + OVERHEAD;
        self.went.notify_one();
        Some(line)
    }

    /// Whether lines wait.
    pub fn is_empty(&self) -> bool {
        self.lock().lines.is_empty()
    }

    /// The receiver is gone, or back.
    pub fn set_broken(&self, broken: bool) {
        self.lock().broken = broken;
        self.went.notify_one();
    }

    /// How many lines were lost for want of room, since this was asked last.
    pub fn take_dropped(&self) -> u64 {
        std::mem::take(&mut self.lock().dropped)
    }

    /// Something for the log's reader.
    pub fn note(&self, text: String) {
        self.lock().notes.push(text);
    }

    /// What was noted.
    pub fn notes(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().notes)
    }

    /// The program has ended: what is there, and what still comes, may be sent for so long.
    pub fn hurry(&self, limit: Duration) {
        self.lock().deadline.get_or_insert_with(|| Instant::now() + limit);
        // It can't overflow: this is called a few times at most.
        let _ = self.closing.write(1);
    }

    /// No line comes any more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.came.notify_one();
    }

    /// Waits until the descriptor is ready; `false` if it is not in time, or not before all has to end.
    pub fn ready(&self, fd: BorrowedFd<'_>, flags: PollFlags, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let deadline = self.lock().deadline;
            let end = deadline.map_or(end, |last| last.min(end));
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let mut set = [PollFd::new(fd, flags), PollFd::new(self.closing.as_fd(), PollFlags::POLLIN)];
            // The other one stays readable, and is known by now.
            let count = if deadline.is_some() { 1 } else { 2 };
            let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
            let _ = poll(&mut set[..count], timeout);
            if set[0].revents().is_some_and(|flags| !flags.is_empty()) {
                return true;
            }
        }
    }

    /// Waits so long; `false` at the end of all.
    pub fn pause(&self, time: Duration) -> bool {
        let timeout = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(self.closing.as_fd(), PollFlags::POLLIN)], timeout);
        self.lock().deadline.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
