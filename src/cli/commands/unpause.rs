//! `windlass unpause`.

use clap::Args;

use super::super::backend::{Backend, Edit};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::change;

/// Flags of `unpause`.
#[derive(Args, Debug)]
pub struct Unpause {
    /// Services; all if none is named
    pub services: Vec<String>,
}

/// Thaws services.
///
/// # Errors
/// A service that is not there.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Unpause) -> Result<ExitStatus, CliError> {
    change::edit_services(cx, &args.services, "Unpausing", |services| Edit::Unpause { services }).await
}
