mod frame;
mod frozen;
mod full;
mod queue;
mod reading;
mod rotation;

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use proptest::prelude::*;

use super::{Entry, Options, Reader, Stream, Writer, format_time, parse_time};
use crate::desired::LogSpec;

/// Whether a descriptor becomes readable within 10 s.
fn readable(fd: BorrowedFd<'_>) -> bool {
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(10_000u16)).is_ok_and(|count| count > 0)
}

/// Writes all of it, waiting for room as a shim does.
fn put(writer: &Writer, stream: Stream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        bytes = &bytes[writer.write(stream, bytes)..];
        assert!(bytes.is_empty() || readable(writer.room_fd()));
    }
}

/// A log of its own from these writes.
fn written(dir: &Path, spec: &LogSpec, writes: &[(Stream, &[u8])]) {
    let writer = Writer::start(dir, spec).expect("a writer");
    for (stream, bytes) in writes {
        put(&writer, *stream, bytes);
    }
    assert!(writer.finish(Duration::from_secs(20)));
}

fn entries(dir: &Path, options: &Options) -> Vec<Entry> {
    Reader::open(dir, options).expect("a reader").collect::<Result<_, _>>().expect("entries")
}

fn text(entries: &[Entry]) -> String {
    entries.iter().map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

proptest! {
    #[test]
    fn times_survive_their_text(nanos in 0u64..=u64::MAX) {
        let text = format_time(nanos);
        prop_assert_eq!(parse_time(text.as_bytes()), Some(nanos));
        let other: jiff::Timestamp = text.parse().expect("RFC 3339");
        prop_assert_eq!(u128::from(nanos), u128::try_from(other.as_nanosecond()).expect("after 1970"));
    }
}

#[test]
fn texts_that_are_no_times_are_told_apart() {
    let wrong = [
        "",
        "2026-11-24",
        "2026-13-24T07:08:54.123456789Z",
        "1969-11-24T07:08:54.123456789Z",
        "2026-11-24T07:08:54.123456789+",
    ];
    assert!(wrong.iter().all(|text| parse_time(text.as_bytes()).is_none()));
    assert_eq!(format_time(0), "1970-01-01T00:00:00.000000000Z");
}
