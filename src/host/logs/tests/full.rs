//! A disk that takes no more.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

use super::super::frame::Framer;
use super::super::sink::Sink;
use super::super::{Options, Stream};
use super::{entries, text};
use crate::desired::LogSpec;

#[test]
fn what_a_full_disk_does_not_take_is_counted_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace for this thread");
    let none: Option<&Path> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
    mount(Some("none"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some("size=256k")).expect("a small disk");
    let log = dir.path().join("web-1");
    let filler = dir.path().join("filler");
    fs::write(&filler, vec![0; 128 << 10]).expect("half of it");
    let mut sink = Sink::open(log.clone(), LogSpec::default()).expect("a log");
    let (mut framer, mut records) = (Framer::default(), Vec::new());
    let lines: String = (0..8000).map(|number| format!("line {number}\n")).collect();
    framer.add(&mut records, 1, Stream::Stdout, lines.as_bytes());
    sink.write(&records);
    fs::remove_file(&filler).expect("room again");
    sink.write(b"1970-01-01T00:00:00.000000002Z stdout F after\n");
    let found = entries(&log, &Options::default());
    let [kept @ .., told, after] = found.as_slice() else { panic!("{found:?}") };
    assert!(lines.starts_with(&text(kept)) && !kept.is_empty(), "whole lines up to where it was full");
    let kept = kept.len() * (records.len() / 8000);
    let note = String::from_utf8_lossy(&told.bytes);
    assert!(told.stream == Stream::System && note.contains("bytes of output lost: No space left"), "{note}");
    let lost: usize = note.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
    assert!(
        (kept + lost).abs_diff(records.len()) < records.len() / 20,
        "{kept} kept, {lost} lost of {}",
        records.len()
    );
    assert_eq!(after.bytes, b"after\n");
    drop(sink);
    umount(dir.path()).expect("unmounted");
}
