//! `windlass lock`, and the flags by which other verbs hold to the lock file.

use clap::Args;

use crate::lock::{Inputs, Lock as LockFile, LockedImage, Move, inputs_drift};

use super::super::backend::{Backend, LockUse, LockWish, PullPolicy, Relocked};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::build;

/// Flags of `lock`.
#[derive(Args, Debug)]
pub struct Lock {
    /// Services whose images --update takes anew; all if none is named
    #[arg(requires = "update")]
    pub services: Vec<String>,
    /// Write nothing: fail if the lock file is not what it would be, or a tag has moved
    #[arg(long, conflicts_with = "update")]
    pub check: bool,
    /// Take what the tags mean now, instead of what is locked
    #[arg(long)]
    pub update: bool,
}

impl Lock {
    /// Refuses services without `--update`: the lock file is the whole project's.
    ///
    /// # Errors
    /// [`CliError::Usage`].
    pub fn check(&self) -> Result<(), CliError> {
        if !self.services.is_empty() && !self.update {
            return Err(CliError::usage("services go with `--update`: a lock file is always the whole project's"));
        }
        Ok(())
    }
}

/// Flags of the verbs that need images.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct LockFlags {
    /// Fail if anything differs from windlass.lock, or a tag has moved since
    #[arg(long, conflicts_with = "no_lock")]
    pub locked: bool,
    /// As --locked, but ask no registry and build nothing: all must be here
    #[arg(long, conflicts_with = "no_lock")]
    pub frozen: bool,
    /// Leave windlass.lock aside
    #[arg(long)]
    pub no_lock: bool,
}

impl LockFlags {
    /// What they come to.
    pub fn of(self) -> LockUse {
        match self {
            Self { frozen: true, .. } => LockUse::Frozen,
            Self { locked: true, .. } => LockUse::Locked,
            Self { no_lock: true, .. } => LockUse::Ignore,
            _ => LockUse::IfThere,
        }
    }

    /// When images are built first: a build may use the network.
    pub fn builds(self, build: bool, no_build: bool) -> build::When {
        build::When::of(build, no_build || self.frozen)
    }

    /// Refuses flags that ask for the network beside `--frozen`.
    ///
    /// # Errors
    /// [`CliError::Usage`].
    pub fn check(self, build: bool, pull: Option<PullPolicy>) -> Result<(), CliError> {
        if self.frozen && build {
            return Err(CliError::usage("`--frozen` and `--build` exclude one another: a build may need the network"));
        }
        if self.frozen && pull.is_some_and(|pull| pull != PullPolicy::Never) {
            return Err(CliError::usage("`--frozen` pulls nothing: leave `--pull` out"));
        }
        Ok(())
    }
}

/// Writes the lock file, or checks it.
///
/// # Errors
/// Files that are wrong; references that no registry knows.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Lock) -> Result<ExitStatus, CliError> {
    let files = &cx.settings.project;
    if args.check {
        let check = cx.backend.check_lock(files).await?;
        check.drift.iter().try_for_each(|drift| cx.output.line(&drift.to_string()))?;
        if !check.unanswered.is_empty() {
            let help = "all else of the lock file was compared; try again when its registries answer";
            return Err(CliError::with_help(check.unanswered.join("\n"), help));
        }
        return Ok(if check.drift.is_empty() { ExitStatus::DONE } else { ExitStatus::FAILED });
    }
    let services = args.services.iter().map(|name| name.as_str().into()).collect();
    let wish = LockWish { update: args.update.then_some(services), dry_run: cx.settings.dry_run };
    let relocked = cx.backend.lock(files, &wish).await?;
    for note in &relocked.notes {
        cx.output.warn(note)?;
    }
    changes(&relocked).iter().try_for_each(|line| cx.output.line(line))?;
    let path = relocked.path.display();
    cx.output.line(&match (&relocked.old, cx.settings.dry_run) {
        (Some(old), _) if *old == relocked.new => format!("{path} is up to date: {}", summary(&relocked.new)),
        (_, true) => format!("{path} would have {}", summary(&relocked.new)),
        _ => format!("{path} has {}", summary(&relocked.new)),
    })?;
    Ok(ExitStatus::DONE)
}

/// What differs from the lock file before, a line each.
fn changes(relocked: &Relocked) -> Vec<String> {
    let empty = LockFile::new(Inputs::default(), Default::default());
    let (old, new) = (relocked.old.as_ref().unwrap_or(&empty), &relocked.new);
    let mut lines = Vec::new();
    for (name, image) in &new.images {
        match old.images.get(name) {
            None => lines.push(format!("+ image {name} {}{}", image.digest, platforms(image))),
            Some(before) if before.digest != image.digest => {
                lines.push(format!("~ image {name} {} → {}{}", before.digest, image.digest, platforms(image)));
            }
            Some(_) => {}
        }
    }
    let gone = old.images.keys().filter(|name| !new.images.contains_key(*name));
    lines.extend(gone.map(|name| format!("- image {name}")));
    lines.extend(inputs_drift(old, &new.inputs()).into_iter().map(|drift| {
        let (kind, name) = (drift.kind, &drift.name);
        match (drift.moved, new.remotes.get(name).filter(|_| kind == "remote")) {
            (Move::Added, Some(revision)) => format!("+ {kind} {name} {revision}"),
            (Move::Changed { old, new }, Some(_)) => format!("~ {kind} {name} {old} → {new}"),
            (Move::Added, None) => format!("+ {kind} {name}"),
            (Move::Removed, _) => format!("- {kind} {name}"),
            (Move::Changed { .. }, None) => format!("~ {kind} {name}"),
        }
    }));
    lines
}

fn platforms(image: &LockedImage) -> String {
    let names: Vec<&str> = image.platforms.keys().map(String::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

/// `2 images, 1 env file`.
fn summary(lock: &LockFile) -> String {
    let count = |number: usize, word: &str| match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    };
    let parts = [
        count(lock.images.len(), "image"),
        count(lock.remotes.len(), "remote"),
        count(lock.env_files.len(), "env file"),
        count(lock.configs.len(), "config"),
        count(lock.builds.len(), "build"),
        count(lock.variables.len(), "variable"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing to lock".to_owned() } else { parts.join(", ") }
}
