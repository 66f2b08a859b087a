//! Holds the direction of imports (docs/architecture.md) and where effects may be.
//!
//! Reads the sources as text: a `use crate::x` or a path `crate::x` in a file below `src/y` is an arrow from y to x.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom; `name` and `diag` are everybody's.
const ARROWS: &[(&str, &[&str])] = &[
    ("name", &[]),
    ("diag", &[]),
    ("compose", &[]),
    ("graph", &["compose"]),
    ("lock", &["compose"]),
    ("desired", &["compose", "graph"]),
    ("observed", &["desired"]),
    ("plan", &["desired", "observed"]),
    ("engine", &["plan", "desired", "observed"]),
    ("host", &["engine", "plan", "desired", "observed", "lock"]),
    ("supervisor", &["engine", "host", "plan", "desired", "observed"]),
    ("watch", &["compose"]),
    ("cli", &["compose", "graph", "lock", "desired", "observed", "plan", "engine", "host", "supervisor", "watch"]),
];

/// Files outside the kernel layer that read files: the source of compose files and what they name.
const MAY_READ: &[&str] = &["compose"];

fn sources() -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, into: &mut BTreeMap<PathBuf, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.insert(path.clone(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(Path::new("src"), &mut files);
    assert!(files.len() > 50, "the sources are read from the package's folder");
    files
}

/// The module a file belongs to: the folder or file just below src.
fn module(path: &Path) -> String {
    let below = path.strip_prefix("src").unwrap().components().next().unwrap();
    below.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// A file's code without comments, so that docs may speak of anything.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => word.clear(),
                    c if depth == 0 && (c.is_alphanumeric() || c == '_') => word.push(c),
                    _ => {}
                }
                if depth == 0 && !word.is_empty() && !found.contains(&word) && is_module(&word) {
                    found.insert(word.clone());
                }
            }
        } else {
            let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if is_module(&word) {
                found.insert(word);
            }
        }
    }
    found
}

fn is_module(word: &str) -> bool {
    ARROWS.iter().any(|(name, _)| *name == word)
}

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let here = module(&path);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == here) else { continue };
        for there in imports(&code(&text)) {
            if there != here && there != "name" && there != "diag" && !allowed.contains(&there.as_str()) {
                wrong.push(format!("{}: {here} → {there}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "imports against docs/architecture.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place() {
    let listed: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for path in sources().keys() {
        let here = module(path);
        assert!(
            listed.contains(here.as_str()) || here == "main" || here == "lib",
            "{}: the module {here} is not in this test's table",
            path.display()
        );
    }
}

#[test]
fn effects_stay_in_the_layers_that_may_have_them() {
    let banned =
        ["std::fs", "std::process::Command", "std::net::", "nix::", "rustix::", "libc::", "tokio::fs", "SystemTime"];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let here = module(&path);
        let adapter = path.starts_with("src/watch/disk");
        if adapter
            || matches!(here.as_str(), "host" | "supervisor" | "cli" | "main" | "lib")
            || path.ends_with("tests.rs")
        {
            continue;
        }
        let code = code(&text);
        let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for word in banned {
            let reads = MAY_READ.contains(&here.as_str()) && word == "std::fs";
            let addresses = word == "std::net::" && !code.contains("TcpStream") && !code.contains("UdpSocket");
            // `std::os::unix::` is no `nix::`.
            let begins = |at: usize| !code[..at].ends_with(|before: char| before.is_alphanumeric());
            if code.match_indices(word).any(|(at, _)| begins(at)) && !reads && !addresses {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "effects where none may be:\n{}", wrong.join("\n"));
}

#[test]
fn unsafe_code_stays_in_the_kernel_layer_and_says_why() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.contains("unsafe {") && !code.contains("unsafe impl") {
                continue;
            }
            let before = lines[at.saturating_sub(6)..at].iter().any(|l| l.contains("SAFETY"));
            if module(&path) != "host" || !(before || line.contains("SAFETY")) {
                wrong.push(format!("{}:{}: {}", path.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe outside host, or without its reason:\n{}", wrong.join("\n"));
}

#[test]
fn files_stay_short() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > 550)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "too long to read in one go:\n{}", long.join("\n"));
}
