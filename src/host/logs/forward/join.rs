//! From records back to lines: what was only written early, because its end did not come, is one line for a receiver. What is
//! longer than 16 KiB goes in parts, as docker has it.

use super::super::Stream;
use super::super::record::{End, Parsed, parse};
use super::{Line, Part};

/// The longest text of one message.
const LONGEST: usize = 16 << 10;

/// Puts lines together.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    stdout: Open,
    stderr: Open,
}

#[derive(Debug, Default)]
struct Open {
    text: Vec<u8>,
    /// The parts that were told already: their id and how many.
    told: Option<(u64, u32)>,
}

impl Joiner {
    /// Gives the lines that these records complete.
    pub fn add(&mut self, records: &[u8], mut give: impl FnMut(Line)) {
        for record in records.split(|byte| *byte == b'\n').filter_map(parse) {
            match record.stream {
                Stream::Stdout => self.stdout.add(&record, &mut give),
                Stream::Stderr => self.stderr.add(&record, &mut give),
                // The writer's own words are no output.
                Stream::System => {}
            }
        }
    }
}

impl Open {
    fn add(&mut self, record: &Parsed<'_>, give: &mut impl FnMut(Line)) {
        let mut text = record.text;
        while self.text.len() + text.len() > LONGEST {
            let (now, later) = text.split_at(LONGEST - self.text.len());
            self.text.extend_from_slice(now);
            self.tell(record, false, give);
            text = later;
        }
        self.text.extend_from_slice(text);
        if record.end != End::Partial {
            self.tell(record, true, give);
            self.told = None;
        }
    }

    fn tell(&mut self, record: &Parsed<'_>, last: bool, give: &mut impl FnMut(Line)) {
        let part = match (self.told, last) {
            (None, true) => None,
            (None, false) => Some(Part { id: record.time, ordinal: 1, last }),
            (Some((id, count)), _) => Some(Part { id, ordinal: count + 1, last }),
        };
        self.told = part.as_ref().map(|part| (part.id, part.ordinal));
        give(Line { time: record.time, stream: record.stream, part, text: std::mem::take(&mut self.text) });
    }
}
