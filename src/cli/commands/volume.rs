//! `windlass volume …`: all volumes of this machine.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use super::super::backend::{Backend, StoredVolume};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::listing::{Listing, row};
use super::super::output::template::Template;
use super::super::output::{Output, Tone, human};
use crate::desired::VolumeSpec;

/// Verbs of `volume`.
#[derive(Subcommand, Debug)]
pub enum Volume {
    /// Make a volume that is of no project
    Create(VolumeCreate),
    /// List volumes
    #[command(alias = "list")]
    Ls(VolumeLs),
    /// Remove volumes and all that is in them
    #[command(alias = "remove")]
    Rm(VolumeRm),
    /// Show all that is known of volumes
    Inspect(VolumeInspect),
    /// Remove volumes that no container has
    Prune(VolumePrune),
}

/// Flags of `volume create`.
#[derive(Args, Debug)]
pub struct VolumeCreate {
    /// Its name
    #[arg(value_name = "VOLUME")]
    pub name: String,
    /// Its driver: `local` is the only one
    #[arg(short, long, value_name = "DRIVER", default_value = "local", value_parser = ["local"])]
    pub driver: String,
    /// Label
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Option of the driver: `type`, `o`, `device`
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub opt: Vec<String>,
}

/// Flags of `volume ls`.
#[derive(Args, Debug)]
pub struct VolumeLs {
    /// Only those with `name=PART` or `label=KEY[=VALUE]`; of several, all must hold
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// `table`, `json`, `table TEMPLATE` or a template
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub format: String,
    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
}

/// Flags of `volume rm`.
#[derive(Args, Debug)]
pub struct VolumeRm {
    /// Names of volumes
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// A volume that is not there is no error
    #[arg(short, long)]
    pub force: bool,
}

/// Flags of `volume inspect`.
#[derive(Args, Debug)]
pub struct VolumeInspect {
    /// Names of volumes
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// `json` or a template
    #[arg(short, long, value_name = "FORM")]
    pub format: Option<String>,
}

/// Flags of `volume prune`.
#[derive(Args, Debug)]
pub struct VolumePrune {
    /// Those with a name too
    #[arg(short, long)]
    pub all: bool,
    /// Don't ask
    #[arg(short, long)]
    pub force: bool,
}

/// A volume as `volumes` and `volume ls --format json` print it, one a line.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// Its name.
    pub name: String,
    /// `local`.
    pub driver: String,
    /// `key=value`, separated by commas.
    pub labels: String,
    /// How many containers have it.
    pub links: String,
    /// Where it lies.
    pub mountpoint: String,
    /// `local`.
    pub scope: &'static str,
    /// Of a swarm only.
    pub availability: &'static str,
    /// Of a swarm only.
    pub group: &'static str,
    /// It is not measured.
    pub size: &'static str,
    /// Of other drivers only.
    pub status: &'static str,
}

const COLUMNS: &[(&str, &str)] = &[("DRIVER", "Driver"), ("VOLUME NAME", "Name")];

/// Does a verb of the volumes.
///
/// # Errors
/// Whatever it could not do.
pub fn run<B: Backend>(cx: &Context<'_, B>, verb: &Volume) -> Result<ExitStatus, CliError> {
    match verb {
        Volume::Create(args) => create(cx, args)?,
        Volume::Ls(args) => list(cx.output, &filtered(cx.backend.volumes()?, &args.filter)?, &args.format, args.quiet)?,
        Volume::Rm(args) => return remove(cx, args),
        Volume::Inspect(args) => inspect(cx, args)?,
        Volume::Prune(args) => prune(cx, args)?,
    }
    Ok(ExitStatus::DONE)
}

fn create<B: Backend>(cx: &Context<'_, B>, args: &VolumeCreate) -> Result<(), CliError> {
    let name = &args.name;
    let word = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !word {
        return Err(CliError::usage(format!("`{name}` is no name of a volume: letters, digits, `_`, `.` and `-`")));
    }
    if cx.settings.dry_run {
        return cx.output.line(&format!("create volume {name}"));
    }
    cx.backend.volume_create(&VolumeSpec {
        name: name.as_str().into(),
        driver: args.driver.clone(),
        labels: args.label.iter().map(|pair| split(pair)).collect(),
        driver_opts: args.opt.iter().map(|pair| split(pair)).collect(),
        ..VolumeSpec::default()
    })?;
    cx.output.line(name)
}

/// `key=value`; without `=` the value is empty.
fn split(pair: &str) -> (String, String) {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    (key.to_owned(), value.to_owned())
}

/// The volumes that all filters let through.
fn filtered(mut volumes: Vec<StoredVolume>, filters: &[String]) -> Result<Vec<StoredVolume>, CliError> {
    for filter in filters {
        match filter.split_once('=') {
            Some(("name", part)) => volumes.retain(|volume| volume.spec.name.contains(part)),
            Some(("label", label)) => volumes.retain(|volume| {
                let (key, value) = split(label);
                volume.spec.labels.get(&key).is_some_and(|has| !label.contains('=') || *has == value)
            }),
            _ => {
                return Err(CliError::usage(format!(
                    "`--filter {filter}`: must be `name=PART` or `label=KEY` or `label=KEY=VALUE`"
                )));
            }
        }
    }
    Ok(volumes)
}

