//! The namespaces of other containers that one joins (`network_mode: service:…`, `ipc`, `pid`, `uts`). Who is joined may
//! live in another's itself: it is that one who has them.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::sandbox::Live;
use super::{Machine, MachineError};
use crate::desired::{ContainerSpec, Namespaces, NetMode, NsMode};
use crate::host::container::Shim;
use crate::host::container::bundle::{Shared, shared};
use crate::host::container::protocol::Part;
use crate::host::container::record::{self, ProcessRecord};
use crate::host::ledger::{container as ledger, project};
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

/// Somebody whose namespaces are joined.
pub struct Member {
    /// It.
    pub id: ContainerId,
    /// What it is made of.
    pub spec: ContainerSpec,
    of: Of,
}

impl Member {
    /// What this supervisor has of it; `None`: it is another project's.
    pub fn live(&self) -> Option<Arc<Live>> {
        match &self.of {
            Of::This(live) => Some(live.clone()),
            Of::Other(_) => None,
        }
    }
}

enum Of {
    /// This project.
    This(Arc<Live>),
    /// Another one, of this world: its process.
    Other(ProcessRecord),
}

impl Machine {
    /// Those whom a container joins, from the one that it names to the one that has the namespace; `next` says whom each joins.
    ///
    /// # Errors
    /// [`MachineError::NotShared`] when one of them does not run, or they go in a circle.
    pub(super) fn chain(
        &self,
        lives: &Lives,
        spec: &ContainerSpec,
        next: impl Fn(&Namespaces) -> Option<&ContainerName>,
    ) -> Result<Vec<Member>, MachineError> {
        let mut chain: Vec<Member> = Vec::new();
        let mut wanted = next(&spec.namespaces).cloned();
        while let Some(name) = wanted {
            let found = self.member(lives, &name);
            let fresh = found.filter(|found| !chain.iter().any(|known| known.id == found.id));
            let Some(member) = fresh else {
                return Err(MachineError::NotShared(spec.name.clone(), name.to_string().into()));
            };
            wanted = next(&member.spec.namespaces).cloned();
            chain.push(member);
        }
        Ok(chain)
    }

    /// A container that runs, by its name: of this project, else of another one.
    fn member(&self, lives: &Lives, name: &ContainerName) -> Option<Member> {
        if let Some((id, live)) = lives.iter().find(|(_, live)| live.spec.name == *name) {
            return Some(Member { id: id.clone(), spec: live.spec.clone(), of: Of::This(live.clone()) });
        }
        for id in project::every_container(&self.paths).ok()? {
            if let Ok(Some(made)) = ledger::made(&self.paths, &id)
                && made.spec.name == *name
                && made.spec.project != self.project
                && let Ok(Some(process)) = record::living(&self.paths.container_run(&id))
            {
                return Some(Member { id, spec: made.spec, of: Of::Other(process) });
            }
        }
        None
    }

    /// The namespaces of a container: whoever joins one that lives in the host's lives there too.
    pub(super) async fn joined(&self, spec: &ContainerSpec) -> Result<Namespaces, MachineError> {
        let lives = self.live.read().await;
        let mut namespaces = spec.namespaces.clone();
        let last = |chain: Vec<Member>| chain.into_iter().last();
        if last(self.chain(&lives, spec, net)?).is_some_and(|owner| owner.spec.namespaces.net == NetMode::Host) {
            namespaces.net = NetMode::Host;
        }
        if last(self.chain(&lives, spec, ipc)?).is_some_and(|owner| owner.spec.namespaces.ipc == NsMode::Host) {
            namespaces.ipc = NsMode::Host;
        }
        if last(self.chain(&lives, spec, uts)?).is_some_and(|owner| owner.spec.namespaces.uts == NsMode::Host) {
            namespaces.uts = NsMode::Host;
        }
        Ok(namespaces)
    }

    /// A part of what a container of another project has: its shim gives it to whoever may talk to it.
    async fn part_of_other(&self, other: &Member, kind: Shared) -> Option<OwnedFd> {
        let shim = Shim::visit(&self.paths.container_run(&other.id)).await.ok()?;
        let mut sandbox = shim.sandbox(&other.spec.namespaces, other.spec.shm_size).await.ok()?;
        sandbox.remove(&part(kind)?)
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
            let chain = self.chain(&lives, spec, next)?;
            let (named, owner) = (chain.first(), chain.last());
            let has = if kind == Shared::Pid { named } else { owner };
            let part = match has {
                Some(Member { of: Of::This(live), .. }) if kind == Shared::Pid => pid_namespace(live).await,
                Some(Member { of: Of::This(live), .. }) => part(kind).and_then(|part| live.part(part)),
                Some(Member { of: Of::Other(process), .. }) if kind == Shared::Pid => namespace_of(process),
                Some(other) => self.part_of_other(other, kind).await,
                None => None,
            };
            let name = || named.map(|member| member.spec.name.to_string()).unwrap_or_default();
            let part = part.ok_or_else(|| MachineError::NotShared(spec.name.clone(), name().into()))?;
            found.insert(kind, part);
        }
        Ok(found)
    }
}

async fn pid_namespace(live: &Live) -> Option<OwnedFd> {
    namespace_of(&live.running.read().await.as_ref()?.process)
}

fn namespace_of(process: &ProcessRecord) -> Option<OwnedFd> {
    let opened = File::open(format!("/proc/{}/ns/pid", process.pid)).ok()?;
    // It is still the process that was recorded, so that is whose this is.
    record::is_same(process.pid, process.ticks).then(|| opened.into())
}

/// The part of a sandbox that it is; a process namespace is none.
fn part(kind: Shared) -> Option<Part> {
    Some(match kind {
        Shared::Net => Part::Net,
        Shared::Ipc => Part::Ipc,
        Shared::Shm => Part::Shm,
        Shared::Uts => Part::Uts,
        Shared::Pid => return None,
    })
}
