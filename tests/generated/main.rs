//! Files that are written from the code: they are as the code has it, or this test says how to write them again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod validate;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use windlass::compose::config::{Format, print};
use windlass::compose::{LoadOptions, canonical_schema, json_schema, load, support};
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

/// The tests of the package by their names, with their text; and the cases of tests/compose by theirs.
fn tests() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    gather(Path::new("tests"), &mut all);
    gather(Path::new("src"), &mut all);
    all
}

fn gather(folder: &Path, all: &mut BTreeMap<String, String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let end = path.extension().and_then(|end| end.to_str());
        match end {
            _ if path.is_dir() => gather(&path, all),
            Some("rs") => functions(&fs::read_to_string(&path).unwrap(), all),
            Some("txt") => {
                if let Ok(case) = path.with_extension("").strip_prefix("tests/compose") {
                    all.insert(case.display().to_string(), fs::read_to_string(&path).unwrap());
                }
            }
            _ => {}
        }
    }
}

/// The functions of a file that have a `test` attribute.
fn functions(text: &str, all: &mut BTreeMap<String, String>) {
    for (at, _) in text.match_indices("test]\n").chain(text.match_indices("test(")) {
        let Some(start) = text[at..].find("fn ").map(|start| at + start + 3) else { continue };
        let name = text[start..].split('(').next().unwrap_or_default();
        let line = text[..start].rsplit('\n').next().unwrap_or_default();
        let close = format!("\n{}}}\n", " ".repeat(line.len() - line.trim_start().len()));
        let end = text[start..].find(&close).map_or(text.len(), |end| start + end);
        all.insert(name.to_owned(), text[start..end].to_owned());
    }
}

/// What the table calls done has a test that is named there, that there is, and that has the attribute in it; else it must
/// be marked.
#[test]
fn every_attribute_with_an_effect_is_seen_by_the_test_that_the_table_names() {
    let tests = tests();
    let missing: Vec<&str> =
        support::SEEN.iter().map(|(_, test)| *test).filter(|test| !tests.contains_key(*test)).collect();
    assert!(missing.is_empty(), "src/compose/support/seen.rs names tests that there are not: {missing:?}");
    let table = support::document();
    let rows: Vec<(&str, &str)> = table.lines().filter_map(|row| row.strip_prefix("| `")?.split_once('`')).collect();
    let is_part = |path: &str, of: &str| path.strip_prefix(of).is_some_and(|rest| rest.starts_with(['.', '[']));
    let effects = ["services.*.", "networks.*.", "volumes.*.", "secrets.*.", "configs.*.", "models.*."];
    let mut lost = Vec::new();
    for (path, rest) in &rows {
        let state = rest.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let whole = rows.iter().any(|(other, _)| is_part(other, path));
        if whole || !state.starts_with("done") || !effects.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        let pattern = path.replace("[]", ".*");
        let Some((test, exact)) = support::seen(&pattern) else {
            lost.push(format!("{path}: no test is named"));
            continue;
        };
        let word = pattern.trim_end_matches(".*").rsplit('.').next().unwrap();
        // Builders are told in their own words.
        let has = |text: &str| text.contains(&format!("{word}:")) || path.starts_with("services.*.build");
        if !exact && !has(&tests[test]) {
            lost.push(format!("{path}: `{test}` does not have it"));
        }
    }
    let what = "name the tests in src/compose/support/seen.rs, or mark it in support.rs";
    assert!(lost.is_empty(), "{what}:\n{}", lost.join("\n"));
}

#[test]
fn the_schema_of_compose_files() {
    holds("schemas/compose.json", &(serde_json::to_string_pretty(&json_schema()).unwrap() + "\n"));
}

/// What `config --format json` prints of every case that loads is right by its schema.
#[test]
fn the_schema_of_config_agrees_with_the_cases() {
    let schema = canonical_schema();
    holds("schemas/config.json", &(serde_json::to_string_pretty(&schema).unwrap() + "\n"));
    let mut agreed = 0;
    for (name, text) in tests().into_iter().filter(|(name, _)| name.contains('/')) {
        let given = text.split_once("== result\n").unwrap().0;
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (file, body) in given.split("== ").skip(1).filter_map(|part| part.split_once('\n')) {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, body).unwrap();
            if file.starts_with("compose") && !file.contains('/') {
                files.push(file.to_owned());
            }
        }
        let env = BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned())]);
        let cwd = folder.path().to_owned();
        let options = LoadOptions { files, env, cwd, project_name: Some("case".into()), ..LoadOptions::default() };
        let Ok(loaded) = load(&options) else { continue };
        let printed: serde_json::Value = serde_json::from_str(&print(&loaded, Format::Json)).unwrap();
        assert_eq!(validate::validate(&printed, &schema, ""), Vec::<String>::new(), "{name}: {printed:#}");
        agreed += 1;
    }
    assert!(agreed > 60, "{agreed}");
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
