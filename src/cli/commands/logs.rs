//! `windlass logs`.

mod followed;

use clap::Args;

use super::super::backend::{Backend, LogQuery};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::human;
use super::super::output::logs::{LogPrinter, LogStyle};
use super::super::select::{self, Found, label};
use followed::Followed;

/// Flags of `logs`.
#[derive(Args, Debug)]
pub struct Logs {
    /// Services; all if none is named
    pub services: Vec<String>,
    /// Go on with what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Only this replica of a service
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Without colours
    #[arg(long)]
    pub no_color: bool,
    /// Without the containers' names
    #[arg(long)]
    pub no_log_prefix: bool,
    /// From this time on: 2026-01-02T15:04:05Z, or 42m for 42 minutes ago
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// The last lines of each container only
    #[arg(short = 'n', long, value_name = "LINES", default_value = "all", value_parser = tail)]
    pub tail: Tail,
    /// With the time of each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// Up to this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
}

/// `--tail`: `None` is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail(pub Option<usize>);

/// `all`, or a number; a negative one is all too, as in docker.
fn tail(text: &str) -> Result<Tail, String> {
    match text.parse::<i64>() {
        _ if text == "all" => Ok(Tail(None)),
        Ok(lines) => Ok(Tail(usize::try_from(lines).ok())),
        Err(_) => Err("must be `all` or a number".into()),
    }
}

/// A time flag in nanoseconds since 1970.
///
/// # Errors
/// A text that is no time.
pub fn moment(flag: &str, text: Option<&str>, now: u64) -> Result<Option<u64>, CliError> {
    let parsed = text.map(|text| human::moment(text, now)).transpose();
    parsed.map_err(|message| CliError::usage(format!("`{flag}`: {message}")))
}

/// Prints what containers have printed; with `--follow`, until each of those that are there has ended, and of those that come
/// meanwhile: one that has ended already is waited for, as with docker.
///
/// # Errors
/// A service that is not there; logs that can't be read.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Logs) -> Result<ExitStatus, CliError> {
    if args.index.is_some_and(|index| index > 0) && args.services.len() != 1 {
        return Err(CliError::usage("`--index` is the number of a replica of one service: name it"));
    }
    let found = Found::look(cx)?;
    let now = cx.backend.now().wall;
    let containers = found.containers(&args.services, false)?;
    let labels: Vec<String> = containers.iter().map(|container| label(&container.spec)).collect();
    let services = found.services(&args.services)?;
    let index = args.index.filter(|index| *index > 0);
    if let (Some(_), [service]) = (index, &args.services[..]) {
        // For its error.
        found.container(service, index)?;
    }
    let mut followed = match args.follow {
        true => Followed::open(cx, &found, services.clone(), index)?,
        false => None,
    };
    let query = LogQuery {
        services: services.iter().cloned().collect(),
        index,
        follow: followed.is_some(),
        since: moment("--since", args.since.as_deref(), now)?,
        until: moment("--until", args.until.as_deref(), now)?,
        tail: args.tail.0,
        labels: select::labels(containers.iter().map(|container| &container.spec)),
    };
    let style = LogStyle {
        no_prefix: args.no_log_prefix,
        no_color: args.no_color,
        timestamps: args.timestamps,
        ..LogStyle::default()
    };
    let mut printer = LogPrinter::new(cx.output, style, labels.iter().map(String::as_str));
    let mut lines = cx.backend.logs(&found.project, query)?;
    loop {
        let line = tokio::select! {
            biased;
            line = lines.next() => line,
            told = next(cx, &mut followed) => {
                if let Some((label, remark)) = told? {
                    // What it printed before stands before it.
                    while let Some(line) = lines.come() {
                        printer.print(&line)?;
                    }
                    printer.remark(&label, &remark)?;
                    cx.output.flush()?;
                }
                if followed.as_ref().is_some_and(Followed::is_over) {
                    followed = None;
                    lines.finish();
                }
                continue;
            }
        };
        let Some(line) = line else { return Ok(ExitStatus::DONE) };
        printer.print(&line)?;
        // What has come so far is seen at once, but a flood is not written line by line.
        if lines.is_empty() {
            cx.output.flush()?;
        }
    }
}

/// The next thing to say of what is followed; nothing, ever, where nothing is.
async fn next<B: Backend>(
    cx: &Context<'_, B>,
    followed: &mut Option<Followed>,
) -> Result<Option<(String, String)>, CliError> {
    match followed {
        Some(followed) => followed.next(cx).await,
        None => std::future::pending().await,
    }
}
