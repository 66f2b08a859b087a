//! The command line against docker compose's: every verb and flag of spec.md section 15 is there.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::*;

fn parse_words(words: &[&str]) -> Result<Cli, CliError> {
    parse(std::iter::once("windlass").chain(words.iter().copied()).map(OsString::from).collect())
}

fn refused(words: &[&str]) -> String {
    match parse_words(words) {
        Ok(cli) => panic!("{words:?} was not refused: {cli:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn clap_finds_no_fault_with_it() {
    command().debug_assert();
}

#[test]
fn each_visible_verb_is_in_one_group_of_the_help() {
    let command = command();
    let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let times = grouped.iter().filter(|name| **name == verb.get_name()).count();
        assert_eq!(times, 1, "`{}`", verb.get_name());
    }
}

#[test]
fn flags_take_true_and_false_and_short_ones_can_be_joined() {
    let up = |words: &[&str]| match parse_words(words).expect("parsed").verb {
        Verb::Up(up) => up,
        verb => panic!("{verb:?}"),
    };
    assert!(up(&["up", "-d"]).detach);
    assert!(up(&["up", "--detach=true", "web"]).detach);
    assert!(!up(&["up", "--detach=false"]).detach);
    let joined = up(&["up", "-dV", "-t5", "web", "db"]);
    assert!(joined.detach && joined.renew_anon_volumes);
    assert_eq!((joined.timeout, joined.services), (Some(5), vec!["web".to_owned(), "db".to_owned()]));
}

#[test]
fn of_a_flag_given_twice_the_last_counts_unless_it_collects() {
    let settings = |words: &[&str]| Settings::new(&parse_words(words).expect("parsed").global).expect("settings");
    let both = settings(&["-p", "a", "--dry-run", "-p", "b", "-f", "a.yaml", "-f", "b.yaml", "--dry-run=false", "ps"]);
    assert_eq!((both.project.name.as_deref(), both.dry_run), (Some("b"), false));
    assert_eq!(both.project.files, [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")]);
    for words in [
        "up -d -d",
        "ps -a --all",
        "exec -T -T -t=false -t=false web ls",
        "logs -f -f",
        "up --pull never --pull always",
    ] {
        parse_words(&words.split(' ').collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{words}: {error}"));
    }
    let Verb::Stop(stop) = parse_words(&["stop", "-t", "1", "--timeout", "2", "a", "b"]).expect("parsed").verb else {
        panic!("not stop")
    };
    assert_eq!((stop.timeout, stop.services.len()), (Some(2), 2));
    let Verb::Up(up) = parse_words(&["up", "-d", "--detach=false"]).expect("parsed").verb else { panic!("not up") };
    assert!(!up.detach);
    let Verb::Run(run) = parse_words(&["run", "-e", "A=1", "-e", "B=2", "web"]).expect("parsed").verb else {
        panic!("not run")
    };
    assert_eq!(run.env, ["A=1", "B=2"]);
    assert!(refused(&["up", "--locked", "--locked", "--no-lock"]).contains("cannot be used with"));
}

#[test]
fn words_after_the_service_belong_to_the_command() {
    let Verb::Exec(exec) =
        parse_words(&["exec", "-it", "-u", "me", "web", "ls", "-l", "--", "-u"]).expect("parsed").verb
    else {
        panic!("not exec")
    };
    assert_eq!(exec.words, ["web", "ls", "-l", "--", "-u"]);
    assert_eq!((exec.user.as_deref(), exec.tty, exec.interactive), (Some("me"), Some(true), true));
    let Verb::Run(run) =
        parse_words(&["run", "--rm", "-T", "web", "sh", "-c", "x", "--rm=false"]).expect("parsed").verb
    else {
        panic!("not run")
    };
    assert_eq!(run.words, ["web", "sh", "-c", "x", "--rm=false"]);
    assert!(run.rm && run.no_tty == Some(true));
}

#[test]
fn sets_that_exclude_one_another_are_refused() {
    for words in [
        &["up", "--build", "--no-build"][..],
        &["up", "--force-recreate", "--no-recreate"],
        &["up", "--always-recreate-deps", "--no-recreate"],
        &["up", "--no-recreate", "-V"],
        &["up", "--abort-on-container-exit", "--abort-on-container-failure"],
        &["up", "--attach", "a", "--attach-dependencies"],
        &["up", "-d", "--abort-on-container-exit"],
        &["up", "-d", "--exit-code-from", "a"],
        &["up", "--wait", "--attach", "a"],
        &["create", "--build", "--no-build"],
        &["create", "--force-recreate", "--no-recreate"],
        &["config", "--services", "--volumes"],
    ] {
        let error = refused(words);
        assert!(error.contains("cannot be used with"), "{words:?}: {error}");
    }
}

#[test]
fn global_flags_stand_before_the_verb_and_dry_run_anywhere() {
    let cli =
        parse_words(&["-f", "a.yaml", "-f", "b.yaml", "-p", "x", "--profile", "p", "up", "--dry-run"]).expect("parsed");
    let settings = Settings::new(&cli.global).expect("settings");
    assert_eq!(settings.project.files, [PathBuf::from("a.yaml"), PathBuf::from("b.yaml")]);
    assert_eq!(settings.project.name.as_deref(), Some("x"));
    assert!(settings.dry_run);
    assert!(refused(&["up", "-p", "x"]).contains("unexpected argument"));
}

#[test]
fn what_is_not_done_yet_says_so_with_exit_1() {
    for (words, what) in [
        (&["push"][..], "`windlass push`"),
        (&["push", "web", "-q"], "`windlass push`"),
        (&["alpha", "viz", "--image"], "`windlass alpha viz`"),
        (&["bridge", "transformations", "list"], "`windlass bridge transformations list`"),
        (&["up", "--menu"], "`windlass up --menu`"),
        (&["build", "--push", "web"], "`windlass build --push`"),
        (&["--insecure-registry", "x", "up"], "`windlass --insecure-registry`"),
    ] {
        let error = parse_words(words).expect_err("refused");
        assert_eq!(error.to_string(), format!("{what} is not done yet"), "{words:?}");
        assert_eq!(error.code(), 1);
    }
    assert!(parse_words(&["up", "--menu=false"]).is_ok());
}

#[test]
fn misuse_ends_with_1_and_help_with_0() {
    assert_eq!(parse_words(&["nosuch"]).expect_err("refused").code(), 1);
    assert_eq!(parse_words(&["up", "--nosuch"]).expect_err("refused").code(), 1);
    assert_eq!(parse_words(&[]).expect_err("help").code(), 0);
    assert_eq!(parse_words(&["-p", "shop"]).expect_err("help").code(), 0);
    assert_eq!(parse_words(&["volume"]).expect_err("help").code(), 0);
    assert_eq!(parse_words(&["--help"]).expect_err("help").code(), 0);
    assert_eq!(parse_words(&["up", "--help"]).expect_err("help").code(), 0);
}

#[test]
fn parallel_is_a_number_of_things_or_none() {
    let settings = |n: i64| Settings::new(&Global { parallel: n, ..Global::default() });
    assert_eq!(settings(-1).expect("settings").parallel, None);
    assert_eq!(settings(4).expect("settings").parallel, Some(4));
    assert!(settings(0).is_err());
    assert!(settings(-2).is_err());
}

#[test]
fn hidden_verbs_are_reserved() {
    let argv = |word: &str| vec![OsString::from("windlass"), word.into()];
    assert_eq!(hidden_verb(&argv("__shim")), Some("__shim"));
    assert_eq!(hidden_verb(&argv("up")), None);
    assert!(refused(&["__shim"]).contains("unrecognized subcommand"));
}

/// A row of the table: the verb's words, and its flags.
struct Row {
    verb: Vec<String>,
    flags: Vec<Flag>,
}

#[derive(Debug)]
struct Flag {
    long: String,
    short: Option<char>,
    value: bool,
    hidden: bool,
}

/// The specification beside the project; `None` where it is not there, which the test then says.
fn specification() -> Option<String> {
    let folder = std::env::var_os("WINDLASS_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")), PathBuf::from);
    std::fs::read_to_string(folder.join("spec.md")).ok()
}

fn rows(text: &str) -> Vec<Row> {
    let section = text.split("\n## 15 ").nth(1).expect("section 15");
    let lines = section.lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| row(&cells(line))).collect()
}

/// The cells of a line; a bar behind a backslash belongs to its cell.
fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{1}");
    line.trim_matches('|').split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}

