//! What each container lacks. Level-triggered: a path stays here until it has been mirrored, so a container that restarts,
//! is stopped or comes later gets all of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::desired::Stamp;
use crate::host::machine::with_causes;
use crate::host::sync::{Mirror, Outcome, Replica, SyncError, sync};
use crate::name::{ContainerId, ServiceName};
use crate::watch::{Batch, Rule};

/// What is to be mirrored by one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Todo {
    /// Relative to the rule's path: what has changed.
    pub changed: BTreeSet<PathBuf>,
    /// What may be other than here: only copied where it is.
    pub compared: BTreeSet<PathBuf>,
    /// What was copied before, and has gone where it lay on a tmpfs of a process that has ended.
    pub lost: BTreeSet<PathBuf>,
}

impl Todo {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.compared.is_empty() && self.lost.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.changed.extend(other.changed);
        self.compared.extend(other.compared);
        self.lost.extend(other.lost);
    }
}

/// The containers that files go to, and what they lack.
#[derive(Default)]
pub struct Replicas {
    rules: Arc<Vec<Rule>>,
    containers: BTreeMap<ContainerId, Container>,
    /// Of each rule, all that a container which comes later has to get.
    seen: Vec<BTreeSet<PathBuf>>,
    /// Of each rule, what was a symlink at some time.
    links: Vec<Arc<BTreeSet<PathBuf>>>,
    since: Option<Instant>,
}

struct Container {
    service: ServiceName,
    replica: Replica,
    todo: BTreeMap<usize, Todo>,
    /// When the process was started that files went to last.
    started: Option<Stamp>,
    /// Nothing could be written into it: when that is tried again.
    again: Option<Instant>,
}

impl Container {
    fn lacks(&self) -> bool {
        self.todo.values().any(|todo| !todo.is_empty())
    }

    /// Whether something can be done about what it lacks.
    fn is_ready(&self, now: Instant) -> bool {
        self.lacks() && self.again.is_none_or(|again| again <= now) && self.replica.is_running()
    }
}

/// Between two attempts to write into a container that nothing could be written into.
const AGAIN: Duration = Duration::from_secs(1);

/// What one thread does in one go.
pub struct Job {
    parts: Vec<Part>,
    rules: Arc<Vec<Rule>>,
    since: Instant,
}

struct Part {
    id: ContainerId,
    replica: Replica,
    rule: usize,
    todo: Todo,
    links: Arc<BTreeSet<PathBuf>>,
}

/// What became of a job.
pub struct Finished {
    rules: Arc<Vec<Rule>>,
    parts: Vec<(Part, Done)>,
    since: Instant,
    ended: Instant,
}

/// What became of a part.
#[derive(Default)]
struct Done {
    /// What was done for what has changed or may differ.
    outcome: Outcome,
    /// What was put back.
    restored: BTreeSet<PathBuf>,
    /// What is still to be done.
    rest: Todo,
    /// Why it ended early.
    failed: Option<SyncError>,
}

/// What a finished job is worth.
#[derive(Default)]
pub struct Taken {
    /// What was done, a line each.
    pub lines: Vec<String>,
    /// What was not.
    pub warnings: Vec<String>,
    /// By rule: what arrived where.
    pub arrived: Vec<Arrived>,
    /// The earliest of the changes that led to it.
    pub since: Option<Instant>,
}

/// Files that are other now in some containers than they were.
pub struct Arrived {
    /// By which rule.
    pub rule: Rule,
    /// Here: what was written or removed there.
    pub paths: BTreeSet<PathBuf>,
    /// There.
    pub containers: BTreeSet<ContainerId>,
    /// They were there before, until the container's process ended: another restart would only lose them again.
    pub restored: bool,
}

impl Replicas {
    /// Without containers; `paths` are those that stand there now, `links` the symlinks among them.
    pub fn new(rules: Arc<Vec<Rule>>, paths: &BTreeSet<PathBuf>, links: &BTreeSet<PathBuf>) -> Self {
        let relative = |rule: &Rule, paths: &BTreeSet<PathBuf>| -> BTreeSet<PathBuf> {
            paths.iter().filter_map(|path| rule.takes(path)).collect()
        };
        let seen = |rule: &Rule| if rule.initial_sync { relative(rule, paths) } else { BTreeSet::new() };
        Self {
            seen: rules.iter().map(seen).collect(),
            links: rules.iter().map(|rule| Arc::new(relative(rule, links))).collect(),
            containers: BTreeMap::new(),
            since: None,
            rules,
        }
    }

    /// What was told before under other rules is told to the containers of these too.
    pub fn succeed(&mut self, former: &Self) {
        for (was, seen) in former.rules.iter().zip(&former.seen) {
            for (index, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.service == was.service) {
                let relative = |path: &PathBuf| rule.takes(&was.path.join(path));
                self.seen[index].extend(seen.iter().filter_map(relative));
            }
        }
    }

