//! Files that are written from the code: they are as the code has it, or this test says how to write them again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod validate;

use std::fs;
use std::path::Path;

use windlass::compose::{json_schema, support};
use windlass::diag::{Code, Diagnostic, Diagnostics, SourceMap, Span};

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

#[test]
fn the_schema_of_diagnostics() {
    let schema = Diagnostics::json_schema();
    holds("schemas/diagnostics.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
    let mut sources = SourceMap::default();
    let file = sources.add("compose.yaml", "services: {}");
    let one = Diagnostic::new(Code::UnknownKey, "m").at(Span::new(file, 0, 8), "here").note("n").help("h");
    let told = Diagnostics::new(vec![one, Diagnostic::new(Code::Version, "w")], sources).to_json();
    assert_eq!(validate::validate(&told, &schema, ""), Vec::<String>::new());
}

/// What loads is good by the schema too, file by file, and what has unknown keys or wrong kinds is not.
#[test]
fn the_schema_agrees_with_the_cases() {
    let schema = json_schema();
    let mut agreed = 0;
    for folder in fs::read_dir("tests/compose").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
    {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let text = fs::read_to_string(&path).unwrap();
            let (given, result) = text.split_once("== result\n").unwrap();
            let files = given.split("== ").skip(1).filter_map(|part| part.split_once('\n'));
            let files = files
                .filter(|(name, text)| *name == "compose.yaml" && !text.contains(['!', '<']) && !text.contains("---"));
            let trees = files.filter_map(|(_, text)| serde_yaml::from_str::<serde_json::Value>(text).ok());
            let wrong: Vec<String> = trees.flat_map(|tree| validate::validate(&tree, &schema, "")).collect();
            if result.starts_with("error[E0501]") && result.contains("┌ compose.yaml") {
                assert!(!wrong.is_empty(), "{}: the schema takes unknown keys", path.display());
            } else if !result.contains("error[") {
                assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
                agreed += 1;
            }
        }
    }
    assert!(agreed > 60, "{agreed}");
}