fn row(cells: &[String]) -> Row {
    let name = cells[0].trim_matches('`');
    let verb = if name == "(root)" { Vec::new() } else { name.split(' ').map(ToOwned::to_owned).collect() };
    let flags = cells[2].split('`').skip(1).step_by(2).filter(|text| text.starts_with("--")).map(flag).collect();
    Row { verb, flags }
}

/// `--name[/-s] TYPE=default`, then `H`, `D`, `v5+`, values.
fn flag(text: &str) -> Flag {
    let mut words = text.split(' ');
    let name = words.next().expect("a name");
    let (name, default) = name.split_once('=').map_or((name, ""), |(name, default)| (name, default));
    let (long, short) = name.split_once("/-").map_or((name, None), |(long, short)| (long, short.chars().next()));
    let kind = words.clone().next().map(|word| word.split('=').next().unwrap_or_default()).unwrap_or_default();
    let value = default.is_empty() && ["str", "strs", "int", "list", "bytes", "filter"].contains(&kind);
    Flag { long: long.trim_start_matches("--").to_owned(), short, value, hidden: words.any(|word| word == "H") }
}

fn find<'a>(command: &'a Command, verb: &[String]) -> Option<&'a Command> {
    verb.iter().try_fold(command, |command, word| command.find_subcommand(word))
}

