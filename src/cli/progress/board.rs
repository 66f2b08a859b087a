//! The state of a progress display: what is known of each resource.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Kind, Phase, Report};

/// All lines, in the order in which they were first told of.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// What is being done: `Running`, `Pulling`.
    pub title: String,
    /// The lines.
    pub rows: Vec<Row>,
    places: BTreeMap<(Kind, String), usize>,
}

/// One resource.
#[derive(Clone, Debug)]
pub struct Row {
    /// The last that was told.
    pub last: Report,
    /// When it was first told of.
    pub begun: Duration,
    /// When it was done or failed.
    pub ended: Option<Duration>,
}

impl Board {
    /// An empty board.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Takes in a change; whether anything is new in it. `at`: since the beginning.
    pub fn update(&mut self, report: &Report, at: Duration) -> bool {
        let ended = (report.phase != Phase::Working).then_some(at);
        let key = (report.kind, report.name.clone());
        match self.places.get(&key).and_then(|place| self.rows.get_mut(*place)) {
            Some(row) if row.last == *report => false,
            Some(row) => {
                // Something that begins anew (a restart after a wait) is timed from its first beginning.
                row.ended = ended;
                row.last = report.clone();
                true
            }
            None => {
                self.places.insert(key, self.rows.len());
                self.rows.push(Row { last: report.clone(), begun: at, ended });
                true
            }
        }
    }

    /// What was last told of the same resource.
    pub fn last(&self, report: &Report) -> Option<&Report> {
        let place = self.places.get(&(report.kind, report.name.clone()))?;
        self.rows.get(*place).map(|row| &row.last)
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many lines are in a phase.
    pub fn count(&self, phase: Phase) -> usize {
        self.rows.iter().filter(|row| row.last.phase == phase).count()
    }
}
