//! `windlass demo`.

use clap::Args;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};

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
    cx.backend.demo(args.down, cx.output).await
}
