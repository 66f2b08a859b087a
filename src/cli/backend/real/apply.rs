//! Changes go to the project's supervisor; what it tells comes back as lines of progress and as events.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::super::super::error::CliError;
use super::super::super::progress::{Kind, Phase, Report, Tell, WAITING};
use super::super::{Change, Outcome, Planned, ProviderCall, Until};
use super::{Real, evidence, failed, ledger};
use crate::desired::Desired;
use crate::desired::edit::edit;
use crate::engine::progress::{Progress, StepName};
use crate::host::clock;
use crate::host::machine::observe;
use crate::host::paths::Paths;
use crate::name::{ContainerName, ProjectName};
use crate::observed::Health;
use crate::plan::{Failure, Plan, plan};
use crate::supervisor::protocol::{Refusal, Reply, Request};
use crate::supervisor::{Client, is_over, is_silent};

impl Real {
    /// The very plan that a change would begin with.
    pub(super) fn plan_change(&self, project: &ProjectName, change: &Change) -> Result<Planned, CliError> {
        let now = clock::now();
        let desired = match change {
            Change::Declare(desired) => Cow::Borrowed(&**desired),
            Change::Edit(wanted) => {
                let Some(applied) = self.held(project)? else {
                    let warnings = nothing_or_orphans(project, change)?.warnings;
                    let plan = Plan { warnings, ..Plan::default() };
                    return Ok(Planned { text: plan.to_string(), plan, ..Planned::default() });
                };
                Cow::Owned(edit(&applied, wanted, &now).map_err(|e| failed(&e))?)
            }
        };
        let (net, images) = (self.net()?, self.images()?);
        let sight = observe::Sight { paths: &self.paths, net: &net, images: &images, cache: &self.cache };
        let mut observed = observe::observe(&sight, project, &desired).map_err(|e| failed(&e))?;
        observed.notes = observe::notes(&net, &desired).map_err(|e| failed(&e))?;
        let mut plan = plan(&desired, &observed, &now);
        plan.failures.retain(|failure| !desired.is_beside(&failure.container));
        let providers = self.provider_calls(project, change)?;
        let calls: String = providers.iter().map(line).collect();
        Ok(Planned { text: format!("{calls}{plan}"), plan, notes: observed.notes, providers })
    }

    /// Whether a supervisor of this very program holds a state that asks for the same, on behalf of a caller like this one.
    pub(super) fn holds_the_same(&self, project: &ProjectName, desired: &Desired) -> Result<bool, CliError> {
        if !self.held(project)?.is_some_and(|held| desired.asks_the_same(&held)) {
            return Ok(false);
        }
        let same_caller = ledger::caller(&self.paths, project).is_ok_and(|caller| caller == ledger::Caller::own());
        let supervisor = || Client::connect(&self.paths, project);
        Ok(same_caller && supervisor().is_ok_and(|client| client.is_some_and(|one| one.is_current())))
    }
}

/// A provider's run as the plan tells it.
fn line(call: &ProviderCall) -> String {
    let when = if call.verb == "down" { "after all steps" } else { "before all steps" };
    format!("run provider  {}  `{} {}`, {when}\n", call.service, call.program, call.verb)
}

pub(super) fn nothing_up(project: &ProjectName) -> CliError {
    CliError::with_help(
        format!("nothing of project `{project}` is up"),
        "`windlass up` brings it up; `windlass ls -a` shows what there is",
    )
}

/// Ends a conversation whose client is dropped: a thread may be waiting in it.
struct Hangup(UnixStream);

