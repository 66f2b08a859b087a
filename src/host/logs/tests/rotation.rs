use std::fs;
use std::io::Write;

use super::super::{Options, Stream};
use super::{entries, names, text, written};
use crate::desired::LogSpec;

fn small(max_size: u64, max_file: u32, compress: bool) -> LogSpec {
    LogSpec { max_size, max_file, compress, ..LogSpec::default() }
}

#[test]
fn files_stay_below_their_size_and_their_number() {
    let dir = tempfile::tempdir().expect("a folder");
    let lines: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    written(dir.path(), &small(4096, 3, false), &[(Stream::Stdout, lines.as_bytes())]);
    let names = names(dir.path());
    assert_eq!(names.len(), 3, "{names:?}");
    for name in &names {
        let length = fs::metadata(dir.path().join(name)).expect("a file").len();
        assert!(length <= 4096, "{name}: {length}");
    }
    let kept = entries(dir.path(), &Options::default());
    let whole: String = (1000 - kept.len()..1000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(text(&kept), whole, "the last lines, each whole and in order");
    assert!(kept.len() > 150);
}

#[test]
fn a_log_goes_on_with_the_next_container_and_rotates_on() {
    let dir = tempfile::tempdir().expect("a folder");
    for round in 0..5 {
        let line = format!("round {round} {}\n", "x".repeat(200));
        written(dir.path(), &small(600, 10, false), &[(Stream::Stdout, line.as_bytes())]);
    }
    assert_eq!(names(dir.path()).len(), 3);
    assert_eq!(entries(dir.path(), &Options::default()).len(), 5);
}

#[test]
fn old_files_are_compressed_and_read_as_before() {
    let dir = tempfile::tempdir().expect("a folder");
    let lines: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    written(dir.path(), &small(8192, 20, true), &[(Stream::Stdout, lines.as_bytes())]);
    // The compressor works beside the writer; the next writer does what it left.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while names(dir.path()).iter().filter(|name| name.ends_with(".log")).count() > 1 {
        assert!(std::time::Instant::now() < end, "{:?}", names(dir.path()));
        std::thread::yield_now();
    }
    assert!(names(dir.path()).len() > 4);
    assert_eq!(text(&entries(dir.path(), &Options::default())), lines);
    for tail in [1, 100, 333, 999, 5000] {
        let options = Options { tail: Some(tail), ..Options::default() };
        let first = 1000 - tail.min(1000);
        let expected: String = (first..1000).map(|number| format!("line {number}\n")).collect();
        assert_eq!(text(&entries(dir.path(), &options)), expected, "tail {tail}");
    }
}

#[test]
fn what_a_killed_writer_left_open_is_ended() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("0000000001.log");
    let left =
        "2026-11-24T07:08:54.000000001Z stdout F whole\n2026-11-24T07:08:54.000000002Z stdout P begun\n2026-11-24T07";
    fs::write(&path, left).expect("a log");
    fs::write(dir.path().join("0000000000.log.gz.part"), "half").expect("a file");
    written(dir.path(), &LogSpec::default(), &[(Stream::Stdout, b"next\n")]);
    let found = entries(dir.path(), &Options::default());
    assert_eq!(text(&found), "whole\nbegunnext\n");
    assert_eq!(found.iter().map(|entry| entry.partial).collect::<Vec<_>>(), [false, true, false, false]);
    assert_eq!(names(dir.path()), ["0000000001.log"]);
}

#[test]
fn lines_of_strangers_are_passed_over() {
    let dir = tempfile::tempdir().expect("a folder");
    written(dir.path(), &LogSpec::default(), &[(Stream::Stdout, b"one\n")]);
    let mut file = fs::OpenOptions::new().append(true).open(dir.path().join("0000000001.log")).expect("the log");
    file.write_all(b"\nhello\n2026-11-24T07:08:54.000000002Z stdfoo F x\n2026-11-24T07:08:54.000000002Z stdout X x\n")
        .expect("written");
    written(dir.path(), &LogSpec::default(), &[(Stream::Stdout, b"two\n")]);
    assert_eq!(text(&entries(dir.path(), &Options::default())), "one\ntwo\n");
}
