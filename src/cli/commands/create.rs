//! `windlass create`.

use clap::Args;

use super::super::backend::{Backend, Change, PullPolicy, Recreate, Until, UpWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::lock::LockFlags;
use super::{build, change};

/// Flags of `create`.
#[derive(Args, Debug)]
pub struct Create {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Build images first
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Make all containers anew, even if nothing has changed
    #[arg(long, conflicts_with = "no_recreate")]
    pub force_recreate: bool,
    /// Don't build an image, even if it is missing
    #[arg(long)]
    pub no_build: bool,
    /// Keep containers that exist, even if they differ
    #[arg(long)]
    pub no_recreate: bool,
    /// When to pull images, instead of the file's `pull_policy`
    #[arg(long, value_enum, value_name = "WHEN")]
    pub pull: Option<Pull>,
    /// Say nothing of pulls
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers of services that the files don't declare
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true)]
    pub remove_orphans: bool,
    /// Whether the lock file holds
    #[command(flatten)]
    pub lock: LockFlags,
    /// Number of replicas of a service
    #[arg(long, value_name = "SERVICE=N")]
    pub scale: Vec<String>,
    /// Nothing is asked: accepted for docker compose's sake
    #[arg(short, long)]
    pub yes: bool,
}

/// `--pull` of `create` and `up`: `policy` means the file's.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pull {
    /// As the file says.
    Policy,
    /// Even if it is there.
    Always,
    /// If it is not there.
    Missing,
    /// Not at all: an image that is not there is an error.
    Never,
    /// Build it.
    Build,
}

impl Pull {
    /// What it means, if it changes anything.
    pub fn policy(self) -> Option<PullPolicy> {
        match self {
            Self::Policy => None,
            Self::Always => Some(PullPolicy::Always),
            Self::Missing => Some(PullPolicy::Missing),
            Self::Never => Some(PullPolicy::Never),
            Self::Build => Some(PullPolicy::Build),
        }
    }
}

/// Creates containers and leaves them unstarted.
///
/// # Errors
/// Files that are wrong; what could not be made.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Create) -> Result<ExitStatus, CliError> {
    let project = cx.load(&args.services, args.lock.of())?;
    let services = change::services(&project, &args.services)?;
    let wish = UpWish {
        services,
        no_start: true,
        no_deps: false,
        scale: change::scaled(&project, &args.scale)?,
        recreate: recreate(args.force_recreate, args.no_recreate),
        remove_orphans: args.remove_orphans,
        pull: args.pull.and_then(Pull::policy),
        quiet_pull: args.quiet_pull,
        lock: args.lock.of(),
        ..UpWish::default()
    };
    let when = args.lock.builds(args.build, args.no_build);
    let builds = build::before_up(cx, &project, false, when, &wish).await?;
    let desired = change::compile(cx, &project, &UpWish { builds, ..wish }).await?;
    change::apply(cx, &project.name, "Creating", Change::Declare(Box::new(desired)), Until::Done).await
}

/// What the two flags come to.
pub fn recreate(force: bool, never: bool) -> Recreate {
    match (force, never) {
        (true, _) => Recreate::Force,
        (_, true) => Recreate::Never,
        _ => Recreate::Different,
    }
}
