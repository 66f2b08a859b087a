//! `windlass scale`.

use clap::Args;

use super::super::backend::{Backend, Change, LockUse, Recreate, Until, UpWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::change;

/// Flags of `scale`.
#[derive(Args, Debug)]
pub struct Scale {
    /// Services, each with its number of replicas
    #[arg(required = true, value_name = "SERVICE=N")]
    pub scales: Vec<String>,
    /// Don't start services that they depend on
    #[arg(long)]
    pub no_deps: bool,
}

/// Sets the number of replicas of services; containers that exist are kept as they are.
///
/// # Errors
/// A service that is not there; a container that does not start.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Scale) -> Result<ExitStatus, CliError> {
    let scale = change::scales(&args.scales)?;
    let names: Vec<String> = scale.keys().map(ToString::to_string).collect();
    let project = cx.load(&names, LockUse::default())?;
    let wish = UpWish {
        services: change::services(&project, &names)?,
        no_deps: args.no_deps,
        scale,
        recreate: Recreate::Never,
        ..UpWish::default()
    };
    let desired = change::compile(cx, &project, &wish).await?;
    change::apply(cx, &project.name, "Scaling", Change::Declare(Box::new(desired)), Until::Done).await
}
