//! One record as bytes.

use super::{Entry, Stream, time};

/// How a record's text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The line goes on.
    Partial,
    /// By a line end.
    Line,
    /// By the end of the stream.
    Eof,
}

/// Appends a record.
pub(super) fn push(out: &mut Vec<u8>, time: &[u8; time::WIDTH], stream: Stream, end: End, text: &[u8]) {
    out.extend_from_slice(time);
    out.extend_from_slice(match stream {
        Stream::Stdout => b" stdout ",
        Stream::Stderr => b" stderr ",
        Stream::System => b" system ",
    });
    out.extend_from_slice(match end {
        End::Partial => b"P ",
        End::Line => b"F ",
        End::Eof => b"F:eof ",
    });
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// A record's parts.
pub(super) struct Parsed<'a> {
    pub time: u64,
    pub stream: Stream,
    pub end: End,
    pub text: &'a [u8],
}

/// Reads a record, given without its line end; `None`: a torn one, or a stranger's line.
pub(super) fn parse(line: &[u8]) -> Option<Parsed<'_>> {
    let (time, rest) = line.split_at_checked(time::WIDTH)?;
    let time = time::parse(time)?;
    let (stream, rest) = rest.split_at_checked(8)?;
    let stream = match stream {
        b" stdout " => Stream::Stdout,
        b" stderr " => Stream::Stderr,
        b" system " => Stream::System,
        _ => return None,
    };
    let blank = rest.iter().position(|byte| *byte == b' ')?;
    let end = match &rest[..blank] {
        b"P" => End::Partial,
        b"F" => End::Line,
        b"F:eof" => End::Eof,
        _ => return None,
    };
    Some(Parsed { time, stream, end, text: &rest[blank + 1..] })
}

impl Parsed<'_> {
    /// As readers get it.
    pub fn entry(&self) -> Entry {
        let newline = usize::from(self.end == End::Line);
        let mut bytes = Vec::with_capacity(self.text.len() + newline);
        bytes.extend_from_slice(self.text);
        bytes.extend_from_slice(&b"\n"[..newline]);
        Entry { time: self.time, stream: self.stream, partial: self.end == End::Partial, bytes }
    }
}
