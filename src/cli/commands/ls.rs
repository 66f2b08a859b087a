//! `windlass ls`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use crate::name::ProjectName;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::listing::{Listing, row};
use super::super::select::Found;

/// Flags of `ls`.
#[derive(Args, Debug)]
pub struct Ls {
    /// Projects and containers that don't run too
    #[arg(short, long)]
    pub all: bool,
    /// Only what matches: name=PATTERN
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// `table`, `json` or a template
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub format: String,
    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
}

/// A project as `ls --format json` prints it, in one array.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// Its name.
    pub name: String,
    /// States and how many containers are in each: `running(2)`.
    pub status: String,
    /// Its compose files, separated by commas.
    pub config_files: String,
}

const COLUMNS: &[(&str, &str)] = &[("NAME", "Name"), ("STATUS", "Status"), ("CONFIG FILES", "ConfigFiles")];

/// Lists the projects of this machine.
///
/// # Errors
/// A filter that is not known; a ledger that can't be read.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Ls) -> Result<ExitStatus, CliError> {
    let names = names(&args.filter)?;
    let mut rows = Vec::new();
    for project in cx.backend.projects()? {
        if !names.is_empty() && !names.iter().any(|name| project.contains(name)) {
            continue;
        }
        let (mut states, files) = match look(cx, &project) {
            Ok(looked) => looked,
            // The others are shown all the same.
            Err(error @ CliError::Failed { .. }) => {
                cx.output.warn(&format!("project {project}: {error}"))?;
                ([("unknown", 1)].into(), String::new())
            }
            Err(error) => return Err(error),
        };
        states.retain(|state, _| args.all || matches!(*state, "running" | "paused" | "restarting" | "unknown"));
        if !args.all && states.is_empty() {
            continue;
        }
        let states: Vec<String> = states.iter().map(|(state, number)| format!("{state}({number})")).collect();
        let status = states.join(", ");
        rows.push(row(&Row { name: project.to_string(), status, config_files: files }));
    }
    if args.quiet {
        rows.iter().filter_map(|row| row["Name"].as_str()).try_for_each(|name| cx.output.line(name))?;
    } else {
        Listing { columns: COLUMNS, rows, json_array: true }.print(cx.output, &args.format)?;
    }
    Ok(ExitStatus::DONE)
}

fn names(filters: &[String]) -> Result<Vec<&str>, CliError> {
    let name = |filter: &'_ String| match filter.split_once('=') {
        Some(("name", _)) => Ok(()),
        _ => Err(CliError::usage(format!("`--filter {filter}`: only name=TEXT is known"))),
    };
    filters.iter().try_for_each(name)?;
    Ok(filters.iter().filter_map(|filter| filter.strip_prefix("name=")).collect())
}

/// How many containers are in each state, and the compose files.
fn look<B: Backend>(
    cx: &Context<'_, B>,
    project: &ProjectName,
) -> Result<(BTreeMap<&'static str, usize>, String), CliError> {
    let found = Found {
        project: project.clone(),
        observed: cx.backend.observe(project)?,
        applied: cx.backend.applied(project)?,
        scope: None,
    };
    let mut states = BTreeMap::new();
    for container in found.containers(&[], false)? {
        *states.entry(found.state(container)).or_default() += 1;
    }
    for text in found.unknown() {
        cx.output.warn(&format!("project {project}: {text}"))?;
        *states.entry("unknown").or_default() += 1;
    }
    let files = found.applied.iter().flat_map(|desired| &desired.source.config_files);
    let files: Vec<String> = files.map(|file| file.display().to_string()).collect();
    Ok((states, files.join(",")))
}
