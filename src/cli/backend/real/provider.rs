//! Programs that provide a service in place of a container, and models, which docker's model runner provides.
//!
//! They belong to the caller: they run with its environment and its rights, before the desired state is decided, since what
//! they tell becomes environment of the services that depend on them.

mod model;
mod program;

use std::collections::{BTreeMap, BTreeSet};

use super::super::super::error::CliError;
use super::super::super::progress::{Kind, Phase, Report, Tell};
use super::super::{Change, Edit, ProviderCall};
use super::Real;
use crate::compose::model::{Project, Service};
use crate::desired::{Desired, ProviderSpec};
use crate::graph::Graph;
use crate::name::{ProjectName, ServiceName};

/// What was provided: per service that does it.
pub type Provided = BTreeMap<ServiceName, ProviderSpec>;

impl Real {
    /// Has every provider of `touched` provide its service; what of others was told before is taken over. In a rehearsal
    /// none is run.
    pub(super) async fn provide(
        &self,
        project: &Project,
        touched: &BTreeSet<ServiceName>,
        rehearsal: bool,
        tell: &Tell,
    ) -> Result<Provided, CliError> {
        let before = self.provided_before(&project.name)?;
        let mut provided = Provided::new();
        // A circle is told with its place when the project is compiled.
        for name in Graph::of(project).order().unwrap_or_default() {
            let Some(provider) = project.services.get(&name).and_then(|service| service.provider.as_ref()) else {
                continue;
            };
            let mut spec = ProviderSpec {
                program: provider.kind.clone(),
                options: provider.options.clone(),
                ..ProviderSpec::default()
            };
            let known = before.get(&name).cloned().unwrap_or_default();
            (spec.variables, spec.raw) = (known.variables, known.raw);
            if touched.contains(&name) && !rehearsal {
                tell.report(Report::new(Kind::Provider, name.as_str(), Phase::Working, "Creating"));
                program::run(&project.name, &name, &mut spec, "up", tell).await?;
                tell.report(Report::new(Kind::Provider, name.as_str(), Phase::Done, "Created"));
            }
            provided.insert(name, spec);
        }
        Ok(provided)
    }

    /// The programs that a change runs: those of all services that it touches, each time.
    pub(super) fn provider_calls(&self, project: &ProjectName, change: &Change) -> Result<Vec<ProviderCall>, CliError> {
        let call = |service: &ServiceName, program: &str, verb| ProviderCall {
            service: service.clone(),
            program: program.to_owned(),
            verb,
        };
        match change {
            Change::Declare(desired) => {
                let wished = self.wished.borrow();
                let touched = wished.as_ref().map(|wished| wished.1.touched(&wished.0)).unwrap_or_default();
                let run = desired.providers.iter().filter(|(name, _)| touched.contains(*name));
                Ok(run.map(|(name, spec)| call(name, &spec.program, "up")).collect())
            }
            Change::Edit(Edit::Down { services, .. }) => {
                let provided = self.provided_before(project)?;
                let gone = provided.iter().filter(|(name, _)| services.is_empty() || services.contains(*name));
                Ok(gone.map(|(name, spec)| call(name, &spec.program, "down")).collect())
            }
            Change::Edit(_) => Ok(Vec::new()),
        }
    }

    fn provided_before(&self, project: &ProjectName) -> Result<Provided, CliError> {
        Ok(self.held(project)?.map(|desired| desired.providers.clone()).unwrap_or_default())
    }

    /// The project with what providers and models told in the environment of those who depend on them.
    pub(super) async fn with_provided(
        &self,
        project: &Project,
        provided: &Provided,
        (touched, rehearsal): (&BTreeSet<ServiceName>, bool),
        tell: &Tell,
    ) -> Result<Project, CliError> {
        let mut project = project.clone();
        for service in project.services.values_mut() {
            for (name, spec) in provided.iter().filter(|(name, _)| service.depends_on.contains_key(*name)) {
                let prefix = name.to_uppercase();
                let prefixed = spec.variables.iter().map(|(key, value)| (format!("{prefix}_{key}"), value));
                let raw = spec.raw.iter().map(|(key, value)| (key.clone(), value));
                let told = prefixed.chain(raw).map(|(key, value)| (key, Some(value.0.clone())));
                service.environment.extend(told);
            }
        }
        let uses = |(name, service): &(&ServiceName, &Service)| touched.contains(*name) && !service.models.is_empty();
        if project.services.iter().any(|one| uses(&one)) {
            model::provide(&mut project, rehearsal, tell).await?;
        }
        Ok(project)
    }
}

/// Takes down what was provided, dependents first being gone.
pub async fn take_down(desired: &Desired, services: &BTreeSet<ServiceName>, tell: &Tell) -> Result<(), CliError> {
    let mut result = Ok(());
    for (name, spec) in desired.providers.iter().filter(|(name, _)| services.is_empty() || services.contains(*name)) {
        tell.report(Report::new(Kind::Provider, name.as_str(), Phase::Working, "Removing"));
        match program::run(&desired.project, name, &mut spec.clone(), "down", tell).await {
            Ok(()) => tell.report(Report::new(Kind::Provider, name.as_str(), Phase::Done, "Removed")),
            // The others are taken down all the same.
            Err(error) => result = Err(error),
        }
    }
    result
}
