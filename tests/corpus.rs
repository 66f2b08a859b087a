//! Compose files of other projects, each with what docker compose's `config` makes of it, errors too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;

fn compare(name: &str, flags: &[&str]) {
    let Some(shared) = support::shared(name) else { return };
    let corpus = shared.join("corpus");
    let run = Command::new("python3")
        .arg(corpus.join("compare.py"))
        .arg(env!("CARGO_BIN_EXE_windlass"))
        .arg("--failures")
        .args(flags)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(told.contains(" passed (100.0 %)"), "{told}");
}

#[test]
fn json_lists_and_hashes() {
    compare("corpus: JSON, lists and hashes", &["--lists", "--hash"]);
}

#[test]
fn yaml() {
    compare("corpus: YAML", &["--yaml"]);
}
