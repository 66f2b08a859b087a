//! `windlass unpause`.

use clap::Args;

use super::super::backend::{Backend, Edit};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;
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
    let found = Found::look(cx)?;
    let services = found.services(&args.services)?;
    change::edit(cx, &found.project, "Unpausing", Edit::Unpause { services }).await
}
