//! `windlass volumes`.

use std::collections::BTreeSet;

use clap::Args;

use crate::desired::MountSource;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;
use super::volume;

/// Flags of `volumes`.
#[derive(Args, Debug)]
pub struct Volumes {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// `table`, `json`, `table TEMPLATE` or a template
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub format: String,
    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Lists the volumes of the project, or those that some services use.
///
/// # Errors
/// A service that is not there.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Volumes) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let containers = found.containers(&args.services, true)?;
    let mounts = containers.iter().flat_map(|container| &container.spec.mounts);
    let used: BTreeSet<&str> = mounts
        .filter_map(|mount| match &mount.source {
            MountSource::Volume { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let mut volumes = cx.backend.volumes()?;
    volumes.retain(|volume| {
        let ours = volume.spec.project.as_ref() == Some(&found.project);
        used.contains(volume.spec.name.as_str()) || (args.services.is_empty() && ours)
    });
    volume::list(cx.output, &volumes, &args.format, args.quiet)?;
    Ok(ExitStatus::DONE)
}
