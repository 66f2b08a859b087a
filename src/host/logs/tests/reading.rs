use std::fs;
use std::time::{Duration, Instant};

use super::super::files::list;
use super::super::{Follow, FollowAll, Options, Reader, Stream, Writer, merge};
use super::super::{record, time};
use super::{entries, put, text, written};
use crate::desired::LogSpec;

fn lines(from: u32, to: u32) -> String {
    (from..to).map(|number| format!("line {number}\n")).collect()
}

#[test]
fn streams_are_told_apart_and_binary_bytes_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let binary: Vec<u8> = (0..=255).collect();
    written(dir.path(), &LogSpec::default(), &[(Stream::Stdout, &binary), (Stream::Stderr, b"\xff\xfe err\r\n")]);
    let of = |stream| entries(dir.path(), &Options { stream: Some(stream), ..Options::default() });
    let out: Vec<u8> = of(Stream::Stdout).into_iter().flat_map(|entry| entry.bytes).collect();
    assert_eq!(out, binary);
    assert_eq!(of(Stream::Stderr)[0].bytes, b"\xff\xfe err\r\n");
}

#[test]
fn a_line_that_is_not_finished_is_none_of_the_last() {
    let dir = tempfile::tempdir().expect("a folder");
    written(dir.path(), &LogSpec::default(), &[(Stream::Stdout, b"one\ntwo\n")]);
    let path = list(dir.path()).expect("files")[0].path(dir.path());
    let mut bytes = fs::read(&path).expect("a log");
    let time = bytes[..time::WIDTH].try_into().expect("a time");
    record::push(&mut bytes, &time, Stream::Stdout, record::End::Partial, b"thr");
    fs::write(&path, bytes).expect("written");
    assert_eq!(text(&entries(dir.path(), &Options { tail: Some(1), ..Options::default() })), "two\nthr");
}

#[test]
fn the_last_lines_are_found_from_the_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let spec = LogSpec { max_size: 300_000, ..LogSpec::default() };
    written(dir.path(), &spec, &[(Stream::Stdout, lines(0, 20_000).as_bytes()), (Stream::Stdout, b"open")]);
    for tail in [0u32, 1, 2, 100, 3000, 9000] {
        let options = Options { tail: Some(tail.into()), ..Options::default() };
        let expected = if tail == 0 { String::new() } else { lines(20_001 - tail, 20_000) + "open" };
        assert_eq!(text(&entries(dir.path(), &options)), expected, "tail {tail}");
    }
    let missing = dir.path().join("nowhere");
    assert!(entries(&missing, &Options { tail: Some(3), ..Options::default() }).is_empty());
}

#[test]
fn times_bound_what_is_read() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut times = Vec::new();
    for round in 0..3u8 {
        written(dir.path(), &LogSpec::default(), &[(Stream::Stdout, &[b'0' + round, b'\n'])]);
        times.push(entries(dir.path(), &Options::default())[usize::from(round)].time);
    }
    let read = |since, until, tail| text(&entries(dir.path(), &Options { since, until, tail, stream: None }));
    assert_eq!(read(Some(times[1]), None, None), "1\n2\n");
    assert_eq!(read(None, Some(times[1]), None), "0\n1\n");
    assert_eq!(read(Some(times[1]), Some(times[1]), None), "1\n");
    assert_eq!(read(None, Some(times[1]), Some(1)), "1\n");
    assert_eq!(read(Some(times[2] + 1), None, Some(5)), "");
}

#[test]
fn several_logs_come_in_the_order_of_time() {
    let dirs = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    for round in 0..6usize {
        written(dirs[round % 2].path(), &LogSpec::default(), &[(Stream::Stdout, format!("{round}\n").as_bytes())]);
    }
    let readers = dirs.iter().map(|dir| Reader::open(dir.path(), &Options::default()).expect("a reader")).collect();
    let merged: Vec<(usize, Vec<u8>)> =
        merge(readers).map(|one| one.expect("an entry")).map(|(i, one)| (i, one.bytes)).collect();
    let expected: Vec<(usize, Vec<u8>)> =
        (0..6usize).map(|round| (round % 2, format!("{round}\n").into_bytes())).collect();
    assert_eq!(merged, expected);
}

