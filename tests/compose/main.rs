//! Table tests by attribute: `<attribute>/<case>.txt` holds the files of a project and, last, what `config` makes of them, or
//! what is told of them. Attributes that share a merge rule share its cases (folder `merge`).
//!
//! A new case is a file without `== result`; `WINDLASS_WRITE=1` writes it, and whoever does so reads it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use windlass::compose::config::{Format, print};
use windlass::compose::{LoadOptions, load};

const RESULT: &str = "== result\n";

/// The files of a case, and its result as it stands there.
fn read(text: &str) -> (Vec<(String, String)>, String) {
    let (given, result) = text.split_once(RESULT).unwrap_or((text, ""));
    let files = given.split("== ").skip(1).map(|part| {
        let (name, body) = part.split_once('\n').unwrap();
        (name.to_owned(), body.to_owned())
    });
    (files.collect(), result.to_owned())
}

fn run(files: &[(String, String)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("case");
    for (name, body) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    }
    let main = files.iter().map(|(name, _)| name).filter(|name| name.starts_with("compose") && !name.contains('/'));
    let options = LoadOptions {
        files: main.cloned().collect(),
        env: BTreeMap::from([("HOME".to_owned(), "/home/me".to_owned()), ("SET".to_owned(), "set".to_owned())]),
        cwd: root.clone(),
        ..LoadOptions::default()
    };
    let text = match load(&options) {
        Ok(loaded) => {
            let told: Vec<String> =
                loaded.warnings.iter().map(|one| windlass::diag::render(one, &loaded.sources)).collect();
            told.concat() + &print(&loaded, Format::Yaml)
        }
        Err(wrong) => wrong.to_string(),
    };
    text.replace(&*root.to_string_lossy(), "@")
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(cases(&path));
        } else if path.extension().is_some_and(|e| e == "txt") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn every_case_is_as_it_stands() {
    let write = std::env::var_os("WINDLASS_WRITE").is_some();
    let all = cases(Path::new("tests/compose"));
    assert!(all.len() > 100, "the cases are read from the package's folder");
    let mut wrong = Vec::new();
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        let (files, expected) = read(&text);
        let got = run(&files);
        if write {
            let given = text.split_once(RESULT).map_or(text.as_str(), |(given, _)| given);
            fs::write(&path, format!("{given}{RESULT}{got}")).unwrap();
        } else if got != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- got\n{got}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_attribute_of_a_service_has_a_case() {
    let all: String = cases(Path::new("tests/compose")).iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let schema = windlass::compose::json_schema();
    let service = &schema["properties"]["services"]["additionalProperties"]["properties"];
    let without: Vec<&String> =
        service.as_object().unwrap().keys().filter(|key| !all.contains(&format!("{key}:"))).collect();
    assert!(without.is_empty(), "no case has {without:?}");
}
