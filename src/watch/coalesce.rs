//! When changes are told: the first at once, the rest of a burst together. A function of the notices and their times.
//!
//! ```text
//!  settled change in quiet times ─▶ at once
//!  unsettled (a file being written, a removal)  ─▶ 10 ms after the last notice: most settle by themselves before
//!  within a burst ─▶ 10 ms after the last notice, but at the latest 250 ms after the first
//!  while git holds its index ─▶ when it lets go: a checkout is one batch
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Quiet for so long, and a burst is over.
const QUIET: Duration = Duration::from_millis(10);
/// What comes so soon after a batch belongs to the same burst.
const BURST: Duration = Duration::from_millis(20);
/// A burst that does not end is told in pieces.
const LONGEST: Duration = Duration::from_millis(250);
/// A lock of git that nobody takes away does not stop us for ever.
const HOLD: Duration = Duration::from_secs(10);

/// How far a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something goes on with the path, and a better moment may follow: it was created, written to, removed.
    Begun,
    /// It is as it is meant to be: closed after writing, renamed.
    Settled,
    /// As settled, unless something goes on with it: its mode has changed.
    Touched,
}

/// Collects notices into batches.
#[derive(Debug, Default)]
pub struct Coalescer {
    /// Whether each is settled.
    pending: BTreeMap<PathBuf, bool>,
    settled: usize,
    first: Option<Instant>,
    last: Option<Instant>,
    burst_until: Option<Instant>,
    held: bool,
}

/// What is told together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The paths, sorted: a folder comes before what is in it.
    pub paths: Vec<PathBuf>,
    /// When the first of them was noticed.
    pub since: Instant,
}

impl Coalescer {
    /// Takes a notice.
    pub fn hear(&mut self, path: PathBuf, notice: Notice, now: Instant) {
        let settles = match (self.pending.get(&path), notice) {
            (Some(settled), Notice::Touched) => *settled,
            (_, Notice::Settled) | (None, Notice::Touched) => true,
            // It is written to again: its next end is waited for.
            (_, Notice::Begun) => false,
        };
        if self.pending.insert(path, settles) == Some(true) {
            self.settled -= 1;
        }
        self.settled += usize::from(settles);
        self.first.get_or_insert(now);
        self.last = Some(now);
        if self.burst_until.is_some_and(|until| now < until) {
            self.burst_until = Some(now + BURST);
        }
    }

    /// Begins or ends a time in which nothing is told.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether nothing is told now.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// When the next batch is due; `None`: there is nothing to tell.
    pub fn due(&self) -> Option<Instant> {
        let (first, last) = (self.first?, self.last?);
        if self.held {
            return Some(first + HOLD);
        }
        let in_burst = self.burst_until.is_some_and(|until| last < until);
        if self.settled > 0 && !in_burst { Some(last) } else { Some((last + QUIET).min(first + LONGEST)) }
    }

    /// The batch, if it is due.
    pub fn take(&mut self, now: Instant) -> Option<Due> {
        if self.due()? > now {
            return None;
        }
        let (since, last) = (self.first?, self.last?);
        let all = self.settled == self.pending.len() || now >= last + QUIET || now >= since + LONGEST;
        let paths = if all {
            std::mem::take(&mut self.pending).into_keys().collect()
        } else {
            let (settled, begun): (BTreeMap<_, _>, _) =
                std::mem::take(&mut self.pending).into_iter().partition(|(_, settled)| *settled);
            self.pending = begun;
            settled.into_keys().collect()
        };
        self.settled = 0;
        self.first = (!self.pending.is_empty()).then_some(since);
        self.burst_until = Some(now + BURST);
        Some(Due { paths, since })
    }
}

#[cfg(test)]
mod tests;
