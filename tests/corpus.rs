//! The conformance corpus: compose files that others wrote, and what `docker compose config` prints for them.
//!
//! `shared/corpus/compare.py` runs this windlass over all of it. What is known to differ stands in
//! `tests/corpus/known-failures`, a list that only shrinks: one that passes has to leave it.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use support::world::WINDLASS;

const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/known-failures");

/// The cases that are known to fail in a mode: lines `MODE CASE`.
fn known(mode: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(KNOWN).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).filter(|(m, _)| *m == mode).map(|(_, id)| id.to_owned()).collect()
}

/// Runs the corpus in a mode; fails on each case that fails and is not known to, and on each that is known to and passes.
fn corpus(mode: &str, flags: &[&str]) {
    let Some(shared) = support::shared(&format!("corpus::{mode}")) else { return };
    let work = tempfile::tempdir().unwrap();
    let report = work.path().join("report.json");
    let output = Command::new("python3")
        .arg(shared.join("corpus/compare.py"))
        .args([WINDLASS, "--failures", "--jobs", "2", "--tmp"])
        .arg(work.path())
        .arg("--report")
        .arg(&report)
        .args(flags)
        .output()
        .unwrap();
    let text = fs::read(&report).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let results: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    assert!(results.len() > 1000, "the corpus was not run: {} cases", results.len());
    let failed: BTreeMap<String, String> = results
        .iter()
        .filter(|result| result["ok"] == false)
        .map(|result| (result["id"].as_str().unwrap().to_owned(), result["why"].as_str().unwrap().to_owned()))
        .collect();
    let known = known(mode);
    let new: Vec<String> =
        failed.iter().filter(|(id, _)| !known.contains(*id)).map(|(id, why)| format!("{mode} {id}: {why}")).collect();
    assert!(new.is_empty(), "{} of {} cases fail:\n{}", new.len(), results.len(), new.join("\n"));
    let passed: Vec<&String> = known.iter().filter(|id| !failed.contains_key(*id)).collect();
    assert!(passed.is_empty(), "these pass now: take them out of tests/corpus/known-failures: {passed:#?}");
}

#[test]
fn json_lists_and_hashes() {
    corpus("json", &["--lists", "--hash"]);
}

#[test]
fn yaml_line_by_line() {
    corpus("yaml", &["--yaml", "--exact"]);
}