    /// Takes what the rules that copy have to copy of a batch.
    pub fn changed(&mut self, batch: &Batch) {
        for (index, rule) in self.rules.clone().iter().enumerate().filter(|(_, rule)| rule.action.syncs()) {
            let relative: BTreeSet<PathBuf> = batch.paths.iter().filter_map(|path| rule.takes(path)).collect();
            let again = if batch.everything { self.seen[index].clone() } else { BTreeSet::new() };
            if relative.is_empty() && again.is_empty() {
                continue;
            }
            let new: Vec<PathBuf> = batch.links.iter().filter_map(|path| rule.takes(path)).collect();
            if !new.is_empty() {
                Arc::make_mut(&mut self.links[index]).extend(new);
            }
            self.seen[index].extend(relative.iter().cloned());
            for container in self.containers.values_mut().filter(|container| container.service == rule.service) {
                let todo = container.todo.entry(index).or_default();
                todo.changed.extend(relative.iter().cloned());
                todo.compared.extend(again.iter().cloned());
            }
            self.since = Some(self.since.map_or(batch.since, |earlier| earlier.min(batch.since)));
        }
    }

    /// Whether files go to containers of a service.
    pub fn concerns(&self, service: &ServiceName) -> bool {
        self.rules.iter().any(|rule| rule.action.syncs() && rule.service == *service)
    }

    pub fn knows(&self, id: &ContainerId) -> bool {
        self.containers.contains_key(id)
    }

    /// A container that was not there before.
    pub fn add(&mut self, id: ContainerId, service: ServiceName, replica: Replica) {
        let mut todo = BTreeMap::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.service == service && rule.action.syncs() && !self.seen[index].is_empty() {
                todo.insert(index, Todo { compared: self.seen[index].clone(), ..Todo::default() });
            }
        }
        self.containers.insert(id, Container { service, replica, todo, started: None, again: None });
    }

    /// A container's process was started then: another one than before has what outlives processes, and no more.
    pub fn started(&mut self, id: &ContainerId, at: &Stamp) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let is_another = container.started.replace(at.clone()).is_some_and(|before| before != *at);
        if !is_another || !container.replica.has_tmpfs() {
            return;
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.service == container.service && rule.action.syncs() && !self.seen[index].is_empty() {
                container.todo.entry(index).or_default().lost.clone_from(&self.seen[index]);
            }
        }
    }

    /// Only these are there now.
    pub fn keep(&mut self, ids: &BTreeSet<ContainerId>) {
        self.containers.retain(|id, _| ids.contains(id));
    }

    /// Whether a running container lacks something that it can be given now, of these services (none named: any).
    pub fn lacks(&self, services: &BTreeSet<ServiceName>) -> bool {
        let now = Instant::now();
        let concerned = |container: &&Container| services.is_empty() || services.contains(&container.service);
        self.containers.values().filter(concerned).any(|container| container.is_ready(now))
    }

    /// Whether anything waits for a container to run, or to be made.
    pub fn waits(&self) -> bool {
        self.containers.values().any(Container::lacks) || self.seen.iter().any(|seen| !seen.is_empty())
    }

    /// When a container that nothing could be written into is to be tried again.
    pub fn due(&self) -> Option<Instant> {
        let waits = self.containers.values().filter(|container| container.lacks() && container.replica.is_running());
        waits.filter_map(|container| container.again).min()
    }

    /// All that running containers lack now, as a job.
    pub fn job(&mut self) -> Option<Job> {
        let mut parts = Vec::new();
        let now = Instant::now();
        for (id, container) in self.containers.iter_mut().filter(|(_, container)| container.is_ready(now)) {
            container.again = None;
            for (rule, todo) in std::mem::take(&mut container.todo) {
                let links = self.links[rule].clone();
                parts.push(Part { id: id.clone(), replica: container.replica.clone(), rule, todo, links });
            }
        }
        if parts.is_empty() {
            return None;
        }
        let since = self.since.take().unwrap_or_else(Instant::now);
        Some(Job { parts, rules: self.rules.clone(), since })
    }

    /// Takes a finished job back: what is left of it is kept.
    pub fn take(&mut self, finished: Finished) -> Taken {
        let mut taken = Taken { since: Some(finished.since), ..Taken::default() };
        let mut arrived: BTreeMap<(usize, bool), Arrived> = BTreeMap::new();
        // Under other rules than now, nothing need be kept: all that was ever told is compared again ([`Self::succeed`]).
        let current = Arc::ptr_eq(&finished.rules, &self.rules);
        for (part, done) in finished.parts {
            let rule = &finished.rules[part.rule];
            let other: BTreeSet<&PathBuf> = done.outcome.written.iter().chain(&done.outcome.removed).collect();
            for (paths, restored) in [(other, false), (done.restored.iter().collect(), true)] {
                if paths.is_empty() {
                    continue;
                }
                let (none, nobody) = (BTreeSet::new(), BTreeSet::new());
                let none = || Arrived { rule: rule.clone(), paths: none, containers: nobody, restored };
                let arrived = arrived.entry((part.rule, restored)).or_insert_with(none);
                arrived.paths.extend(paths.into_iter().map(|path| rule.path.join(path)));
                arrived.containers.insert(part.id.clone());
            }
            let refused = done.outcome.refused.iter().map(|(_, why)| format!("{}: {why}", part.replica.name));
            taken.warnings.extend(refused.chain(done.failed.as_ref().map(|error| with_causes(error))));
            if current {
                self.keep_rest(&part, done);
            }
        }
        taken.arrived = arrived.into_values().collect();
        taken.lines = lines(&taken.arrived, finished.ended.saturating_duration_since(finished.since));
        taken
    }

    /// Keeps what a container has not got yet, and what was made a symlink in it.
    fn keep_rest(&mut self, part: &Part, done: Done) {
        if !done.outcome.links.is_empty() {
            Arc::make_mut(&mut self.links[part.rule]).extend(done.outcome.links);
        }
        let Some(container) = self.containers.get_mut(&part.id) else { return };
        if done.failed.is_some() {
            container.again = Some(Instant::now() + AGAIN);
        }
        if !done.rest.is_empty() {
            container.todo.entry(part.rule).or_default().add(done.rest);
        }
    }
}

