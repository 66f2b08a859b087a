//! The loop itself. It owns all of its state; there is no lock.
//!
//! ```text
//!        ┌────────────────────────────── something changed, a step failed, a time is due ───────────────┐
//!        ▼                                                                                              │
//!     observe ─▶ plan ─▶ execute: begin what is ready, take in what ends, until all is over ─▶ await ────┘
//! ```
//!
//! When something changes in the middle of an execution, the steps under way go on to their end, the rest of the plan is
//! dropped, and a new one is made; nobody acts twice on one object at the same time. Cancelling the loop at any point
//! leaves half-made things, which the next observation finds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Engine;
use super::failure::{Failures, is_beside};
use super::port::{Clock, Host, HostError};
use super::probe::Probes;
use super::progress::{Progress, Settled, StepName};
use super::round::{Claims, Round, SIGKILL};
use crate::desired::{Desired, DesiredContainer, RestartPolicy, Stamp, Target};
use crate::name::{ContainerId, ContainerName};
use crate::observed::{Exit, Health, Observed, ObservedContainer, State};
use crate::plan::{ASKED_TO_STOP, Action, Plan, Step, StepId, Verdict, plan, verdict};

/// How a step ended.
struct Ended {
    step: Arc<Step>,
    /// Of this round; an older round's steps are dropped but for those under way.
    round: u64,
    result: Result<Vec<String>, HostError>,
    /// Of a stop: the end of the process, which no later look may see where the same plan removes the container.
    exit: Option<Exit>,
    millis: u64,
}

/// The state of the loop.
pub struct Loop<'a, H, C> {
    engine: &'a Engine<H, C>,
    desired: watch::Receiver<Option<Arc<Desired>>>,
    under_way: JoinSet<Ended>,
    /// What the steps under way keep others from, by round and step.
    busy: BTreeMap<(u64, StepId), Claims>,
    failures: Failures,
    probes: Probes,
    seen: BTreeMap<ContainerId, (State, Health)>,
    warned: BTreeSet<String>,
    settled: Option<Settled>,
    rounds: u64,
    /// Something has changed while steps were under way: when it is looked at, with all that came after it.
    gather: Option<Stamp>,
}

/// When many containers end at once, as at `down`, not every end is worth a look at all the others.
const GATHER: Duration = Duration::from_millis(20);

impl<'a, H: Host, C: Clock> Loop<'a, H, C> {
    /// A loop that has seen nothing yet.
    pub fn new(engine: &'a Engine<H, C>) -> Self {
        Self {
            engine,
            desired: engine.desired.subscribe(),
            under_way: JoinSet::new(),
            busy: BTreeMap::new(),
            failures: Failures::default(),
            probes: Probes::new(engine.verdict.clone()),
            seen: BTreeMap::new(),
            warned: BTreeSet::new(),
            settled: None,
            rounds: 0,
            gather: None,
        }
    }

