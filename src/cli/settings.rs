//! The whole command line as types: global flags here, each verb's own beside what it does in `commands/`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, FromArgMatches, ValueEnum};

use crate::compose;
use crate::host::paths::Paths;

use super::error::CliError;
use super::undone;

mod verbs;

pub use verbs::Verb;

/// The command line.
#[derive(Debug)]
pub struct Cli {
    /// Flags before the verb.
    pub global: Global,
    /// The verb.
    pub verb: Verb,
}

/// Flags that stand before the verb.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Compose file; again for more, later ones win; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<PathBuf>,
    /// Project name
    #[arg(short = 'p', long, value_name = "NAME")]
    pub project_name: Option<String>,
    /// Profile to enable; `*` enables all
    #[arg(long, value_name = "PROFILE")]
    pub profile: Vec<String>,
    /// File of variables for interpolation, instead of .env
    #[arg(long, value_name = "FILE", value_delimiter = ',', env = "COMPOSE_ENV_FILES", hide_env = true)]
    pub env_file: Vec<PathBuf>,
    /// Folder that relative paths start from (default: that of the first compose file)
    #[arg(long, value_name = "DIR")]
    pub project_directory: Option<PathBuf>,
    /// Lock file (default: windlass.lock beside the first compose file)
    #[arg(long, value_name = "FILE", env = "WINDLASS_LOCK_FILE", hide_env = true)]
    pub lock_file: Option<PathBuf>,
    /// Colours and cursor movements
    #[arg(long, value_enum, default_value_t, value_name = "WHEN", env = "COMPOSE_ANSI", hide_env = true)]
    pub ansi: Ansi,
    /// How progress is shown
    #[arg(long, value_enum, value_name = "HOW", env = "COMPOSE_PROGRESS", hide_env = true)]
    pub progress: Option<ProgressMode>,
    /// Most things done at the same time; -1: no limit
    #[arg(
        long,
        value_name = "N",
        default_value_t = -1,
        allow_negative_numbers = true,
        env = "COMPOSE_PARALLEL_LIMIT",
        hide_env = true
    )]
    pub parallel: i64,
    /// Show what would be done, and do nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Container names with `_`, as docker-compose 1 made them
    #[arg(long, env = "COMPOSE_COMPATIBILITY", hide_env = true)]
    pub compatibility: bool,
    /// Say nothing of containers that no service of the files declares; by the environment only
    #[arg(long, hide = true, env = "COMPOSE_IGNORE_ORPHANS", hide_env = true)]
    pub ignore_orphans: bool,
    /// Show progress on standard output; by the environment only
    #[arg(long, hide = true, env = "COMPOSE_STATUS_STDOUT", hide_env = true)]
    pub status_stdout: bool,
    /// Keep resources that no service uses
    #[arg(long)]
    pub all_resources: bool,
    /// Folder of all state: images, volumes, containers (default: /var/lib/windlass)
    #[arg(long, value_name = "DIR", env = "WINDLASS_ROOT", hide_env = true)]
    pub root: Option<PathBuf>,
    /// Folder of sockets and locks; by the environment only
    #[arg(long = "run-dir", hide = true, value_name = "DIR", env = "WINDLASS_RUN", hide_env = true)]
    pub run: Option<PathBuf>,
    /// Show the version
    #[arg(short = 'v', long, hide = true)]
    pub version: bool,
    /// Tell more
    #[arg(long, hide = true)]
    pub verbose: bool,
    /// Old form of --ansi never
    #[arg(long, hide = true)]
    pub no_ansi: bool,
    /// Old form of --project-directory
    #[arg(long, hide = true, value_name = "DIR")]
    pub workdir: Option<PathBuf>,
}

impl Global {
    /// Whether colours and cursor movements may be used.
    pub fn ansi(&self) -> Ansi {
        if self.no_ansi { Ansi::Never } else { self.ansi }
    }

    /// What is known of the project's files before any is read.
    fn load_options(&self) -> compose::LoadOptions {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        compose::LoadOptions {
            files: self.file.iter().map(text).collect(),
            project_directory: self.project_directory.clone().or_else(|| self.workdir.clone()),
            env_files: self.env_file.iter().map(text).collect(),
            env: std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            cwd: std::env::current_dir().unwrap_or_default(),
            ..compose::LoadOptions::default()
        }
    }
}

/// When colours and cursor movements are used.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ansi {
    /// On a terminal that understands them.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Even in a file or a pipe.
    Always,
}

