//! What all verbs that change something have in common: show the plan with `--dry-run`, else apply it and tell how it
//! went.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::compose::model::Project;
use crate::desired::Desired;
use crate::name::{ProjectName, ServiceName};

use super::super::backend::{Backend, Change, Edit, LockUse, Outcome, Planned, Until, UpWish};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::Tone;
use super::super::select::{Found, no_service};

/// Applies a change and shows its progress; with `--dry-run`, prints its plan instead.
///
/// # Errors
/// What could not be done.
pub async fn apply<B: Backend>(
    cx: &Context<'_, B>,
    project: &ProjectName,
    title: &str,
    change: Change,
    until: Until,
) -> Result<ExitStatus, CliError> {
    if cx.settings.dry_run {
        return show_plan(cx, project, &change).await;
    }
    if matches!(&change, Change::Declare(_) | Change::Edit(Edit::Start { .. } | Edit::Restart { .. })) {
        let planned = before(cx, project, &change).await?;
        if let Change::Declare(desired) = &change
            && until == Until::Done
            && planned.plan.is_idle()
            && cx.backend.holds(project, desired)?
        {
            return Ok(ExitStatus::DONE);
        }
    }
    let work = |tell| async move { cx.backend.apply(project, change, until, &tell).await };
    let outcome = cx.progress().show(title, work).await?;
    finish(cx, &outcome)
}

/// Prints the plan of a change.
///
/// # Errors
/// When it can't be made.
pub async fn show_plan<B: Backend>(
    cx: &Context<'_, B>,
    project: &ProjectName,
    change: &Change,
) -> Result<ExitStatus, CliError> {
    let planned = cx.backend.plan(project, change).await?;
    cx.output.text(&planned.text)?;
    Ok(if planned.plan.failures.is_empty() { ExitStatus::DONE } else { ExitStatus::FAILED })
}

/// Tells what the user must know of the machine before a state is declared, and refuses one that can't be reached whatever
/// is done, also where services are started again: a port that somebody has, a volume that is not there. Nothing is changed.
///
/// # Errors
/// Such obstacles, once they are told.
pub async fn before<B: Backend>(
    cx: &Context<'_, B>,
    project: &ProjectName,
    change: &Change,
) -> Result<Planned, CliError> {
    let planned = cx.backend.plan(project, change).await?;
    // Of an edit they were told when the state was declared.
    for note in planned.notes.iter().filter(|_| matches!(change, Change::Declare(_))) {
        cx.output.warn(note)?;
    }
    let obstacles = planned.plan.obstacles().cloned().collect();
    finish(cx, &Outcome { failures: obstacles, ..Outcome::default() })?;
    Ok(planned)
}

/// Tells what came of a change: warnings, and each container that failed.
///
/// # Errors
/// Failed containers, once they are told.
pub fn finish<B: Backend>(cx: &Context<'_, B>, outcome: &Outcome) -> Result<ExitStatus, CliError> {
    for warning in &outcome.warnings {
        cx.output.warn(warning)?;
    }
    for failure in &outcome.failures {
        let name = failure.container.as_str();
        let head = if name.is_empty() { String::new() } else { format!("{name}: ") };
        cx.output.say(Tone::Error, "error", &format!("{head}{}", failure.reason))?;
    }
    for evidence in &outcome.evidence {
        cx.output.note(evidence)?;
    }
    if outcome.failures.is_empty() { Ok(ExitStatus::DONE) } else { Err(CliError::Exit(ExitStatus::FAILED.0)) }
}

/// Loads the files and decides everything, showing pulls as they go. With `--dry-run` and for a plan, nothing is pulled.
///
/// # Errors
/// Files that are wrong; images that can't be had.
pub async fn compile<B: Backend>(cx: &Context<'_, B>, project: &Project, wish: &UpWish) -> Result<Desired, CliError> {
    let wish = &UpWish { rehearsal: wish.rehearsal || cx.settings.dry_run, ..wish.clone() };
    let work = |tell| async move { cx.backend.compile(project, wish, &tell).await };
    let pulls = !wish.rehearsal && wish.lock != LockUse::Frozen;
    cx.progress().show(if pulls { "Pulling" } else { "Resolving" }, work).await
}

/// Services named on the command line, each checked to be in the files.
///
/// # Errors
/// A name that no service has.
pub fn services(project: &Project, names: &[String]) -> Result<Vec<ServiceName>, CliError> {
    let known = |name: &String| match project.services.get_key_value(name.as_str()) {
        Some((name, _)) => Ok(name.clone()),
        None => Err(no_service(name, project.services.keys())),
    };
    names.iter().map(known).collect()
}

/// Applies an edit to the services that a verb changes: those `names`, or those of the files at hand.
///
/// # Errors
/// A name that no service has; as [`apply`].
pub async fn edit_services<B: Backend>(
    cx: &Context<'_, B>,
    names: &[String],
    title: &str,
    make: impl FnOnce(BTreeSet<ServiceName>) -> Edit,
) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    match found.targets(names)?.services() {
        Some(services) => edit(cx, &found.project, title, make(services)).await,
        None => {
            cx.output.warn(&found.nothing())?;
            Ok(ExitStatus::DONE)
        }
    }
}

/// Applies an edit of what was last applied.
///
/// # Errors
/// As [`apply`].
pub async fn edit<B: Backend>(
    cx: &Context<'_, B>,
    project: &ProjectName,
    title: &str,
    edit: Edit,
) -> Result<ExitStatus, CliError> {
    apply(cx, project, title, Change::Edit(edit), Until::Done).await
}

/// `--scale`, each service checked to be in the files.
///
/// # Errors
/// Any other form; a name that no service has.
pub fn scaled(project: &Project, words: &[String]) -> Result<BTreeMap<ServiceName, u32>, CliError> {
    let scale = scales(words)?;
    services(project, &scale.keys().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok(scale)
}

/// `SERVICE=REPLICAS`, as `scale` and `--scale` have it.
///
/// # Errors
/// Any other form.
pub fn scales(words: &[String]) -> Result<BTreeMap<ServiceName, u32>, CliError> {
    words.iter().map(|word| scale(word)).collect()
}

fn scale(word: &str) -> Result<(ServiceName, u32), CliError> {
    let parsed = word.split_once('=').and_then(|(service, number)| Some((service, number.parse().ok()?)));
    match parsed {
        Some((service, number)) if !service.is_empty() => Ok((ServiceName::from(service), number)),
        _ => Err(CliError::usage(format!("`{word}`: must be SERVICE=NUMBER, like web=3"))),
    }
}

/// Gives up on a piece of work after a time; what was begun goes on without us.
///
/// # Errors
/// The work's own, and that the time is over.
pub async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    let Some(limit) = limit else { return work.await };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(CliError::with_help(
            format!("not all services are up after {} s", limit.as_secs()),
            "`windlass ps` shows their states, `windlass logs` what they have printed",
        ))
    })
}

/// Reads `--timeout`: seconds, and -1 for as long as it takes.
///
/// # Errors
/// Anything else.
pub fn patience(text: &str) -> Result<u32, String> {
    match text {
        "-1" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "must be a number of seconds, or -1".into()),
    }
}

/// `--timeout`.
pub fn seconds(timeout: Option<u32>) -> Option<Duration> {
    timeout.map(|seconds| Duration::from_secs(seconds.into()))
}
