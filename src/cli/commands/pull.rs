//! `windlass pull`.

use clap::{ArgAction, Args, ValueEnum};

use crate::compose::model::Project;

use super::super::backend::{Backend, LockUse, PullWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::Tone;
use super::super::settings::go_bool;
use super::change;

/// Flags of `pull`.
#[derive(Args, Debug)]
pub struct Pull {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Leave out images that can be built
    #[arg(long)]
    pub ignore_buildable: bool,
    /// Go on with the others when one can't be pulled
    #[arg(long)]
    pub ignore_pull_failures: bool,
    /// Services that they depend on too
    #[arg(long)]
    pub include_deps: bool,
    /// Leave windlass.lock aside
    #[arg(long)]
    pub no_lock: bool,
    /// Old flag without effect
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub no_parallel: Option<bool>,
    /// Old flag without effect
    #[arg(long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub parallel: Option<bool>,
    /// Pull always, or only what is missing
    #[arg(long, value_enum, value_name = "WHEN")]
    pub policy: Option<Policy>,
    /// Say nothing of the progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// `--policy`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// What is not there.
    Missing,
    /// All.
    Always,
}

/// Pulls the images of services.
///
/// # Errors
/// A service that is not there; an image that can't be pulled.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Pull) -> Result<ExitStatus, CliError> {
    if args.no_parallel.is_some() || args.parallel.is_some() {
        cx.output.warn("`--parallel` and `--no-parallel` have no effect here: use `windlass --parallel N pull`")?;
    }
    let lock = if args.no_lock { LockUse::Ignore } else { LockUse::IfThere };
    let project = cx.load(&args.services, lock)?;
    change::services(&project, &args.services)?;
    let images = images(&project, args);
    if cx.settings.dry_run {
        images.iter().try_for_each(|image| cx.output.line(&format!("pull {}", image.name)))?;
        return Ok(ExitStatus::DONE);
    }
    let wanted = &images;
    let work = |tell| async move { Ok(cx.backend.pull(wanted, lock, &tell).await) };
    let mut progress = if args.quiet { cx.silent() } else { cx.progress() };
    let results = progress.show("Pulling", work).await?;
    let mut status = ExitStatus::DONE;
    for (image, result) in images.iter().zip(results) {
        if let Err(error) = result {
            cx.output.say(Tone::Error, "error", &format!("{}: {error}", image.name))?;
            if !args.ignore_pull_failures {
                status = ExitStatus::FAILED;
            }
        }
    }
    Ok(status)
}

/// The images to pull, each once.
fn images(project: &Project, args: &Pull) -> Vec<PullWish> {
    let named = |name: &str| args.services.is_empty() || args.services.iter().any(|service| service == name);
    let mut images: Vec<PullWish> = Vec::new();
    for (name, service) in &project.services {
        let skipped = service.build.is_some() && (args.ignore_buildable || service.image.is_none());
        let never = matches!(service.pull_policy.as_deref(), Some("never" | "build")) && args.policy.is_none();
        let (Some(image), true) = (&service.image, named(name) || args.include_deps) else { continue };
        if skipped || never || images.iter().any(|wish| wish.name == *image && wish.platform == service.platform) {
            continue;
        }
        images.push(PullWish {
            name: image.clone(),
            platform: service.platform.clone(),
            always: args.policy != Some(Policy::Missing),
        });
    }
    images
}