/// How progress is shown.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// `tty` on a terminal, else `plain`.
    #[default]
    Auto,
    /// One line per resource, redrawn in place.
    Tty,
    /// One line per change.
    Plain,
    /// One JSON object per change.
    Json,
    /// Only what failed.
    Quiet,
}

/// Which files make the project, and how they are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProjectFiles {
    /// `-f`; empty: by `COMPOSE_FILE` or found.
    pub files: Vec<PathBuf>,
    /// `-p`.
    pub name: Option<String>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// `--env-file`.
    pub env_files: Vec<PathBuf>,
    /// `--project-directory`.
    pub directory: Option<PathBuf>,
    /// `--compatibility`.
    pub compatibility: bool,
    /// `--all-resources`.
    pub all_resources: bool,
    /// `COMPOSE_IGNORE_ORPHANS`.
    pub ignore_orphans: bool,
}

/// The global flags, decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The project.
    pub project: ProjectFiles,
    /// `--lock-file`.
    pub lock_file: Option<PathBuf>,
    /// Folders of all state, and of sockets and locks.
    pub paths: Paths,
    /// Most things done at the same time; `None`: no limit.
    pub parallel: Option<usize>,
    /// Show the plan only.
    pub dry_run: bool,
    /// How progress is shown.
    pub progress: ProgressMode,
    /// Tell more.
    pub verbose: bool,
    deprecated: Vec<&'static str>,
}

impl Settings {
    /// Decides the global flags.
    ///
    /// # Errors
    /// `--parallel 0`, and `--workdir` beside `--project-directory`.
    pub fn new(global: &Global) -> Result<Self, CliError> {
        if global.workdir.is_some() && global.project_directory.is_some() {
            return Err(CliError::usage("`--workdir` is the old name of `--project-directory`: give only the latter"));
        }
        let parallel = match global.parallel {
            -1 => None,
            n => match usize::try_from(n) {
                Ok(n) if n > 0 => Some(n),
                _ => return Err(CliError::usage(format!("`--parallel {n}`: must be 1 or more, or -1 for no limit"))),
            },
        };
        let mut deprecated = Vec::new();
        if global.no_ansi {
            deprecated.push("`--no-ansi` is deprecated: use `--ansi never`");
        }
        if global.workdir.is_some() {
            deprecated.push("`--workdir` is deprecated: use `--project-directory`");
        }
        Ok(Self {
            project: ProjectFiles {
                files: global.file.clone(),
                name: global.project_name.clone(),
                profiles: global.profile.clone(),
                env_files: global.env_file.clone(),
                directory: global.project_directory.clone().or_else(|| global.workdir.clone()),
                compatibility: global.compatibility,
                all_resources: global.all_resources,
                ignore_orphans: global.ignore_orphans,
            },
            lock_file: global.lock_file.clone(),
            paths: Paths::new(global.root.clone(), global.run.clone()),
            parallel,
            dry_run: global.dry_run,
            progress: global.progress.unwrap_or_default(),
            verbose: global.verbose,
            deprecated,
        })
    }

    /// What to say about old flags that were used.
    pub fn warnings(&self) -> &[&'static str] {
        &self.deprecated
    }
}

/// The verbs as `--help` groups them; a test holds that each visible verb is in one.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Run a stack",
        &[
            "up", "down", "create", "start", "stop", "restart", "scale", "pause", "unpause", "kill", "rm", "wait",
            "plan", "watch",
        ],
    ),
    ("Look at it", &["ps", "logs", "top", "stats", "events", "port", "images", "volumes", "ls"]),
    ("Reach in", &["exec", "run", "attach", "cp", "export"]),
    ("Files and images", &["config", "explain", "lock", "diff", "pull", "build", "image", "volume", "login", "logout"]),
    ("Windlass", &["demo", "version", "help"]),
];

/// The whole command line as clap sees it, with what is not done yet.
pub fn command() -> clap::Command {
    with_flags_of(None)
}

/// The same with the flags of one verb only, or of all.
fn with_flags_of(only: Option<&str>) -> clap::Command {
    let bare = bare().subcommand_required(true).arg_required_else_help(true);
    let command = undone::add(Verb::add(bare, only), only).mut_subcommands(go_flags);
    if only.is_some() {
        return command.mut_args(go_flag);
    }
    let groups = grouped(&command);
    command.mut_args(go_flag).help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{groups}\nFlags before the verb:\n{{options}}\n\n\
         `windlass VERB --help` tells more about a verb.\n"
    ))
}

