//! `windlass pause`.

use clap::Args;

use super::super::backend::{Backend, Edit};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;
use super::change;

/// Flags of `pause`.
#[derive(Args, Debug)]
pub struct Pause {
    /// Services; all if none is named
    pub services: Vec<String>,
}

/// Freezes what runs of services.
///
/// # Errors
/// A service that is not there.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Pause) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let Some(services) = found.targets(&args.services)?.services() else {
        cx.output.warn(&found.nothing())?;
        return Ok(ExitStatus::DONE);
    };
    change::edit(cx, &found.project, "Pausing", Edit::Pause { services, down: found.down() }).await
}
