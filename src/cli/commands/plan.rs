//! `windlass plan`: what `up` would do.

use clap::{Args, ValueEnum};

use super::super::backend::{Backend, Change, LockUse, ProviderCall, UpWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::lock::LockFlags;
use super::{build, change, create};
use crate::plan::text::View;

/// Flags of `plan`.
#[derive(Args, Debug)]
pub struct Plan {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// How it is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub format: Form,
    /// Exit with 2 if there is anything to do, with 0 if not
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// As `up --build`
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// As `up --no-build`
    #[arg(long)]
    pub no_build: bool,
    /// As `up --force-recreate`
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// As `up --no-recreate`
    #[arg(long)]
    pub no_recreate: bool,
    /// Whether the lock file holds
    #[command(flatten)]
    pub lock: LockFlags,
    /// As `up --no-deps`
    #[arg(long)]
    pub no_deps: bool,
    /// As `up --remove-orphans`
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true)]
    pub remove_orphans: bool,
    /// As `up --scale`
    #[arg(long, value_name = "SERVICE=N")]
    pub scale: Vec<String>,
}

/// `--format`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A plan as JSON.
#[derive(Debug, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told<'a> {
    /// The plan itself.
    #[serde(flatten)]
    pub plan: View<'a>,
    /// Programs that provide services, run before the steps.
    pub providers: &'a [ProviderCall],
}

/// Prints the plan that `up` would carry out.
///
/// # Errors
/// Files that are wrong; images that can't be resolved.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Plan) -> Result<ExitStatus, CliError> {
    match look(cx, args).await {
        Err(error) if args.format == Form::Json => Err(error.as_json(cx.output)),
        done => done,
    }
}

async fn look<B: Backend>(cx: &Context<'_, B>, args: &Plan) -> Result<ExitStatus, CliError> {
    args.lock.check(args.build, None)?;
    let project = cx.load(&args.services, args.lock.of())?;
    let wish = UpWish {
        services: change::services(&project, &args.services)?,
        no_deps: args.no_deps,
        scale: change::scaled(&project, &args.scale)?,
        recreate: create::recreate(args.force_recreate, args.no_recreate),
        remove_orphans: args.remove_orphans,
        rehearsal: true,
        lock: args.lock.of(),
        ..UpWish::default()
    };
    let builds = build::to_come(cx, &project, args.lock.builds(args.build, args.no_build), &wish).await?;
    let wish = UpWish { builds, ..wish };
    let desired = change::compile(cx, &project, &wish).await?;
    let planned = cx.backend.plan(&project.name, &Change::Declare(Box::new(desired))).await?;
    match args.format {
        Form::Text => cx.output.text(&planned.text)?,
        Form::Json => {
            cx.output.json_pretty(&Told { plan: planned.plan.view(), providers: &planned.providers })?;
        }
    }
    // `--locked` has asked already, and `--frozen` asks nobody.
    if wish.lock == LockUse::IfThere {
        for moved in cx.backend.moved_upstream(&wish.services).await? {
            cx.output.warn(&moved)?;
        }
    }
    Ok(match (args.detailed_exitcode, planned.plan.is_empty()) {
        _ if !planned.plan.failures.is_empty() => ExitStatus::FAILED,
        (true, false) => ExitStatus::CHANGES,
        _ => ExitStatus::DONE,
    })
}
