//! Trees from YAML text.

use crate::compose::node::{Kind, Node, Tag};
use crate::compose::syntax;
use crate::diag::SourceMap;

fn parse(text: &str) -> Result<Node, String> {
    let file = SourceMap::default().add("t.yaml", text);
    let mut documents = syntax::parse(file, text).map_err(|error| error.message)?;
    Ok(documents.remove(0).root)
}

#[test]
fn every_value_knows_its_place() {
    let text = "a:\n  b: [x, \"é y\"]\nc: |\n  block\n  text\nd: 1\n";
    let mut sources = SourceMap::default();
    let file = sources.add("t.yaml", text);
    let root = syntax::parse(file, text).expect("valid").remove(0).root;
    let at = |path: &str| {
        let place = sources.place(root.nearest(path).span).expect("known");
        (place.line, place.column, place.width)
    };
    assert_eq!(at("a.b[0]"), (2, 7, 1));
    assert_eq!(at("a.b[1]"), (2, 10, 5));
    assert_eq!(at("c").0, 4);
    assert_eq!(at("d"), (6, 4, 1));
    let key = sources.place(root.get("d").expect("d").key).expect("known");
    assert_eq!((key.line, key.column, key.width), (6, 1, 1));
}

#[test]
fn merge_keys() {
    let root =
        parse("x: &x {a: 1, b: 2}\ny: &y {<<: *x, b: 3, c: 4}\nz: {<<: [{d: 0, b: 9}, *y], c: 5}\n").expect("valid");
    let z = root.get("z").expect("z");
    let number = |key: &str| match z.get(key).map(|n| &n.kind) {
        Some(Kind::Int(n)) => *n,
        _ => -1,
    };
    assert_eq!((number("a"), number("b"), number("c"), number("d")), (1, 9, 5, 0));
    assert!(z.get("<<").is_none());
}

#[test]
fn tags() {
    let root = parse("a: !reset null\nb: !override [1]\nc: !!str 1\nd: !other x\n").expect("valid");
    assert_eq!(root.get("a").map(|n| n.tag), Some(Tag::Reset));
    assert_eq!(root.get("b").map(|n| n.tag), Some(Tag::Override));
    assert_eq!(root.get_str("c"), Some("1"));
    assert_eq!(root.get_str("d"), Some("x"));
}

#[test]
fn what_is_not_yaml() {
    for (text, part) in [
        ("a: [1", "not valid YAML"),
        ("a: 1\na: 2\n", "`a` stands here twice"),
        ("a: 1\n\tb: 2\n", "not valid YAML"),
        ("a: *none\n", ""),
        ("a: &a [*a]\n", "contains itself"),
        ("1: a\n", "a key must be text"),
        ("a: {<<: 1}\n", "takes a mapping"),
        ("a: !!int x\n", "no value for the tag"),
        ("a: {<<: {b: 1}, <<: {c: 1}}\n", "twice"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn bombs_are_bounded() {
    let mut laughs = "a: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..=9 {
        let row = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs.push_str(&format!("b{level}: &a{level} [{row}]\n"));
    }
    assert!(parse(&laughs).expect_err("a bomb").contains("aliases make this file grow"));
    assert!(parse(&"[".repeat(100_000)).is_err());
    assert!(parse(&format!("{}x", "- ".repeat(5_000))).is_err());
    let braces = format!("a: ${{{}", "A:-${".repeat(50_000));
    assert!(parse(&braces).is_ok());
}

#[test]
fn several_documents_and_none() {
    let file = SourceMap::default().add("t.yaml", "");
    let count = |text: &str| syntax::parse(file, text).map(|documents| documents.len()).ok();
    assert_eq!(count("a: 1\n---\nb: 2\n"), Some(2));
    assert_eq!(count(""), Some(0));
    assert_eq!(count("\u{feff}a: 1"), Some(1));
}
