//! A disk that takes no more.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

use super::super::{Options, Stream};
use super::{entries, text, written};
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
    let lines: String = (0..4000).map(|number| format!("line {number}\n")).collect();
    written(&log, &LogSpec::default(), &[(Stream::Stdout, lines.as_bytes())]);
    let before = entries(&log, &Options::default());
    assert!(!before.is_empty() && before.len() < 4000 && lines.starts_with(&text(&before)), "{}", before.len());
    fs::remove_file(&filler).expect("room again");
    written(&log, &LogSpec::default(), &[(Stream::Stdout, b"after\n")]);
    assert!(text(&entries(&log, &Options::default())).ends_with("after\n"));
    umount(dir.path()).expect("unmounted");
}
