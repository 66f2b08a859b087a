//! Files that are written from the code: they are as the code has it, or this test says how to write them again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use windlass::compose::{json_schema, support};
use windlass::diag::Code;

/// Compares a file with what the code says, or writes it (`WINDLASS_WRITE=1`).
fn holds(path: &str, text: &str) {
    if std::env::var_os("WINDLASS_WRITE").is_some() {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    assert!(
        there == text,
        "{path} is not as the code has it: run this test with WINDLASS_WRITE=1, and read the difference"
    );
}

#[test]
fn the_catalogue_of_diagnostics() {
    holds("docs/diagnostics.md", &Code::catalogue());
}

#[test]
fn the_table_of_what_is_supported() {
    holds("docs/compose-support.md", &support::document());
}

#[test]
fn the_schema_of_compose_files() {
    holds("schemas/compose.json", &(serde_json::to_string_pretty(&json_schema()).unwrap() + "\n"));
}

#[test]
fn every_code_is_told_somewhere() {
    fn sources(folder: &Path, into: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if !path.ends_with("code.rs")
                && !path.ends_with("tests.rs")
                && !path.to_string_lossy().contains("/tests/")
            {
                into.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    sources(Path::new("src"), &mut text);
    let lost: Vec<String> = Code::ALL
        .iter()
        .map(|code| format!("{code:?}"))
        .filter(|name| !text.contains(&format!("Code::{name}")))
        .collect();
    assert!(lost.is_empty(), "nobody tells {lost:?}");
}
