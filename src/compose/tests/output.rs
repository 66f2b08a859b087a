//! How `config` writes what it has.

use super::Stage;
use crate::compose::config::{self, Format};

fn yaml_of(value: &str) -> String {
    let text =
        format!("services:\n  s:\n    image: i\n    environment:\n      A: {}\n", serde_json::Value::from(value));
    let printed = Stage::new(&[("compose.yaml", &text)]).config();
    let from = printed.find("      A: ").expect("printed") + "      A: ".len();
    let until = printed.find("    image:").expect("printed");
    printed[from..until].trim_end().to_owned()
}

#[test]
fn texts_are_quoted_only_where_they_would_be_read_as_something_else() {
    for (text, yaml) in [
        ("plain", "plain"),
        ("two words", "two words"),
        ("", "\"\""),
        ("yes", "\"yes\""),
        ("Off", "\"Off\""),
        ("y", "\"y\""),
        ("1", "\"1\""),
        ("1_000", "\"1_000\""),
        ("0x1f", "\"0x1f\""),
        ("1e3", "\"1e3\""),
        ("22:22", "\"22:22\""),
        ("2001-01-01", "\"2001-01-01\""),
        ("~", "\"~\""),
        ("null", "\"null\""),
        ("a: b", "'a: b'"),
        ("a:b", "a:b"),
        ("a #b", "'a #b'"),
        ("a#b", "a#b"),
        ("- a", "'- a'"),
        ("-a", "-a"),
        ("*a", "'*a'"),
        ("@a", "'@a'"),
        ("'a'", "'''a'''"),
        ("[a]", "'[a]'"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("a:", "'a:'"),
        ("$x", "$$x"),
        ("a\tb", "\"a\\tb\""),
        ("\u{7}", "\"\\x07\""),
        ("é", "é"),
        ("a\nb", "|-\n        a\n        b"),
        ("a\nb\n", "|\n        a\n        b"),
        ("a \nb", "\"a \\nb\""),
    ] {
        // What is to be printed with `$$` must be escaped in the file too.
        assert_eq!(yaml_of(&text.replace('$', "$$")), yaml, "{text:?}");
    }
}

#[test]
fn names_with_numbers_are_sorted_as_numbers() {
    let text = "services:\n  s:\n    image: i\n    labels: {a10: '', a9: '', a: '', B: '', a_b: '', ab: '', a.b: ''}\n";
    let printed = Stage::new(&[("compose.yaml", text)]).config();
    let keys: Vec<&str> = printed.lines().filter_map(|l| l.strip_prefix("      ")?.strip_suffix(": \"\"")).collect();
    assert_eq!(keys, ["B", "a", "a.b", "a_b", "a9", "a10", "ab"]);
}

#[test]
fn json_has_what_scripts_expect() {
    let text = "x-a: {b: []}\nservices:\n  s:\n    image: \"a<b\"\n    x-gone: 1\n    labels: {x-kept: 1}\n    deploy: {replicas: 1}\nnetworks: {default: {x-gone: 1}}\n";
    let loaded = Stage::new(&[("compose.yaml", text)]).load().expect("valid");
    let printed = config::print(&loaded, Format::Json);
    assert!(printed.contains("a\\u003cb"), "{printed}");
    let json: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let service = &json["services"]["s"];
    assert!(service["command"].is_null() && service.get("command").is_some());
    assert_eq!(service["deploy"]["placement"], serde_json::json!({}));
    assert!(service.get("x-gone").is_none() && json["networks"]["default"].get("x-gone").is_none());
    assert_eq!(service["labels"]["x-kept"], "1");
    assert_eq!(json["networks"]["default"]["ipam"], serde_json::json!({}));
    assert_eq!(json["x-a"]["b"], serde_json::Value::Null);
}

#[test]
fn without_interpolation_files_stay_as_they_are() {
    let text = "services:\n  s:\n    image: \"i:${T:-1}\"\n    environment: [A=$B, C]\n    ports: ['${P}:80']\n    volumes: ['${D:-a:b}:/d']\n";
    let stage = Stage::new(&[("compose.yaml", text)]);
    let printed = config::print_raw(&stage.options, Format::Yaml).expect("valid");
    for part in ["image: i:${T:-1}", "- A=$B", "- C\n", "- ${P}:80", "source: ${D:-a:b}"] {
        assert!(printed.contains(part), "{part} in {printed}");
    }
    let variables = config::variables(&stage.options).expect("valid");
    assert_eq!(variables.keys().cloned().collect::<Vec<_>>(), ["B", "D", "P", "T"]);
    assert_eq!(variables["T"].default, "1");
}

#[test]
fn hashes_change_with_what_makes_a_container() {
    let hash = |more: &str| {
        let text = format!("services:\n  s: {{image: i{more}}}\n");
        let loaded = Stage::new(&[("compose.yaml", &text)]).load().expect("valid");
        config::hashes(&loaded, &[]).expect("there").remove(0).1
    };
    assert_eq!(hash("").len(), 64);
    assert_eq!(hash(""), hash(", scale: 3"));
    assert_eq!(hash(""), hash(", profiles: ['']"));
    assert_ne!(hash(""), hash(", user: u"));
}
