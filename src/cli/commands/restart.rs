//! `windlass restart`.

use clap::Args;

use super::super::backend::{Backend, Edit};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::change;

/// Flags of `restart`.
#[derive(Args, Debug)]
pub struct Restart {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Leave services that depend on them alone
    #[arg(long)]
    pub no_deps: bool,
    /// Seconds before what does not stop is killed; -1: never
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = change::patience)]
    pub timeout: Option<u32>,
}

/// Stops services and starts them again.
///
/// # Errors
/// A service that is not there.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Restart) -> Result<ExitStatus, CliError> {
    change::edit_services(cx, &args.services, "Restarting", |services| Edit::Restart {
        services,
        timeout: change::seconds(args.timeout),
        no_deps: args.no_deps,
    })
    .await
}
