//! `windlass start`.

use std::time::Duration;

use clap::Args;

use super::super::backend::{Backend, Change, Edit, Until};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;
use super::change;

/// Flags of `start`.
#[derive(Args, Debug)]
pub struct Start {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Wait until all run and are healthy
    #[arg(long)]
    pub wait: bool,
    /// Give up waiting after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
}

/// Starts what is stopped.
///
/// # Errors
/// A service that is not there; a container that does not start.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Start) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let Some(services) = found.targets(&args.services)?.services() else {
        return Err(CliError::with_help(found.nothing(), "`windlass up -d` brings them up"));
    };
    let edit = Edit::Start { services };
    let until = if args.wait { Until::Healthy } else { Until::Done };
    let work = change::apply(cx, &found.project, "Running", Change::Edit(edit), until);
    change::within(args.wait_timeout.map(Duration::from_secs), work).await
}