/// Without any verb.
fn bare() -> clap::Command {
    let about = "Brings up a stack of containers from a compose file, and holds it in its declared state";
    Global::augment_args(clap::Command::new("windlass")).about(about).max_term_width(120)
}

/// The verb that a command line names, if it is one and all before it is right.
fn verb_of(argv: &[OsString]) -> Option<&'static str> {
    // `--help` and what is wrong are told by the whole command line.
    let command = bare().mut_args(go_flag).allow_external_subcommands(true).disable_help_flag(true);
    let matches = command.try_get_matches_from(argv).ok()?;
    let name = matches.subcommand_name()?;
    Verb::NAMES.iter().find(|known| **known == name).copied()
}

fn grouped(command: &clap::Command) -> String {
    let mut text = String::new();
    for (title, names) in GROUPS {
        text.push_str(&format!("{title}:\n"));
        for name in *names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about).map(ToString::to_string);
            let about = about.unwrap_or_else(|| "Show help".into());
            text.push_str(&format!("  {name:<10}{about}\n"));
        }
        text.push('\n');
    }
    text
}

fn go_flags(command: clap::Command) -> clap::Command {
    command.mut_args(go_flag).mut_subcommands(go_flags)
}

/// Flags are as in docker compose (Go's flags): of one given twice the last counts, unless it collects.
fn go_flag(arg: clap::Arg) -> clap::Arg {
    let arg = if matches!(arg.get_action(), ArgAction::SetTrue) { go_switch(arg) } else { arg };
    if arg.is_positional() || !matches!(arg.get_action(), ArgAction::Set) {
        return arg;
    }
    let itself = arg.get_id().clone();
    arg.overrides_with(itself)
}

/// Switches take `--flag=false` too.
fn go_switch(arg: clap::Arg) -> clap::Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
        .hide_default_value(true)
        .hide_possible_values(true)
        .value_name("BOOL")
        .value_parser(clap::builder::ValueParser::new(go_bool))
}

/// Go's strconv.ParseBool.
///
/// # Errors
/// Any other word.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

/// Parses a command line.
///
/// # Errors
/// clap's own (help and misuse), and flags or verbs that are not done yet.
pub fn parse(argv: Vec<OsString>) -> Result<Cli, CliError> {
    let argv = version_flag(argv);
    let verb = verb_of(&argv);
    let matches = match with_flags_of(verb).try_get_matches_from(&argv) {
        // Flags alone ask for the same as nothing at all, as in docker.
        Err(error) if verb.is_none() && error.kind() == ErrorKind::MissingSubcommand => {
            command().try_get_matches_from(["windlass", "--help"])?
        }
        other => other?,
    };
    undone::refuse(&matches)?;
    let cli = read(&matches)?;
    let settings = compose::settings(&cli.global.load_options());
    if settings.is_empty() {
        return Ok(cli);
    }
    read(&with_settings(with_flags_of(verb), &settings).try_get_matches_from(argv)?)
}

fn read(matches: &clap::ArgMatches) -> Result<Cli, CliError> {
    let Some((name, flags)) = matches.subcommand() else { return Err(CliError::usage("which verb?")) };
    Ok(Cli { global: Global::from_arg_matches(matches)?, verb: Verb::read(name, flags)? })
}

/// What env files say of the command line comes after flags and the caller's environment, and before the defaults.
fn with_settings(command: clap::Command, settings: &BTreeMap<String, String>) -> clap::Command {
    let one = |arg: clap::Arg| {
        let value = arg.get_env().and_then(|name| settings.get(name.to_str()?)).cloned();
        if let Some(value) = value { arg.default_value(value) } else { arg }
    };
    command.mut_args(one).mut_subcommands(|command| with_settings(command, settings))
}

/// `windlass --version` and `-v` are the verb `version`, as in docker compose.
fn version_flag(mut argv: Vec<OsString>) -> Vec<OsString> {
    if argv.len() == 2 && (argv[1] == "--version" || argv[1] == "-v") {
        argv[1] = "version".into();
    }
    argv
}

/// The name of a hidden verb (`__shim`, `__init`, …), which `main` hands on before anything here is looked at.
pub fn hidden_verb(argv: &[OsString]) -> Option<&str> {
    argv.get(1).and_then(|word| word.to_str()).filter(|word| word.starts_with("__"))
}

#[cfg(test)]
mod tests;
