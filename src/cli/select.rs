//! Which containers and services a verb means, and what is said of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{ContainerSpec, Desired, DesiredContainer, Stamp, Target};
use crate::diag::nearest;
use crate::name::{ContainerName, ProjectName, ServiceName};
use crate::observed::{Health, Observed, ObservedContainer, State};

use super::backend::Backend;
use super::context::Context;
use super::error::CliError;
use super::output::human;

/// What exists of a project and what was last applied to it.
pub struct Found {
    /// The project.
    pub project: ProjectName,
    /// What exists.
    pub observed: Observed,
    /// What was applied.
    pub applied: Option<Desired>,
    /// The services of the files at hand; `None`: whatever there is.
    pub scope: Option<BTreeSet<ServiceName>>,
}

/// The services that a verb changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// All that there is.
    All,
    /// These.
    Some(BTreeSet<ServiceName>),
    /// The files at hand declare none that is there.
    None,
}

impl Found {
    /// Looks at the project that the flags name.
    ///
    /// # Errors
    /// No project; a ledger that can't be read.
    pub fn look<B: Backend>(cx: &Context<'_, B>) -> Result<Self, CliError> {
        let project = cx.project()?;
        let observed = cx.backend.observe(&project)?;
        let applied = cx.backend.applied(&project)?;
        let found = Self { project, observed, applied, scope: cx.declared()? };
        found.unknown().iter().try_for_each(|text| cx.output.warn(text))?;
        Ok(found)
    }

    /// Tells of the containers of which nobody can tell what they are made of.
    pub fn unknown(&self) -> Vec<String> {
        let unknown = self.observed.unknown.iter();
        unknown
            .map(|(id, other)| {
                let declared = self.applied.iter().flat_map(|desired| desired.containers.values());
                let missing = declared.map(|one| &one.spec).filter(|spec| {
                    spec.service == other.service
                        && !self.observed.containers.values().any(|there| there.spec.name == spec.name)
                });
                let names: Vec<&str> = missing.map(|spec| spec.name.as_str()).collect();
                // Which of several it is, only its record tells.
                let name =
                    if let [name] = names[..] { format!("{name} ({})", id.short()) } else { id.short().to_owned() };
                format!("container {name} is unknown, and left alone: {}", other.reason)
            })
            .collect()
    }

    /// One replica of a service that runs: that with the number `index`, or the first. The other services are not looked at.
    ///
    /// # Errors
    /// A service that is not there, has no such container, or whose container does not run.
    pub fn look_at<B: Backend>(
        cx: &Context<'_, B>,
        service: &str,
        index: Option<u32>,
    ) -> Result<ObservedContainer, CliError> {
        let project = cx.project()?;
        let observed = cx.backend.observe_service(&project, &ServiceName::from(service))?;
        let found = Self { project, observed, applied: None, scope: None };
        if !found.observed.containers.is_empty() {
            return found.running(service, index).cloned();
        }
        // Whether there is such a service at all, only the rest tells.
        Self::look(cx)?.running(service, index).cloned()
    }

    /// The services named, each checked to be one.
    ///
    /// # Errors
    /// A name that no service has.
    pub fn services(&self, names: &[String]) -> Result<BTreeSet<ServiceName>, CliError> {
        let known = self.known();
        names
            .iter()
            .map(|name| match known.get(name.as_str()) {
                Some(name) => Ok(name.clone()),
                None => Err(no_service(name, &known)),
            })
            .collect()
    }

    /// The services that a verb changes where these are named on its command line. Where none is, those of the files at hand,
    /// as with docker compose: what was brought up with other files, or by a profile that is not active, is left alone.
    ///
    /// # Errors
    /// A name that no service has.
    pub fn targets(&self, names: &[String]) -> Result<Targets, CliError> {
        let named = self.services(names)?;
        let known = self.existing();
        let wanted = match &self.scope {
            _ if !named.is_empty() => &named,
            Some(scope) if !known.is_subset(scope) => scope,
            _ => return Ok(Targets::All),
        };
        // What the files declare and was never made is not asked for.
        let there = if named.is_empty() { self.with_containers() } else { known };
        let there: BTreeSet<ServiceName> = wanted.intersection(&there).cloned().collect();
        Ok(if there.is_empty() { Targets::None } else { Targets::Some(there) })
    }

    /// Whether no container is left, and nothing is held.
    pub fn is_gone(&self) -> bool {
        self.existing().is_empty()
    }

    /// All services by their names.
    pub fn everything(&self) -> Targets {
        Targets::Some(self.existing())
    }

    /// Says which containers a verb leaves alone because the files at hand do not declare them.
    pub fn left_alone(&self, targets: &Targets) -> Option<String> {
        let left: BTreeSet<&str> = (self.observed.containers.values())
            .filter(|container| !targets.has(&container.spec.service))
            .map(|container| container.spec.name.as_str())
            .collect();
        let names = left.into_iter().collect::<Vec<_>>().join(", ");
        (!names.is_empty()).then(|| {
            format!(
                "{names} stays: the files at hand do not declare it, or its profile is not active; `--remove-orphans` removes it too"
            )
        })
    }

