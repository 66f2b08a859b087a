//! Whether a container can have its ports of the host, before anything is tried.

use std::net::{IpAddr, Ipv4Addr};

use super::fate::{Fate, Fates, Move};
use crate::desired::{DesiredContainer, PortSpec, Target};
use crate::observed::{Observed, ObservedContainer, ObservedPort, PortHolder};

/// Why a container can't have its ports, each that it can't have; `None` where it can, or has them all.
pub fn blocked(observed: &Observed, declared: &DesiredContainer, fates: &Fates) -> Option<String> {
    if !matches!(declared.target, Target::Running | Target::Paused) {
        return None;
    }
    let own = observed.containers.values().find(|c| c.spec.name == declared.spec.name);
    let wanted = declared.spec.ports.iter().filter(|port| !own.is_some_and(|c| c.ports.iter().any(|p| p.fills(port))));
    let reasons: Vec<String> = wanted.filter_map(|port| one(observed, declared, port, fates)).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn one(observed: &Observed, declared: &DesiredContainer, port: &PortSpec, fates: &Fates) -> Option<String> {
    let seen = observed.ports.iter().find(|seen| seen.spec == *port);
    if let Some(address) = port.host_ip.filter(|_| seen.is_some_and(|seen| !seen.local)) {
        return Some(format!(
            "cannot publish on {address}: no link of this machine has that address; publish on one that it has, or on all"
        ));
    }
    if port.published == 0 {
        return None;
    }
    let stays = |c: &&ObservedContainer| {
        let stopped = matches!(fates.fates.get(&c.id), Some(Fate::Goes(_) | Fate::Stays(Some(Move::Stop(_)))));
        c.spec.name != declared.spec.name && !stopped
    };
    let ours: Vec<&ObservedContainer> = observed.containers.values().filter(stays).collect();
    let holder = |number: u16| {
        let wanted = PortSpec { published: number, published_end: number, ..port.clone() };
        ours.iter().find(|c| c.ports.iter().any(|held| held.clashes(&wanted))).map(|c| own(c, fates))
    };
    let taken = |number: u16| seen.and_then(|seen| seen.taken.get(&number)).map(|by| foreign(by.as_ref()));
    let mut reasons = (port.published..=port.published_end).map(|number| holder(number).or_else(|| taken(number)));
    let address = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let (first, last, protocol) = (port.published, port.published_end, port.protocol);
    if first == last {
        let by = reasons.next().flatten()?;
        return Some(format!(
            "port {first}/{protocol} on {address} is already in use by {by}, or publish another port"
        ));
    }
    let none_free = reasons.all(|reason| reason.is_some());
    none_free.then(|| format!("no port from {first} to {last}/{protocol} on {address} is free: give a wider range"))
}

/// Who it is, and what to do about it.
fn own(container: &ObservedContainer, fates: &Fates) -> String {
    let name = &container.spec.name;
    if fates.orphans.contains(name) {
        return format!("{name}, which no service of the files declares: remove it with `--remove-orphans`");
    }
    format!("{name}: stop that")
}

fn foreign(holder: Option<&PortHolder>) -> String {
    let Some(holder) = holder else { return "a process that can't be seen from here: stop that".to_owned() };
    match (&holder.container, &holder.project) {
        (Some(container), Some(project)) => {
            format!("container {container} of project `{project}`: stop that (`windlass -p {project} stop`)")
        }
        (None, Some(project)) => {
            format!("project `{project}` of another windlass (process {}): stop that", holder.pid)
        }
        (_, None) => format!("process {} ({}): stop that", holder.pid, holder.command),
    }
}

impl ObservedPort {
    /// Whether anything is in its way.
    pub fn has_obstacle(&self) -> bool {
        !self.local || !self.taken.is_empty()
    }
}
