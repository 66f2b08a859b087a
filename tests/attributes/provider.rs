//! `provider`, `models`.

use std::fs;

use crate::stack::{Stack, refused};

/// Writes a program into the world.
fn program(stack: &Stack, path: &str, script: &str) -> String {
    let path = stack.world.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, script).unwrap();
    stack.world.sh(&format!("chmod 755 {}", path.display())).ok();
    path.display().to_string()
}

const CLOUD: &str = r#"#!/bin/sh
[ "$2" = metadata ] && exit 1
echo "$*" >> "$(dirname "$0")/calls"
case "$4" in
up)
  echo '{"type": "info", "message": "making it"}'
  echo '{"type": "setenv", "message": "URL=https://db.example/"}'
  echo '{"type": "rawsetenv", "message": "PLAIN=yes"}'
  [ ! -e "$(dirname "$0")/broken" ] || echo '{"type": "error", "message": "no money left"}' ;;
esac
"#;

#[test]
fn a_provider_runs_at_up_and_at_down_and_its_dependents_learn_what_it_tells() {
    let stack = Stack::new("");
    let cloud = program(&stack, "tools/cloud", CLOUD);
    stack.write(
        "compose.yaml",
        &format!(
            r#"
services:
  db:
    provider: {{ type: {cloud}, options: {{ size: 256, zone: [a, b] }} }}
  web: {{ image: test, depends_on: [db] }}
  other: {{ image: test }}
"#
        ),
    );
    let calls = || fs::read_to_string(stack.world.path().join("tools/calls")).unwrap_or_default();
    let said = format!("run provider  db  `{cloud} up`, before all steps");
    stack.run(&["plan"]).ok().says(&said);
    stack.run(&["--dry-run", "up", "-d"]).ok().says(&said);
    assert!(!stack.run(&["plan", "other"]).ok().stdout.contains("run provider"));
    let json = stack.run(&["plan", "--format", "json"]).ok().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["providers"][0]["service"], &json["providers"][0]["verb"]), (&"db".into(), &"up".into()));
    assert_eq!(calls(), "", "a plan changes nothing");
    stack.run(&["up", "-d"]).ok();
    assert_eq!(calls(), "compose --project-name app up --size=256 --zone=a --zone=b db\n");
    stack.inside("web", "echo $DB_URL $PLAIN").ok().says("https://db.example/ yes");
    stack.inside("other", "echo [$DB_URL]").ok().says("[]");
    stack.run(&["plan", "--detailed-exitcode"]).ok().says("nothing to do");
    fs::write(stack.world.path().join("tools/broken"), "").unwrap();
    stack.run(&["up", "-d"]).code(1).says("no money left");
    stack.run(&["--dry-run", "down"]).ok().says(&format!("run provider  db  `{cloud} down`, after all steps"));
    stack.down();
    let down = "compose --project-name app down --size=256 --zone=a --zone=b db\n";
    assert!(calls().ends_with(down), "{}", calls());
}

#[test]
fn a_provider_that_is_not_there_is_told() {
    let file = "services:\n  db: {provider: {type: no-such-cloud}}\n  web: {image: test, depends_on: [db]}\n";
    let stack = Stack::new(file);
    stack.run(&["up", "-d"]).code(1).says("no-such-cloud").says("docker-no-such-cloud");
    stack.world.assert_clean();
}

const RUNNER: &str = r#"#!/bin/sh
echo "$*" >> "$(dirname "$0")/calls"
case "$1" in
status) echo '{"running": true, "endpoint": "http://172.17.0.1:12434/engines/v1/"}' ;;
ls) echo '[{"id": "x", "tags": ["ai/other"]}]' ;;
esac
"#;

#[test]
fn models_are_fetched_configured_and_told() {
    let stack = Stack::new(
        r#"
services:
  chat: { image: test, models: [small-one] }
  named: { image: test, models: { small-one: { endpoint_var: WHERE, model_var: WHICH } } }
models:
  small-one: { model: ai/smollm2, context_size: 1024, runtime_flags: [--verbose] }
"#,
    );
    program(&stack, "home/.docker/cli-plugins/docker-model", RUNNER);
    stack.run(&["up", "-d"]).ok();
    let calls = fs::read_to_string(stack.world.path().join("home/.docker/cli-plugins/calls")).unwrap();
    assert!(calls.contains("pull ai/smollm2\nconfigure --context-size 1024 ai/smollm2 -- --verbose\n"), "{calls}");
    let endpoint = "http://172.17.0.1:12434/engines/v1/";
    stack.inside("chat", "echo $SMALL_ONE_URL $SMALL_ONE_MODEL").ok().says(&format!("{endpoint} ai/smollm2"));
    stack.inside("named", "echo $WHERE $WHICH").ok().says(&format!("{endpoint} ai/smollm2"));
    stack.down();
}

#[test]
fn models_without_a_program_that_runs_them_are_told() {
    let stack = Stack::new("services:\n  a: {image: test, models: [m]}\nmodels: {m: {model: ai/x}}\n");
    stack.run(&["up", "-d"]).code(1).says("docker-model");
    stack.world.assert_clean();
}

#[test]
fn what_only_windows_and_swarms_have_is_refused_at_its_place() {
    for (line, says) in [
        ("isolation: hyperv", "Windows"),
        ("use_api_socket: true", "no API socket"),
        ("volumes: [{type: npipe, source: 'x', target: /x}]", "Windows"),
        ("volumes: [{type: cluster, source: x, target: /x}]", "swarm"),
    ] {
        let stack = Stack::new(&format!("services:\n  web:\n    image: test\n    {line}\n"));
        stack.run(&["up", "-d"]).code(1).says("compose.yaml:4:").says(says);
        stack.world.assert_clean();
    }
    refused("services:\n  web: {image: test, ulimits: {nofiles: 5}}\n", &["nofiles", "nofile"]);
}

#[test]
fn what_only_windows_heeds_is_told_and_nothing_else() {
    for (line, says) in [("cpu_count: 2", "use `cpus`"), ("credential_spec: {file: x.json}", "Windows")] {
        let stack = Stack::new(&format!("services:\n  web:\n    image: test\n    {line}\n"));
        stack.run(&["up", "-d"]).ok().says("compose.yaml:4:").says(says);
        stack.down();
    }
}
