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
fn without_interpolation_values_keep_their_kind() {
    let text = "name: ${COMPOSE_PROJECT_NAME:-foo}
services:
  s:
    image: i
    network_mode: host
    networks: [default]
    ports: [{target: 80, published: 8080}]
    gpus: all
    deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}
    volumes_from: [t]
    build: {no_cache_filter: a, provenance: true, args: [HOME, COMPOSE_PROJECT_NAME]}
    environment: [HOME, COMPOSE_PROJECT_NAME]
    develop: {watch: [{path: ., action: rebuild, include: 'A.*', ignore: b}]}
  t: {image: i, networks: [n]}
networks: {n: {external: 'true'}, m: {external: '0'}}
";
    let stage = Stage::new(&[("compose.yaml", text)]);
    let printed = config::print_raw(&stage.options, Format::Json).expect("valid");
    let json: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let (service, networks) = (&json["services"]["s"], &json["networks"]);
    assert_eq!(json["name"], "compose_project_name-foo");
    assert_eq!(service["ports"][0]["published"], 8080);
    assert_eq!(service["gpus"][0]["count"], "all");
    assert_eq!(service["deploy"]["resources"]["reservations"]["devices"][0]["count"], "all");
    assert_eq!(service["depends_on"]["t"]["restart"], false);
    assert_eq!(service["build"]["no_cache_filter"], "a");
    assert_eq!(service["build"]["provenance"], "true");
    let named = "COMPOSE_PROJECT_NAME=compose_project_name-foo";
    assert_eq!(service["build"]["args"], serde_json::json!([named]));
    assert_eq!(service["environment"], serde_json::json!(["HOME", named]));
    assert_eq!(service["develop"]["watch"][0]["include"], serde_json::json!(["A.*"]));
    assert_eq!(service["develop"]["watch"][0]["ignore"], serde_json::json!(["b"]));
    assert_eq!((&networks["n"]["name"], &networks["m"]["name"]), (&"n".into(), &"compose_project_name-foo_m".into()));
    assert!(networks.get("default").is_none(), "{printed}");
}

#[test]
fn without_interpolation_a_limit_is_no_text() {
    let text = "services:\n  s:\n    image: i\n    ulimits: {nproc: '${N:-5}', core: {soft: '${N-1}', hard: 1}}\n";
    let stage = Stage::new(&[("compose.yaml", text)]);
    let wrong = config::print_raw(&stage.options, Format::Yaml).expect_err("text").to_string();
    assert!(wrong.contains("the limit `${N:-5}` is no number") && !wrong.contains("`${N-1}`"), "{wrong}");
    assert!(stage.config().contains("nproc: 5"), "{}", stage.config());
}

#[test]
fn without_interpolation_empty_lists_are_nothing_where_the_peer_has_no_type_for_them() {
    let text = "services: {s: {image: i, command: [], security_opt: [], cap_add: [], environment: [], ports: []}}\n";
    let stage = Stage::new(&[("compose.yaml", text)]);
    let printed = config::print_raw(&stage.options, Format::Json).expect("valid");
    let json: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let service = &json["services"]["s"];
    let (null, empty) = (serde_json::Value::Null, serde_json::json!([]));
    assert_eq!((&service["command"], &service["security_opt"], &service["environment"]), (&null, &null, &null));
    assert_eq!((&service["cap_add"], &service["ports"]), (&empty, &empty));
}

#[test]
fn without_normalization_the_name_is_as_it_is_written() {
    let text = "name: ${X:-My App}\nservices: {s: {image: i, environment: [HOME, NONE]}}\n";
    let mut stage = Stage::new(&[("compose.yaml", text)]);
    stage.options.no_normalize = true;
    assert!(stage.config().contains("HOME: /home/me\n      NONE: null\n"), "{}", stage.config());
    assert!(stage.config().starts_with("name: My App\n"), "{}", stage.config());
}

#[test]
fn models_are_listed_by_what_they_are() {
    let text =
        "services: {s: {image: i, models: [b, a]}}\nmodels: {a: {model: z/a}, b: {model: y/b}, c: {model: x/c}}\n";
    let loaded = Stage::new(&[("compose.yaml", text)]).load().expect("valid");
    assert_eq!(config::models(&loaded), ["y/b", "z/a"]);
}

#[test]
fn without_checks_scale_says_nothing_of_replicas() {
    let text = "services: {s: {image: i, scale: 3, deploy: {labels: [a=b]}}}\n";
    let mut stage = Stage::new(&[("compose.yaml", text)]);
    assert!(stage.config().contains("replicas: 3"));
    stage.options.no_consistency = true;
    assert!(!stage.config().contains("replicas"), "{}", stage.config());
}

#[test]
fn lists_of_names_need_neither_env_files_nor_names_of_containers() {
    let text = "services:
  a: {image: i, container_name: one, env_file: none.env, labels: {l: a}, label_file: l}
  b: {image: i, container_name: one}
";
    let mut stage = Stage::new(&[("compose.yaml", text), ("l", "M=1\n")]);
    assert!(stage.config().contains("none.env"), "{}", stage.config());
    stage.options.listing = true;
    let loaded = stage.load().expect("nothing of that counts");
    assert_eq!(config::services(&loaded), ["a", "b"]);
    assert!(config::print(&loaded, Format::Yaml).contains("M: \"1\""));
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
