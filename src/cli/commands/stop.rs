//! `windlass stop`.

use clap::Args;

use super::super::backend::{Backend, Edit};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::change;

/// Flags of `stop`.
#[derive(Args, Debug)]
pub struct Stop {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Seconds before what does not stop is killed; -1: never
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = change::patience)]
    pub timeout: Option<u32>,
}

/// Stops services.
///
/// # Errors
/// A service that is not there.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Stop) -> Result<ExitStatus, CliError> {
    change::edit_services(cx, &args.services, "Stopping", |services| Edit::Stop {
        services,
        timeout: change::seconds(args.timeout),
    })
    .await
}
