//! docs/security.md maps each known attack to the test that tries it: this test checks that the map is whole.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The rows of the table: attack, defence, tests.
fn rows() -> Vec<[String; 3]> {
    let text = fs::read_to_string("docs/security.md").unwrap();
    text.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| Attack"))
        .map(|line| {
            let cells: Vec<String> = line.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect();
            <[String; 3]>::try_from(cells).unwrap_or_else(|cells| panic!("not three cells: {cells:?}"))
        })
        .collect()
}

/// Every `fn` of the sources and tests.
fn functions() -> BTreeSet<String> {
    fn walk(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                for line in fs::read_to_string(&path).unwrap().lines() {
                    if let Some((_, rest)) = line.split_once("fn ") {
                        into.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
                    }
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(Path::new("src"), &mut found);
    walk(Path::new("tests"), &mut found);
    found
}

#[test]
fn every_test_that_the_map_names_is_there() {
    let functions = functions();
    let rows = rows();
    assert!(rows.len() > 20, "the table was read");
    for [attack, _, tests] in rows {
        if let Some(reason) = tests.strip_prefix("not met yet: ") {
            assert!(!reason.is_empty(), "{attack}: no reason");
            continue;
        }
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{attack}: neither a test nor `not met yet: reason`");
        for name in names {
            let name = name.rsplit("::").next().unwrap();
            assert!(functions.contains(name), "{attack}: there is no test `{name}`");
        }
    }
}

#[test]
fn every_attack_that_is_known_is_in_the_map() {
    let Some(shared) = support::shared("security::every_attack_that_is_known_is_in_the_map") else { return };
    let text = fs::read_to_string(shared.join("needs.md")).unwrap();
    let section = text.split("\n## 4. ").nth(1).unwrap().split("\n## ").next().unwrap();
    let map: String = rows().into_iter().map(|[attack, ..]| attack + "\n").collect();
    for line in section.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| Issue")) {
        let issue = line.trim_matches('|').split(" | ").next().unwrap();
        // Numbers of a row: `CVE-2025-52881 (and 2019-16884/…)` → 2025-52881, 2019-16884, …
        let numbers: Vec<&str> = issue
            .split(|c: char| !(c.is_ascii_digit() || c == '-'))
            .map(|word| word.trim_matches('-'))
            .filter(|word| word.len() > 7 && word.as_bytes().get(4) == Some(&b'-'))
            .collect();
        if numbers.is_empty() {
            let word = issue.split([',', '(', '/']).next().unwrap().trim();
            assert!(map.contains(word), "docs/security.md says nothing of: {issue}");
        }
        for number in numbers {
            assert!(map.contains(number), "docs/security.md says nothing of {number} ({issue})");
        }
    }
}
