//! What happens to the containers of a project, as its supervisor tells it: events, and the end of one container. A
//! supervisor that is killed or replaced ends no stream: the next one goes on with it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::super::super::error::CliError;
use super::super::{Event, Span};
use super::apply::nothing_up;
use super::{failed, ledger};
use crate::desired::ContainerSpec;
use crate::engine::progress::{Progress, StepName};
use crate::host::clock;
use crate::host::ledger::container;
use crate::host::machine::observe::{self, Cache};
use crate::host::paths::Paths;
use crate::name::{ContainerId, ProjectName, ServiceName};
use crate::observed::{Health, Observed, ObservedContainer, State};
use crate::supervisor::protocol::{Reply, Request};
use crate::supervisor::{Client, coming, is_over};

/// The stream of what happens to a project.
struct Stream {
    paths: Paths,
    project: ProjectName,
    /// `None`: who tells next is still to come.
    client: Option<Client>,
    span: Span,
}

/// What comes from it.
enum Next {
    Progress(Box<Progress>),
    /// Another supervisor tells from here on; what happened in between nobody tells.
    Reopened,
}

impl Stream {
    fn listen(paths: &Paths, project: &ProjectName, mut client: Client) -> io::Result<Self> {
        client.request(&Request::Watch)?;
        // Once it has answered, it misses nothing. One that is gone by now has a successor.
        let client = client.reply().is_ok().then_some(client);
        let (paths, project) = (paths.clone(), project.clone());
        Ok(Self { paths, project, client, span: Span::WhileUp })
    }

    /// One that goes on for ever.
    fn wait(paths: &Paths, project: &ProjectName) -> Self {
        Self { paths: paths.clone(), project: project.clone(), client: None, span: Span::Ever }
    }

    /// Blocks until the next thing; `None`: nothing of the project is left, or nobody can be made to tell.
    fn next(&mut self) -> Option<Next> {
        loop {
            let Some(client) = &mut self.client else {
                self.client = Some(self.reopen()?);
                return Some(Next::Reopened);
            };
            match client.reply() {
                Ok(Reply::Progress { progress }) => return Some(Next::Progress(progress)),
                Ok(Reply::Bye) | Err(_) => self.client = None,
                Ok(_) => {}
            }
        }
    }

    fn reopen(&self) -> Option<Client> {
        loop {
            let held = ledger::desired(&self.paths, &self.project);
            let is_held = held.is_ok_and(|held| held.is_some_and(|held| !held.is_empty()));
            let client = match self.span {
                _ if is_held => Client::any(&self.paths, &self.project),
                Span::Ever => coming::wait(&self.paths, &self.project),
                Span::WhileUp => return None,
            };
            let mut client = client.inspect_err(|error| tracing::warn!(%error, "nobody tells what happens")).ok()?;
            match client.request(&Request::Watch) {
                Ok(()) => return Some(client),
                // It has just ended.
                Err(error) if is_over(&error) => {}
                Err(_) => return None,
            }
        }
    }

    fn look(&self) -> Observed {
        // Who can't read a record now has been told, or will be by the next command.
        observe::containers(&self.paths, &self.project, None, &Cache::default()).unwrap_or_default()
    }
}

/// What happens to the containers of a project from now on, in docker's words.
pub fn events(
    paths: &Paths,
    project: &ProjectName,
    known: Observed,
    span: Span,
) -> Result<UnboundedReceiver<Event>, CliError> {
    let mut stream = match span {
        Span::Ever => Stream::wait(paths, project),
        Span::WhileUp => {
            let client = Client::ensure(paths, project, None).map_err(|e| failed(&e))?;
            Stream::listen(paths, project, client).map_err(|e| failed(&e))?
        }
    };
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut names = Names::new(paths.clone(), &known);
    std::thread::spawn(move || {
        while let Some(next) = stream.next() {
            let events = match next {
                Next::Progress(progress) => names.events(&progress),
                Next::Reopened => names.missed(&stream.look()),
            };
            if sender.is_closed() || events.into_iter().any(|event| sender.send(event).is_err()) {
                return;
            }
        }
    });
    Ok(receiver)
}

/// What events say of a container beside its name.
#[derive(Clone, Default)]
struct About {
    service: ServiceName,
    image: String,
    oneoff: bool,
}

impl About {
    fn of(spec: &ContainerSpec) -> Self {
        Self { service: spec.service.clone(), image: spec.image.name.clone(), oneoff: spec.oneoff }
    }
}

