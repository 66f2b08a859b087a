//! `windlass ps`.

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::desired::{MountSource, Stamp};
use crate::observed::{ObservedContainer, State};

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::listing::{Listing, row};
use super::super::output::{human, ports, width};
use super::super::select::{Found, health_word};

/// Flags of `ps`.
#[derive(Args, Debug)]
pub struct Ps {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Containers that don't run too, and one-offs
    #[arg(short, long)]
    pub all: bool,
    /// Only what matches: status=STATE
    #[arg(long, value_name = "KEY=VALUE")]
    pub filter: Vec<String>,
    /// `table`, `json`, `table TEMPLATE` or a template
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub format: String,
    /// Don't cut the output
    #[arg(long)]
    pub no_trunc: bool,
    /// Containers of services that the files don't declare too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = true,
          default_missing_value = "true", action = clap::ArgAction::Set)]
    pub orphans: bool,
    /// Ids only
    #[arg(short, long)]
    pub quiet: bool,
    /// Names of services only
    #[arg(long = "services", id = "names")]
    pub names: bool,
    /// Only those in this state
    #[arg(long, value_name = "STATE")]
    pub status: Vec<String>,
}

const STATES: [&str; 7] = ["paused", "restarting", "removing", "running", "dead", "created", "exited"];

/// A container as `ps --format json` prints it, one a line.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// Its id; 12 digits without `--no-trunc`.
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub name: String,
    /// The same, as docker has it.
    pub names: String,
    /// Its image, as the file names it.
    pub image: String,
    /// What it runs, in quotes; cut without `--no-trunc`.
    pub command: String,
    /// Its project.
    pub project: String,
    /// Its service.
    pub service: String,
    /// When it was made: seconds since 1970.
    pub created: u64,
    /// The same as text.
    pub created_at: String,
    /// How long ago that was, as text.
    pub running_for: String,
    /// `created`, `running`, `paused`, `restarting`, `exited`, `removing` or `dead`.
    pub state: &'static str,
    /// The same for people.
    pub status: String,
    /// `starting`, `healthy`, `unhealthy`; empty without a health check.
    pub health: &'static str,
    /// Of its last process; 0 while one runs.
    pub exit_code: i32,
    /// Published and exposed ports as text.
    pub ports: String,
    /// Published and exposed ports.
    pub publishers: Vec<ports::Publisher>,
    /// `key=value`, separated by commas.
    pub labels: String,
    /// Sources of mounts, separated by commas.
    pub mounts: String,
    /// Its networks, separated by commas.
    pub networks: String,
    /// How many volumes it has.
    pub local_volumes: String,
    /// Always `0B`: it is not measured.
    pub size: String,
    /// Never measured.
    pub size_rw: Option<u64>,
    /// Never measured.
    pub size_root_fs: Option<u64>,
}

const COLUMNS: &[(&str, &str)] = &[
    ("NAME", "Name"),
    ("IMAGE", "Image"),
    ("COMMAND", "Command"),
    ("SERVICE", "Service"),
    ("CREATED", "RunningFor"),
    ("STATUS", "Status"),
    ("PORTS", "Ports"),
];

/// Lists the containers of the project.
///
/// # Errors
/// A service or state that is not there.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Ps) -> Result<ExitStatus, CliError> {
    let states = states(args)?;
    let found = Found::look(cx)?;
    let is_orphan = |container: &ObservedContainer| match &found.scope {
        Some(services) => !services.contains(&container.spec.service),
        None => found.is_orphan(container),
    };
    let now = cx.backend.now();
    let shown = |container: &&ObservedContainer| {
        let state = found.state(container);
        let by_state = match states.is_empty() {
            true => args.all || matches!(state, "running" | "paused" | "restarting"),
            false => states.iter().any(|wanted| wanted == state),
        };
        by_state && (args.orphans || !is_orphan(container))
    };
    let mut containers: Vec<&ObservedContainer> =
        found.containers(&args.services, args.all)?.into_iter().filter(shown).collect();
    containers.sort_by(|a, b| a.spec.name.cmp(&b.spec.name));
    if args.quiet {
        containers.iter().try_for_each(|container| cx.output.line(container.id.as_str()))?;
    } else if args.names {
        let mut services: Vec<&str> = containers.iter().map(|container| container.spec.service.as_str()).collect();
        services.sort_unstable();
        services.dedup();
        services.iter().try_for_each(|service| cx.output.line(service))?;
    } else {
        let rows = containers.iter().map(|container| line(&found, container, &now, !args.no_trunc)).collect();
        Listing { columns: COLUMNS, rows, json_array: false }.print(cx.output, &args.format)?;
    }
    Ok(ExitStatus::DONE)
}

fn states(args: &Ps) -> Result<Vec<String>, CliError> {
    let mut states = args.status.clone();
    for filter in &args.filter {
        match filter.split_once('=') {
            Some(("status", state)) => states.push(state.to_owned()),
            _ => return Err(CliError::usage(format!("`--filter {filter}`: only status=STATE is known"))),
        }
    }
    match states.iter().find(|state| !STATES.contains(&state.as_str())) {
        Some(state) => Err(CliError::usage(format!("`{state}` is no state: use one of {}", STATES.join(", ")))),
        None => Ok(states),
    }
}

fn line(found: &Found, container: &ObservedContainer, now: &Stamp, cut: bool) -> Map<String, Value> {
    let spec = &container.spec;
    let code = match &container.state {
        State::Exited(exit) => exit.code,
        _ => 0,
    };
    let command = human::command(&spec.argv);
    let command = if cut { width::cut(&command, 20) } else { command };
    let id = if cut { container.id.short() } else { container.id.as_str() };
    let labels: Vec<String> = spec.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let networks: Vec<&str> = spec.endpoints.iter().map(|endpoint| endpoint.network.as_str()).collect();
    let (mounts, volumes) = mounts(container);
    let publishers = ports::of(container);
    row(&Row {
        id: id.to_owned(),
        name: spec.name.to_string(),
        names: spec.name.to_string(),
        image: spec.image.name.clone(),
        command: human::quoted(&command),
        project: spec.project.to_string(),
        service: spec.service.to_string(),
        created: container.created.wall / 1_000_000_000,
        created_at: human::created_at(container.created.wall),
        running_for: human::ago(container.created.until(now)),
        state: found.state(container),
        status: found.status(container, now),
        health: health_word(container.health),
        exit_code: code,
        ports: ports::list(&publishers),
        publishers,
        labels: labels.join(","),
        mounts: mounts.join(","),
        networks: networks.join(","),
        local_volumes: volumes.to_string(),
        size: "0B".to_owned(),
        size_rw: None,
        size_root_fs: None,
    })
}

/// The sources of all mounts, and how many of them are volumes.
fn mounts(container: &ObservedContainer) -> (Vec<String>, usize) {
    let sources: Vec<String> = container
        .spec
        .mounts
        .iter()
        .filter_map(|mount| match &mount.source {
            MountSource::Bind { path, .. } => Some(path.display().to_string()),
            MountSource::Volume { name, .. } => Some(name.to_string()),
            MountSource::Tmpfs { .. } | MountSource::Image { .. } => None,
        })
        .collect();
    let volumes = container.spec.mounts.iter().filter(|mount| matches!(mount.source, MountSource::Volume { .. }));
    (sources, volumes.count())
}
