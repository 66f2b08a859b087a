//! `windlass wait`.

use clap::Args;

use crate::observed::{ObservedContainer, State};

use super::super::backend::{Backend, Edit, Span};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;
use super::change;

/// Flags of `wait`.
#[derive(Args, Debug)]
pub struct Wait {
    /// Services
    #[arg(required = true)]
    pub services: Vec<String>,
    /// Take the project down as soon as one of them has ended
    #[arg(long)]
    pub down_project: bool,
}

/// Waits until containers have ended, and prints the code of each.
///
/// # Errors
/// A service that is not there or does not run.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Wait) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    // Before the second look, so that no end between the two is missed.
    let mut events = cx.backend.events(&found.project, Span::WhileUp)?;
    let found = Found { observed: cx.backend.observe(&found.project)?, ..found };
    let containers = found.containers(&args.services, false)?;
    let mut awaited: Vec<&ObservedContainer> = containers.iter().copied().filter(|c| c.is_running()).collect();
    let mut last = None;
    for container in containers.iter().filter(|container| !container.is_running()) {
        last = ended(cx, container)?.or(last);
    }
    if awaited.is_empty() && last.is_none() {
        return Err(CliError::failed(format!("no container of {} has been started", args.services.join(", "))));
    }
    while !awaited.is_empty() && (!args.down_project || last.is_none()) {
        let event = events.recv().await;
        let event = event.ok_or_else(|| CliError::failed("the project is gone, and its containers with it"))?;
        let (Some(code), Some(at)) = (event.exit_code, awaited.iter().position(|c| c.id == event.id)) else { continue };
        awaited.remove(at);
        cx.output.line(&format!("container {:?} exited with status code {code}", event.name))?;
        cx.output.flush()?;
        last = Some(code);
    }
    if args.down_project {
        let down = Edit::Down {
            // What other files have brought up is left alone.
            services: found.targets(&[])?.services().unwrap_or_default(),
            timeout: None,
            volumes: false,
            declared: None,
            remove_orphans: false,
        };
        change::edit(cx, &found.project, "Removing", down).await?;
    }
    Ok(last.map_or(ExitStatus::DONE, ExitStatus::of_process))
}

fn ended<B: Backend>(cx: &Context<'_, B>, container: &ObservedContainer) -> Result<Option<i32>, CliError> {
    let State::Exited(exit) = &container.state else { return Ok(None) };
    cx.output.line(&format!("container {:?} exited with status code {}", container.spec.name.as_str(), exit.code))?;
    Ok(Some(exit.code))
}
