//! What people are told about broken files.

use super::Stage;

fn wrong(text: &str) -> String {
    Stage::new(&[("compose.yaml", text)]).wrong()
}

#[test]
fn all_of_a_files_errors_at_once_in_its_order() {
    let told = wrong(
        "services:\n  web:\n    image: i\n    prots: ['80:80']\n    restart: 1\n    depends_on: [a, a]\n  db:\n    image: i\n    healthcheck: {intervall: 1s}\nvolume: {}\n",
    );
    let expected = "\
error[E0501]: unknown key `prots` in `services.web`
 ┌ compose.yaml:4:5
4│     prots: ['80:80']
 │     ━━━━━ no such attribute
 = help: did you mean `ports`?

error[E0502]: `services.web.restart` must be text, not a number
 ┌ compose.yaml:5:14
5│     restart: 1
 │              ━ text is needed here
 = help: put it in quotes: \"1\"

error[E0507]: `a` stands twice in `services.web.depends_on`
 ┌ compose.yaml:6:21
6│     depends_on: [a, a]
 │                     ━ again
 ├ compose.yaml:6:18
6│     depends_on: [a, a]
 │                  ━ first

error[E0501]: unknown key `intervall` in `services.db.healthcheck`
 ┌ compose.yaml:9:19
9│     healthcheck: {intervall: 1s}
 │                   ━━━━━━━━━ no such attribute
 = help: did you mean `interval`?

error[E0501]: unknown key `volume` at the top level
  ┌ compose.yaml:10:1
10│ volume: {}
  │ ━━━━━━ no such attribute
  = help: did you mean `volumes`?
";
    assert_eq!(told, expected);
}

