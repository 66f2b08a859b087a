//! `windlass pause`.

use clap::Args;

use super::super::backend::{Backend, Edit};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::change;

/// Flags of `pause`.
#[derive(Args, Debug)]
pub struct Pause {
    /// Services; all if none is named
    pub services: Vec<String>,
}

/// Freezes services.
///
/// # Errors
/// A service that is not there.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Pause) -> Result<ExitStatus, CliError> {
    change::edit_services(cx, &args.services, "Pausing", |services| Edit::Pause { services }).await
}
