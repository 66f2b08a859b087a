//! What is told of a project, in docker's words.

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::Event;
use crate::desired::ContainerSpec;
use crate::engine::progress::{Progress, StepName};
use crate::host::clock;
use crate::host::ledger::container;
use crate::host::paths::Paths;
use crate::name::{ContainerId, ServiceName};
use crate::observed::{Health, Observed, ObservedContainer, State};

/// The signal that nobody survives.
const SIGKILL: i32 = 9;

/// What events say of a container beside its name.
#[derive(Clone, Default)]
struct About {
    service: ServiceName,
    image: String,
    labels: BTreeMap<String, String>,
    oneoff: bool,
}

impl About {
    fn of(spec: &ContainerSpec) -> Self {
        // Those of docker compose itself are left out, as there.
        let own = spec.labels.iter().filter(|(key, _)| !key.starts_with("com.docker.compose."));
        let labels = own.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { service: spec.service.clone(), image: spec.image.name.clone(), labels, oneoff: spec.oneoff }
    }
}

/// A stop that is under way, or done while its end is not told yet.
struct Stopping {
    name: String,
    signal: i32,
    /// By `kill`, of which docker tells no `stop`.
    kill: bool,
    /// The stop is done: it waits for the end, which in docker comes first.
    done: bool,
}

/// Knows of each container what it is, also of one that is gone when that is told, and which of them run.
pub(super) struct Names {
    paths: Paths,
    known: BTreeMap<ContainerId, About>,
    /// Since when.
    running: BTreeMap<ContainerId, u64>,
    /// Those whose start was found when another supervisor had come: that one may tell it too.
    begun: BTreeSet<ContainerId>,
    stopping: BTreeMap<ContainerId, Stopping>,
    /// Those that are stopped to be started again.
    restarting: BTreeSet<ContainerId>,
    /// Those whose end was found when another supervisor had come: that one may tell it too.
    found: BTreeSet<ContainerId>,
}

fn runs(container: &ObservedContainer) -> bool {
    matches!(container.state, State::Running { .. } | State::Paused { .. })
}

impl Names {
    pub(super) fn new(paths: Paths, observed: &Observed) -> Self {
        // What is half made has no name yet.
        let whole = observed.containers.values().filter(|container| container.state != State::Incomplete);
        let known = whole.map(|container| (container.id.clone(), About::of(&container.spec))).collect();
        let since = |one: &ObservedContainer| one.started.as_ref().map_or(0, |started| started.wall);
        let running = observed.containers.values().filter(|container| runs(container));
        let running = running.map(|one| (one.id.clone(), since(one))).collect();
        let (begun, found) = (BTreeSet::new(), BTreeSet::new());
        Self { paths, known, running, begun, stopping: BTreeMap::new(), restarting: BTreeSet::new(), found }
    }