/// Reads until `end` is the end of what was read.
fn follow_to(follow: &mut Follow, end: &str) -> String {
    let (mut seen, deadline) = (String::new(), Instant::now() + Duration::from_secs(20));
    while !seen.ends_with(end) {
        match follow.read().expect("an entry") {
            Some(entry) => seen.push_str(&String::from_utf8_lossy(&entry.bytes)),
            None => assert!(follow.wait(Some(deadline - Instant::now())).expect("waits"), "nothing after {seen:?}"),
        }
    }
    seen
}

#[test]
fn a_log_is_followed_over_rotations_and_containers_until_it_is_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let (dir, spec) = (dir.path().join("web-1"), LogSpec { max_size: 2000, max_file: 100, ..LogSpec::default() });
    let mut follow = Follow::open(&dir, &Options::default()).expect("a follower of what is not there yet");
    assert!(follow.read().expect("nothing").is_none() && !follow.has_ended());
    for round in 0..3u32 {
        let writer = Writer::start(&dir, &spec).expect("a writer");
        put(&writer, Stream::Stdout, lines(round * 500, round * 500 + 500).as_bytes());
        let last = format!("line {}\n", round * 500 + 499);
        assert_eq!(follow_to(&mut follow, &last), lines(round * 500, round * 500 + 500));
        put(&writer, Stream::Stderr, b"prompt> ");
        assert_eq!(follow_to(&mut follow, "prompt> "), "prompt> ", "is seen before its line ends");
        assert!(writer.finish(Duration::from_secs(20)));
    }
    std::fs::remove_dir_all(&dir).expect("removed");
    while !follow.has_ended() {
        assert!(follow.read().expect("the rest").is_none_or(|entry| entry.bytes.is_empty()));
        assert!(follow.has_ended() || follow.wait(Some(Duration::from_secs(20))).expect("waits"));
    }
}

#[test]
fn following_may_begin_with_the_last_lines() {
    let dir = tempfile::tempdir().expect("a folder");
    written(dir.path(), &LogSpec::default(), &[(Stream::Stdout, lines(0, 100).as_bytes())]);
    let mut follow = Follow::open(dir.path(), &Options { tail: Some(2), ..Options::default() }).expect("a follower");
    assert_eq!(follow_to(&mut follow, "line 99\n"), lines(98, 100));
    assert!(follow.read().expect("nothing").is_none());
    written(dir.path(), &LogSpec::default(), &[(Stream::Stdout, b"more\n")]);
    assert_eq!(follow_to(&mut follow, "more\n"), "more\n");
}

#[test]
fn several_logs_are_followed_as_one() {
    let dirs = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let dirs = dirs.each_ref().map(|dir| dir.path().join("log"));
    for round in 0..6usize {
        written(&dirs[round % 2], &LogSpec::default(), &[(Stream::Stdout, format!("{round}\n").as_bytes())]);
    }
    let mut all = FollowAll::new().expect("a follower");
    for dir in &dirs {
        all.add(Follow::open(dir, &Options::default()).expect("a log")).expect("added");
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    let next = |all: &mut FollowAll| loop {
        match all.read().expect("an entry") {
            Some((index, entry)) => return (index, String::from_utf8_lossy(&entry.bytes).into_owned()),
            None => assert!(all.wait(Some(deadline - Instant::now())).expect("waits"), "nothing came"),
        }
    };
    for round in 0..6usize {
        assert_eq!(next(&mut all), (round % 2, format!("{round}\n")), "what is there, in the order of time");
    }
    for index in [1, 0, 0, 1] {
        written(&dirs[index], &LogSpec::default(), &[(Stream::Stdout, b"more\n")]);
        assert_eq!(next(&mut all), (index, "more\n".to_owned()));
    }
    std::fs::remove_dir_all(&dirs[0]).expect("removed");
    written(&dirs[1], &LogSpec::default(), &[(Stream::Stdout, b"last\n")]);
    assert_eq!(next(&mut all), (1, "last\n".to_owned()));
    std::fs::remove_dir_all(&dirs[1]).expect("removed");
    while !all.has_ended() {
        assert!(all.read().expect("the end").is_none());
        assert!(all.has_ended() || all.wait(Some(deadline - Instant::now())).expect("waits"));
    }
}
