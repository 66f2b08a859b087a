//! `windlass top`.

use clap::Args;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::table;
use super::super::processes::{HEADING, Process};
use super::super::select::Found;

/// Flags of `top`.
#[derive(Args, Debug)]
pub struct Top {
    /// Services; all if none is named
    pub services: Vec<String>,
}

/// Prints the processes of each container, as `ps -ef` has them.
///
/// # Errors
/// A service that is not there.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Top) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let mut rows = Vec::new();
    for container in found.containers(&args.services, true)? {
        if !container.is_running() {
            continue;
        }
        for process in cx.backend.processes(&container.id)?.into_iter().filter_map(Process::read) {
            let mut cells = vec![container.spec.service.to_string(), container.spec.number.to_string()];
            cells.extend(process.cells());
            rows.push(cells);
        }
    }
    if rows.is_empty() {
        return Ok(ExitStatus::DONE);
    }
    let heading: Vec<&str> = ["SERVICE", "#"].into_iter().chain(HEADING).collect();
    cx.output.raw(table::render(&heading, &rows).as_bytes())?;
    Ok(ExitStatus::DONE)
}
