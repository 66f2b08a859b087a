//! The containers whose logs are followed: what there is to say of them, and when the last has ended.

use std::collections::BTreeSet;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::desired::ContainerSpec;
use crate::name::ServiceName;

use super::super::super::backend::{Backend, Event, Span};
use super::super::super::context::Context;
use super::super::super::error::CliError;
use super::super::super::select::Found;

/// Containers that are followed.
pub struct Followed {
    events: UnboundedReceiver<Event>,
    /// Only of these services; none: of all.
    services: BTreeSet<ServiceName>,
    /// Only this replica.
    only: Option<String>,
    project: String,
    /// The names of those that have not ended since; a container that is made anew keeps its name.
    waited: BTreeSet<String>,
    /// Nothing of it comes any more.
    over: bool,
}

impl Followed {
    /// Listens, and then looks at what is there, so that no end between the two is missed. `None`: there is nothing to wait for.
    ///
    /// # Errors
    /// As [`Found::look`]; nobody who tells what happens.
    pub fn open<B: Backend>(
        cx: &Context<'_, B>,
        found: &Found,
        services: BTreeSet<ServiceName>,
        index: Option<u32>,
    ) -> Result<Option<Self>, CliError> {
        let wanted = |spec: &ContainerSpec| {
            !spec.oneoff
                && (services.is_empty() || services.contains(&spec.service))
                && index.is_none_or(|index| spec.number == index)
        };
        let names = |found: &Found| -> BTreeSet<String> {
            let specs = found.observed.containers.values().map(|container| &container.spec);
            specs.filter(|spec| wanted(spec)).map(|spec| spec.name.to_string()).collect()
        };
        // Of what nobody holds nobody tells anything.
        if found.applied.is_none() || (names(found).is_empty() && found.is_over(wanted)) {
            return Ok(None);
        }
        let events = cx.backend.events(&found.project, Span::WhileUp)?;
        let now = Found::look(cx)?;
        let waited = names(&now);
        if now.applied.is_none() || (waited.is_empty() && now.is_over(wanted)) {
            return Ok(None);
        }
        let only = index.and_then(|_| waited.first().cloned());
        let project = found.project.to_string();
        Ok(Some(Self { events, services, only, project, waited, over: false }))
    }

    /// Whether the last has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Waits for the next thing that happens: what is to be said of it, and of which container.
    ///
    /// # Errors
    /// As [`Found::look`].
    pub async fn next<B: Backend>(&mut self, cx: &Context<'_, B>) -> Result<Option<(String, String)>, CliError> {
        let Some(event) = self.events.recv().await else {
            // The project was taken down.
            self.over = true;
            return Ok(None);
        };
        if event.oneoff || !self.is_wanted(&event) {
            return Ok(None);
        }
        let remark = match event.action.as_str() {
            "create" | "start" => {
                let is_new = self.waited.insert(event.name.clone());
                (event.action == "create" && !is_new).then(|| "has been recreated".to_owned())
            }
            "die" => self.died(cx, &event)?,
            "destroy" => {
                self.gone(cx, &event)?;
                None
            }
            _ => None,
        };
        Ok(remark.map(|remark| (self.label(&event.name), remark)))
    }

    fn is_wanted(&self, event: &Event) -> bool {
        match &self.only {
            Some(only) => event.name == *only,
            None => self.services.is_empty() || self.services.contains(&event.service),
        }
    }

    fn died<B: Backend>(&mut self, cx: &Context<'_, B>, event: &Event) -> Result<Option<String>, CliError> {
        if !event.again && !event.policy {
            self.waited.remove(&event.name);
            self.over = self.waited.is_empty() && Found::look(cx)?.is_over(|spec| self.is_ours(spec));
        }
        Ok(event.end())
    }

    /// A removal: where another takes its place, that is still to come.
    fn gone<B: Backend>(&mut self, cx: &Context<'_, B>, event: &Event) -> Result<(), CliError> {
        let found = Found::look(cx)?;
        let named = |spec: &ContainerSpec| spec.name.as_str() == event.name;
        if found.is_over(named) {
            self.waited.remove(&event.name);
        }
        self.over = self.waited.is_empty() && found.is_over(|spec| self.is_ours(spec));
        Ok(())
    }

    fn is_ours(&self, spec: &ContainerSpec) -> bool {
        match &self.only {
            Some(only) => spec.name.as_str() == only,
            None => self.services.is_empty() || self.services.contains(&spec.service),
        }
    }

    /// The name as it stands before log lines.
    fn label(&self, name: &str) -> String {
        let short = name.strip_prefix(self.project.as_str()).and_then(|rest| rest.strip_prefix(['-', '_']));
        short.unwrap_or(name).to_owned()
    }
}
