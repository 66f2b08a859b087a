//! `windlass down`.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};

use crate::name::VolumeName;

use super::super::backend::{Backend, Edit, LockUse};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::progress::{Kind, Phase, Report};
use super::super::select::{Found, Targets};
use super::change;

/// Flags of `down`.
#[derive(Args, Debug)]
pub struct Down {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Remove containers of services that the files don't declare
    #[arg(long, env = "COMPOSE_REMOVE_ORPHANS", hide_env = true)]
    pub remove_orphans: bool,
    /// Remove images too: those without a name of their own, or all
    #[arg(long, value_enum, value_name = "WHICH")]
    pub rmi: Option<Rmi>,
    /// Seconds before what does not stop is killed; -1: never
    #[arg(short, long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = change::patience)]
    pub timeout: Option<u32>,
    /// Remove named and anonymous volumes too
    #[arg(short, long)]
    pub volumes: bool,
}

/// `--rmi`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rmi {
    /// Those that were built and have no name of their own.
    Local,
    /// All that services use.
    All,
}

/// Stops and removes what `up` has made.
///
/// # Errors
/// A service that is not there; something that can't be removed.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Down) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let targets = found.targets(&args.services)?;
    // Who asks for orphans too leaves nothing, but keeps the volumes that other files declare.
    let targets = match targets {
        Targets::Some(_) | Targets::None if args.remove_orphans && args.services.is_empty() => found.everything(),
        targets => targets,
    };
    if let Some(text) = found.left_alone(&targets).filter(|_| args.services.is_empty()) {
        cx.output.warn(&text)?;
    }
    if args.volumes && args.services.is_empty() && found.is_gone() && remove_volumes(cx, &declared(cx)?)? {
        return Ok(ExitStatus::DONE);
    }
    let images = images(&found, args, &targets);
    let Some(services) = targets.services() else {
        cx.output.warn(&found.nothing())?;
        return Ok(ExitStatus::DONE);
    };
    let edit = Edit::Down {
        services,
        timeout: change::seconds(args.timeout),
        volumes: args.volumes,
        declared: if args.volumes && args.services.is_empty() { Some(declared(cx)?) } else { None },
        remove_orphans: args.remove_orphans,
    };
    let status = change::edit(cx, &found.project, "Removing", edit).await?;
    remove_images(cx, &images)?;
    Ok(status)
}

/// Removes those volumes of a project of which nothing else is left, and says whether there was any.
fn remove_volumes<B: Backend>(cx: &Context<'_, B>, declared: &BTreeSet<VolumeName>) -> Result<bool, CliError> {
    let there = cx.backend.volumes()?.into_iter().map(|volume| volume.spec.name);
    let there: Vec<VolumeName> = there.filter(|name| declared.contains(name)).collect();
    let mut progress = cx.progress();
    progress.begin("Removing");
    for name in &there {
        if cx.settings.dry_run {
            cx.output.line(&format!("remove volume {name}"))?;
            continue;
        }
        // As docker compose: one that another project's container has stays, and that fails nothing.
        let report = match cx.backend.volume_remove(name) {
            Ok(()) => Report::new(Kind::Volume, name.as_str(), Phase::Done, "Removed"),
            Err(error) => Report {
                detail: Some(error.to_string()),
                ..Report::new(Kind::Volume, name.as_str(), Phase::Warning, "Kept")
            },
        };
        progress.take(&report)?;
    }
    progress.end()?;
    Ok(!there.is_empty())
}

/// The volumes that the files declare; without files there are none, and what was applied is known anyway.
fn declared<B: Backend>(cx: &Context<'_, B>) -> Result<BTreeSet<VolumeName>, CliError> {
    // What goes was here: nobody is asked for it.
    let loaded = match cx.backend.load(&cx.settings.project, &[], LockUse::Frozen) {
        Ok(loaded) => loaded,
        Err(_) if cx.settings.project.name.is_some() && cx.settings.project.files.is_empty() => {
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(error),
    };
    let ours = loaded.project.volumes.values().filter(|volume| !volume.external);
    Ok(ours.map(|volume| VolumeName::from(volume.name.as_str())).collect())
}

fn images(found: &Found, args: &Down, targets: &Targets) -> BTreeSet<String> {
    let Some(which) = args.rmi else { return BTreeSet::new() };
    let containers = found.targeted(targets, false);
    let local = |service: &str| format!("{}-{service}", found.project);
    let removed = containers
        .iter()
        .filter(|container| which == Rmi::All || container.spec.image.name == local(container.spec.service.as_str()));
    removed.map(|container| container.spec.image.name.clone()).collect()
}

fn remove_images<B: Backend>(cx: &Context<'_, B>, images: &BTreeSet<String>) -> Result<(), CliError> {
    let mut progress = cx.progress();
    progress.begin("Removing");
    for name in images {
        if cx.settings.dry_run {
            cx.output.line(&format!("remove image {name}"))?;
            continue;
        }
        // As docker compose: an image that somebody else uses stays, and that fails nothing.
        let report = match cx.backend.image_remove(name, false) {
            Ok(_) => Report::new(Kind::Image, name, Phase::Done, "Removed"),
            Err(error) => {
                Report { detail: Some(error.to_string()), ..Report::new(Kind::Image, name, Phase::Warning, "Kept") }
            }
        };
        progress.take(&report)?;
    }
    progress.end()
}
