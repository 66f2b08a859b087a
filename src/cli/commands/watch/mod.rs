//! `windlass watch`, and what `up --watch` has of it: edit, save, see it.
//!
//! ```text
//!  watch::start ─▶ Told ─▶ session ─┬▶ replicas   what each container lacks ─▶ host::sync, on a thread
//!                                   └▶ follow     rebuild, restart, exec, the files themselves: one after the other
//! ```

mod config;
mod follow;
mod replicas;
mod session;
#[cfg(test)]
mod tests;

use clap::{ArgAction, Args};

use crate::compose::model::Project;
use crate::name::ServiceName;

use super::super::backend::{Backend, Change, Until, UpWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::{Output, Tone};
use super::super::settings::go_bool;
use super::super::signals::{Interrupts, unless_interrupted};
use super::lock::LockFlags;
use super::{build, change};

pub use session::Session;

/// Flags of `watch`.
#[derive(Args, Debug)]
pub struct Watch {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Don't build and start services first
    #[arg(long)]
    pub no_up: bool,
    /// Remove images that lost their name when a service was rebuilt
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub prune: bool,
    /// Show what a build prints only if it fails
    #[arg(long)]
    pub quiet: bool,
    /// Apply changes of the compose files themselves, not only show their plan
    #[arg(long)]
    pub apply_config: bool,
    /// Whether the lock file holds
    #[command(flatten)]
    pub lock: LockFlags,
}

/// How it is watched.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The services, as they were named.
    pub services: Vec<String>,
    /// `--prune`.
    pub prune: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// `--apply-config`.
    pub apply_config: bool,
    /// How the project was brought up; changes of its files are applied alike.
    pub wish: UpWish,
}

/// Something for the user.
#[derive(Debug)]
pub enum Said {
    /// What was done.
    Line(String),
    /// What should be known.
    Warning(String),
    /// What went wrong; it goes on nevertheless.
    Error(CliError),
}

impl Said {
    /// Prints it.
    ///
    /// # Errors
    /// Output that can't be written.
    pub fn print(&self, output: &Output) -> Result<(), CliError> {
        match self {
            Self::Line(text) => output.note(text.trim_end()),
            Self::Warning(text) => output.warn(text),
            Self::Error(CliError::Diagnostics(found)) => output.note(found.to_string().trim_end()),
            Self::Error(error) => {
                output.say(Tone::Error, "error", &error.to_string())?;
                match error {
                    CliError::Failed { help: Some(help), .. } => output.note(&format!("  = help: {help}")),
                    _ => Ok(()),
                }
            }
        }
    }
}

/// Brings the services up and watches until Ctrl-C.
///
/// # Errors
/// Files that are wrong; no rule to follow; what could not be brought up.
pub async fn run<'a, B: Backend>(cx: &'a Context<'a, B>, args: &Watch) -> Result<ExitStatus, CliError> {
    let loaded = cx.load_with_files(&args.services, args.lock.of())?;
    let services = change::services(&loaded.project, &args.services)?;
    let options = Options {
        services: args.services.clone(),
        prune: args.prune,
        quiet: args.quiet,
        apply_config: args.apply_config,
        wish: UpWish { services, lock: args.lock.of(), ..UpWish::default() },
    };
    if cx.settings.dry_run {
        return dry_run(cx, &loaded.project, &options, args.no_up).await;
    }
    let mut session = Session::new(cx, loaded.clone(), options.clone())?;
    let mut interrupts = Interrupts::new()?;
    if !args.no_up {
        let when = args.lock.builds(false, false);
        unless_interrupted(&mut interrupts, bring_up(cx, &loaded.project, &options, when)).await?;
    }
    session.begin()?;
    loop {
        tokio::select! {
            () = interrupts.next() => {
                session.end().await;
                return Ok(ExitStatus::INTERRUPTED);
            }
            said = session.next() => said.print(cx.output)?,
        }
    }
}

/// As `up -d`.
async fn bring_up<B: Backend>(
    cx: &Context<'_, B>,
    project: &Project,
    options: &Options,
    when: build::When,
) -> Result<(), CliError> {
    let builds = build::before_up(cx, project, options.quiet, when, &options.wish).await?;
    let desired = change::compile(cx, project, &UpWish { builds, ..options.wish.clone() }).await?;
    let declared = Change::Declare(Box::new(desired));
    change::apply(cx, &project.name, "Running", declared, Until::Done).await.map(|_| ())
}

/// Shows the plan and the rules.
async fn dry_run<B: Backend>(
    cx: &Context<'_, B>,
    project: &Project,
    options: &Options,
    no_up: bool,
) -> Result<ExitStatus, CliError> {
    let rules = session::rules_of(cx, project, &options.wish)?;
    if !no_up {
        let desired = change::compile(cx, project, &options.wish).await?;
        change::show_plan(cx, &project.name, &Change::Declare(Box::new(desired))).await?;
    }
    for rule in &rules.rules {
        let target = if rule.action.syncs() { format!(" to {}", rule.target.display()) } else { String::new() };
        cx.output.line(&format!(
            "watch {} for {}: {}{target}",
            rule.path.display(),
            rule.service,
            rule.action.word()
        ))?;
    }
    Ok(ExitStatus::DONE)
}

/// `3 files`, `1 file`.
fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// One line a batch: service, action, files, milliseconds.
fn line(service: &ServiceName, action: &str, count: usize, time: std::time::Duration) -> String {
    let tenths = time.as_micros() / 100;
    let time = if tenths < 100 { format!("{}.{} ms", tenths / 10, tenths % 10) } else { format!("{} ms", tenths / 10) };
    format!("{service}  {action}  {}  {time}", files(count))
}