    /// What nobody told: containers that have come, those that run now, and the ends of those that do not any more.
    pub(super) fn missed(&mut self, now: &Observed) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, container) in now.containers.iter().filter(|(_, one)| one.state != State::Incomplete) {
            let name = container.spec.name.as_str();
            let is_new = !self.known.contains_key(id);
            if is_new {
                self.known.insert(id.clone(), About::of(&container.spec));
                events.push(self.event("create", id, name));
            }
            let has_begun = runs(container) || (is_new && container.state != State::Created);
            if has_begun && !self.running.contains_key(id) {
                let start = self.event("start", id, name);
                let since = container.started.as_ref().map_or(start.time, |started| started.wall);
                self.running.insert(id.clone(), since);
                self.begun.insert(id.clone());
                events.push(start);
            }
            if let State::Exited(exit) = &container.state
                && self.running.contains_key(id)
            {
                self.found.insert(id.clone());
                events.extend(self.end(id, name, (exit.code, exit.oom, false)));
            }
        }
        events
    }

    fn end(&mut self, id: &ContainerId, name: &str, (code, oom, again): (i32, bool, bool)) -> Vec<Event> {
        let mut events = Vec::new();
        if oom {
            events.push(self.event("oom", id, name));
        }
        let stopping = self.stopping.remove(id);
        // What did not heed the signal in time was killed.
        if stopping.as_ref().is_some_and(|stopping| stopping.signal != SIGKILL) && code == 128 + SIGKILL {
            events.push(self.kill(id, name, SIGKILL));
        }
        let mut die = Event { exit_code: Some(code), again, ..self.event("die", id, name) };
        die.attributes.insert("exitCode".into(), code.to_string());
        if let Some(since) = self.running.remove(id) {
            let seconds = die.time.saturating_sub(since) / 1_000_000_000;
            die.attributes.insert("execDuration".into(), seconds.to_string());
        }
        events.push(die);
        match stopping {
            Some(stopping) if stopping.done && !stopping.kill => events.push(self.event("stop", id, name)),
            // Its stop is still to be told.
            Some(stopping) if !stopping.done => drop(self.stopping.insert(id.clone(), stopping)),
            _ => {}
        }
        events
    }

    pub(super) fn events(&mut self, progress: &Progress) -> Vec<Event> {
        match progress {
            Progress::Began { step } => self.began(step).into_iter().collect(),
            Progress::Done { step, .. } => self.done(step),
            Progress::Exited { id, .. } if self.found.remove(id) => Vec::new(),
            Progress::Exited { container, id, code, oom, again, policy } => {
                self.begun.remove(id);
                let mut events = self.end(id, container, (*code, *oom, *again));
                events.iter_mut().for_each(|event| event.policy = *policy);
                events
            }
            Progress::Signalled { container, id, signal } => vec![self.kill(id, container, *signal)],
            Progress::Health { container, id, health } => {
                let text = match health {
                    Health::Healthy => "health_status: healthy",
                    Health::Unhealthy => "health_status: unhealthy",
                    Health::Starting | Health::None => return Vec::new(),
                };
                vec![self.event(text, id, container)]
            }
            _ => Vec::new(),
        }
    }

    /// A stop begins with a signal.
    fn began(&mut self, step: &StepName) -> Option<Event> {
        let id = step.id.as_ref().filter(|id| step.action == "stop container" && self.running.contains_key(*id))?;
        let (name, signal) = (step.object.clone(), step.signal);
        self.stopping.insert(id.clone(), Stopping { name, signal, kill: step.kill, done: false });
        if step.again {
            self.restarting.insert(id.clone());
        }
        Some(self.kill(id, &step.object, signal))
    }

    fn kill(&mut self, id: &ContainerId, name: &str, signal: i32) -> Event {
        let mut kill = self.event("kill", id, name);
        // An older supervisor does not tell which.
        if signal != 0 {
            kill.attributes.insert("signal".into(), signal.to_string());
        }
        kill
    }

    fn done(&mut self, step: &StepName) -> Vec<Event> {
        let Some(id) = &step.id else { return Vec::new() };
        let name = step.object.as_str();
        match step.action.as_str() {
            "create container" if !self.known.contains_key(id) => vec![self.event("create", id, name)],
            "start container" => self.started(id, name),
            "stop container" => self.stopped(id, name),
            "pause container" => vec![self.event("pause", id, name)],
            "unpause container" => vec![self.event("unpause", id, name)],
            "remove container" => {
                self.restarting.remove(id);
                // Removed before anybody has seen its end.
                let stop = self.stopping.remove(id).filter(|stopping| stopping.done && !stopping.kill);
                let stop = stop.map(|stopping| self.event("stop", id, &stopping.name));
                stop.into_iter().chain([self.event("destroy", id, name)]).collect()
            }
            _ => Vec::new(),
        }
    }

    fn started(&mut self, id: &ContainerId, name: &str) -> Vec<Event> {
        let restart = self.restarting.remove(id).then(|| self.event("restart", id, name));
        // Its start may have been found already.
        let start = (!self.begun.remove(id)).then(|| self.event("start", id, name));
        if let Some(start) = &start {
            self.running.insert(id.clone(), start.time);
            self.found.remove(id);
        }
        start.into_iter().chain(restart).collect()
    }

    fn stopped(&mut self, id: &ContainerId, name: &str) -> Vec<Event> {
        if self.running.contains_key(id) {
            let unheard = || Stopping { name: name.to_owned(), signal: 0, kill: false, done: false };
            self.stopping.entry(id.clone()).or_insert_with(unheard).done = true;
            return Vec::new();
        }
        let kill = self.stopping.remove(id).is_some_and(|stopping| stopping.kill);
        if kill { Vec::new() } else { vec![self.event("stop", id, name)] }
    }

    fn event(&mut self, action: &str, id: &ContainerId, name: &str) -> Event {
        let About { service, image, labels, oneoff } = self.describe(id);
        if action == "destroy" {
            self.known.remove(id);
        }
        let mut attributes = labels;
        attributes.insert("image".into(), image);
        attributes.insert("name".into(), name.to_owned());
        Event {
            time: clock::now().wall,
            action: action.to_owned(),
            id: id.clone(),
            service,
            name: name.to_owned(),
            attributes,
            exit_code: None,
            again: false,
            policy: false,
            oneoff,
        }
    }

    fn describe(&mut self, id: &ContainerId) -> About {
        if let Some(known) = self.known.get(id) {
            return known.clone();
        }
        let Some(made) = container::made(&self.paths, id).ok().flatten() else { return About::default() };
        let told = About::of(&made.spec);
        self.known.insert(id.clone(), told.clone());
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Stamp;
    use crate::observed::Exit;

    fn observed(state: State) -> Observed {
        let spec = ContainerSpec { name: "shop-web-1".into(), service: "web".into(), ..ContainerSpec::default() };
        let id = ContainerId::from("1".repeat(64));
        let container = ObservedContainer { id: id.clone(), spec, state, ..sample() };
        Observed { containers: [(id, container)].into(), ..Observed::default() }
    }

    fn sample() -> ObservedContainer {
        ObservedContainer {
            id: ContainerId::default(),
            spec: ContainerSpec::default(),
            hash: String::new(),
            created: Stamp::default(),
            state: State::Created,
            started: None,
            health: Health::None,
            restarts: 0,
            streak: 0,
            sandbox: false,
            ports: Vec::new(),
            hooks: Default::default(),
            lost: BTreeSet::new(),
        }
    }

    #[test]
    fn a_stop_is_told_as_docker_does_signal_end_stop() {
        let id = ContainerId::from("1".repeat(64));
        let step = |action: &str| StepName {
            action: action.to_owned(),
            object: "shop-web-1".to_owned(),
            id: Some(id.clone()),
            causes: Vec::new(),
            signal: 15,
            kill: false,
            again: false,
        };
        let done = |action: &str| Progress::Done { step: step(action), millis: 1 };
        let ended = Progress::Exited {
            container: "shop-web-1".into(),
            id: id.clone(),
            code: 3,
            oom: false,
            again: false,
            policy: false,
        };
        let told = |progress: &[Progress]| -> Vec<String> {
            let mut names = Names::new(Paths::new(None, None), &observed(State::Running { pid: 7 }));
            progress.iter().flat_map(|one| names.events(one)).map(|event| event.action).collect()
        };
        let began = Progress::Began { step: step("stop container") };
        let (stop, removal) = (done("stop container"), done("remove container"));
        assert_eq!(told(&[began.clone(), stop.clone(), ended.clone()]), ["kill", "die", "stop"]);
        assert_eq!(told(&[stop.clone(), removal]), ["stop", "destroy"]);
        assert_eq!(told(&[ended.clone(), began, stop]), ["die", "stop"], "it had ended by itself");
    }

    #[test]
    fn a_restart_a_kill_and_a_signal_are_told_as_docker_does() {
        let id = ContainerId::from("1".repeat(64));
        let step = |action: &str, signal: i32, kill: bool, again: bool| StepName {
            action: action.to_owned(),
            object: "shop-web-1".to_owned(),
            id: Some(id.clone()),
            causes: Vec::new(),
            signal,
            kill,
            again,
        };
        let done = |step: &StepName| Progress::Done { step: step.clone(), millis: 1 };
        let began = |step: &StepName| Progress::Began { step: step.clone() };
        let ended = |code| {
            let (container, id) = ("shop-web-1".into(), id.clone());
            Progress::Exited { container, id, code, oom: false, again: false, policy: false }
        };
        let told = |progress: &[Progress]| -> Vec<String> {
            let mut names = Names::new(Paths::new(None, None), &observed(State::Running { pid: 7 }));
            let line = |event: Event| {
                let attribute =
                    |key| event.attributes.get(key).map(|value| format!(" {key}={value}")).unwrap_or_default();
                format!("{}{}{}", event.action, attribute("signal"), attribute("exitCode"))
            };
            progress.iter().flat_map(|one| names.events(one)).map(line).collect()
        };
        let (stop, start) = (step("stop container", 15, false, true), step("start container", 0, false, false));
        let restart = [began(&stop), ended(0), done(&stop), done(&start)];
        assert_eq!(told(&restart), ["kill signal=15", "die exitCode=0", "stop", "start", "restart"]);
        let again = [&restart[..], &[began(&start), done(&start)]].concat();
        assert_eq!(told(&again).last().map(String::as_str), Some("start"), "a later start is no restart");
        let late = [began(&stop), done(&stop), ended(137), done(&start)];
        assert_eq!(
            told(&late),
            ["kill signal=15", "kill signal=9", "die exitCode=137", "stop", "start", "restart"],
            "it did not heed the signal"
        );
        let kill = step("stop container", 9, true, false);
        assert_eq!(told(&[began(&kill), done(&kill), ended(137)]), ["kill signal=9", "die exitCode=137"]);
        assert_eq!(told(&[began(&kill), ended(137), done(&kill)]), ["kill signal=9", "die exitCode=137"]);
        let hup = Progress::Signalled { container: "shop-web-1".into(), id: id.clone(), signal: 1 };
        assert_eq!(told(&[hup]), ["kill signal=1"]);
    }

    #[test]
    fn an_event_has_the_labels_of_the_user_and_the_time_that_a_container_ran() {
        let mut there = observed(State::Running { pid: 7 });
        for container in there.containers.values_mut() {
            container.started = Some(Stamp { wall: clock::now().wall - 3_500_000_000, ..Stamp::default() });
            let labels = [("com.docker.compose.service", "web"), ("org.example", "x")];
            container.spec.labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        }
        let mut names = Names::new(Paths::new(None, None), &there);
        let id = ContainerId::from("1".repeat(64));
        let ended =
            Progress::Exited { container: "shop-web-1".into(), id, code: 3, oom: false, again: false, policy: false };
        let [event] = &names.events(&ended)[..] else { panic!("one event") };
        let told: Vec<String> = event.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(told, ["execDuration=3", "exitCode=3", "image=", "name=shop-web-1", "org.example=x"]);
    }

    #[test]
    fn an_end_that_nobody_told_is_told_once() {
        let mut names = Names::new(Paths::new(None, None), &observed(State::Running { pid: 7 }));
        let ended =
            observed(State::Exited(Exit { code: 3, oom: false, at: Stamp::default(), error: None, stopped: false }));
        let told = names.missed(&ended);
        assert_eq!(
            told.iter().map(|event| (event.action.as_str(), event.exit_code)).collect::<Vec<_>>(),
            [("die", Some(3))]
        );
        assert!(names.missed(&ended).is_empty());
        let id = ContainerId::from("1".repeat(64));
        let late =
            Progress::Exited { container: "shop-web-1".into(), id, code: 3, oom: false, again: false, policy: false };
        assert!(names.events(&late).is_empty(), "the next supervisor tells the same end");
        assert_eq!(names.events(&late).len(), 1, "and then another");
    }
}
