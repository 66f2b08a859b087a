//! The command line: every command and flag of docker compose is there, codes of exit, who may do what, the variables.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use support::image::{load, project};
use support::world::{Ran, WINDLASS, World};

/// Runs windlass with variables.
fn with(world: &World, folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = world.command(WINDLASS, folder);
    let output = command.envs(variables.iter().copied()).args(arguments).output().unwrap();
    Ran::new(format!("{variables:?} windlass {}", arguments.join(" ")), &output)
}

/// A command of the table in spec.md: its words, and its flags as they are typed.
struct Row {
    words: Vec<String>,
    flags: Vec<String>,
}

/// Rows look like: | `verb` | `ARGS` | `--long/-s str=x "a"\|"b" H D`, `--flag` | what it does |
fn rows(text: &str) -> Vec<Row> {
    let section = text.split("\n## 15 ").nth(1).unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            let words = cells[0].trim_matches('`');
            let words = if words == "(root)" { Vec::new() } else { words.split(' ').map(str::to_owned).collect() };
            Row { words, flags: cells[2].split('`').skip(1).step_by(2).flat_map(spellings).collect() }
        })
        .collect()
}

/// All that can be typed for a flag: `--long=value` and `-svalue`.
fn spellings(flag: &str) -> Vec<String> {
    let mut words = flag.split(' ');
    let names = words.next().unwrap();
    let rest: Vec<&str> = words.filter(|word| !matches!(*word, "H" | "D" | "v5+" | "v5−")).collect();
    // `--flag=true` is a switch with a default; `str=x`, `int` and so on have a value.
    let (names, switch) = (names.split('=').next().unwrap(), rest.is_empty());
    let listed = rest.iter().find(|word| word.starts_with('"')).map(|word| word.trim_matches('"').split('"').next());
    let kind = rest.first().map_or("", |word| word.split('=').next().unwrap());
    let default = rest.first().and_then(|word| word.split_once('=')).map(|(_, value)| value);
    let value = match (listed.flatten(), kind) {
        (Some(first), _) => first,
        (None, "int") => "1",
        // Alternatives that the table does not list.
        (None, _) if names == "--progress" => "plain",
        (None, _) if names.starts_with("--format") => default.unwrap_or("json"),
        (None, _) => default.filter(|value| *value != "policy").unwrap_or("x"),
    };
    names
        .split('/')
        .map(|name| match (switch, name.starts_with("--")) {
            (true, _) => name.to_owned(),
            (false, true) => format!("{name}={value}"),
            (false, false) => format!("{name}{value}"),
        })
        .collect()
}

