use super::*;

/// Whether the patterns match each path: `+path` they do, `-path` they don't.
#[track_caller]
fn check(patterns: &[&str], paths: &[&str]) {
    let parsed = Patterns::new(patterns).expect("patterns");
    for path in paths {
        let (wanted, path) = path.split_at(1);
        assert_eq!(parsed.matches(Path::new(path)), wanted == "+", "{patterns:?} {path}");
    }
}

#[test]
fn patterns_are_anchored_and_reach_below_folders() {
    check(&["foo"], &["+foo", "+foo/bar", "+foo/a/b", "-a/foo", "-foobar"]);
    check(&["/foo/"], &["+foo", "+foo/bar", "-a/foo"]);
    check(&["./foo/../bar"], &["+bar", "-foo"]);
    check(&["a/b"], &["+a/b", "+a/b/c", "-b", "-x/a/b"]);
}

#[test]
fn wildcards_stop_at_slashes_and_two_stars_do_not() {
    check(&["*.log"], &["+a.log", "-d/a.log", "+.log", "-a.logs"]);
    check(&["*/temp*"], &["+a/temp", "+a/temporary", "-temp", "-a/b/temp"]);
    check(&["temp?"], &["+tempa", "-temp", "-tempab", "-temp/"]);
    check(&["**/node_modules"], &["+node_modules", "+a/node_modules", "+a/b/node_modules/x", "-a/node_modules2"]);
    check(&["**"], &["+a", "+a/b/c"]);
    check(&["a/**"], &["+a/b", "+a/b/c", "-b"]);
    check(&["a/**/z"], &["+a/z", "+a/b/z", "+a/b/c/z", "-az"]);
    check(&["**/*.py[co]"], &["+x.pyc", "+a/b/x.pyo", "-x.py"]);
    check(&["foo**"], &["+foo", "+foobar", "+foo/bar/x"]);
    check(&["a**b"], &["+ab", "+ax/b", "-axb"]);
}

#[test]
fn classes_escapes_and_characters_that_a_regular_expression_knows() {
    check(&["[a-c]x"], &["+ax", "+cx", "-dx"]);
    check(&["[^a-c]x"], &["-ax", "+dx", "-/x"]);
    check(&["[!a]x"], &["+!x", "+ax", "-bx"]);
    check(&[r"\*x"], &["+*x", "-ax"]);
    check(&[r"[\]]"], &["+]"]);
    check(&["a.b+c(d)|{e,f}$"], &["+a.b+c(d)|{e,f}$", "-axb+c(d)|{e,f}$"]);
    check(&["größe*"], &["+größe.txt", "-grosse"]);
}

#[test]
fn the_last_one_that_matches_wins() {
    check(&["*.md", "!README.md"], &["+a.md", "-README.md"]);
    check(&["!README.md", "*.md"], &["+README.md"]);
    check(&["docs", "!docs/keep"], &["+docs/a", "-docs/keep", "-docs/keep/x"]);
    check(&["*", "!src", "src/*.tmp"], &["+a", "-src/x", "+src/x.tmp"]);
    check(&["*.md", "! a.md "], &["-a.md"]);
}

#[test]
fn comments_and_empty_lines_of_a_file() {
    let text = "\u{feff}# comment\n\n  target  \n # no comment, but a name\n!target/keep\r\n";
    let patterns = Patterns::of_file(text).expect("patterns");
    let matches = |path: &str| patterns.matches(Path::new(path));
    assert!(matches("target/x") && !matches("target/keep") && matches("# no comment, but a name"));
    assert!(Patterns::new(["", " ", ".", "/"]).expect("none").is_empty());
}

#[test]
fn what_is_no_pattern_is_told() {
    for text in ["[", "[]", "[a", "[a-]", r"a\", "!", "[z-a]"] {
        let error = Patterns::new([text]).expect_err(text);
        assert_eq!(error.pattern, text);
    }
}

#[test]
fn folders_that_nobody_has_to_look_into() {
    let covers = |patterns: &[&str], folder: &str| Patterns::new(patterns).expect("patterns").covers(Path::new(folder));
    assert!(covers(&["node_modules"], "node_modules"));
    assert!(covers(&["node_modules"], "node_modules/a"));
    assert!(!covers(&["node_modules/a"], "node_modules"));
    assert!(!covers(&["node_modules", "!node_modules/mine"], "node_modules"));
    assert!(covers(&["node_modules", "!node_modules/mine"], "node_modules/other"));
    assert!(!covers(&["node_modules", "!node_modules/m*"], "node_modules/other"));
    assert!(covers(&["node_modules", "!src/x"], "node_modules"));
    assert!(!covers(&["*", "!**/x"], "a"));
    let below =
        |patterns: &[&str], folder: &str| Patterns::new(patterns).expect("patterns").may_match_below(Path::new(folder));
    assert!(below(&["src/a.js"], "src") && !below(&["src/a.js"], "lib") && below(&["**/*.js"], "lib"));
    assert!(below(&["src"], "src/deep"));
}
