//! `windlass rm`.

use std::collections::BTreeSet;

use clap::Args;

use crate::observed::ObservedContainer;

use super::super::backend::{Backend, Edit};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;
use super::change;

/// Flags of `rm`.
#[derive(Args, Debug)]
pub struct Rm {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Don't ask
    #[arg(short, long)]
    pub force: bool,
    /// Stop them first
    #[arg(short, long)]
    pub stop: bool,
    /// Remove their anonymous volumes too
    #[arg(short, long)]
    pub volumes: bool,
    /// Old flag without effect: one-off containers are always removed too
    #[arg(short, long, hide = true)]
    pub all: bool,
}

/// Removes containers that don't run, after a question.
///
/// # Errors
/// A service that is not there; nobody to answer.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Rm) -> Result<ExitStatus, CliError> {
    if args.all {
        cx.output.warn("`rm --all` has no effect: one-off containers are always removed too")?;
    }
    let mut found = Found::look(cx)?;
    let targets = found.targets(&args.services)?;
    if let (true, Some(services)) = (args.stop && !cx.settings.dry_run, targets.clone().services()) {
        change::edit(cx, &found.project, "Stopping", Edit::Stop { services, timeout: None }).await?;
        found = Found::look(cx)?;
    }
    let stopped: Vec<&ObservedContainer> =
        found.targeted(&targets, true).into_iter().filter(|c| args.stop || !c.is_running()).collect();
    if stopped.is_empty() {
        cx.output.note("No stopped containers")?;
        return Ok(ExitStatus::DONE);
    }
    if !args.force && !cx.settings.dry_run {
        let names: Vec<&str> = stopped.iter().map(|container| container.spec.name.as_str()).collect();
        if !cx.output.confirm(&format!("Going to remove {}\nAre you sure?", names.join(", ")))? {
            return Ok(ExitStatus::DONE);
        }
    }
    let only: BTreeSet<_> = stopped.iter().map(|container| container.spec.name.clone()).collect();
    let remove = Edit::Remove { services: BTreeSet::new(), only: Some(only), volumes: args.volumes };
    change::edit(cx, &found.project, "Removing", remove).await
}