#[test]
fn references() {
    let told = wrong(
        "services:\n  web:\n    image: i\n    depends_on:\n      - databse\n    networks: [fornt]\n    volumes: ['data:/d']\n    secrets: [s]\n    configs: [c]\n  database: {image: i}\nnetworks: {front: }\n",
    );
    for part in [
        "service `web` depends on unknown service `databse`\n ┌ compose.yaml:5:9",
        "did you mean `database`?",
        "uses the unknown network `fornt`",
        "did you mean `front`?",
        "uses the unknown volume `data`",
        "declare it at the top level, under `volumes`",
        "uses the unknown secret `s`",
        "uses the unknown config `c`",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
}

#[test]
fn things_that_do_not_fit_together() {
    for (text, part) in [
        ("services:\n  a: {}\n", "has neither `image` nor `build`"),
        (
            "services:\n  a: {image: i, depends_on: [b]}\n  b: {image: i, depends_on: [c]}\n  c: {image: i, depends_on: [a]}\n",
            "in a circle: a → b → c → a",
        ),
        (
            "services:\n  a: {image: i, network_mode: host, networks: [n]}\nnetworks: {n: }\n",
            "both `network_mode` and `networks`",
        ),
        (
            "services:\n  a: {image: i, container_name: cc}\n  b: {image: i, container_name: cc}\n",
            "the same container name `cc`",
        ),
        ("services:\n  a: {image: i, container_name: cc, scale: 2}\n", "2 replicas with one `container_name`"),
        ("services:\n  a: {image: i, scale: 2, deploy: {replicas: 3}}\n", "`scale` and `deploy.replicas` differently"),
        (
            "services:\n  a: {image: i, mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}\n",
            "`mem_limit` and `deploy.resources` differently",
        ),
        ("services:\n  a: {image: i, tmpfs: /t, volumes: [/t]}\n", "two mounts on `/t`"),
        (
            "services:\n  a: {image: i}\n  b: {image: i, profiles: [p]}\n  c: {image: i, depends_on: [b]}\n",
            "whose profile is off",
        ),
        (
            "services:\n  a: {image: i, volumes: [v:/v]}\nvolumes: {v: {external: true, driver: x}}\n",
            "is external, so it cannot have `driver`",
        ),
        (
            "services:\n  a: {image: i, secrets: [s]}\nsecrets: {s: {file: a, environment: B}}\n",
            "more than one of file, environment",
        ),
        ("services:\n  a: {image: i, secrets: [s]}\nsecrets: {s: }\n", "must be a mapping"),
        ("services:\n  a: {image: i, ports: [{target: 80, host_ip: x}]}\n", "`x` is no address"),
        (
            "services:\n  a: {image: i, networks: {n: {ipv4_address: x}}}\nnetworks: {n: }\n",
            "`x`: invalid IPv4 address",
        ),
        ("services:\n  a: {image: i, restart: {}}\n", "must be text, not a mapping"),
        ("services:\n  a: {image: \"${X\"}\n", "no valid use of a variable"),
        ("services:\n  a: {image: \"${X:?say it}\"}\n", "the variable `X` must be set: say it"),
        ("services:\n  a: {image: i, privileged: maybe}\n", "`maybe` is not true or false"),
        ("services:\n  a: {image: i, environment: {D: 2020-01-02}}\n", "not a date"),
        ("services:\n  a b: {image: i}\n", "`a b` is no name"),
        ("services:\n  a: {image: i, mem_limit: 5x}\n", "`5x` is not a size"),
        ("services:\n  a: {image: i, stop_grace_period: 10}\n", "must be text"),
        ("services:\n  a: {image: i, stop_grace_period: '10'}\n", "not a duration"),
        ("services:\n  a: {image: i, command: \"a 'b\"}\n", "a quote is not closed"),
        ("a: {image: i}\n", "services stand under the key `services`"),
        ("- a\n", "must be a mapping, not a list"),
        ("", "empty"),
        ("services:\n", "must be a mapping"),
    ] {
        let told = wrong(text);
        assert!(told.contains(part), "{part:?} for {text:?}:\n{told}");
    }
}

#[test]
fn a_value_from_a_variable_is_shown_there_with_its_origin() {
    let stage = Stage::new(&[
        (
            "compose.yaml",
            "services:\n  a:\n    image: i\n    mem_limit: \"${LIMIT}\"\n    privileged: ${P:-maybe}\n    ports: ['${PORT}:80']\n",
        ),
        (".env", "# limits\nLIMIT=lots\n"),
    ]);
    let told = stage.env("PORT", "http").wrong();
    let expected = "\
error[E0601]: `lots` is not a size (as `512m` or `1.5gb`)
 ┌ compose.yaml:4:19
4│     mem_limit: \"${LIMIT}\"
 │                   ━━━━━
 = note: `LIMIT` comes from @/.env:2

error[E0502]: `maybe` is not true or false
 ┌ compose.yaml:5:19
5│     privileged: ${P:-maybe}
 │                   ━ true or false is needed here
 = note: `P` is not set, so the text of the file stands for it

error[E0602]: `http:80` is no port: `http` is no port (0 to 65535)
 ┌ compose.yaml:6:16
6│     ports: ['${PORT}:80']
 │                ━━━━
 = note: `PORT` comes from the environment
 = help: write [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL], as `127.0.0.1:8080:80/tcp`
";
    assert_eq!(told, expected);
}

#[test]
fn later_stages_add_their_errors_but_not_what_follows_from_earlier_ones() {
    let told = wrong(
        "services:\n  a:\n    imagee: i\n  b:\n    image: i\n    depends_on: [nobody]\n  c:\n    image: i\n    stop_grace_period: soon\n",
    );
    let codes: Vec<&str> = told
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(code, _)| code)
        .filter(|c| c.starts_with("error"))
        .collect();
    assert_eq!(codes, ["error[E0501]", "error[E0701]", "error[E0601]"], "{told}");
}

#[test]
fn one_alias_below_itself() {
    let told = wrong("services:\n  a.x: &s {image: i}\n  b: *s\n  b.y: *s\n");
    assert!(told.contains("takes this for a circle"), "{told}");
    assert!(!wrong("services:\n  a: &s {image: i}\n  b: *s\n  bc: *s\n").contains("circle"));
}

#[test]
fn nothing_makes_it_panic() {
    let good = "services:\n  a:\n    image: \"i:${T:-x}\"\n    ports: ['80:80', {target: 1}]\n    volumes: ['./a:/b:ro']\n    environment: {A: &x 1, B: *x}\n    <<: {user: u}\nvolumes: {v: {external: {name: n}}}\n";
    for cut in 0..good.len() {
        let _ = wrong(&good[..cut]);
        let mut bytes = good.as_bytes().to_vec();
        bytes[cut] = b"[{:'$-"[cut % 6];
        if let Ok(text) = String::from_utf8(bytes) {
            let _ = wrong(&text);
        }
    }
}
