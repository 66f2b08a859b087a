//! `windlass events`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::super::backend::{Backend, Event, Span};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::human;
use super::super::output::listing::row;
use super::super::select::Found;
use super::super::signals::Interrupts;
use super::logs;

/// Flags of `events`.
#[derive(Args, Debug)]
pub struct Events {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// From this time on; what happened before now is not kept, so it can only be later
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
}

/// Prints what happens to containers of services, until it is interrupted: whether the project is up or not yet, and also what is
/// brought up again.
///
/// # Errors
/// A service that is not there; a supervisor that can't be talked to.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Events) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let services = found.services(&args.services)?;
    let now = cx.backend.now().wall;
    let since = logs::moment("--since", args.since.as_deref(), now)?;
    let until = logs::moment("--until", args.until.as_deref(), now)?;
    if since.is_some_and(|since| since < now) {
        cx.output.warn("what happened before now is not kept: `--since` shows what happens from now on")?;
    }
    let mut interrupts = Interrupts::new()?;
    let mut events = cx.backend.events(&found.project, Span::Ever)?;
    let end = async {
        match until {
            Some(until) => tokio::time::sleep(std::time::Duration::from_nanos(until.saturating_sub(now))).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = &mut end => return Ok(ExitStatus::DONE),
            () = interrupts.next() => return Err(CliError::Interrupted),
        };
        let lost = || CliError::failed(format!("nobody tells any more what happens in project `{}`", found.project));
        let event = event.ok_or_else(lost)?;
        let wanted = !event.oneoff && (services.is_empty() || services.contains(&event.service));
        if wanted && since.is_none_or(|since| event.time >= since) {
            print(cx, &event, args.json)?;
        }
    }
}

/// An event as `events --json` prints it, one a line.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told<'a> {
    /// When it was (RFC 3339).
    pub time: String,
    /// `container`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `create`, `start`, `die`, …
    pub action: &'a str,
    /// The container's id.
    pub id: &'a str,
    /// Its service.
    pub service: &'a str,
    /// More of it: `image`, `name`, the user's labels; `exitCode` and `execDuration` (seconds) of `die`, `signal` (its number) of
    /// `kill`.
    pub attributes: &'a BTreeMap<String, String>,
}

fn print<B: Backend>(cx: &Context<'_, B>, event: &Event, json: bool) -> Result<(), CliError> {
    if json {
        // Sorted keys, as in all that is printed.
        cx.output.json(&row(&Told {
            time: human::rfc3339_nanos(event.time),
            kind: "container",
            action: &event.action,
            id: event.id.as_str(),
            service: event.service.as_str(),
            attributes: &event.attributes,
        }))?;
    } else {
        let attributes = event.attributes.iter().map(|(key, value)| format!("{key}={value}"));
        let attributes = attributes.collect::<Vec<_>>().join(", ");
        let time = human::local_micros(event.time);
        cx.output.line(&format!("{time} container {} {} ({attributes})", event.action, event.id))?;
    }
    cx.output.flush()
}
