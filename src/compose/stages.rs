//! How long each pass takes, for `--verbose` and tests/bench/load.py.

use std::time::{Duration, Instant};

/// A watch that is asked after each pass.
#[derive(Debug)]
pub struct Stages {
    since: Instant,
    spent: Vec<(&'static str, Duration)>,
}

impl Stages {
    /// Begins now.
    pub fn start() -> Self {
        Self { since: Instant::now(), spent: Vec::new() }
    }

    /// A pass has ended; passes that come again, with each file, are added up.
    pub fn ended(&mut self, pass: &'static str) {
        let now = Instant::now();
        let time = now - std::mem::replace(&mut self.since, now);
        match self.spent.iter_mut().find(|(name, _)| *name == pass) {
            Some((_, spent)) => *spent += time,
            None => self.spent.push((pass, time)),
        }
    }

    /// Tells it.
    pub fn tell(&self) {
        for (pass, spent) in &self.spent {
            tracing::debug!(pass, micros = spent.as_micros() as u64, "loading");
        }
    }
}