/// Lists volumes, with docker's keys.
///
/// # Errors
/// A template that is not understood.
pub fn list(output: &Output, volumes: &[StoredVolume], format: &str, quiet: bool) -> Result<(), CliError> {
    if quiet {
        return volumes.iter().try_for_each(|volume| output.line(&volume.spec.name));
    }
    let rows = volumes.iter().map(|volume| {
        let labels: Vec<String> = volume.spec.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        row(&Row {
            name: volume.spec.name.to_string(),
            driver: volume.spec.driver.clone(),
            labels: labels.join(","),
            links: volume.users.len().to_string(),
            mountpoint: volume.mountpoint.display().to_string(),
            scope: "local",
            availability: "N/A",
            group: "N/A",
            size: "N/A",
            status: "N/A",
        })
    });
    let rows = rows.collect();
    Listing { columns: COLUMNS, rows, json_array: false }.print(output, format)
}

fn remove<B: Backend>(cx: &Context<'_, B>, args: &VolumeRm) -> Result<ExitStatus, CliError> {
    let there = cx.backend.volumes()?;
    let mut status = ExitStatus::DONE;
    for name in &args.volumes {
        if args.force && !there.iter().any(|volume| volume.spec.name.as_str() == name) {
            continue;
        }
        if cx.settings.dry_run {
            cx.output.line(&format!("remove volume {name}"))?;
            continue;
        }
        match cx.backend.volume_remove(name) {
            Ok(()) => cx.output.line(name)?,
            Err(error) => {
                cx.output.say(Tone::Error, "error", &error.to_string())?;
                status = ExitStatus::FAILED;
            }
        }
    }
    Ok(status)
}

fn inspect<B: Backend>(cx: &Context<'_, B>, args: &VolumeInspect) -> Result<(), CliError> {
    let volumes = cx.backend.volumes()?;
    let values = args.volumes.iter().map(|name| match volumes.iter().find(|v| v.spec.name.as_str() == name) {
        Some(volume) => Ok(describe(volume)),
        None => {
            Err(CliError::with_help(format!("no such volume: {name}"), "`windlass volume ls` lists those that exist"))
        }
    });
    print_inspected(cx.output, values.collect::<Result<Vec<_>, _>>()?, args.format.as_deref())
}

/// A volume as `volume inspect` prints it, in one array.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Described<'a> {
    /// Its name.
    pub name: &'a str,
    /// `local`.
    pub driver: &'a str,
    /// Where it lies.
    pub mountpoint: String,
    /// When it was made (RFC 3339).
    pub created_at: Option<String>,
    /// Labels.
    pub labels: &'a BTreeMap<String, String>,
    /// Options of the driver.
    pub options: &'a BTreeMap<String, String>,
    /// `local`.
    pub scope: &'static str,
    /// The containers that have it.
    pub used_by: Vec<String>,
}

fn describe(volume: &StoredVolume) -> Value {
    Value::Object(row(&Described {
        name: &volume.spec.name,
        driver: &volume.spec.driver,
        mountpoint: volume.mountpoint.display().to_string(),
        created_at: volume.created.map(human::rfc3339_nanos),
        labels: &volume.spec.labels,
        options: &volume.spec.driver_opts,
        scope: "local",
        used_by: volume.users.iter().map(ToString::to_string).collect(),
    }))
}

/// Prints what `inspect` found: an array, one object a line (`json`), or a template for each.
///
/// # Errors
/// A template that is not understood.
pub fn print_inspected(output: &Output, values: Vec<Value>, format: Option<&str>) -> Result<(), CliError> {
    match format {
        None | Some("") => output.json_pretty(&values),
        Some("json") => output.json(&values),
        Some(template) => {
            let refused = |message| CliError::usage(format!("`--format`: {message}"));
            let template = Template::parse(template).map_err(refused)?;
            values.iter().try_for_each(|value| output.line(&template.fill(value).map_err(refused)?))
        }
    }
}

fn prune<B: Backend>(cx: &Context<'_, B>, args: &VolumePrune) -> Result<(), CliError> {
    let which =
        if args.all { "all volumes that no container has" } else { "all anonymous volumes that no container has" };
    if !args.force && !cx.settings.dry_run && !cx.output.confirm(&format!("This removes {which}.\nAre you sure?"))? {
        return Err(CliError::Interrupted);
    }
    for volume in cx.backend.volumes()? {
        if !volume.users.is_empty() || !(args.all || volume.spec.anonymous) {
            continue;
        }
        if cx.settings.dry_run {
            cx.output.line(&format!("remove volume {}", volume.spec.name))?;
            continue;
        }
        cx.backend.volume_remove(&volume.spec.name)?;
        cx.output.line(&volume.spec.name)?;
    }
    Ok(())
}
