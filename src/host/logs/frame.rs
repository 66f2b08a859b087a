//! From bytes as they come out of a pipe to records: lines are put together, what is too long for one record is cut.

use super::record::{End, push};
use super::{Stream, time};

/// The longest text of one record, as docker has it. A reader puts cut lines together again.
const LONGEST: usize = 16 << 10;

/// Puts the lines of a container together.
#[derive(Debug, Default)]
pub(super) struct Framer {
    stdout: Open,
    stderr: Open,
}

/// A line whose end has not come.
#[derive(Debug, Default)]
struct Open {
    /// What of it is not in a record yet.
    text: Vec<u8>,
    /// Some of it is in records already.
    begun: bool,
    /// When the last of it came.
    time: u64,
}

impl Framer {
    /// Appends the records that these bytes complete.
    pub fn add(&mut self, out: &mut Vec<u8>, time: u64, stream: Stream, mut bytes: &[u8]) {
        let stamp = time::encode(time);
        let open = self.open(stream);
        open.time = time;
        while let Some(end) = memchr(bytes) {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            if open.text.is_empty() && line.len() <= LONGEST {
                push(out, &stamp, stream, End::Line, line);
            } else {
                open.text.extend_from_slice(line);
                open.cut(out, &stamp, stream);
                push(out, &stamp, stream, End::Line, &open.text);
                open.text.clear();
            }
            open.begun = false;
            bytes = rest;
        }
        open.text.extend_from_slice(bytes);
        open.cut(out, &stamp, stream);
    }

    /// Whether a part of a line waits to be written.
    pub fn is_waiting(&self) -> bool {
        !self.stdout.text.is_empty() || !self.stderr.text.is_empty()
    }

    /// Appends what waits: a prompt has no line end, and whoever follows wants to see it.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let open = self.open(stream);
            if !open.text.is_empty() {
                push(out, &time::encode(open.time), stream, End::Partial, &open.text);
                open.text.clear();
                open.begun = true;
            }
        }
    }

    /// Appends what waits and ends the lines: the program is gone.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let open = self.open(stream);
            if open.begun || !open.text.is_empty() {
                push(out, &time::encode(open.time), stream, End::Eof, &open.text);
                *open = Open::default();
            }
        }
    }

    fn open(&mut self, stream: Stream) -> &mut Open {
        if stream == Stream::Stderr { &mut self.stderr } else { &mut self.stdout }
    }
}

impl Open {
    fn cut(&mut self, out: &mut Vec<u8>, stamp: &[u8; time::WIDTH], stream: Stream) {
        let mut from = 0;
        while self.text.len() - from > LONGEST {
            push(out, stamp, stream, End::Partial, &self.text[from..from + LONGEST]);
            from += LONGEST;
            self.begun = true;
        }
        self.text.drain(..from);
    }
}

/// The first line end.
fn memchr(bytes: &[u8]) -> Option<usize> {
    // SAFETY: the pointer and the length are those of `bytes`; memchr(3) reads no further.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), i32::from(b'\n'), bytes.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}