    /// Says that the files at hand declare nothing that is there.
    pub fn nothing(&self) -> String {
        let known: Vec<String> = self.existing().iter().map(|service| format!("`{service}`")).collect();
        if known.is_empty() {
            return format!("nothing of project `{}` is there", self.project);
        }
        format!("nothing of these services is there; project `{}` has {}", self.project, known.join(", "))
    }

    /// The services that were applied.
    pub fn declared(&self) -> BTreeSet<ServiceName> {
        self.applied.iter().flat_map(|desired| desired.services.iter().cloned()).collect()
    }

    /// The services that have a container, or are to have one.
    fn with_containers(&self) -> BTreeSet<ServiceName> {
        let held = self.applied.iter().flat_map(|desired| desired.containers.values());
        let held = held.map(|container| container.spec.service.clone());
        held.chain(self.observed.containers.values().map(|container| container.spec.service.clone())).collect()
    }

    /// The services that were applied, and those that have a container.
    fn existing(&self) -> BTreeSet<ServiceName> {
        self.declared()
            .into_iter()
            .chain(self.observed.containers.values().map(|container| container.spec.service.clone()))
            .collect()
    }

    fn known(&self) -> BTreeSet<ServiceName> {
        self.existing().into_iter().chain(self.scope.iter().flatten().cloned()).collect()
    }

    /// Containers of some services (none named: of all), by name; one-offs only where `oneoffs` says so.
    ///
    /// # Errors
    /// A name that no service has.
    pub fn containers(&self, names: &[String], oneoffs: bool) -> Result<Vec<&ObservedContainer>, CliError> {
        let services = self.services(names)?;
        Ok(self.containers_of(|service| services.is_empty() || services.contains(service), oneoffs))
    }

    /// Containers that a verb changes, by name.
    pub fn targeted(&self, targets: &Targets, oneoffs: bool) -> Vec<&ObservedContainer> {
        self.containers_of(|service| targets.has(service), oneoffs)
    }

    fn containers_of(&self, chosen: impl Fn(&ServiceName) -> bool, oneoffs: bool) -> Vec<&ObservedContainer> {
        let wanted =
            |container: &&ObservedContainer| (oneoffs || !container.spec.oneoff) && chosen(&container.spec.service);
        let mut containers: Vec<_> = self.observed.containers.values().filter(wanted).collect();
        containers.sort_by(|a, b| {
            (&a.spec.service, a.spec.number, &a.spec.name).cmp(&(&b.spec.service, b.spec.number, &b.spec.name))
        });
        containers
    }

    /// One replica of a service: that with the number `index`, or the first.
    ///
    /// # Errors
    /// A service that is not there, or has no such container.
    pub fn container(&self, service: &str, index: Option<u32>) -> Result<&ObservedContainer, CliError> {
        let containers = self.containers(&[service.to_owned()], false)?;
        let found = match index.filter(|index| *index > 0) {
            Some(index) => containers.iter().find(|container| container.spec.number == index),
            None => containers.iter().find(|container| container.is_running()).or(containers.first()),
        };
        found.copied().ok_or_else(|| {
            let which = index.map(|index| format!(" number {index}")).unwrap_or_default();
            let help = match index.filter(|index| *index > 0) {
                Some(_) if !containers.is_empty() => {
                    format!("it has the numbers {}; `windlass scale` makes more", numbers(&containers))
                }
                _ => "`windlass up -d` creates it".to_owned(),
            };
            CliError::with_help(format!("service `{service}` has no container{which}"), help)
        })
    }

    /// As [`Self::container`], and it runs.
    ///
    /// # Errors
    /// As there, and one that does not run.
    pub fn running(&self, service: &str, index: Option<u32>) -> Result<&ObservedContainer, CliError> {
        let container = self.container(service, index)?;
        if container.is_running() {
            return Ok(container);
        }
        let help = format!("`windlass logs {service}` shows its last lines, `windlass start {service}` starts it");
        Err(CliError::with_help(format!("service `{service}` is not running"), help))
    }

    /// The containers that are declared and do not run.
    pub fn down(&self) -> BTreeSet<ContainerName> {
        let running = self.observed.containers.values().filter(|container| container.is_running());
        let running: BTreeSet<&ContainerName> = running.map(|container| &container.spec.name).collect();
        let declared = self.applied.iter().flat_map(|desired| desired.containers.keys());
        declared.filter(|name| !running.contains(name)).cloned().collect()
    }

    /// Whether a container has no service any more in what was applied.
    pub fn is_orphan(&self, container: &ObservedContainer) -> bool {
        !container.spec.oneoff
            && self.applied.as_ref().is_some_and(|desired| !desired.services.contains(&container.spec.service))
    }