#[test]
fn every_command_and_flag_of_docker_compose_is_there() {
    let Some(shared) = support::shared("cli::every_command_and_flag_of_docker_compose_is_there") else { return };
    let world = World::new();
    let rows = rows(&fs::read_to_string(shared.join("spec.md")).unwrap());
    assert!(rows.len() > 45 && rows.iter().map(|row| row.flags.len()).sum::<usize>() > 200, "the table was read");
    let mut missing = Vec::new();
    for row in rows {
        let words: Vec<&str> = row.words.iter().map(String::as_str).collect();
        // A flag that is not there is an error before the help is shown.
        for flag in std::iter::once(None).chain(row.flags.iter().map(|flag| Some(flag.as_str()))) {
            let arguments: Vec<&str> = words.iter().copied().chain(flag).chain(["--help"]).collect();
            let ran = world.windlass(world.path(), &arguments);
            if ran.code != 0 && !ran.stderr.contains("is not done yet") {
                missing.push(format!("windlass {}: {}", arguments.join(" "), ran.stderr.lines().next().unwrap_or("")));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_is_not_done_says_so() {
    let world = World::new();
    let folder = project(&world, "p", "services: {web: {image: test}}\n");
    for line in [
        "alpha viz",
        "alpha dry-run",
        "bridge convert",
        "bridge transformations list",
        "commit web",
        "convert",
        "publish x",
        "push",
        "up --menu",
        "build --push",
        "build --check",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        world.windlass(&folder, &arguments).code(1).says("is not done yet");
    }
    world.assert_clean();
}

#[test]
fn misuse_ends_with_1_and_changes_nothing() {
    let world = World::new();
    let folder = project(&world, "p", "services: {web: {image: test}}\n");
    // No verb at all is a question, as in docker.
    let asked = world.windlass(&folder, &[]).ok();
    assert_eq!((asked.stdout, asked.stderr.as_str()), (world.windlass(&folder, &["--help"]).ok().stdout, ""));
    for line in [
        "no-such-verb",
        "up --no-such-flag",
        "up --build --no-build",
        "up --force-recreate --no-recreate",
        "up --always-recreate-deps --no-recreate",
        "up --no-recreate --renew-anon-volumes",
        "up --abort-on-container-exit --abort-on-container-failure",
        "up --attach web --attach-dependencies",
        "up --wait --abort-on-container-exit",
        "up -d --attach web",
        "up --scale web",
        "up --scale web=x",
        "up nobody",
        "--ansi sometimes ps",
        "--progress somehow ps",
        "--parallel 0 up",
        "logs --tail x",
        "kill -s NOTHING",
        "cp a b",
        "port web",
        "exec web",
        "run",
        "scale",
        "attach --detach-keys nothing-like-it web",
    ] {
        let arguments: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let ran = world.windlass(&folder, &arguments).code(1);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "windlass {line}: {}{}", ran.stdout, ran.stderr);
    }
    world.assert_clean();
}

#[test]
fn only_reading_is_for_everybody() {
    let world = World::new();
    let folder = project(&world, "p", "services: {web: {image: test}}\n");
    let program = world.path().join("windlass");
    fs::copy(WINDLASS, &program).unwrap();
    for path in [world.path(), &program] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let nobody = |line: &str| {
        let mut command = world.command(&program, &folder);
        let output = command.uid(65534).gid(65534).args(line.split(' ')).output().unwrap();
        Ran::new(format!("windlass {line}, as nobody"), &output)
    };
    for line in ["config", "config --services", "version", "--help", "up --help", "--version"] {
        nobody(line).ok();
    }
    for line in
        ["up", "up -d", "down", "ps", "logs", "exec web true", "run web", "plan", "pull", "image ls", "volume ls", "ls"]
    {
        let ran = nobody(line).code(1).says("needs root");
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    }
    assert!(!world.path().join("root").exists(), "nothing is made before that is checked");
    world.assert_clean();
}

#[test]
fn what_cant_be_started_has_dockers_codes() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "p", "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    for (words, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 9"], 9),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
        (&["/etc"], 126),
    ] {
        world.windlass(&folder, &[&["exec", "-T", "web"], words].concat()).code(code);
        world.windlass(&folder, &[&["run", "--rm", "-T", "web"], words].concat()).code(code);
    }
    world.windlass(&folder, &["run", "--rm", "-T", "-u", "nobody-here", "web", "true"]).code(125).says("nobody-here");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn variables_choose_files_names_and_profiles() {
    let world = World::new();
    let folder = world.project(
        "p",
        &[
            ("compose.yaml", "services: {found: {image: test}}\n"),
            ("a.yaml", "services: {a: {image: test, environment: {FROM: \"${FROM:-nothing}\"}}}\n"),
            ("b.yaml", "services: {b: {image: test, profiles: [debug]}}\n"),
            (".env", "FROM=dotenv\n"),
            ("other.env", "FROM=other\n"),
        ],
    );
    let config = |variables: &[(&str, &str)]| with(&world, &folder, variables, &["config"]).ok().stdout;
    assert!(config(&[]).contains("found:") && config(&[]).contains("name: p\n"));
    let files = config(&[("COMPOSE_FILE", "a.yaml:b.yaml")]);
    assert!(files.contains("  a:\n") && !files.contains("  b:\n") && files.contains("FROM: dotenv"), "{files}");
    let both = [("COMPOSE_FILE", "a.yaml,b.yaml"), ("COMPOSE_PATH_SEPARATOR", ","), ("COMPOSE_PROFILES", "debug,x")];
    assert!(config(&both).contains("  b:\n"));
    assert!(config(&[("COMPOSE_PROJECT_NAME", "named")]).contains("name: named\n"));
    assert!(config(&[("COMPOSE_FILE", "a.yaml"), ("COMPOSE_ENV_FILES", "other.env")]).contains("FROM: other"));
    assert!(config(&[("COMPOSE_FILE", "a.yaml"), ("COMPOSE_DISABLE_ENV_FILE", "1")]).contains("FROM: nothing"));
    assert!(config(&[("COMPOSE_FILE", "a.yaml"), ("FROM", "shell")]).contains("FROM: shell"));
}

