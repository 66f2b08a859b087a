//! Watching what others do to the networks, and putting back what they take away inside a container.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::error::{Context, Result};
use super::events::{Events, Redirect, Routes};
use super::firewall::Firewall;
use super::{Net, inside, lock};
use crate::desired::EndpointSpec;
use crate::name::{ContainerId, ProjectName};

impl Net {
    /// To be told before a container's network namespace goes: the kernel takes its links along, which is nobody else's deed.
    /// On the calling thread.
    pub fn leaving(&self, container: &ContainerId) {
        // What can't be read is told as somebody else's deed: an event too many does no harm.
        let endpoints = self.shared.machine.records.endpoints_of(container).unwrap_or_default();
        self.shared.machine.links.leaving(endpoints.iter().map(|endpoint| endpoint.attached.link.as_str()));
    }

    /// What others do to our links, to the rules of the networks and to those of a project, from now on. Must be called
    /// inside the run time.
    ///
    /// # Errors
    /// When the kernel can't be listened to.
    pub fn events(&self, project: &ProjectName) -> Result<Events> {
        let names = &self.shared.machine.names;
        let machine = &self.shared.machine;
        Events::open([names.networks(), names.project(project)], machine.group, Arc::clone(&machine.links))
    }

    /// Whether other firewalls filter what comes in otherwise than when the ways to a project's ports were chosen: then
    /// [`Net::republish_all`] chooses anew.
    ///
    /// # Errors
    /// When the rules can't be read.
    pub async fn ways_are_outdated(&self, project: &ProjectName) -> Result<bool> {
        let project = project.clone();
        self.run(move |shared| {
            let publishers = lock(&shared.publishers);
            let Some(publisher) = publishers.get(&project).filter(|one| !one.publications().is_empty()) else {
                return Ok(false);
            };
            let firewall = Firewall::read().context("read", "the rules of other firewalls")?;
            Ok(publisher.is_outdated(firewall.filters_input()))
        })
        .await
    }

    /// Watches the routes inside a container that may not change them itself. Must be called inside the run time.
    ///
    /// # Errors
    /// When the kernel can't be listened to.
    pub fn watch_routes(
        &self,
        container: &ContainerId,
        endpoints: &[EndpointSpec],
        netns: BorrowedFd<'_>,
    ) -> Result<Routes> {
        Routes::open(netns, self.shared.machine.attached(container, endpoints)?)
    }

    /// Puts back the routes that a container has lost; `netns` is its network namespace.
    ///
    /// # Errors
    /// The kernel's refusals.
    pub async fn restore_routes(
        &self,
        container: &ContainerId,
        endpoints: &[EndpointSpec],
        netns: BorrowedFd<'_>,
    ) -> Result<()> {
        let netns = netns.try_clone_to_owned().context("keep", "the network namespace")?;
        let (container, endpoints) = (container.clone(), endpoints.to_vec());
        self.run(move |shared| {
            let links = shared.machine.attached(&container, &endpoints)?;
            inside::put_back_routes(netns.as_fd(), &links)
        })
        .await
    }

    /// Watches whether a container takes away what [`Net::dns_redirect`] has put in its network namespace. Must be called
    /// inside the run time.
    ///
    /// # Errors
    /// When the kernel can't be listened to.
    pub fn watch_redirect(&self, netns: BorrowedFd<'_>) -> Result<Redirect> {
        Redirect::open(netns)
    }
}
