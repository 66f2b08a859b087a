//! `windlass run`.

use std::collections::BTreeSet;

use clap::{ArgAction, Args};

use crate::name::{ContainerName, ProjectName};

use super::super::backend::{Backend, Change, Edit, RunWish, Until, UpWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::settings::{Settings, go_bool};
use super::super::terminal::{Relay, relay};
use super::create::Pull;
use super::lock::LockFlags;
use super::{attach, build, change, exec};

/// Flags of `run`.
#[derive(Args, Debug)]
#[command(override_usage = "windlass run [OPTIONS] SERVICE [COMMAND] [ARGS]...")]
pub struct Run {
    /// The service, the command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "SERVICE COMMAND")]
    pub words: Vec<String>,
    /// Build images first
    #[arg(long)]
    pub build: bool,
    /// Add a capability
    #[arg(long, value_name = "CAP")]
    pub cap_add: Vec<String>,
    /// Drop a capability
    #[arg(long, value_name = "CAP")]
    pub cap_drop: Vec<String>,
    /// Don't wait for it; print the container's name
    #[arg(short, long)]
    pub detach: bool,
    /// Program, instead of the image's
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// Variable of the environment
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// File of variables of the environment
    #[arg(long, value_name = "FILE")]
    pub env_from_file: Vec<String>,
    /// Standard input stays open
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub interactive: bool,
    /// Label
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Whether the lock file holds
    #[command(flatten)]
    pub lock: LockFlags,
    /// The container's name
    #[arg(long)]
    pub name: Option<String>,
    /// No terminal (the default where ours is none)
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY", value_name = "BOOL", num_args = 0..=1,
          require_equals = true, default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub no_tty: Option<bool>,
    /// Don't start services that it depends on
    #[arg(long)]
    pub no_deps: bool,
    /// Publish a port
    #[arg(short, long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// When to pull images, instead of the file's `pull_policy`
    #[arg(long, value_enum, value_name = "WHEN")]
    pub pull: Option<Pull>,
    /// Say nothing of what is done before the command runs
    #[arg(short, long)]
    pub quiet: bool,
    /// Say nothing of builds
    #[arg(long)]
    pub quiet_build: bool,
    /// Say nothing of pulls
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers of services that the files don't declare
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true)]
    pub remove_orphans: bool,
    /// Remove the container when it has ended
    #[arg(long)]
    pub rm: bool,
    /// Publish the service's ports
    #[arg(short = 'P', long)]
    pub service_ports: bool,
    /// A terminal (the default where ours is one)
    #[arg(short, long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub tty: Option<bool>,
    /// Be found under the service's names
    #[arg(long)]
    pub use_aliases: bool,
    /// As this user
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// Mount a volume
    #[arg(short, long, value_name = "VOLUME")]
    pub volume: Vec<String>,
    /// In this folder
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
}

impl Run {
    /// Refuses flags that don't go together.
    ///
    /// # Errors
    /// [`CliError::Usage`].
    pub fn check(&self, _: &Settings) -> Result<(), CliError> {
        if self.service_ports && !self.publish.is_empty() {
            return Err(CliError::usage("`--service-ports` and `--publish` exclude one another"));
        }
        if self.detach && self.rm && self.tty == Some(true) {
            return Err(CliError::usage("`--detach` gives no terminal: leave `--tty` out"));
        }
        self.lock.check(self.build, self.pull.and_then(Pull::policy))
    }

    fn wish(&self, project: &str, service: &str, command: &[String]) -> Result<RunWish, CliError> {
        let mut env = Vec::new();
        for file in &self.env_from_file {
            env.extend(variables(file)?);
        }
        env.extend(self.env.iter().filter_map(|pair| exec::variable(pair)));
        Ok(RunWish {
            service: service.into(),
            name: self.name.clone().map_or_else(|| name(project, service), Ok)?,
            command: (!command.is_empty()).then(|| command.to_vec()),
            entrypoint: self.entrypoint.as_deref().map(words).transpose()?,
            env,
            labels: self.label.clone(),
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            volumes: self.volume.clone(),
            publish: self.publish.clone(),
            service_ports: self.service_ports,
            use_aliases: self.use_aliases,
            tty: !self.detach && exec::wants_terminal(self.no_tty, self.tty),
            stdin: self.interactive && !self.detach,
            rm: self.rm,
        })
    }
}

