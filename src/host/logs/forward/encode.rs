//! A line in its receiver's form.

use super::local_time::LocalTime;
use super::{Forward, Line, fluentd, gelf, journal, syslog};
use crate::desired::LogFormat;

/// What the form of a line depends on beside the line and its receiver.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Who speaks.
    pub pid: u32,
    /// The local time of nanoseconds since 1970.
    pub clock: fn(u64) -> LocalTime,
    /// Lines so far.
    pub count: u64,
}

impl Encoder {
    pub fn new() -> Self {
        Self { pid: std::process::id(), clock: LocalTime::of, count: 0 }
    }

    /// The messages that a line becomes: one, but for long ones where messages are short, and none for an empty one that would
    /// say nothing. `None`: the receiver's protocol has no room for it.
    pub fn encode(&mut self, forward: &Forward, line: &Line) -> Option<Vec<Vec<u8>>> {
        self.count += 1;
        Some(match forward.format {
            LogFormat::Syslog { .. } | LogFormat::Gelf { .. } if line.text.is_empty() => Vec::new(),
            LogFormat::Syslog { facility, format } => {
                vec![syslog::message(forward, facility, format, line, &(self.clock)(line.time), self.pid)]
            }
            LogFormat::Journal => vec![journal::message(forward, line)],
            LogFormat::Gelf { compression, level } => {
                // Differs from that of every other message of this machine that is under way.
                let number = line.time.wrapping_add(self.count) ^ (u64::from(self.pid) << 40);
                return gelf::messages(forward, line, compression, level, number);
            }
            LogFormat::Fluentd { nanoseconds } => vec![fluentd::message(forward, line, nanoseconds)],
        })
    }
}
