//! Verbs and flags of docker compose that are not done yet: they exist, and say so.
//!
//! They stand in one table, so that the types of the verbs hold only what does something. A row leaves the table when
//! its feature comes.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::error::CliError;

/// A verb that is not done: name, about, hidden flags apart, `(flag, short, takes a value)`.
struct Undone {
    verb: &'static [&'static str],
    about: &'static str,
    flags: &'static [Flag],
}

/// A flag that is not done: long name, short name, whether it takes a value.
type Flag = (&'static str, Option<char>, bool);

const VERBS: &[Undone] = &[
    Undone { verb: &["alpha", "dry-run"], about: "Try a verb without effect", flags: &[] },
    Undone {
        verb: &["alpha", "generate"],
        about: "Make a compose file from containers",
        flags: &[("format", None, true), ("name", None, true), ("project-dir", None, true)],
    },
    Undone { verb: &["alpha", "publish"], about: "Publish the application", flags: PUBLISH },
    Undone { verb: &["alpha", "scale"], about: "Set the number of replicas", flags: &[("no-deps", None, false)] },
    Undone {
        verb: &["alpha", "viz"],
        about: "Draw the services as a graph",
        flags: &[
            ("image", None, false),
            ("indentation-size", None, true),
            ("networks", None, false),
            ("ports", None, false),
            ("spaces", None, false),
        ],
    },
    Undone { verb: &["bridge"], about: "Convert compose files into another model", flags: &[] },
    Undone {
        verb: &["bridge", "convert"],
        about: "Convert compose files",
        flags: &[("output", Some('o'), true), ("templates", None, true), ("transformation", Some('t'), true)],
    },
    Undone { verb: &["bridge", "transformations"], about: "Manage transformations", flags: &[] },
    Undone {
        verb: &["bridge", "transformations", "create"],
        about: "Make a transformation",
        flags: &[("from", Some('f'), true)],
    },
    Undone {
        verb: &["bridge", "transformations", "list"],
        about: "List transformations",
        flags: &[("format", None, true), ("quiet", Some('q'), false)],
    },
    Undone {
        verb: &["commit"],
        about: "Make an image of a container's changes",
        flags: &[
            ("author", Some('a'), true),
            ("change", Some('c'), true),
            ("index", None, true),
            ("message", Some('m'), true),
            ("pause", Some('p'), false),
        ],
    },
    Undone {
        verb: &["convert"],
        about: "Old name of config",
        flags: &[
            ("format", None, true),
            ("hash", None, true),
            ("images", None, false),
            ("no-consistency", None, false),
            ("no-interpolate", None, false),
            ("no-normalize", None, false),
            ("output", Some('o'), true),
            ("profiles", None, false),
            ("quiet", Some('q'), false),
            ("resolve-image-digests", None, false),
            ("services", None, false),
            ("volumes", None, false),
        ],
    },
    Undone { verb: &["publish"], about: "Publish the application", flags: PUBLISH },
    Undone {
        verb: &["push"],
        about: "Push images of services",
        flags: &[("ignore-push-failures", None, false), ("include-deps", None, false), ("quiet", Some('q'), false)],
    },
];

const PUBLISH: &[Flag] = &[
    ("app", None, false),
    ("oci-version", None, true),
    ("resolve-image-digests", None, false),
    ("with-env", None, false),
    ("yes", Some('y'), false),
    ("insecure-registry", None, false),
];

/// Flags of verbs that are done.
const FLAGS: &[(&str, &[Flag])] = &[
    ("", &[("insecure-registry", None, true)]),
    (
        "build",
        &[
            ("builder", None, true),
            ("check", None, false),
            ("memory", Some('m'), true),
            ("print", None, false),
            ("provenance", None, true),
            ("push", None, false),
            ("sbom", None, true),
        ],
    ),
    ("up", &[("menu", None, false)]),
];

/// Adds all of them to the command line, or those of `only` one verb.
pub fn add(mut command: Command, only: Option<&str>) -> Command {
    let counts = |verb: &str| verb.is_empty() || only.is_none_or(|only| only == verb);
    for (verb, flags) in FLAGS.iter().filter(|(verb, _)| counts(verb)) {
        let add = |command: Command| command.args(flags.iter().map(|flag| argument(flag, true)));
        command = if verb.is_empty() { add(command) } else { command.mut_subcommand(verb, add) };
    }
    for verb in VERBS.iter().filter(|verb| verb.verb.first().is_some_and(|first| counts(first))) {
        command = insert(command, verb.verb, verb);
    }
    command
}

fn insert(command: Command, path: &[&'static str], verb: &Undone) -> Command {
    match path {
        [] => command,
        [name] => command.subcommand(
            Command::new(*name)
                .about(verb.about)
                .hide(true)
                .args(verb.flags.iter().map(|flag| argument(flag, true)))
                // Whatever stands there: the answer is the same.
                .arg(Arg::new("words").num_args(0..).trailing_var_arg(true)),
        ),
        [name, rest @ ..] => command.mut_subcommand(name, |command| {
            let command = insert(command.mut_args(|arg| arg), rest, verb);
            command.args_conflicts_with_subcommands(true)
        }),
    }
}

fn argument(&(long, short, value): &Flag, hide: bool) -> Arg {
    let arg = Arg::new(id(long)).long(long).hide(hide);
    let arg = match short {
        Some(short) => arg.short(short),
        None => arg,
    };
    if value { arg.action(ArgAction::Append) } else { arg.action(ArgAction::SetTrue) }
}

/// Ids of their own, so that they can't meet one of a derived type.
fn id(long: &str) -> String {
    format!("undone-{long}")
}

/// Refuses a command line that uses one of them.
///
/// # Errors
/// [`CliError::NotDone`], naming it.
pub fn refuse(matches: &ArgMatches) -> Result<(), CliError> {
    let (path, levels) = walk(matches);
    if VERBS.iter().any(|verb| path.starts_with(verb.verb)) {
        return Err(CliError::NotDone { what: format!("`windlass {}`", path.join(" ")) });
    }
    for (depth, matches) in levels.iter().enumerate() {
        for flag in matches.ids().filter_map(|id| id.as_str().strip_prefix("undone-")) {
            if matches.value_source(&id(flag)) == Some(ValueSource::CommandLine) && !is_false(matches, flag) {
                let words = ["windlass"].iter().chain(&path[..depth]).copied().collect::<Vec<_>>().join(" ");
                return Err(CliError::NotDone { what: format!("`{words} --{flag}`") });
            }
        }
    }
    Ok(())
}

/// The words of the verb, and what was matched before and after each.
fn walk(matches: &ArgMatches) -> (Vec<&str>, Vec<&ArgMatches>) {
    let (mut path, mut levels) = (Vec::new(), vec![matches]);
    let mut level = matches;
    while let Some((name, below)) = level.subcommand() {
        path.push(name);
        levels.push(below);
        level = below;
    }
    (path, levels)
}

/// `--flag=false` asks for nothing.
fn is_false(matches: &ArgMatches, flag: &str) -> bool {
    matches!(matches.try_get_one::<bool>(&id(flag)), Ok(Some(false)))
}