/// One line for each service and action.
fn lines(arrived: &[Arrived], time: Duration) -> Vec<String> {
    let mut done: BTreeMap<(&ServiceName, &'static str), BTreeSet<&PathBuf>> = BTreeMap::new();
    for Arrived { rule, paths, .. } in arrived {
        done.entry((&rule.service, rule.action.word())).or_default().extend(paths);
    }
    done.into_iter().map(|((service, action), paths)| super::line(service, action, paths.len(), time)).collect()
}

impl Job {
    /// Does it; blocks. Each container has a thread of its own.
    pub fn run(self) -> Finished {
        let mut by_container: BTreeMap<ContainerId, Vec<Part>> = BTreeMap::new();
        for part in self.parts {
            by_container.entry(part.id.clone()).or_default().push(part);
        }
        let rules = &self.rules;
        let work = |parts: Vec<Part>| -> Vec<_> {
            parts
                .into_iter()
                .map(|part| (one(&rules[part.rule], &part), part))
                .map(|(done, part)| (part, done))
                .collect()
        };
        let mut groups: Vec<Vec<Part>> = by_container.into_values().collect();
        let last = groups.pop();
        let parts = std::thread::scope(|scope| {
            let threads: Vec<_> = groups.into_iter().map(|parts| scope.spawn(|| work(parts))).collect();
            let mut done = last.map(work).unwrap_or_default();
            for thread in threads {
                match thread.join() {
                    Ok(parts) => done.extend(parts),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        Finished { rules: self.rules, parts, since: self.since, ended: Instant::now() }
    }
}

/// Does a part in rounds, until one fails: what those before it did stays done.
fn one(rule: &Rule, part: &Part) -> Done {
    let write = |paths: &BTreeSet<PathBuf>, links: &BTreeSet<PathBuf>, round: Round| {
        let keeps = |path: &std::path::Path| rule.takes(&rule.path.join(path)).is_none();
        let mirror = Mirror {
            source: &rule.path,
            target: &rule.target,
            paths,
            links,
            keeps: &keeps,
            only_different: round != Round::Changed,
            only_in_memory: round == Round::Lost,
        };
        sync(&part.replica, &mirror)
    };
    rounds(part, write)
}

/// The parts of a [`Todo`], in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Changed,
    Compared,
    Lost,
}

fn rounds(
    part: &Part,
    write: impl Fn(&BTreeSet<PathBuf>, &BTreeSet<PathBuf>, Round) -> Result<Outcome, SyncError>,
) -> Done {
    let mut done = Done { rest: part.todo.clone(), ..Done::default() };
    let mut links = part.links.clone();
    for round in [Round::Changed, Round::Compared, Round::Lost] {
        let paths = match round {
            Round::Changed => &mut done.rest.changed,
            Round::Compared => &mut done.rest.compared,
            Round::Lost => &mut done.rest.lost,
        };
        if paths.is_empty() {
            continue;
        }
        let outcome = match write(paths, &links, round) {
            Ok(outcome) => outcome,
            Err(error) => {
                done.failed = Some(error);
                return done;
            }
        };
        *paths = outcome.left;
        if !outcome.links.is_empty() {
            // A link that has just been made is ours in the next round too: it may be a folder here by then.
            Arc::make_mut(&mut links).extend(outcome.links.iter().cloned());
        }
        done.outcome.links.extend(outcome.links);
        done.outcome.refused.extend(outcome.refused);
        let other = outcome.written.into_iter().chain(outcome.removed);
        if round == Round::Lost {
            done.restored.extend(other);
        } else {
            done.outcome.written.extend(other);
        }
    }
    done
}

#[cfg(test)]
mod tests;