#[test]
fn parts_of_config() {
    let world = World::new();
    let text = "services:\n  a: {image: \"i:${TAG:-1}\", volumes: ['vol:/v']}\n  b:\n    image: ${NAME:?no}\n    build: {context: ., args: [SET, UNSET]}\n    environment: [SET]\nvolumes: {vol: }\n";
    let folder = world.project("parts", &[("compose.yaml", text)]);
    let config = |arguments: &[&str]| {
        let arguments = [&["config"], arguments].concat();
        with(&world, &folder, &[("NAME", "n"), ("SET", "1")], &arguments).ok().stdout
    };
    let json = config(&["--variables", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let tag = serde_json::json!({ "Name": "TAG", "DefaultValue": "1", "PresenceValue": "", "Required": false });
    assert_eq!((&json["TAG"], &json["NAME"]["Required"]), (&tag, &true.into()));
    // As with docker compose, services named beside a list of names choose nothing, but of images they do.
    assert_eq!(config(&["b", "--services"]), "a\nb\n");
    assert_eq!(config(&["b", "--volumes"]), "vol\n");
    assert_eq!(config(&["b", "--images"]), "n\n");
    // Where variables stay, nobody's value is known but the project's name.
    let raw = config(&["--no-interpolate"]);
    assert!(!raw.contains("SET=1") && !raw.contains("SET: "), "{raw}");
    assert!(raw.contains("${NAME:?no}") && raw.contains("      - SET\n") && !raw.contains("UNSET"), "{raw}");
}

#[test]
fn lists_of_names_need_no_env_file() {
    let world = World::new();
    let text = "services:\n  a: {image: i, container_name: one, env_file: none, profiles: ['', p]}\n  b: {image: j, container_name: one, models: [m]}\nmodels: {m: {model: ai/m}}\n";
    let folder = world.project("names", &[("compose.yaml", text)]);
    for (flag, names) in
        [("--services", "a\nb\n"), ("--images", "i\nj\n"), ("--models", "ai/m\n"), ("--profiles", "\np\n")]
    {
        assert_eq!(world.windlass(&folder, &["config", flag]).ok().stdout, names, "{flag}");
    }
    world.windlass(&folder, &["config"]).code(1).says("E0102");
}

#[test]
fn variables_stand_in_for_flags() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "p", "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    for value in ["1", "true"] {
        with(&world, &folder, &[("COMPOSE_COMPATIBILITY", value)], &["plan"]).ok().says("p_web_1");
    }
    for value in ["0", "false"] {
        with(&world, &folder, &[("COMPOSE_COMPATIBILITY", value)], &["plan"]).ok().says("p-web-1");
    }
    with(&world, &folder, &[("COMPOSE_PARALLEL_LIMIT", "0")], &["plan"]).code(1).says("--parallel");
    // Or that it is set would be told, which is a warning and no progress.
    world.sh("echo 1 >/proc/sys/net/ipv4/ip_forward").ok();
    let json = with(&world, &folder, &[("COMPOSE_PROGRESS", "json")], &["up", "-d"]).ok();
    for line in json.stderr.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no JSON: {line}");
    }
    let again = ["up", "-d", "--force-recreate"];
    // The word `error` is coloured.
    let coloured = |variables: &[(&str, &str)], flags: &[&str]| {
        with(&world, &folder, variables, &[flags, &["port", "nobody", "80"]].concat()).code(1).stderr.contains('\x1b')
    };
    assert!(coloured(&[("COMPOSE_ANSI", "always")], &[]));
    assert!(!coloured(&[("COMPOSE_ANSI", "always")], &["--ansi", "never"]), "a flag beats a variable");
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], &[]));
    let quiet = with(&world, &folder, &[("COMPOSE_PROGRESS", "quiet")], &again).ok();
    assert_eq!(quiet.stderr, "");
    fs::write(folder.join("compose.yaml"), "services: {other: {image: test, stop_signal: SIGKILL}}\n").unwrap();
    let orphans = ["up", "-d", "--remove-orphans"];
    with(&world, &folder, &[("COMPOSE_IGNORE_ORPHANS", "1")], &orphans).code(1).says("COMPOSE_IGNORE_ORPHANS");
    with(&world, &folder, &[("COMPOSE_REMOVE_ORPHANS", "1")], &["up", "-d"]).ok();
    let left = world.windlass(&folder, &["ps", "-a", "--format", "json"]).ok().stdout;
    assert!(!left.contains("p-web-1"), "{left}");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn settings_may_stand_in_dot_env() {
    let world = World::new();
    let folder = project(&world, "envs", "services:\n  web: {image: test}\n");
    let told =
        |variables: &[(&str, &str)], arguments: &[&str]| with(&world, &folder, variables, arguments).code(1).stderr;
    fs::write(folder.join(".env"), "COMPOSE_PARALLEL_LIMIT=0\n").unwrap();
    // Flag, then the caller's environment, then .env, then the default.
    assert!(told(&[], &["up", "-d"]).contains("`--parallel 0`: must be 1 or more"));
    assert!(told(&[("COMPOSE_PARALLEL_LIMIT", "-7")], &["up", "-d"]).contains("`--parallel -7`"));
    assert!(told(&[("COMPOSE_PARALLEL_LIMIT", "-7")], &["--parallel", "-8", "up", "-d"]).contains("`--parallel -8`"));
    with(&world, &folder, &[("COMPOSE_DISABLE_ENV_FILE", "1")], &["config", "-q"]).ok();
    fs::write(folder.join(".env"), "COMPOSE_ANSI=sometimes\n").unwrap();
    assert!(told(&[], &["config", "-q"]).contains("sometimes"));

    // As well from the file that is named, and for what only one verb has.
    fs::write(folder.join(".env"), "").unwrap();
    fs::write(folder.join("more.env"), "COMPOSE_IGNORE_ORPHANS=true\nCOMPOSE_REMOVE_ORPHANS=1\n").unwrap();
    assert!(told(&[], &["--env-file", "more.env", "up", "-d"]).contains("exclude one another"));
    world.assert_clean();
}

