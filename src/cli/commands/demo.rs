//! `windlass demo`.

use clap::Args;

use super::super::backend::{Backend, Change};
use super::super::context::Context;
use super::super::demo::{IMAGE, PROJECT, removal};
use super::super::error::{CliError, ExitStatus};
use super::change;

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct Demo {
    /// Remove all of it
    #[arg(long)]
    pub down: bool,
}

/// Brings up the demo stack, or removes it.
///
/// # Errors
/// As `up` and `down`.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Demo) -> Result<ExitStatus, CliError> {
    if cx.settings.dry_run {
        return rehearse(cx, args.down).await;
    }
    cx.backend.demo(args.down, cx.output).await
}

/// Says what would be done. The demo's image is made first, so that the steps after it can't be planned before.
async fn rehearse<B: Backend>(cx: &Context<'_, B>, down: bool) -> Result<ExitStatus, CliError> {
    if down {
        let status = change::show_plan(cx, &PROJECT.into(), &Change::Edit(removal())).await?;
        cx.output.line(&format!("remove image {IMAGE}"))?;
        return Ok(status);
    }
    cx.output.line(&format!("make image {IMAGE}"))?;
    cx.output.line(&format!("bring up project {PROJECT}"))?;
    Ok(ExitStatus::DONE)
}
