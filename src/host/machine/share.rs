//! The namespaces of other containers that one joins (`network_mode: service:…`, `ipc`, `pid`, `uts`). Who is joined may
//! live in another's itself: it is that one who has them.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::sandbox::Live;
use super::{Machine, MachineError};
use crate::desired::{ContainerSpec, Namespaces, NetMode, NsMode};
use crate::host::container::bundle::{Shared, shared};
use crate::host::container::protocol::Part;
use crate::name::{ContainerId, ContainerName};

/// The containers that have a shim.
type Lives = BTreeMap<ContainerId, Arc<Live>>;

/// The container whose network a container joins, if it joins one.
pub fn net(namespaces: &Namespaces) -> Option<&ContainerName> {
    match &namespaces.net {
        NetMode::Container(name) => Some(name),
        _ => None,
    }
}

fn ipc(namespaces: &Namespaces) -> Option<&ContainerName> {
    named(&namespaces.ipc)
}

fn uts(namespaces: &Namespaces) -> Option<&ContainerName> {
    named(&namespaces.uts)
}

fn pid(namespaces: &Namespaces) -> Option<&ContainerName> {
    named(&namespaces.pid)
}

fn named(mode: &NsMode) -> Option<&ContainerName> {
    match mode {
        NsMode::Container(name) => Some(name),
        _ => None,
    }
}

/// Those whom a container joins, from the one that it names to the one that has the namespace; `next` says whom each joins.
///
/// # Errors
/// [`MachineError::NotShared`] when one of them does not run, or they go in a circle.
pub fn chain(
    lives: &Lives,
    spec: &ContainerSpec,
    next: impl Fn(&Namespaces) -> Option<&ContainerName>,
) -> Result<Vec<(ContainerId, Arc<Live>)>, MachineError> {
    let mut chain: Vec<(ContainerId, Arc<Live>)> = Vec::new();
    let mut wanted = next(&spec.namespaces).cloned();
    while let Some(name) = wanted {
        let found = lives.iter().find(|(_, live)| live.spec.name == name);
        let fresh = found.filter(|(id, _)| !chain.iter().any(|(known, _)| known == *id));
        let Some((id, live)) = fresh else {
            return Err(MachineError::NotShared(spec.name.clone(), name.to_string().into()));
        };
        chain.push((id.clone(), live.clone()));
        wanted = next(&live.spec.namespaces).cloned();
    }
    Ok(chain)
}

impl Machine {
    /// The namespaces of a container: whoever joins one that lives in the host's lives there too.
    pub(super) async fn joined(&self, spec: &ContainerSpec) -> Result<Namespaces, MachineError> {
        let lives = self.live.read().await;
        let mut namespaces = spec.namespaces.clone();
        let last = |chain: Vec<(ContainerId, Arc<Live>)>| chain.into_iter().last().map(|(_, owner)| owner);
        if last(chain(&lives, spec, net)?).is_some_and(|owner| owner.spec.namespaces.net == NetMode::Host) {
            namespaces.net = NetMode::Host;
        }
        if last(chain(&lives, spec, ipc)?).is_some_and(|owner| owner.spec.namespaces.ipc == NsMode::Host) {
            namespaces.ipc = NsMode::Host;
        }
        if last(chain(&lives, spec, uts)?).is_some_and(|owner| owner.spec.namespaces.uts == NsMode::Host) {
            namespaces.uts = NsMode::Host;
        }
        Ok(namespaces)
    }

    /// The namespaces of other containers that this one joins.
    pub(super) async fn shared(&self, spec: &ContainerSpec) -> Result<BTreeMap<Shared, OwnedFd>, MachineError> {
        let lives = self.live.read().await;
        let mut found = BTreeMap::new();
        for kind in shared(&spec.namespaces) {
            let next: fn(&Namespaces) -> Option<&ContainerName> = match kind {
                Shared::Net => net,
                Shared::Ipc | Shared::Shm => ipc,
                Shared::Uts => uts,
                // Whoever is named is in that namespace, whoever's it is.
                Shared::Pid => pid,
            };
            let chain = chain(&lives, spec, next)?;
            let (named, owner) = (chain.first(), chain.last());
            let part = match (kind, named, owner) {
                (Shared::Pid, Some((_, named)), _) => pid_namespace(named).await,
                (_, _, Some((_, owner))) => part(owner, kind),
                _ => None,
            };
            let name = || named.map(|(_, live)| live.spec.name.to_string()).unwrap_or_default();
            let part = part.ok_or_else(|| MachineError::NotShared(spec.name.clone(), name().into()))?;
            found.insert(kind, part);
        }
        Ok(found)
    }
}

async fn pid_namespace(live: &Live) -> Option<OwnedFd> {
    let pid = live.running.read().await.as_ref()?.process.pid;
    Some(File::open(format!("/proc/{pid}/ns/pid")).ok()?.into())
}

/// A part of what the owner of a namespace has.
fn part(owner: &Live, kind: Shared) -> Option<OwnedFd> {
    owner.part(match kind {
        Shared::Net => Part::Net,
        Shared::Ipc => Part::Ipc,
        Shared::Shm => Part::Shm,
        Shared::Uts => Part::Uts,
        Shared::Pid => return None,
    })
}
