//! Which names the embedded name server answers with, and for whom.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

use super::sandbox::Live;
use super::{Machine, MachineError};
use crate::desired::{ContainerSpec, Desired};
use crate::host::container::Sandbox;
use crate::host::container::protocol::Part;
use crate::host::ledger::container as ledger;
use crate::host::net::dns::{Host, Sockets, Table, View};
use crate::name::{ContainerId, NetworkName};

/// Which tables of names were asked for and which were made.
#[derive(Default)]
pub struct Naming {
    wanted: AtomicU64,
    made: Mutex<u64>,
    declared: std::sync::Mutex<Declared>,
}

/// What is declared has its names even while nothing of it is there: nobody else is to be asked for them.
#[derive(Default)]
struct Declared {
    generation: u64,
    hosts: Vec<Host>,
}

impl Machine {
    /// Answers a container from now on, on the sockets inside its network namespace.
    pub(super) fn answer(&self, id: &ContainerId, spec: &ContainerSpec, sandbox: &Sandbox) -> Result<(), MachineError> {
        let (Some(udp), Some(tcp)) = (sandbox.get(&Part::DnsUdp), sandbox.get(&Part::DnsTcp)) else { return Ok(()) };
        if spec.endpoints.is_empty() {
            return Ok(());
        }
        let copy = |fd: &OwnedFd| -> io::Result<OwnedFd> { fd.try_clone() };
        let failed = |e| MachineError::file("use the name server's sockets of", spec.name.as_str())(e);
        let sockets = Sockets { udp: copy(udp).map_err(failed)?.into(), tcp: copy(tcp).map_err(failed)?.into() };
        let mut internal = BTreeSet::new();
        for endpoint in &spec.endpoints {
            if self.net.network_now(&endpoint.network)?.is_some_and(|network| network.internal) {
                internal.insert(&endpoint.network);
            }
        }
        let is_internal = |name: &NetworkName| internal.contains(name);
        self.names.serve(id.clone(), sockets, View::of(spec, is_internal)).map_err(failed)
    }

    /// Takes in the names of a state that is declared; whether they are to be told.
    pub(super) fn declare_names(&self, desired: &Desired) -> bool {
        let mut declared = self.naming.declared.lock().unwrap_or_else(PoisonError::into_inner);
        if declared.generation == desired.generation {
            return false;
        }
        let nobody = ContainerId::default();
        let hosts = desired.containers.values().flat_map(|one| Host::of(&nobody, &one.spec, false));
        let hosts =
            hosts.map(|host| Host { names: host.names.into_iter().filter(|name| !name.is_empty()).collect(), ..host });
        let hosts: Vec<Host> = hosts.collect();
        let news = hosts != declared.hosts;
        *declared = Declared { generation: desired.generation, hosts };
        news
    }

    /// Makes the table of names anew, from what runs: our own containers, and those of other projects on networks that we
    /// share with them.
    ///
    /// Many containers come and go at once: those that come while a table is being made share the next one.
    pub(super) async fn refresh_names(&self) {
        let wanted = self.naming.wanted.fetch_add(1, Ordering::SeqCst) + 1;
        let mut made = self.naming.made.lock().await;
        if *made >= wanted {
            return;
        }
        let all = self.naming.wanted.load(Ordering::SeqCst);
        self.make_names().await;
        *made = all;
    }

    async fn make_names(&self) {
        let mut hosts = self.naming.declared.lock().unwrap_or_else(PoisonError::into_inner).hosts.clone();
        let lives = self.live.read().await;
        for (id, live) in lives.iter() {
            hosts.extend(Host::of(id, &live.spec, runs(live).await));
        }
        let foreign = self.net.endpoints_now(|id| lives.contains_key(id)).unwrap_or_default();
        for endpoint in foreign.into_iter().filter(|endpoint| endpoint.project != self.project) {
            // It has its address for as long as it is on the network: nobody tells us when its process starts.
            let id = endpoint.container;
            if let Ok(Some(made)) = ledger::made(&self.paths, &id) {
                let mut known = Host::of(&id, &made.spec, true);
                known.retain(|host| host.network == endpoint.spec.network);
                hosts.extend(known);
            }
        }
        self.names.publish(Table::new(hosts));
    }
}

async fn runs(live: &Live) -> bool {
    live.running.read().await.is_some()
}