/// Knows of each container what it is, also of one that is gone when that is told, and which of them run.
struct Names {
    paths: Paths,
    known: BTreeMap<ContainerId, About>,
    running: BTreeSet<ContainerId>,
    /// Those whose start was found when another supervisor had come: that one may tell it too.
    begun: BTreeSet<ContainerId>,
    /// Those whose `stop` is done, and whose end is not told yet: in docker that comes first.
    stopped: BTreeMap<ContainerId, String>,
    /// Those whose end was found when another supervisor had come: that one may tell it too.
    found: BTreeSet<ContainerId>,
}

fn runs(container: &ObservedContainer) -> bool {
    matches!(container.state, State::Running { .. } | State::Paused { .. })
}

impl Names {
    fn new(paths: Paths, observed: &Observed) -> Self {
        // What is half made has no name yet.
        let whole = observed.containers.values().filter(|container| container.state != State::Incomplete);
        let known = whole.map(|container| (container.id.clone(), About::of(&container.spec))).collect();
        let running = observed.containers.values().filter(|container| runs(container)).map(|one| one.id.clone());
        let running = running.collect();
        Self { paths, known, running, begun: BTreeSet::new(), stopped: BTreeMap::new(), found: BTreeSet::new() }
    }

    /// What nobody told: containers that have come, those that run now, and the ends of those that do not any more.
    fn missed(&mut self, now: &Observed) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, container) in now.containers.iter().filter(|(_, one)| one.state != State::Incomplete) {
            let name = container.spec.name.as_str();
            let is_new = !self.known.contains_key(id);
            if is_new {
                self.known.insert(id.clone(), About::of(&container.spec));
                events.push(self.event("create", id, name, None));
            }
            let has_begun = runs(container) || (is_new && container.state != State::Created);
            if has_begun && self.running.insert(id.clone()) {
                self.begun.insert(id.clone());
                events.push(self.event("start", id, name, None));
            }
            if let State::Exited(exit) = &container.state
                && self.running.remove(id)
            {
                self.found.insert(id.clone());
                events.extend(self.end(id, name, (exit.code, exit.oom, false)));
            }
        }
        events
    }

    fn end(&mut self, id: &ContainerId, name: &str, (code, oom, again): (i32, bool, bool)) -> Vec<Event> {
        let oom = oom.then(|| self.event("oom", id, name, None));
        let die = Event { again, ..self.event("die", id, name, Some(code)) };
        let stop = self.stop(id);
        oom.into_iter().chain([die]).chain(stop).collect()
    }

    /// The `stop` that waits for the end of a container.
    fn stop(&mut self, id: &ContainerId) -> Option<Event> {
        let name = self.stopped.remove(id)?;
        Some(self.event("stop", id, &name, None))
    }

    fn events(&mut self, progress: &Progress) -> Vec<Event> {
        match progress {
            Progress::Began { step } => self.began(step).into_iter().collect(),
            Progress::Done { step, .. } => self.done(step),
            Progress::Exited { id, .. } if self.found.remove(id) => Vec::new(),
            Progress::Exited { container, id, code, oom, again } => {
                self.running.remove(id);
                self.begun.remove(id);
                self.end(id, container, (*code, *oom, *again))
            }
            Progress::Health { container, id, health } => {
                let text = match health {
                    Health::Healthy => "health_status: healthy",
                    Health::Unhealthy => "health_status: unhealthy",
                    Health::Starting | Health::None => return Vec::new(),
                };
                vec![self.event(text, id, container, None)]
            }
            _ => Vec::new(),
        }
    }

    /// A stop begins with a signal.
    fn began(&mut self, step: &StepName) -> Option<Event> {
        let id = step.id.as_ref().filter(|id| step.action == "stop container" && self.running.contains(*id))?;
        Some(self.event("kill", id, &step.object, None))
    }

    fn done(&mut self, step: &StepName) -> Vec<Event> {
        let action = match step.action.as_str() {
            "create container" => "create",
            "start container" => "start",
            "stop container" => "stop",
            "pause container" => "pause",
            "unpause container" => "unpause",
            "remove container" => "destroy",
            _ => return Vec::new(),
        };
        let Some(id) = &step.id else { return Vec::new() };
        if action == "stop" && self.running.contains(id) {
            self.stopped.insert(id.clone(), step.object.clone());
            return Vec::new();
        }
        if (action == "create" && self.known.contains_key(id)) || (action == "start" && self.begun.remove(id)) {
            return Vec::new();
        }
        if action == "start" {
            self.running.insert(id.clone());
            self.found.remove(id);
        }
        // Removed before anybody has seen its end.
        let stop = if action == "destroy" { self.stop(id) } else { None };
        let event = self.event(action, id, step.object.as_str(), None);
        stop.into_iter().chain([event]).collect()
    }

    fn event(&mut self, action: &str, id: &ContainerId, name: &str, exit_code: Option<i32>) -> Event {
        let About { service, image, oneoff } = self.describe(id);
        if action == "destroy" {
            self.known.remove(id);
        }
        Event {
            time: clock::now().wall,
            action: action.to_owned(),
            id: id.clone(),
            service,
            name: name.to_owned(),
            image,
            exit_code,
            again: false,
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

/// So long `run --rm` waits for the removal of its container: somebody else's change may come first.
const REMOVAL: Duration = Duration::from_secs(10);

/// What happens to a container at its end.
enum Told {
    /// Its process has ended, with this code.
    Ended(i32),
    /// It is removed, or can't be.
    Removed,
}

/// The code with which a container ends, told by its supervisor: it may be removed at once afterwards.
pub struct Ends {
    stream: Stream,
}

impl Ends {
    /// Listens from now on.
    ///
    /// # Errors
    /// When there is no supervisor.
    pub fn listen(paths: &Paths, project: &ProjectName) -> Result<Self, CliError> {
        let client = Client::connect(paths, project).map_err(|e| failed(&e))?.ok_or_else(|| nothing_up(project))?;
        Ok(Self { stream: Stream::listen(paths, project, client).map_err(|e| failed(&e))? })
    }

    /// Waits for the end of a container; `removed`: and until it is removed. `None`: it is gone, and nobody told its code.
    pub async fn of(mut self, name: String, removed: bool) -> Option<i32> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        // A thread that waits in vain must not keep this process.
        std::thread::spawn(move || {
            while let Some(told) = self.hear(&name) {
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
        let Some(Told::Ended(code)) = receiver.recv().await else { return None };
        if removed {
            let removal = async { while let Some(Told::Ended(_)) = receiver.recv().await {} };
            // Its code is known: what holds the removal up fails nothing.
            let _ = tokio::time::timeout(REMOVAL, removal).await;
        }
        Some(code)
    }

    /// Blocks until the next thing happens to a container that matters here.
    fn hear(&mut self, name: &str) -> Option<Told> {
        loop {
            match self.stream.next()? {
                Next::Progress(progress) => match *progress {
                    Progress::Exited { container, code, .. } if *container == *name => return Some(Told::Ended(code)),
                    Progress::Done { step, .. } | Progress::Failed { step, .. }
                        if step.object == name && step.action == "remove container" =>
                    {
                        return Some(Told::Removed);
                    }
                    _ => {}
                },
                Next::Reopened => {
                    let observed = self.stream.look();
                    match observed.containers.values().find(|container| container.spec.name.as_str() == name) {
                        // Removed already: its code is known to nobody who has not heard it.
                        None => return None,
                        Some(ObservedContainer { state: State::Exited(exit), .. }) => {
                            return Some(Told::Ended(exit.code));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
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
        };
        let done = |action: &str| Progress::Done { step: step(action), millis: 1 };
        let ended =
            Progress::Exited { container: "shop-web-1".into(), id: id.clone(), code: 3, oom: false, again: false };
        let told = |progress: &[Progress]| -> Vec<String> {
            let mut names = Names::new(Paths::new(None, None), &observed(State::Running { pid: 7 }));
            progress.iter().flat_map(|one| names.events(one)).map(|event| event.action).collect()
        };
        let began = Progress::Began { step: step("stop container") };
        let (stop, removal) = (done("stop container"), done("remove container"));
        assert_eq!(told(&[began.clone(), stop.clone(), ended.clone()]), ["kill", "die", "stop"]);
        assert_eq!(told(&[stop.clone(), removal]), ["stop", "destroy"]);
        assert_eq!(told(&[ended, began, stop]), ["die", "stop"], "it had ended by itself");
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
        let late = Progress::Exited { container: "shop-web-1".into(), id, code: 3, oom: false, again: false };
        assert!(names.events(&late).is_empty(), "the next supervisor tells the same end");
        assert_eq!(names.events(&late).len(), 1, "and then another");
    }
}