    /// Whether nothing runs of the containers wanted, nor will: all have ended, and none is about to be started (again).
    pub fn is_over(&self, wanted: impl Fn(&ContainerSpec) -> bool) -> bool {
        let ours = |spec: &ContainerSpec| !spec.oneoff && wanted(spec);
        let lives = |container: &ObservedContainer| ours(&container.spec) && container.is_running();
        let declared =
            self.applied.iter().flat_map(|desired| desired.containers.values().map(move |one| (desired, one)));
        let mut to_run = declared.filter(|(_, declared)| declared.target == Target::Running && ours(&declared.spec));
        let comes = |(desired, declared): (&Desired, &DesiredContainer)| {
            let name = &declared.spec.name;
            match self.observed.containers.values().find(|container| container.spec.name == *name) {
                // What was stopped to be started again has not ended.
                Some(container) => match &container.state {
                    State::Exited(exit) => exit.stopped || self.restarts(container),
                    _ => true,
                },
                None => !desired.is_undeclared(declared),
            }
        };
        !self.observed.containers.values().any(lives) && !to_run.any(comes)
    }

    /// The state in one word, as docker has it.
    pub fn state(&self, container: &ObservedContainer) -> &'static str {
        match container.state {
            State::Incomplete | State::Created => "created",
            State::Running { .. } => "running",
            State::Paused { .. } => "paused",
            State::Exited(_) if self.restarts(container) => "restarting",
            State::Exited(_) => "exited",
        }
    }

    /// Whether a container that has ended is about to be started again.
    fn restarts(&self, container: &ObservedContainer) -> bool {
        let State::Exited(exit) = &container.state else { return false };
        let Some(desired) = self.applied.as_ref().and_then(|desired| desired.containers.get(&container.spec.name))
        else {
            return false;
        };
        desired.target == Target::Running && desired.restart.wants(exit.code, container.restarts)
    }

    /// The state in docker's words: `Up 5 seconds (healthy)`, `Exited (0) 2 minutes ago`.
    pub fn status(&self, container: &ObservedContainer, now: &Stamp) -> String {
        let since = |at: &Stamp| human::duration(at.until(now));
        let up = container.started.as_ref().map(since).unwrap_or_default();
        match &container.state {
            State::Incomplete | State::Created => "Created".into(),
            State::Running { .. } => format!("Up {up}{}", health_note(container.health)),
            State::Paused { .. } => format!("Up {up} (Paused)"),
            State::Exited(exit) if self.restarts(container) => {
                format!("Restarting ({}) {} ago", exit.code, since(&exit.at))
            }
            State::Exited(exit) => format!("Exited ({}) {} ago", exit.code, since(&exit.at)),
        }
    }
}

impl Targets {
    /// Whether a service is among them.
    pub fn has(&self, service: &ServiceName) -> bool {
        match self {
            Self::All => true,
            Self::Some(services) => services.contains(service),
            Self::None => false,
        }
    }

    /// The services as an edit names them, where none means all; `None`: there is nothing to change.
    pub fn services(self) -> Option<BTreeSet<ServiceName>> {
        match self {
            Self::All => Some(BTreeSet::new()),
            Self::Some(services) => Some(services),
            Self::None => None,
        }
    }
}

fn health_note(health: Health) -> &'static str {
    match health {
        Health::None => "",
        Health::Starting => " (health: starting)",
        Health::Healthy => " (healthy)",
        Health::Unhealthy => " (unhealthy)",
    }
}

/// The health in one word; empty without a health check.
pub fn health_word(health: Health) -> &'static str {
    match health {
        Health::None => "",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// The error for a service that is not there, with the nearest name.
pub fn no_service<'a>(name: &str, known: impl IntoIterator<Item = &'a ServiceName>) -> CliError {
    let message = format!("no such service: {name}");
    match nearest(name, known.into_iter().map(ServiceName::as_str)) {
        Some(near) => CliError::with_help(message, format!("did you mean `{near}`?")),
        None => CliError::failed(message),
    }
}

/// The name of a container as it stands before log lines: without its project's, unless it was given one of its own.
pub fn label(spec: &ContainerSpec) -> String {
    let name = spec.name.as_str();
    let usual = |sep| {
        let short = format!("{}{sep}{}", spec.service, spec.number);
        (name == format!("{}{sep}{short}", spec.project)).then_some(short)
    };
    usual('-').or(usual('_')).unwrap_or_else(|| name.to_owned())
}

/// The labels of containers by service and number.
pub fn labels<'a>(containers: impl IntoIterator<Item = &'a ContainerSpec>) -> BTreeMap<(ServiceName, u32), String> {
    containers.into_iter().map(|spec| ((spec.service.clone(), spec.number), label(spec))).collect()
}

/// `1, 2, 5`.
fn numbers(containers: &[&ObservedContainer]) -> String {
    containers.iter().map(|container| container.spec.number.to_string()).collect::<Vec<_>>().join(", ")
}
