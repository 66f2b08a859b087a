//! `windlass kill`.

use clap::Args;

use super::super::backend::{Backend, Edit};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::progress::{Kind, Phase, Report};
use super::super::select::{Found, Targets};
use super::super::signals;
use super::change;

/// Flags of `kill`.
#[derive(Args, Debug)]
pub struct Kill {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// The signal
    #[arg(short, long, value_name = "SIGNAL", default_value = "SIGKILL", value_parser = signals::number)]
    pub signal: i32,
    /// Containers of services that the files don't declare too
    #[arg(long)]
    pub remove_orphans: bool,
}

/// Kills services; any other signal is sent, and nothing else is done.
///
/// # Errors
/// A service that is not there; nothing that runs.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Kill) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let targets =
        if args.remove_orphans && args.services.is_empty() { Targets::All } else { found.targets(&args.services)? };
    if args.signal == libc::SIGKILL {
        let Some(services) = targets.services() else {
            cx.output.warn(&found.nothing())?;
            return Ok(ExitStatus::DONE);
        };
        return change::edit(cx, &found.project, "Killing", Edit::Kill { services }).await;
    }
    let mut progress = cx.progress();
    progress.begin("Signalling");
    for container in found.targeted(&targets, false) {
        if !container.is_running() {
            continue;
        }
        let name = container.spec.name.as_str();
        if cx.settings.dry_run {
            cx.output.line(&format!("signal {name} {}", args.signal))?;
            continue;
        }
        cx.backend.signal(&container.id, args.signal)?;
        progress.take(&Report::new(Kind::Container, name, Phase::Done, "Signalled"))?;
    }
    progress.end()?;
    Ok(ExitStatus::DONE)
}
