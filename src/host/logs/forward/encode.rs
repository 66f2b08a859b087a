//! A line in its receiver's form.

use super::local_time::LocalTime;
use super::{Forward, Line, syslog};
use crate::desired::LogFormat;

/// What the form of a line depends on beside the line and its receiver.
#[derive(Debug)]
pub(super) struct Encoder {
    /// Who speaks.
    pub pid: u32,
    /// The local time of nanoseconds since 1970.
    pub clock: fn(u64) -> LocalTime,
}

impl Encoder {
    pub fn new(_: &Forward) -> Self {
        Self { pid: std::process::id(), clock: LocalTime::of }
    }

    /// The messages that a line becomes: one, but for long ones where messages are short.
    pub fn encode(&mut self, forward: &Forward, line: &Line) -> Vec<Vec<u8>> {
        match forward.format {
            // As docker: an empty line says nothing to a syslog.
            LogFormat::Syslog { .. } if line.text.is_empty() => Vec::new(),
            LogFormat::Syslog { facility, format } => {
                vec![syslog::message(forward, facility, format, line, &(self.clock)(line.time), self.pid)]
            }
            _ => Vec::new(),
        }
    }
}
