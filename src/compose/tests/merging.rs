//! Several files, `extends`, `include`, `!reset`, `!override`.

use super::Stage;

/// The service `s` of two files, without what every service has.
fn merged(first: &str, second: &str) -> String {
    let file = |lines: &str| {
        let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
        format!("services:\n  s:\n    image: i\n{lines}")
    };
    let printed = Stage::new(&[("compose.yaml", &file(first)), ("compose.more.yaml", &file(second))]).config();
    let Some(rest) = printed.strip_prefix("name: stage\nservices:\n  s:\n") else { return printed };
    let body = rest.lines().take_while(|line| line.starts_with("    "));
    let body = body.filter(|l| *l != "    image: i" && *l != "    networks:" && *l != "      default: null");
    body.map(|line| format!("{}\n", &line[4..])).collect()
}

#[test]
fn rules_by_attribute() {
    for (first, second, result) in [
        ("user: a", "user: b", "user: b\n"),
        ("command: a b", "command: [c]", "command:\n  - c\n"),
        ("user: a", "user:", "user: a\n"),
        ("environment: {A: 1, B: 2}", "environment: [B=3, C]", "environment:\n  A: \"1\"\n  B: \"3\"\n  C: null\n"),
        ("dns: 1.1.1.1", "dns: [8.8.8.8, 1.1.1.1]", "dns:\n  - 1.1.1.1\n  - 8.8.8.8\n"),
        ("cap_add: [A, B]", "cap_add: [B, C]", "cap_add:\n  - A\n  - B\n  - C\n"),
        ("expose: [1]", "expose: ['1', 2]", "expose:\n  - \"1\"\n  - \"2\"\n"),
        (
            "ulimits: {nofile: 1}",
            "ulimits: {nofile: {soft: 2, hard: 3}}",
            "ulimits:\n  nofile:\n    soft: 2\n    hard: 3\n",
        ),
        (
            "logging: {driver: a, options: {x: 1}}",
            "logging: {driver: b, options: {y: 2}}",
            "logging:\n  driver: b\n  options:\n    \"y\": \"2\"\n",
        ),
        (
            "logging: {driver: a, options: {x: 1}}",
            "logging: {options: {z: 2}}",
            "logging:\n  driver: a\n  options:\n    x: \"1\"\n    z: \"2\"\n",
        ),
        ("tmpfs: /a", "tmpfs: [/b, /a]", "tmpfs:\n  - /a\n  - /b\n"),
        (
            "healthcheck: {test: a, retries: 1}",
            "healthcheck: {test: [CMD, b]}",
            "healthcheck:\n  test:\n    - CMD\n    - b\n  retries: 1\n",
        ),
        ("user: a\nhostname: h", "user: !reset null", "hostname: h\n"),
        ("dns: [1.1.1.1]", "dns: !override [8.8.8.8]", "dns:\n  - 8.8.8.8\n"),
        ("environment: {A: 1, B: 2}", "environment: {A: !reset null}", "environment:\n  B: \"2\"\n"),
    ] {
        assert_eq!(merged(first, second), result, "{first} + {second}");
    }
}

#[test]
fn a_later_mount_takes_the_earlier_ones_place() {
    let printed = merged("volumes: ['/a:/x', '/b:/y']", "volumes: ['/c:/x:ro']");
    let sources: Vec<&str> = printed.lines().filter_map(|line| line.trim().strip_prefix("source: ")).collect();
    assert_eq!(sources, ["/c", "/b"]);
    let printed = merged("ports: ['80:80', '127.0.0.1:80:80']", "ports: ['80:80', '81:80']");
    assert_eq!(printed.matches("target: 80").count(), 3, "{printed}");
}

#[test]
fn kinds_that_do_not_fit() {
    assert!(merged("environment: {A: 1}", "ports: {a: 1}").contains("`services.s.ports` must be a list"));
    assert!(merged("volumes: ['/a:/b']", "volumes: x").contains("cannot be merged"));
    assert!(merged("security_opt: [a]", "security_opt: [a]").contains("`a` stands twice"));
}

#[test]
fn extends_in_a_file_and_across_files() {
    let stage = Stage::new(&[
        ("compose.yaml", "services:\n  web:\n    extends: {file: base/common.yaml, service: app}\n    environment: {B: 3}\n  two:\n    extends: web\n    command: x\n"),
        (
            "base/common.yaml",
            "services:\n  app:\n    extends: root\n    build: ./src\n    environment: {A: 1, B: 2}\n  root:\n    image: i\n    env_file: [e.env]\n    volumes: ['./data:/data']\n",
        ),
        ("base/e.env", "E=${OUT}\n"),
    ])
    .env("OUT", "o");
    let printed = stage.config();
    assert_eq!(
        printed.matches("context: '@/base/src'").count()
            + printed.matches("context: \"@/base/src\"").count()
            + printed.matches("context: @/base/src").count(),
        2,
        "{printed}"
    );
    assert_eq!(printed.matches("E: o").count(), 2, "{printed}");
    assert_eq!(printed.matches("B: \"3\"").count(), 2, "{printed}");
    assert_eq!(printed.matches("@/base/data").count(), 2, "{printed}");
}

#[test]
fn extends_resets_what_it_takes_over() {
    let stage = Stage::new(&[(
        "compose.yaml",
        "services:\n  a:\n    image: i\n    ports: ['80:80']\n    user: u\n  b:\n    extends: a\n    ports: !reset []\n    user: !override v\n",
    )]);
    let loaded = stage.load().expect("valid");
    let b = &loaded.project.services["b"];
    assert!(b.ports.is_empty());
    assert_eq!(b.user.as_deref(), Some("v"));
    assert_eq!(loaded.project.services["a"].ports.len(), 1);
}

#[test]
fn circles() {
    let stage = Stage::new(&[("compose.yaml", "services:\n  a: {extends: b}\n  b: {extends: a}\n")]);
    assert!(stage.wrong().contains("in a circle: a → b → a"), "{}", stage.wrong());
    let stage = Stage::new(&[
        ("compose.yaml", "include: [x/i.yaml]\nservices: {}\n"),
        ("x/i.yaml", "include: [../compose.yaml]\n"),
    ]);
    assert!(stage.wrong().contains("include each other in a circle"), "{}", stage.wrong());
}

#[test]
fn include_has_its_own_folder_and_variables() {
    let stage = Stage::new(&[
        ("compose.yaml", "include:\n  - sub/part.yaml\nservices:\n  a: {image: i, depends_on: [b]}\n"),
        ("sub/part.yaml", "services:\n  b:\n    image: \"i:${TAG}-${OUT}\"\n    volumes: ['./d:/d']\n    networks: [n]\nnetworks: {n: }\n"),
        ("sub/.env", "TAG=inner\nOUT=lost\n"),
    ])
    .env("OUT", "outer");
    let printed = stage.config();
    assert!(printed.contains("image: i:inner-outer"), "{printed}");
    assert!(printed.contains("@/sub/d"), "{printed}");
    assert!(printed.contains("name: stage_n"), "{printed}");
}

#[test]
fn what_is_included_and_redefined_is_told() {
    let stage = Stage::new(&[
        ("compose.yaml", "include: [part.yaml]\nservices:\n  a: {image: i}\n"),
        ("part.yaml", "services:\n  a: {image: j}\n"),
    ]);
    assert!(stage.wrong().contains("`services.a` stands both here and in an included file"), "{}", stage.wrong());
}