#[test]
fn orphans_are_not_told_of_and_progress_goes_where_it_is_wanted() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "orphans", "services:\n  web: {image: test}\n  old: {image: test}\n");
    let up =
        with(&world, &folder, &[("COMPOSE_STATUS_STDOUT", "1"), ("COMPOSE_PROGRESS", "plain")], &["up", "-d"]).ok();
    assert!(up.stdout.contains("Container orphans-web-1  Started") && !up.stderr.contains("Started"), "{}", up.stdout);
    fs::write(folder.join("compose.yaml"), "services:\n  web: {image: test}\n").unwrap();
    world.windlass(&folder, &["up", "-d"]).ok().says("--remove-orphans");
    let quiet = with(&world, &folder, &[("COMPOSE_IGNORE_ORPHANS", "1")], &["up", "-d"]).ok();
    assert!(!quiet.stderr.contains("--remove-orphans"), "{}", quiet.stderr);
    fs::write(folder.join(".env"), "COMPOSE_REMOVE_ORPHANS=true\nDOCKER_DEFAULT_PLATFORM=linux/s390x\n").unwrap();
    world.windlass(&folder, &["up", "-d", "--force-recreate"]).code(1).says("can't be reached for the manifest");
    fs::write(folder.join(".env"), "COMPOSE_REMOVE_ORPHANS=true\n").unwrap();
    world.windlass(&folder, &["up", "-d"]).ok();
    assert_eq!(world.windlass(&folder, &["ps", "-a", "--services"]).ok().stdout, "web\n");
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_question_that_nobody_answers_fails_and_names_the_flag() {
    let world = World::new();
    for words in [&["image", "prune"][..], &["volume", "prune"]] {
        world.windlass(world.path(), words).code(1).says("`-f` does it without asking");
    }
}

#[test]
fn files_that_do_not_load_fail_verbs_that_need_only_the_name() {
    let world = World::new();
    let folder = project(&world, "m", "name: foo\nservices: [\n");
    for verb in ["ps", "logs", "stop", "down"] {
        world.windlass(&folder, &[verb]).code(1).says("compose.yaml:");
        let ran = world.windlass(&folder, &["-p", "foo", verb]).ok();
        assert_eq!(ran.stderr.matches("goes on by its name").count(), 1, "{}", ran.stderr);
    }
    let none = world.project("none", &[]);
    std::fs::create_dir_all(&none).unwrap();
    assert_eq!(world.windlass(&none, &["-p", "foo", "logs"]).ok().stderr, "");
}
