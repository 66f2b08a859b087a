use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame::Framer;
use super::super::record::parse;
use super::super::{Entry, Stream};
use super::text;

/// The entries that a framer makes of some writes; a `None` is a pause in which it flushes.
fn framed(writes: &[Option<(Stream, Vec<u8>)>]) -> Vec<Entry> {
    let (mut framer, mut out) = (Framer::default(), Vec::new());
    for (time, write) in (1u64..).zip(writes) {
        match write {
            Some((stream, bytes)) => framer.add(&mut out, time, *stream, bytes),
            None => framer.flush(&mut out),
        }
    }
    framer.finish(&mut out);
    let lines = out.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| parse(line.strip_suffix(b"\n").expect("whole")).expect("a record").entry()).collect()
}

fn of(stream: Stream, entries: &[Entry]) -> Vec<u8> {
    entries.iter().filter(|entry| entry.stream == stream).flat_map(|entry| entry.bytes.clone()).collect()
}

fn write() -> impl Strategy<Value = Option<(Stream, Vec<u8>)>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let byte = prop_oneof![3 => Just(b'\n'), 3 => Just(b'a'), 1 => any::<u8>()];
    let bytes = prop_oneof![4 => vec(byte, 0..40), 1 => (16_000usize..40_000).prop_map(|length| vec![b'x'; length])];
    prop_oneof![5 => (stream, bytes).prop_map(Some), 1 => Just(None)]
}

proptest! {
    #[test]
    fn no_line_makes_the_parser_panic(text in "[0-9TZ:. -]{0,40}[ stdouerPF:]{0,20}.{0,10}") {
        parse(text.as_bytes());
    }

    #[test]
    fn every_byte_comes_back_in_its_stream(writes in vec(write(), 0..20)) {
        let entries = framed(&writes);
        for stream in [Stream::Stdout, Stream::Stderr] {
            let written: Vec<u8> = writes.iter().flatten().filter(|one| one.0 == stream).flat_map(|one| one.1.clone()).collect();
            prop_assert_eq!(of(stream, &entries), written);
            let last = entries.iter().rev().find(|entry| entry.stream == stream);
            prop_assert!(last.is_none_or(|entry| !entry.partial), "an unfinished line at the end");
        }
        prop_assert!(entries.iter().all(|entry| entry.bytes.len() <= (16 << 10) + 1));
    }
}

#[test]
fn lines_are_put_together_over_writes_and_streams() {
    let writes = [
        Some((Stream::Stdout, b"one\ntw".to_vec())),
        Some((Stream::Stderr, b"err".to_vec())),
        Some((Stream::Stdout, b"o\n\nthree".to_vec())),
    ];
    let entries = framed(&writes);
    let shown: Vec<(Stream, &[u8], bool)> =
        entries.iter().map(|one| (one.stream, one.bytes.as_slice(), one.partial)).collect();
    assert_eq!(
        shown,
        [
            (Stream::Stdout, b"one\n".as_slice(), false),
            (Stream::Stdout, b"two\n", false),
            (Stream::Stdout, b"\n", false),
            (Stream::Stdout, b"three", false),
            (Stream::Stderr, b"err", false),
        ]
    );
}

#[test]
fn a_prompt_is_a_part_until_its_line_ends() {
    let writes = [Some((Stream::Stdout, b"name? ".to_vec())), None, Some((Stream::Stdout, b"joe\n".to_vec()))];
    let entries = framed(&writes);
    assert_eq!(text(&entries), "name? joe\n");
    assert_eq!(entries.iter().map(|entry| entry.partial).collect::<Vec<_>>(), [true, false]);
}