/// Runs a command in a new container of a service; its code is ours.
///
/// # Errors
/// A service that is not there; a container or command that can't be started.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Run) -> Result<ExitStatus, CliError> {
    let Some((service, command)) = args.words.split_first() else {
        return Err(CliError::usage("`run` needs a service"));
    };
    let project = cx.load(std::slice::from_ref(service), args.lock.of())?;
    let services = change::services(&project, std::slice::from_ref(service))?;
    let oneoff = args.wish(&project.name, service, command)?;
    let wish = UpWish {
        services,
        no_deps: args.no_deps,
        remove_orphans: args.remove_orphans,
        pull: args.pull.and_then(Pull::policy),
        quiet_pull: args.quiet || args.quiet_pull,
        oneoff: Some(Box::new(oneoff.clone())),
        lock: args.lock.of(),
        ..UpWish::default()
    };
    let when = args.lock.builds(args.build, false);
    let builds = build::before_up(cx, &project, args.quiet || args.quiet_build, when, &wish).await?;
    let desired = change::compile(cx, &project, &UpWish { builds, ..wish }).await?;
    let declared = |desired| Change::Declare(Box::new(desired));
    if cx.settings.dry_run {
        return change::show_plan(cx, &project.name, &declared(desired)).await;
    }
    change::before(cx, &project.name, &declared(desired.clone())).await?;
    if args.detach {
        return start(cx, &project.name, declared(desired), &oneoff.name).await;
    }
    cx.output.flush()?;
    let (project, name) = (&project.name, &oneoff.name);
    let work = |tell| async move { cx.backend.run(project, desired, name, &tell).await };
    let mut progress = if args.quiet { cx.silent() } else { cx.progress() }.apart(name);
    let session = match progress.show("Creating", work).await {
        Ok(session) => session,
        Err(error) => {
            take_back(cx, project, name).await;
            return Err(exec::start_failed(error));
        }
    };
    let terminal = session.terminal;
    let work = relay(session, Relay { input: oneoff.stdin, detach_keys: vec![16, 17] });
    // On a terminal in raw mode Ctrl-C is a key; without one, signals reach us and are handed on.
    let send = |signal| send(cx, project, name, signal);
    let end = if terminal { work.await } else { attach::proxied(work, send).await };
    Ok(exec::status(end.map_err(exec::start_failed)?))
}

/// Starts a container and leaves it alone; its id is printed.
async fn start<B: Backend>(
    cx: &Context<'_, B>,
    project: &ProjectName,
    declared: Change,
    name: &str,
) -> Result<ExitStatus, CliError> {
    let work = |tell| async move { cx.backend.apply(project, declared, Until::Done, &tell).await };
    let outcome = cx.progress().apart(name).show("Running", work).await;
    match outcome.and_then(|outcome| change::finish(cx, &outcome).map(|_| outcome)) {
        Ok(outcome) => {
            if let Some(id) = outcome.made.get(name) {
                cx.output.line(id.as_str())?;
            }
            Ok(ExitStatus::DONE)
        }
        Err(error) => {
            take_back(cx, project, name).await;
            Err(error)
        }
    }
}

/// Declares a container no longer that could not be started: it would be tried again, and fail what comes later.
async fn take_back<B: Backend>(cx: &Context<'_, B>, project: &ProjectName, name: &str) {
    let only = Some([ContainerName::from(name)].into());
    let remove = Change::Edit(Edit::Remove { services: BTreeSet::new(), only, volumes: true });
    let work = |tell| async move { cx.backend.apply(project, remove, Until::Done, &tell).await };
    // What is told is why it did not start.
    let _ = cx.silent().show("Removing", work).await;
}

/// Sends a signal to a container by its name; one that has just ended needs none.
fn send<B: Backend>(cx: &Context<'_, B>, project: &ProjectName, name: &str, signal: i32) -> Result<(), CliError> {
    let observed = cx.backend.observe(project)?;
    let container = observed.containers.values().find(|container| container.spec.name.as_str() == name);
    match container.filter(|container| container.is_running()) {
        Some(container) => cx.backend.signal(&container.id, signal),
        None => Ok(()),
    }
}

/// `<project>-<service>-run-<12 hex>` (spec.md 12.1).
fn name(project: &str, service: &str) -> Result<String, CliError> {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map_err(|e| CliError::failed(format!("can't read /proc/sys/kernel/random/uuid: {e}")))?;
    let digits: String = uuid.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    Ok(format!("{project}-{service}-run-{digits}"))
}

/// `KEY=VALUE` lines of a file; comments and empty lines are left out.
fn variables(file: &str) -> Result<Vec<String>, CliError> {
    let text = std::fs::read_to_string(file).map_err(|e| CliError::failed(format!("can't read {file}: {e}")))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.filter_map(exec::variable).collect())
}

/// The words of a command line, quotes and backslashes heeded as a shell does.
fn words(text: &str) -> Result<Vec<String>, CliError> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    let mut chars = text.chars();
    while let Some(ch) = chars.next() {
        match (quote, ch) {
            (None, ch) if ch.is_whitespace() => {
                if std::mem::take(&mut open) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, '\'' | '"') => (quote, open) = (Some(ch), true),
            (Some(end), ch) if ch == end => quote = None,
            (None | Some('"'), '\\') => {
                word.extend(chars.next());
                open = true;
            }
            (_, ch) => {
                word.push(ch);
                open = true;
            }
        }
    }
    if quote.is_some() {
        return Err(CliError::usage(format!("`{text}`: a quote without its end")));
    }
    if open {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_like_a_shell_does() {
        assert_eq!(words("sh -c 'a  b' \"c\\\"d\" e\\ f ''").expect("split"), ["sh", "-c", "a  b", "c\"d", "e f", ""]);
        assert!(words("sh 'a").is_err());
        assert_eq!(words("").expect("split"), Vec::<String>::new());
    }

    #[test]
    fn names_are_made_as_docker_compose_makes_them() {
        let name = name("shop", "web").expect("made");
        let digits = name.strip_prefix("shop-web-run-").expect("prefix");
        assert_eq!(digits.len(), 12);
    }
}
