//! `windlass stats`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::name::ContainerId;
use crate::observed::ObservedContainer;

use super::super::backend::{Backend, Usage};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::human;
use super::super::output::listing::{Listing, row};
use super::super::select::Found;
use super::super::signals::Interrupts;

/// Flags of `stats`.
#[derive(Args, Debug)]
pub struct Stats {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Containers that don't run too
    #[arg(short, long)]
    pub all: bool,
    /// `table`, `json`, `table TEMPLATE` or a template
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub format: String,
    /// Print once, and end
    #[arg(long)]
    pub no_stream: bool,
    /// Don't cut ids
    #[arg(long)]
    pub no_trunc: bool,
}

/// What a container uses as `stats --format json` prints it, one a line.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Row {
    /// Its id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The same, as docker has it.
    pub container: String,
    /// Its name.
    pub name: String,
    /// Processor time in percent of one processor.
    #[serde(rename = "CPUPerc")]
    pub cpu: String,
    /// Memory, and its limit.
    pub mem_usage: String,
    /// The one in percent of the other.
    pub mem_perc: String,
    /// Bytes received, and sent.
    #[serde(rename = "NetIO")]
    pub net: String,
    /// Bytes read from disks, and written.
    #[serde(rename = "BlockIO")]
    pub block: String,
    /// Processes and threads.
    #[serde(rename = "PIDs")]
    pub pids: String,
}

const COLUMNS: &[(&str, &str)] = &[
    ("CONTAINER ID", "ID"),
    ("NAME", "Name"),
    ("CPU %", "CPUPerc"),
    ("MEM USAGE / LIMIT", "MemUsage"),
    ("MEM %", "MemPerc"),
    ("NET I/O", "NetIO"),
    ("BLOCK I/O", "BlockIO"),
    ("PIDS", "PIDs"),
];

/// Between two measurements.
const INTERVAL: Duration = Duration::from_secs(1);

type Measured = BTreeMap<ContainerId, (Instant, Usage)>;

/// Shows what containers use, until it is interrupted.
///
/// # Errors
/// A service that is not there.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Stats) -> Result<ExitStatus, CliError> {
    let mut interrupts = Interrupts::new()?;
    let mut before = measure(cx, args)?.1;
    loop {
        tokio::select! {
            () = interrupts.next() => return Ok(ExitStatus::INTERRUPTED),
            () = tokio::time::sleep(INTERVAL) => {}
        }
        let (containers, now) = measure(cx, args)?;
        let rows =
            containers.iter().map(|container| line(container, before.get(&container.id), now.get(&container.id), args));
        let listing = Listing { columns: COLUMNS, rows: rows.collect(), json_array: false };
        if !args.no_stream && cx.output.is_terminal() {
            // The top left corner, and nothing below.
            cx.output.raw(b"\x1b[H\x1b[J")?;
        }
        listing.print(cx.output, &args.format)?;
        cx.output.flush()?;
        if args.no_stream {
            return Ok(ExitStatus::DONE);
        }
        before = now;
    }
}

fn measure<B: Backend>(cx: &Context<'_, B>, args: &Stats) -> Result<(Vec<ObservedContainer>, Measured), CliError> {
    let found = Found::look(cx)?;
    let mut measured = Measured::new();
    let mut shown = Vec::new();
    for container in found.containers(&args.services, true)? {
        // One that ends in this moment has nothing to measure any more.
        let usage = if container.is_running() { cx.backend.usage(&container.id).ok() } else { None };
        if usage.is_some() || args.all {
            shown.push(container.clone());
        }
        if let Some(usage) = usage {
            measured.insert(container.id.clone(), (Instant::now(), usage));
        }
    }
    Ok((shown, measured))
}

fn line(
    container: &ObservedContainer,
    before: Option<&(Instant, Usage)>,
    now: Option<&(Instant, Usage)>,
    args: &Stats,
) -> Map<String, Value> {
    let id = if args.no_trunc { container.id.as_str() } else { container.id.short() };
    let usage = now.map(|(_, usage)| usage.clone()).unwrap_or_default();
    let pair = |(a, b): (u64, u64)| format!("{} / {}", human::short_size(a), human::short_size(b));
    row(&Row {
        id: id.to_owned(),
        container: container.id.to_string(),
        name: container.spec.name.to_string(),
        cpu: format!("{:.2}%", cpu(before, now)),
        mem_usage: format!("{} / {}", human::binary_size(usage.memory), human::binary_size(usage.memory_limit)),
        mem_perc: format!("{:.2}%", percent(usage.memory, usage.memory_limit)),
        net: pair(usage.network),
        block: pair(usage.block),
        pids: usage.pids.to_string(),
    })
}

/// Processor time between two measurements, in percent of one processor.
fn cpu(before: Option<&(Instant, Usage)>, now: Option<&(Instant, Usage)>) -> f64 {
    let (Some((then, old)), Some((at, new))) = (before, now) else { return 0.0 };
    let used = Duration::from_nanos(new.cpu.saturating_sub(old.cpu)).as_secs_f64();
    let passed = at.duration_since(*then).as_secs_f64();
    if passed > 0.0 { used / passed * 100.0 } else { 0.0 }
}

// Shown with two digits.
#[allow(clippy::cast_precision_loss)]
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 }
}
