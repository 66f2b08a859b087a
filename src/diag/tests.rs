use super::*;

const TEXT: &str = "services:\n  web:\n    depends_on:\n      - databse\n  database: {}\n";

fn example() -> (Diagnostic, SourceMap) {
    let mut sources = SourceMap::default();
    let file = sources.add("compose.yaml", TEXT);
    let start = TEXT.find("databse").unwrap_or_default();
    let diagnostic = Diagnostic::new(Code::UnknownReference, "service `web` depends on unknown service `databse`")
        .at(Span::new(file, start, start + 7), "no service has this name")
        .did_you_mean("databse", ["web", "database"]);
    (diagnostic, sources)
}

#[test]
fn the_look() {
    let (diagnostic, sources) = example();
    insta::assert_snapshot!(render(&diagnostic, &sources), @r"
    error[E0701]: service `web` depends on unknown service `databse`
     ┌ compose.yaml:4:9
    4│       - databse
     │         ━━━━━━━ no service has this name
     = help: did you mean `database`?
    ");
}

#[test]
fn json_names_the_place() {
    let (diagnostic, sources) = example();
    let json = diagnostic.to_json(&sources);
    assert_eq!(json["labels"][0]["line"], 4);
    assert_eq!(json["labels"][0]["column"], 9);
    assert_eq!((&json["code"], &json["severity"]), (&"E0701".into(), &"error".into()));
    assert_eq!(json["help"], "did you mean `database`?");
}

#[test]
fn no_place_no_lines() {
    let diagnostic = Diagnostic::new(Code::Version, "nothing to see").at(Span::default(), "lost");
    assert_eq!(render(&diagnostic, &SourceMap::default()), "warning[W0508]: nothing to see\n");
}

#[test]
fn spans_of_odd_texts_never_panic() {
    let mut sources = SourceMap::default();
    let file = sources.add("x", "é\tü");
    for start in 0..9 {
        for end in 0..9 {
            let d = Diagnostic::new(Code::NotYaml, "e").at(Span::new(file, start, end), "t");
            assert!(render(&d, &sources).contains("x:1:"));
        }
    }
}

#[test]
fn far_words_are_not_suggested() {
    assert_eq!(nearest("prots", ["ports", "profiles"]), Some("ports"));
    assert_eq!(nearest("zzz", ["ports", "profiles"]), None);
}

#[test]
fn codes_are_numbers_that_differ() {
    let mut numbers: Vec<&str> = Code::ALL.iter().map(|code| code.number()).collect();
    let good = |n: &&str| n.len() == 5 && n.starts_with(['E', 'W']) && n[1..].bytes().all(|b| b.is_ascii_digit());
    assert!(numbers.iter().all(good), "{numbers:?}");
    let stages: Vec<&str> = numbers.iter().map(|n| &n[1..]).collect();
    assert!(stages.is_sorted(), "by stage, errors and warnings together: {stages:?}");
    numbers.dedup();
    assert_eq!(numbers.len(), Code::ALL.len());
    assert_eq!(Code::find("e0501"), Some(Code::UnknownKey));
    assert_eq!(Code::find("E9999"), None);
}
