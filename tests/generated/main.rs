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

/// What is carried out has a test that says so, below tests/ or beside the code that meets the kernel; else it must be marked.
#[test]
fn every_attribute_with_an_effect_is_in_a_test() {
    fn sources(folder: &Path, wanted: &dyn Fn(&Path) -> bool, into: &mut String) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                sources(&path, wanted, into);
            } else if wanted(&path) {
                into.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    let rust = |path: &Path| path.extension().is_some_and(|end| end == "rs");
    sources(Path::new("tests"), &|path| rust(path) && !path.starts_with("tests/generated"), &mut text);
    sources(Path::new("src/host"), &|path| path.to_string_lossy().contains("/tests/"), &mut text);
    let table = support::document();
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
    let effects = ["services.*.", "networks.*.", "volumes.*.", "secrets.*.", "configs.*."];
    let done = rows.filter(|(path, rest)| {
        effects.iter().any(|start| path.starts_with(start)) && rest.trim_end_matches(" |").ends_with("| done")
    });
    let lost: Vec<&str> = done
        .map(|(path, _)| path)
        .filter(|path| !SEEN_ELSEWHERE.iter().any(|(start, _)| path.starts_with(start)))
        .filter(|path| {
            let word = path.trim_end_matches("[]").trim_end_matches(".*").rsplit('.').next().unwrap();
            !text.contains(&format!("{word}:"))
        })
        .collect();
    assert!(lost.is_empty(), "no test speaks of {lost:?}: write one, or mark it in src/compose/support.rs");
}

/// Attributes whose effect is not one on a kernel, and who looks at it.
const SEEN_ELSEWHERE: &[(&str, &str)] = &[
    ("services.*.build", "src/cli/build/tests.rs: what the builder is asked for"),
    ("services.*.deploy.placement", "its parts have no effect"),
    ("services.*.pull_refresh_after", "src/cli/backend/real: when an image is pulled again"),
];

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
