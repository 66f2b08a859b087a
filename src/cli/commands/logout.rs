//! `windlass logout`.

use clap::Args;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};

/// Flags of `logout`.
#[derive(Args, Debug)]
pub struct Logout {
    /// The registry; Docker Hub if none is named
    pub registry: Option<String>,
}

/// Forgets a login.
///
/// # Errors
/// When the file or the credential helper refuses.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Logout) -> Result<ExitStatus, CliError> {
    let registry = args.registry.as_deref().unwrap_or("docker.io");
    if cx.settings.dry_run {
        cx.output.line(&format!("forget the login for {registry}"))?;
    } else if cx.backend.logout(args.registry.as_deref()).await? {
        cx.output.line(&format!("Removed the login for {registry}"))?;
    } else {
        cx.output.line(&format!("Not logged in to {registry}"))?;
    }
    Ok(ExitStatus::DONE)
}
