//! When a container is probed, and what a probe's result makes of its health (spec.md 12.4): pure functions of time.
//!
//! The file's own times are `interval` after the last probe that counted (`start_interval` within the start period). Until
//! the first success, *early* probes run beside them, 50 ms after the start and then at doubling distances up to
//! `interval`: a service that is ready is known to be ready at once, and a failure of theirs counts for nothing.

use std::time::Duration;

use super::port::{HealthRecord, ProbeResult};
use crate::desired::{HealthSpec, Stamp};
use crate::observed::Health;

/// The first early probe.
const FIRST: Duration = Duration::from_millis(50);

/// Whether a failure of a probe counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At one of the file's own times.
    Regular,
    /// Between them, before the first success.
    Early,
}

/// What is remembered between probes of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    started: Stamp,
    passed: bool,
    regular: Option<Stamp>,
    last: Option<Stamp>,
    early: u32,
}

impl Course {
    /// The course of a process that was started at `started`, after what `record` says of it.
    pub fn new(started: Stamp, record: Option<&HealthRecord>) -> Self {
        let record = record.filter(|record| record.started.as_ref() == Some(&started));
        let passed = record.is_some_and(|r| matches!(r.health, Health::Healthy | Health::Unhealthy));
        let regular = record.and_then(|r| r.regular.clone());
        let last = record.and_then(|r| r.at.clone());
        Self { started, passed, regular, last, early: record.map_or(0, |r| r.early) }
    }

    /// The next probe.
    pub fn next(&self, spec: &HealthSpec) -> (Stamp, Kind) {
        let base = self.regular.as_ref().unwrap_or(&self.started);
        let within = !self.passed && self.started.until(base) < spec.start_period;
        let regular = base.after(if within { spec.start_interval.min(spec.interval) } else { spec.interval });
        if self.passed {
            return (regular, Kind::Regular);
        }
        let gap = FIRST.saturating_mul(1_u32.checked_shl(self.early).unwrap_or(u32::MAX)).min(spec.interval);
        let early = self.last.as_ref().unwrap_or(&self.started).after(gap);
        if early.is_before(&regular) { (early, Kind::Early) } else { (regular, Kind::Regular) }
    }

    /// Takes in how a probe went that ran from `began` to `at`: the new record.
    pub fn ended(
        &mut self,
        spec: &HealthSpec,
        before: &HealthRecord,
        kind: Kind,
        result: ProbeResult,
        (began, at): (&Stamp, Stamp),
    ) -> HealthRecord {
        let passed = result.code == 0;
        let (mut health, mut failing) = (before.health, before.failing);
        if passed {
            self.passed = true;
            (health, failing) = (Health::Healthy, 0);
        } else if kind == Kind::Regular && (self.passed || self.started.until(began) >= spec.start_period) {
            failing = failing.saturating_add(1);
            if failing >= spec.retries.max(1) {
                self.passed = true;
                health = Health::Unhealthy;
            }
        }
        match kind {
            Kind::Regular => self.regular = Some(at.clone()),
            Kind::Early => self.early = self.early.saturating_add(1),
        }
        self.last = Some(at.clone());
        HealthRecord {
            health,
            failing,
            last: Some(result),
            at: Some(at),
            regular: self.regular.clone(),
            early: self.early,
            started: Some(self.started.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Stamp {
        Stamp { boot: "b".into(), nanos: millis * 1_000_000, wall: millis * 1_000_000 }
    }

    fn spec() -> HealthSpec {
        HealthSpec {
            argv: vec!["true".into()],
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            retries: 2,
            start_period: Duration::ZERO,
            start_interval: Duration::from_secs(5),
        }
    }

    /// Runs probes that take no time and give the codes in turn; tells when each ran, its kind, and the health after it.
    fn run(spec: &HealthSpec, codes: &[i32]) -> Vec<(u64, Kind, Health)> {
        let mut course = Course::new(at(0), None);
        let mut record = HealthRecord { health: Health::Starting, ..HealthRecord::default() };
        let mut seen = Vec::new();
        for code in codes {
            let (due, kind) = course.next(spec);
            let result = ProbeResult { code: *code, output: String::new() };
            record = course.ended(spec, &record, kind, result, (&due, due.clone()));
            seen.push((due.nanos / 1_000_000, kind, record.health));
        }
        seen
    }

    #[test]
    fn early_probes_find_a_ready_service_at_once_and_their_failures_do_not_count() {
        use Health::{Healthy, Starting, Unhealthy};
        use Kind::{Early, Regular};
        assert_eq!(
            run(&spec(), &[1, 1, 1, 1, 1, 1, 1, 1, 1]),
            [
                (50, Early, Starting),
                (150, Early, Starting),
                (350, Early, Starting),
                (750, Early, Starting),
                (1000, Regular, Starting),
                (1800, Early, Starting),
                (2000, Regular, Unhealthy),
                (3000, Regular, Unhealthy),
                (4000, Regular, Unhealthy),
            ]
        );
        assert_eq!(
            run(&spec(), &[1, 0, 1, 1])[1..],
            [(150, Early, Healthy), (1000, Regular, Healthy), (2000, Regular, Unhealthy),]
        );
    }

    #[test]
    fn failures_within_the_start_period_do_not_count() {
        let spec = HealthSpec {
            start_period: Duration::from_secs(3),
            start_interval: Duration::from_millis(500),
            interval: Duration::from_secs(30),
            retries: 1,
            ..spec()
        };
        let seen = run(&spec, &[1; 20]);
        let regular: Vec<_> = seen.iter().filter(|(_, kind, _)| *kind == Kind::Regular).collect();
        assert!(regular.iter().take_while(|(at, ..)| *at < 3000).all(|(_, _, health)| *health == Health::Starting));
        assert_eq!(regular.iter().find(|(_, _, health)| *health == Health::Unhealthy).map(|(at, ..)| *at), Some(3000));
    }

    #[test]
    fn a_new_supervisor_goes_on_from_the_record() {
        let record = HealthRecord {
            health: Health::Healthy,
            at: Some(at(5000)),
            regular: Some(at(5000)),
            started: Some(at(0)),
            ..HealthRecord::default()
        };
        assert_eq!(Course::new(at(0), Some(&record)).next(&spec()), (at(6000), Kind::Regular));
        let other = Course::new(at(7000), Some(&record));
        assert_eq!(other.next(&spec()), (at(7050), Kind::Early), "a record of another process does not count");
    }

    #[test]
    fn wherever_a_supervisor_is_killed_the_next_one_probes_and_counts_as_it_would_have() {
        let spec = HealthSpec { start_period: Duration::from_millis(1500), ..spec() };
        let codes = [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1];
        let unbroken = run(&spec, &codes);
        for cut in 0..codes.len() {
            let mut course = Course::new(at(0), None);
            let mut record = HealthRecord { health: Health::Starting, started: Some(at(0)), ..HealthRecord::default() };
            for (index, code) in codes.iter().enumerate() {
                if index == cut {
                    course = Course::new(at(0), Some(&record));
                }
                let (due, kind) = course.next(&spec);
                let result = ProbeResult { code: *code, output: String::new() };
                record = course.ended(&spec, &record, kind, result, (&due, due.clone()));
                assert_eq!((due.nanos / 1_000_000, kind, record.health), unbroken[index], "killed before probe {cut}");
            }
        }
    }
}