impl Drop for Hangup {
    fn drop(&mut self) {
        // One that has ended already needs none.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Sends a request to the project's supervisor, and hears its replies: on a thread, since they come for as long as the
/// change takes. Dropping the receiver's guard hangs up. Only who is asked `first` has to be of this very program: what a newer
/// one has put in its place stays.
async fn converse(
    paths: &Paths,
    project: &ProjectName,
    (request, caller): (Arc<Request>, Option<ledger::Caller>),
    first: bool,
) -> Result<(UnboundedReceiver<io::Result<Reply>>, Hangup), CliError> {
    let (paths, project) = (paths.clone(), project.clone());
    let (sender, receiver) = mpsc::unbounded_channel();
    let hangup = tokio::task::spawn_blocking(move || -> Result<Hangup, CliError> {
        let mut tries = 3;
        loop {
            let client = match first {
                true => Client::ensure(&paths, &project, caller.as_ref()),
                false => Client::any(&paths, &project),
            };
            let mut client = client.map_err(|e| failed(&e))?;
            let hangup = Hangup(client.closer().map_err(|e| failed(&e))?);
            // A supervisor that is about to end says nothing any more; the next one knows nothing of this request.
            match client.request(&request).and_then(|()| client.reply()) {
                Err(error) if is_silent(&error) && tries > 0 => {
                    client.kill();
                    tries -= 1;
                }
                Err(error) if is_over(&error) && tries > 0 => tries -= 1,
                first => {
                    std::thread::spawn(move || hear(&mut client, first, &sender));
                    return Ok(hangup);
                }
            }
        }
    });
    let hangup = hangup.await.map_err(|e| failed(&e))??;
    Ok((receiver, hangup))
}

fn hear(client: &mut Client, first: io::Result<Reply>, sender: &UnboundedSender<io::Result<Reply>>) {
    let mut next = Some(first);
    let mut empty = false;
    loop {
        let reply = next.take().unwrap_or_else(|| client.reply());
        match &reply {
            Ok(Reply::Progress { progress }) => {
                empty = matches!(&**progress, Progress::Settled(settled) if settled.empty);
            }
            Ok(Reply::Done) if empty => client.see_out(),
            _ => {}
        }
        let over = !matches!(reply, Ok(Reply::Progress { .. } | Reply::Waiting { .. } | Reply::Alive));
        if reply.as_ref().is_err_and(is_silent) {
            // The shims start the next one, which carries on what was asked for.
            client.kill();
        }
        if sender.send(reply).is_err() || over {
            return;
        }
    }
}

/// Hands a change over and waits until it is carried out.
pub async fn apply(
    paths: &Paths,
    project: &ProjectName,
    change: Change,
    until: Until,
    tell: &Tell,
) -> Result<Outcome, CliError> {
    let caller = matches!(change, Change::Declare(_)).then(ledger::Caller::own);
    if matches!(change, Change::Edit(_)) && ledger::desired(paths, project).map_err(|e| failed(&e))?.is_none() {
        return nothing_or_orphans(project, &change);
    }
    let kills = matches!(change, Change::Edit(super::super::Edit::Kill { .. }));
    let (wait, id) = (until == Until::Healthy, request_id());
    let request = Arc::new(match change {
        Change::Declare(desired) => Request::Apply { desired, wait, id },
        Change::Edit(edit) => Request::Edit { edit: Box::new(edit), wait, id },
    });
    let mut outcome = Outcome::default();
    for left in (0..SUPERVISORS).rev() {
        let first = left + 1 == SUPERVISORS;
        let asked = (request.clone(), caller.clone().filter(|_| first));
        let (mut replies, _hangup) = converse(paths, project, asked, first).await?;
        match follow(project, &mut replies, kills, tell, &mut outcome).await? {
            Heard::Done => break,
            Heard::Failed { reasons, culprits } => {
                outcome.failures = reasons.into_iter().map(failure).collect();
                outcome.evidence = evidence::of(paths, project, &culprits);
                break;
            }
            // It took its end, or its hanging, with it: the next one is asked the same again, and goes on.
            Heard::Lost(_) if left > 0 => {}
            Heard::Lost(error) => return Err(lost(project, &error)),
        }
    }
    Ok(outcome)
}

/// So many supervisors are asked for the same, one after the other where each is lost.
const SUPERVISORS: usize = 3;

/// Tells a request of this process from all others of this machine.
fn request_id() -> String {
    let now = clock::now();
    format!("{}-{}-{}", now.boot, now.nanos, std::process::id())
}

/// What is heard of a change in the end.
enum Heard {
    /// It is carried out.
    Done,
    /// Some containers can't reach their state.
    Failed {
        /// Why.
        reasons: Vec<String>,
        /// Who tells more.
        culprits: BTreeSet<ContainerName>,
    },
    /// The supervisor is gone.
    Lost(io::Error),
}

/// Hears the replies to the end, and tells of what happens.
async fn follow(
    project: &ProjectName,
    replies: &mut UnboundedReceiver<io::Result<Reply>>,
    kills: bool,
    tell: &Tell,
    outcome: &mut Outcome,
) -> Result<Heard, CliError> {
    while let Some(reply) = replies.recv().await {
        match reply {
            Err(error) => return Ok(Heard::Lost(error)),
            Ok(Reply::Progress { progress }) => show(&progress, kills, tell, outcome),
            Ok(Reply::Waiting { holder }) => {
                let text =
                    format!("waiting for process {} ({}, since {} s)", holder.pid, holder.command, holder.seconds);
                tell.report(Report::new(Kind::Project, project.as_str(), Phase::Working, text));
            }
            Ok(Reply::Refused { reason: Refusal::Failed { reasons, culprits } }) => {
                return Ok(Heard::Failed { reasons, culprits });
            }
            Ok(Reply::Refused { reason: Refusal::Conflict { .. } }) => return Err(CliError::Overtaken),
            Ok(Reply::Refused { reason }) => return Err(CliError::failed(reason.to_string())),
            Ok(Reply::Alive) => {}
            Ok(Reply::Done | Reply::Bye) => return Ok(Heard::Done),
        }
    }
    Err(CliError::failed(format!("the supervisor of project `{project}` said nothing")))
}

fn lost(project: &ProjectName, error: &io::Error) -> CliError {
    let why = if is_silent(error) { "it hung, and was killed".to_owned() } else { error.to_string() };
    CliError::with_help(
        format!("lost the supervisor of project `{project}`, {SUPERVISORS} times: {why}"),
        "what was asked for goes on with the next one, which is there by itself; the same command waits for it",
    )
}

/// Where nothing is up there is nothing to do, as with docker compose; but what was asked to run and does not is an error.
fn nothing_or_orphans(project: &ProjectName, change: &Change) -> Result<Outcome, CliError> {
    use super::super::Edit::{Down, Kill, Pause, Restart, Stop, Unpause};
    match change {
        Change::Edit(Down { .. } | Stop { .. } | Kill { .. } | Restart { .. } | Pause { .. } | Unpause { .. }) => {
            Ok(Outcome { warnings: vec![format!("nothing of project `{project}` is up")], ..Outcome::default() })
        }
        _ => Err(nothing_up(project)),
    }
}

fn failure(reason: String) -> Failure {
    Failure { container: ContainerName::default(), reason, culprit: None, obstacle: false }
}

/// One step as a line, in docker compose's words; `kills`: what is stopped is killed.
fn show(progress: &Progress, kills: bool, tell: &Tell, outcome: &mut Outcome) {
    match progress {
        // Something half made is cleared away, of which nobody was ever told.
        Progress::Began { step } | Progress::Done { step, .. } if step.object.is_empty() => {}
        Progress::Began { step } => report(tell, step, words(step, kills).0, Phase::Working, None),
        Progress::Done { step, .. } => {
            if let Some(id) = step.id.as_ref().filter(|_| step.action == "create container") {
                outcome.made.insert(step.object.clone(), id.clone());
            }
            report(tell, step, words(step, kills).1, Phase::Done, None);
        }
        Progress::Failed { step, reason, code } => {
            outcome.code = code.and_then(|code| u8::try_from(code).ok()).or(outcome.code);
            report(tell, step, "Error", Phase::Failed, Some(reason.clone()));
        }
        Progress::Waiting { container, waits } => {
            let mut report = Report::new(Kind::Container, container.as_str(), Phase::Working, WAITING);
            report.detail = Some(format!("for {}", waits.join(", ")));
            tell.report(report);
        }
        Progress::Health { container, health, .. } => {
            let (phase, text) = match health {
                Health::Healthy => (Phase::Done, "Healthy"),
                Health::Unhealthy => (Phase::Warning, "Unhealthy"),
                Health::Starting | Health::None => return,
            };
            tell.report(Report::new(Kind::Container, container.as_str(), phase, text));
        }
        Progress::Warning { text } => outcome.warnings.push(text.clone()),
        Progress::Exited { .. } | Progress::Signalled { .. } | Progress::Settled(_) => {}
    }
}

fn report(tell: &Tell, step: &StepName, text: &str, phase: Phase, detail: Option<String>) {
    let Some((verb, kind)) = step.action.split_once(' ') else { return };
    let kind = match kind {
        "image" => Kind::Image,
        "network" => Kind::Network,
        "volume" => Kind::Volume,
        _ => Kind::Container,
    };
    if verb == "release" {
        // Of no interest to people: it has ended already.
        return;
    }
    let mut report = Report::new(kind, &step.object, phase, text);
    report.detail = detail;
    tell.report(report);
}

/// What is said while a step is under way, and when it is done.
fn words(step: &StepName, kills: bool) -> (&'static str, &'static str) {
    match step.action.split_once(' ').map_or("", |(verb, _)| verb) {
        "pull" => ("Pulling", "Pulled"),
        "create" => ("Creating", "Created"),
        "remove" => ("Removing", "Removed"),
        "start" => ("Starting", "Started"),
        "stop" if kills => ("Killing", "Killed"),
        "stop" => ("Stopping", "Stopped"),
        "run" => ("Running hooks", "Started"),
        "pause" => ("Pausing", "Paused"),
        "mend" => ("Mending", "Mended"),
        _ => ("Unpausing", "Unpaused"),
    }
}