    /// Runs for ever.
    pub async fn run(mut self) {
        loop {
            let desired = self.desired.borrow_and_update().clone();
            let Some(desired) = desired else {
                // The sender lives in the engine, which outlives this loop.
                let _ = self.desired.changed().await;
                continue;
            };
            self.failures.begin(&desired);
            self.gather = None;
            match self.engine.host.observe(&desired).await {
                Ok(observed) => self.pass(&desired, &observed).await,
                Err(error) => {
                    self.warn(error.to_string());
                    self.engine.clock.sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    /// One plan, from its making to the next change.
    async fn pass(&mut self, desired: &Arc<Desired>, observed: &Observed) {
        self.tell_changes(observed);
        self.probes.follow(&self.engine.host, &self.engine.clock, desired, observed);
        let now = self.engine.clock.now();
        let plan = plan(desired, observed, &now);
        let proven = proven(desired, observed, &now);
        for warning in &plan.warnings {
            self.warn(warning.clone());
        }
        self.rounds += 1;
        tracing::debug!(generation = desired.generation, steps = plan.steps.len(), "a plan");
        let mut round = Round::new(&plan, observed);
        self.tell_waiting(&round);
        loop {
            self.begin_ready(&mut round, &now);
            if self.under_way.is_empty() && round.has_done() {
                // All that could be done is done: look again, for what the steps made.
                return;
            }
            let failed = |action: &Action| self.failures.holds(action, &now);
            let beside = |action: &Action| is_beside(action, desired);
            if self.under_way.is_empty() && (round.is_over() || round.is_stuck(failed, beside)) {
                self.settle(desired, observed, &plan);
            }
            if self.step_or_change(&mut round, [plan.due.as_ref(), proven.as_ref()]).await {
                return;
            }
        }
    }

    fn begin_ready(&mut self, round: &mut Round, now: &Stamp) {
        // What has changed may have taken the ground from under the rest of the plan.
        if self.gather.is_some() || self.under_way.len() >= self.engine.settings.parallel {
            return;
        }
        for step in round.ready(|action| self.failures.holds(action, now)) {
            if self.under_way.len() >= self.engine.settings.parallel {
                return;
            }
            let claims = round.claims(&step.action);
            if self.busy.values().any(|other| other.clash(&claims)) {
                continue;
            }
            round.begin(step.id);
            self.busy.insert((self.rounds, step.id), claims);
            self.settled = None;
            tracing::debug!(action = step.action.verb(), object = step.action.object(), "a step begins");
            self.engine.tell(Progress::Began { step: name(&step) });
            let (host, number) = (self.engine.host.clone(), self.rounds);
            self.under_way.spawn(async move {
                let began = Instant::now();
                let result = host.apply(&step.action).await;
                let exit = match &step.action {
                    Action::StopContainer { id, .. } if result.is_ok() => host.ended(id).await,
                    _ => None,
                };
                let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                Ended { step, round: number, result, exit, millis }
            });
        }
    }

    /// Waits for the end of a step or for a change; `true`: look again.
    async fn step_or_change(&mut self, round: &mut Round, due: [Option<&Stamp>; 2]) -> bool {
        let now = self.engine.clock.now();
        let again = self.failures.due();
        let gathered = self.gather.is_some();
        let dues = due.into_iter().chain([again.as_ref(), self.gather.as_ref()]).flatten();
        let next = dues.map(|due| now.until(due)).min();
        let timer = async {
            match next {
                Some(time) => self.engine.clock.sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Ends of steps first: what they changed is then no change from outside.
            biased;
            Some(ended) = self.under_way.join_next() => match ended {
                Ok(ended) => !self.take_in(ended, round),
                Err(error) => {
                tracing::error!(%error, "a step broke off");
                // Which one is not known: its claims go with the last of those beside it.
                if self.under_way.is_empty() {
                    self.busy.clear();
                }
                true
            }
            },
            _ = self.desired.changed() => true,
            () = self.engine.host.changed(), if !gathered => self.look_now(),
            () = self.engine.verdict.notified() => true,
            () = timer => true,
        }
    }

    /// Whether a change is looked at at once; else it is soon.
    fn look_now(&mut self) -> bool {
        let alone = self.under_way.is_empty();
        if !alone && self.gather.is_none() {
            self.gather = Some(self.engine.clock.now().after(GATHER));
        }
        alone
    }

    /// Takes in how a step ended; whether the plan goes on.
    fn take_in(&mut self, ended: Ended, round: &mut Round) -> bool {
        let step = name(&ended.step);
        self.busy.remove(&(ended.round, ended.step.id));
        match ended.result {
            Ok(warnings) => {
                let object = ended.step.action.object();
                warnings.iter().for_each(|warning| self.warn(format!("{object}: {warning}")));
                self.failures.clear(&ended.step.action);
                if let (Some(exit), Some(id)) = (ended.exit, ended.step.action.container()) {
                    self.tell_end(id, object.into(), exit, false);
                }
                self.engine.tell(Progress::Done { step, millis: ended.millis });
                if ended.round != self.rounds {
                    return !self.look_now();
                }
                round.done(ended.step.id);
                true
            }
            Err(error) => {
                tracing::warn!(%error, action = step.action, object = step.object, "a step failed");
                let generation = self.desired.borrow().as_ref().map_or(0, |d| d.generation);
                self.failures.add(&ended.step.action, generation, &error, &self.engine.clock.now());
                let (reason, code) = (error.to_string(), error.code);
                self.engine.tell(Progress::Failed { step, reason, code });
                false
            }
        }
    }

    fn tell_changes(&mut self, observed: &Observed) {
        let mut seen = BTreeMap::new();
        let desired = self.desired.borrow().clone();
        for (id, container) in &observed.containers {
            let name = container.spec.name.clone();
            if let State::Exited(exit) = &container.state {
                let declared = desired.as_ref().and_then(|desired| desired.containers.get(&name));
                let running = declared.filter(|declared| declared.target == Target::Running && !exit.stopped);
                let policy = running.and_then(|declared| verdict(declared, container));
                let policy = matches!(policy, Some(Verdict::Again { .. }));
                self.tell_end(id, name.clone(), exit.clone(), policy);
            }
            let before = self.seen.get(id);
            if container.health != Health::None && before.is_none_or(|(_, health)| *health != container.health) {
                let (id, health) = (id.clone(), container.health);
                self.engine.tell(Progress::Health { container: name, id, health });
            }
            seen.insert(id.clone(), (container.state.clone(), container.health));
        }
        self.seen = seen;
    }

    /// Tells an end, once; `policy`: the restart policy starts it again.
    fn tell_end(&mut self, id: &ContainerId, container: ContainerName, exit: Exit, policy: bool) {
        let is_known = matches!(self.seen.get(id), Some((State::Exited(old), _)) if *old == exit);
        if !is_known {
            let desired = self.desired.borrow().clone();
            let declared = desired.as_ref().and_then(|desired| desired.containers.get(&container));
            let again = exit.stopped && declared.is_some_and(|declared| declared.target == Target::Running);
            let (code, oom) = (exit.code, exit.oom);
            self.engine.tell(Progress::Exited { container, id: id.clone(), code, oom, again, policy });
            self.seen.insert(id.clone(), (State::Exited(exit), Health::None));
        }
    }

    fn tell_waiting(&self, round: &Round) {
        for step in round.waiting() {
            let waits = step.waits.iter().map(|wait| format!("{} {}", wait.service, condition(wait.condition)));
            let mut waits: Vec<String> = waits.collect();
            waits.dedup();
            self.engine.tell(Progress::Waiting { container: step.action.object().into(), waits });
        }
    }

    fn warn(&mut self, text: String) {
        if self.warned.insert(text.clone()) {
            tracing::warn!("{text}");
            self.engine.tell(Progress::Warning { text });
        }
    }

    /// Tells that nothing is left to do, and how things stand. Once for each way they stand.
    fn settle(&mut self, desired: &Desired, observed: &Observed, plan: &Plan) {
        let hindered: Vec<_> = plan.failures.iter().filter(|failure| !desired.is_beside(&failure.container)).collect();
        let mut failures: Vec<String> = self.failures.reasons(desired);
        failures.extend(hindered.iter().map(|failure| match failure.container.as_str() {
            "" => failure.reason.clone(),
            name => format!("{name} can't be started: {}", failure.reason),
        }));
        let mut settled = Settled {
            generation: desired.generation,
            failures,
            culprits: hindered.iter().filter_map(|failure| failure.culprit.clone()).collect(),
            empty: desired.is_empty()
                && observed.containers.is_empty()
                && observed.unknown.is_empty()
                && !observed.networks.values().any(|n| n.spec.project.as_ref() == Some(&desired.project)),
            ..Settled::default()
        };
        standing(desired, observed, &self.engine.clock.now(), &mut settled);
        if self.settled.as_ref() != Some(&settled) {
            self.engine.tell(Progress::Settled(settled.clone()));
            self.settled = Some(settled);
        }
    }
}

/// A process without a health check is up for `--wait` when it has run for so long: one that ends right away is not.
const PROOF: Duration = Duration::from_millis(500);

/// What its policy starts again has failed for `--wait` when it has ended so often in a row, each within ten seconds of its start.
/// The delays between the starts come to some thirteen seconds until then: long enough for whatever it waits for.
const HOPELESS: u32 = 8;

/// Whether it is still to be seen that a container without a health check stays up.
fn is_unproven(declared: &DesiredContainer, container: &ObservedContainer, now: &Stamp) -> bool {
    let started = container.started.as_ref().filter(|_| declared.health.is_none() && container.is_running());
    declared.target == Target::Running && started.is_some_and(|started| started.until(now) < PROOF)
}

/// When that is seen of all of which it is not yet.
fn proven(desired: &Desired, observed: &Observed, now: &Stamp) -> Option<Stamp> {
    let unproven = observed.containers.values().filter(|container| {
        desired.containers.get(&container.spec.name).is_some_and(|declared| is_unproven(declared, container, now))
    });
    unproven.filter_map(|container| Some(container.started.as_ref()?.after(PROOF))).max_by_key(|due| due.nanos)
}

/// Which containers are not as `--wait` wants them.
fn standing(desired: &Desired, observed: &Observed, now: &Stamp, settled: &mut Settled) {
    for container in observed.containers.values() {
        let name = &container.spec.name;
        let Some(declared) = desired.containers.get(name).filter(|d| d.target == Target::Running) else { continue };
        if desired.is_beside(name) {
            continue;
        }
        match &container.state {
            State::Running { .. } if declared.health.is_some() => match container.health {
                Health::Healthy => {}
                Health::Unhealthy => drop(settled.broken.insert(name.clone(), format!("{name} is unhealthy"))),
                Health::Starting | Health::None => settled.unready.push(name.clone()),
            },
            State::Running { .. } if is_unproven(declared, container, now) => settled.unready.push(name.clone()),
            State::Exited(exit) if exit.code == 0 && declared.restart == RestartPolicy::No => {}
            State::Exited(exit) => match verdict(declared, container) {
                Some(Verdict::Again { streak, .. }) if streak >= HOPELESS => {
                    let text = format!("{name} exited with {}, {streak} times in a row", exit.code);
                    settled.broken.insert(name.clone(), text);
                }
                Some(Verdict::Again { .. }) => settled.unready.push(name.clone()),
                Some(Verdict::Stays) | None => {
                    settled.broken.insert(name.clone(), format!("{name} exited with {}", exit.code));
                }
            },
            _ => {}
        }
    }
}

fn condition(condition: crate::desired::Condition) -> &'static str {
    use crate::desired::Condition;
    match condition {
        Condition::ServiceStarted => "to start",
        Condition::ServiceHealthy => "to be healthy",
        Condition::ServiceCompletedSuccessfully => "to end with 0",
    }
}

fn name(step: &Step) -> StepName {
    let asked = step.causes.iter().any(|cause| cause.0 == ASKED_TO_STOP);
    let (signal, kill, again) = match &step.action {
        Action::StopContainer { signal, grace, .. } => {
            (*signal, asked && grace.is_zero() && *signal == SIGKILL, !asked)
        }
        _ => (0, false, false),
    };
    StepName {
        signal,
        kill,
        again,
        action: step.action.verb().to_owned(),
        object: step.action.object().to_owned(),
        id: step.action.container().cloned(),
        causes: step.causes.iter().map(|cause| cause.0.clone()).collect(),
    }
}