fn long_names(arg: &Arg) -> Vec<&str> {
    arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten()).collect()
}

#[test]
fn every_verb_and_flag_of_the_table_exists() {
    let Some(text) = specification() else {
        // The runner counts these lines.
        #[allow(clippy::print_stderr)]
        {
            eprintln!("left out: spec.md of the shared folder is not there");
        }
        return;
    };
    let (command, rows) = (command(), rows(&text));
    assert!(rows.len() > 45, "only {} rows were read", rows.len());
    let mut missing = Vec::new();
    for row in &rows {
        let name = row.verb.join(" ");
        let Some(verb) = find(&command, &row.verb) else {
            missing.push(format!("verb `{name}`"));
            continue;
        };
        for flag in &row.flags {
            match verb.get_arguments().find(|arg| long_names(arg).contains(&flag.long.as_str())) {
                None => missing.push(format!("`{name} --{}`", flag.long)),
                Some(arg) => {
                    missing.extend(differences(arg, flag).map(|what| format!("`{name} --{}`: {what}", flag.long)))
                }
            }
        }
    }
    assert!(missing.is_empty(), "{} missing:\n{}", missing.len(), missing.join("\n"));
}

fn differences(arg: &Arg, flag: &Flag) -> impl Iterator<Item = String> {
    let optional = arg.get_num_args().is_some_and(|range| range.min_values() == 0);
    let takes_value = arg.get_action().takes_values() && !optional;
    let switch = matches!(arg.get_action(), ArgAction::SetTrue) || optional;
    let short = arg.get_short() != flag.short && flag.short.is_some();
    let shown = flag.hidden && !arg.is_hide_set();
    [
        short.then(|| format!("short form {:?}, not {:?}", arg.get_short(), flag.short)),
        (flag.value && !takes_value).then(|| "takes no value".to_owned()),
        (!flag.value && !switch).then(|| "needs a value".to_owned()),
        shown.then(|| "is not hidden".to_owned()),
    ]
    .into_iter()
    .flatten()
}
