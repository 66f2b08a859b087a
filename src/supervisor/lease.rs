//! Who may change a project: one at a time. The others wait, and are told for whom.

use std::sync::Mutex;
use std::time::Instant;

use super::protocol::{Hello, Holder};

/// What the holder of the lease has: nothing but the right.
#[derive(Debug, Default)]
pub struct Lease;

/// Who holds the lease now, for those who wait.
#[derive(Debug, Default)]
pub struct Board(Mutex<Option<(Hello, Instant)>>);

impl Board {
    /// Writes a holder on the board, for as long as what comes back lives.
    pub fn put(&self, hello: &Hello) -> Holding<'_> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((hello.clone(), Instant::now()));
        Holding(self)
    }

    /// Who is on it.
    pub fn holder(&self) -> Option<Holder> {
        let board = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        board.as_ref().map(|(hello, since)| Holder {
            pid: hello.pid,
            command: hello.command.clone(),
            seconds: since.elapsed().as_secs(),
        })
    }
}

/// Wipes the board when its holder is done, or has gone.
pub struct Holding<'a>(&'a Board);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }
}
