//! The drafts get their addresses and are joined with what is carried over from the last state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::address::{AddressError, Pool};
use super::container::Draft;
use super::network::{self, Networks};
use super::{Compiler, Problems, Recreate, Verb, label, volume};
use crate::desired::changes::port;
use crate::desired::{
    Condition, Dependency, Desired, DesiredContainer, Driver, MountSource, NetworkSpec, PortSpec, Protocol, SCHEMA,
    Target,
};
use crate::name::{ContainerName, NetworkName, ServiceName};

/// The desired state: the drafts, and of the last state what `selected` does not cover.
pub fn join(
    compiler: &Compiler<'_>,
    selected: &BTreeSet<ServiceName>,
    mut drafts: Vec<Draft>,
    problems: &mut Problems,
) -> Desired {
    let mut desired = empty(compiler);
    carry(compiler, selected, &mut desired);
    let mut networks = needed_networks(compiler, &drafts, &mut desired, problems);
    let moved = addresses(&mut drafts, &mut networks.pools, problems);
    bind_ports(&mut drafts, &networks.specs);
    without_bridge(&mut drafts, &networks.specs, problems);
    desired.networks.append(&mut networks.specs);
    let mut of_service = BTreeMap::new();
    for Draft { mut container, anonymous, .. } in drafts {
        for volume in volume::volumes(compiler, &container.spec, problems) {
            desired.volumes.entry(volume.name.clone()).or_insert(volume);
        }
        for volume in anonymous {
            desired.volumes.insert(volume.name.clone(), volume);
        }
        container.hash = container.spec.hash();
        hash_label(&mut container, &mut of_service);
        decide(compiler, &mut container);
        if moved.contains(&container.spec.name) {
            // Its address is part of no hash, but somebody else has it now.
            container.recreate_before = Some(compiler.request.now.clone());
        }
        let service = container.spec.service.clone();
        // What the files no longer declare gives its name away.
        let held = desired.containers.insert(container.spec.name.clone(), container);
        if let Some(other) = held.filter(|other| !desired.is_undeclared(other)) {
            let message =
                format!("`{}` is the name of a container of service `{}` too", other.spec.name, other.spec.service);
            problems.add(format!("services.{service}.container_name"), message);
        }
    }
    desired.asked = asked(compiler, selected, &desired);
    clashes(&desired, problems);
    healthless(&desired, selected, problems);
    desired
}

fn empty(compiler: &Compiler<'_>) -> Desired {
    let request = compiler.request;
    let previous = request.previous.as_ref();
    let whole = request.services.is_empty() && compiler.run().is_none();
    let mut services: BTreeSet<ServiceName> = compiler.project.services.keys().cloned().collect();
    if !whole {
        // The project may hold only what was named: the others are declared as before, and no orphans.
        services.extend(previous.iter().flat_map(|previous| &previous.services).cloned());
    }
    Desired {
        schema: SCHEMA,
        project: compiler.project.name.clone(),
        generation: previous.map_or(1, |previous| previous.generation + 1),
        made_by: String::new(),
        applied: match previous {
            // Containers that were not named are not started again: theirs is the moment of before.
            Some(previous) if !whole || request.verb == Verb::Create => previous.applied.clone(),
            _ => request.now.clone(),
        },
        source: request.source.clone(),
        off: request.off.difference(&services).cloned().collect(),
        services,
        remove_orphans: request.remove_orphans,
        ignore_orphans: request.ignore_orphans,
        grace: request.timeout,
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        remove_volumes: BTreeSet::new(),
        remove_containers: BTreeSet::new(),
        leaving: BTreeMap::new(),
        containers: BTreeMap::new(),
        providers: Default::default(),
        asked: None,
    }
}

/// The containers that are asked for, with what they depend on; `None`: all.
fn asked(
    compiler: &Compiler<'_>,
    selected: &BTreeSet<ServiceName>,
    desired: &Desired,
) -> Option<BTreeSet<ContainerName>> {
    let run = compiler.run();
    if run.is_none() && compiler.request.services.is_empty() {
        let all = || desired.containers.iter().filter(|(_, container)| !desired.is_undeclared(container));
        let beside = all().count() < desired.containers.len();
        return beside.then(|| all().map(|(name, _)| name.clone()).collect());
    }
    let oneoff = run.map(|run| compiler.oneoff_name(run));
    let is_asked = |name: &ContainerName, container: &DesiredContainer| match run {
        Some(run) if run.service == container.spec.service => oneoff.as_ref() == Some(name) || container.prepares,
        _ => selected.contains(&container.spec.service) && (!container.spec.oneoff || container.prepares),
    };
    let asked = desired.containers.iter().filter(|(name, container)| is_asked(name, container));
    Some(asked.map(|(name, _)| name.clone()).collect())
}

/// Takes over, as they are, the containers of services that are not touched, those of `run`, and, unless they are to be removed,
/// those of services that the files no longer have.
fn carry(compiler: &Compiler<'_>, selected: &BTreeSet<ServiceName>, desired: &mut Desired) {
    let run = compiler.run().map(|run| &run.service);
    for (name, container) in compiler.request.previous.iter().flat_map(|previous| &previous.containers) {
        let service = &container.spec.service;
        let untouched = !selected.contains(service) || run == Some(service);
        let of_run = container.spec.oneoff && !container.prepares;
        let declared = desired.services.contains(service) || desired.off.contains(service);
        if of_run || (untouched && (declared || !desired.remove_orphans)) {
            let mut container = container.clone();
            if of_run && compiler.run().is_none() {
                // It is run once: an `up` never starts it again.
                container.target = Target::Created;
            }
            desired.containers.insert(name.clone(), container);
        }
    }
    let volumes = compiler.request.previous.iter().flat_map(|previous| &previous.volumes);
    let used: BTreeSet<_> =
        desired.containers.values().flat_map(|one| &one.spec.mounts).filter_map(volume_of).collect();
    let kept = volumes.filter(|(name, _)| used.contains(name)).map(|(name, volume)| (name.clone(), volume.clone()));
    desired.volumes = kept.collect();
}

fn volume_of(mount: &crate::desired::MountSpec) -> Option<&crate::name::VolumeName> {
    match &mount.source {
        MountSource::Volume { name, .. } => Some(name),
        _ => None,
    }
}

/// The networks of the drafts and of what is carried over. One that the file no longer has is kept as it was.
fn needed_networks(
    compiler: &Compiler<'_>,
    drafts: &[Draft],
    desired: &mut Desired,
    problems: &mut Problems,
) -> Networks {
    let mut needed: BTreeMap<(String, NetworkName), usize> = BTreeMap::new();
    for attachment in drafts.iter().flat_map(|draft| &draft.attachments) {
        *needed.entry((attachment.key.clone(), attachment.network.clone())).or_default() += 1;
    }
    let previous = compiler.request.previous.iter();
    let old: BTreeMap<_, _> = previous.flat_map(|previous| &previous.networks).collect();
    for endpoint in desired.containers.values().flat_map(|container| &container.spec.endpoints) {
        let Some(spec) = old.get(&endpoint.network) else { continue };
        let place = (spec.key.clone(), spec.name.clone());
        let declared = compiler.project.networks.get(&spec.key).is_some_and(|network| network.name == *spec.name);
        if needed.contains_key(&place) || declared {
            *needed.entry(place).or_default() += 1;
        } else {
            desired.networks.insert(spec.name.clone(), (*spec).clone());
        }
    }
    let kept = desired.networks.keys().cloned().collect();
    network::networks(compiler, &needed, &kept, problems)
}

/// Gives every endpoint its addresses: first those that the file fixes, then those that containers had, then new ones.
/// Returns the containers that had to give theirs up.
fn addresses(
    drafts: &mut [Draft],
    pools: &mut BTreeMap<NetworkName, Pool>,
    problems: &mut Problems,
) -> BTreeSet<ContainerName> {
    let own: BTreeSet<ContainerName> = drafts.iter().map(|draft| draft.container.spec.name.clone()).collect();
    let mut moved = BTreeSet::new();
    for draft in drafts.iter_mut() {
        let spec = &mut draft.container.spec;
        for (endpoint, attachment) in spec.endpoints.iter_mut().zip(&draft.attachments) {
            let Some(pool) = pools.get_mut(&endpoint.network) else { continue };
            let path = format!("services.{}.networks.{}", spec.service, attachment.key);
            let wanted = [endpoint.ipv4.map(IpAddr::V4), endpoint.ipv6.map(IpAddr::V6)];
            for address in wanted.into_iter().flatten() {
                let key = if address.is_ipv4() { "ipv4_address" } else { "ipv6_address" };
                match pool.fix(&spec.name, address, &own) {
                    Ok(holder) => moved.extend(holder),
                    // The service itself has it: the container of `run` takes another.
                    Err(AddressError::Taken { .. }) if spec.oneoff && address.is_ipv4() => endpoint.ipv4 = None,
                    Err(AddressError::Taken { .. }) if spec.oneoff => endpoint.ipv6 = None,
                    Err(error) => problems.add(format!("{path}.{key}"), error),
                }
            }
            endpoint.fixed = endpoint.ipv4.is_some() || endpoint.ipv6.is_some();
        }
    }
    for draft in drafts {
        let spec = &mut draft.container.spec;
        for (endpoint, attachment) in spec.endpoints.iter_mut().zip(&draft.attachments) {
            let Some(pool) = pools.get_mut(&endpoint.network) else { continue };
            let path = format!("services.{}.networks.{}", spec.service, attachment.key);
            if endpoint.ipv4.is_none() {
                endpoint.ipv4 = problems.take(&path, pool.lend_v4(&spec.name)).flatten();
            }
            if endpoint.ipv6.is_none() {
                endpoint.ipv6 = problems.take(&path, pool.lend_v6(&spec.name)).flatten();
            }
        }
    }
    moved
}

/// Ports without an address are published on the one that their network names (`host_binding_ipv4`).
fn bind_ports(drafts: &mut [Draft], networks: &BTreeMap<NetworkName, NetworkSpec>) {
    for draft in drafts {
        let spec = &mut draft.container.spec;
        let outward = spec.endpoints.iter().filter_map(|endpoint| {
            let network = networks.get(&endpoint.network).filter(|network| !network.internal)?;
            Some((endpoint.rank(), network))
        });
        // The network of the default route is the one over which ports are reached.
        let way_in = outward.min_by_key(|(rank, _)| *rank).and_then(|(_, network)| network.host_binding);
        for port in spec.ports.iter_mut().filter(|port| port.host_ip.is_none()) {
            port.host_ip = way_in;
        }
    }
}

/// What a network without a bridge cannot have: its containers are reached by their own addresses, so ports of one that is on no
/// other network are not published, nor those of one that is on internal networks only, as in docker (`compose::support`
/// tells); and an ipvlan has no hardware address of its own.
fn without_bridge(drafts: &mut [Draft], networks: &BTreeMap<NetworkName, NetworkSpec>, problems: &mut Problems) {
    for draft in drafts {
        let spec = &mut draft.container.spec;
        let driver = |name: &NetworkName| networks.get(name).map(|network| &network.driver);
        let no_way_in = |network: &NetworkSpec| network.internal || network.driver.parent().is_some();
        let mut on = spec.endpoints.iter().map(|endpoint| networks.get(&endpoint.network));
        if !spec.endpoints.is_empty() && on.all(|network| network.is_some_and(no_way_in)) {
            spec.ports.clear();
        }
        for (endpoint, attachment) in spec.endpoints.iter().zip(&draft.attachments) {
            if endpoint.mac.is_some() && matches!(driver(&endpoint.network), Some(Driver::Ipvlan { .. })) {
                let path = match attachment.place.mac_address {
                    Some(_) => format!("services.{}.networks.{}.mac_address", spec.service, attachment.key),
                    None => format!("services.{}.mac_address", spec.service),
                };
                problems.add(path, "an ipvlan has the hardware address of its parent: use driver `macvlan`");
            }
        }
    }
}

/// The label with the hash, which is the same for all replicas of a service: the first one's.
fn hash_label(container: &mut DesiredContainer, of_service: &mut BTreeMap<ServiceName, String>) {
    let own = &container.hash;
    let hash = match container.spec.oneoff {
        true => own,
        false => of_service.entry(container.spec.service.clone()).or_insert_with(|| own.clone()),
    };
    label::hashed(&mut container.spec.labels, hash);
}

/// What the verb says of a container: its target, and whether it is made anew.
fn decide(compiler: &Compiler<'_>, container: &mut DesiredContainer) {
    let request = compiler.request;
    let now = || Some(request.now.clone());
    let named = request.services.is_empty() || request.services.contains(&container.spec.service);
    let anew = if named { request.recreate == Recreate::Always } else { request.recreate_deps };
    if anew {
        container.recreate_before = now();
    }
    container.keep_different = request.recreate == Recreate::Never;
    container.start_before = now();
    if request.verb == Verb::Create {
        let before = request.previous.as_ref().and_then(|previous| previous.containers.get(&container.spec.name));
        let stays = before.filter(|before| before.hash == container.hash && container.recreate_before.is_none());
        // `create` starts nothing, and takes its supervision from nothing that runs.
        container.target = stays.map_or(Target::Created, |before| before.target);
        container.start_before = stays.and_then(|before| before.start_before.clone());
    }
}

/// Tells every dependency that could never be met: on the health of what has no health check.
fn healthless(desired: &Desired, selected: &BTreeSet<ServiceName>, problems: &mut Problems) {
    let without: BTreeSet<&ServiceName> = desired
        .containers
        .values()
        .filter(|one| one.health.is_none() && !one.spec.oneoff)
        .map(|one| &one.spec.service)
        .collect();
    for container in desired.containers.values().filter(|one| selected.contains(&one.spec.service)) {
        let wants = |edge: &&Dependency| edge.required && edge.condition == Condition::ServiceHealthy;
        for edge in container.depends_on.iter().filter(wants).filter(|edge| without.contains(&edge.service)) {
            let (service, other) = (&container.spec.service, &edge.service);
            let path = format!("services.{service}.depends_on.{other}.condition");
            let message =
                format!("waits for `{other}` to be healthy, but `{other}` has no health check, nor has its image");
            problems.add_with_help(path, message, format!("give `{other}` a `healthcheck`, or use `service_started`"));
        }
    }
}

fn one_is_oneoff(one: &DesiredContainer, other: &DesiredContainer) -> bool {
    one.spec.oneoff || other.spec.oneoff
}

/// Tells every port of the host that two containers would publish.
fn clashes(desired: &Desired, problems: &mut Problems) {
    let mut holders: BTreeMap<(Protocol, u16), Vec<(&DesiredContainer, &PortSpec)>> = BTreeMap::new();
    // Of a port that an orphan has, the plan tells: this is told of the files.
    let publishes = |one: &&DesiredContainer| one.target != Target::Stopped && !desired.is_undeclared(one);
    for container in desired.containers.values().filter(publishes) {
        for (index, one) in container.spec.ports.iter().enumerate() {
            if one.published == 0 || one.published != one.published_end {
                continue;
            }
            let list = holders.entry((one.protocol, one.published)).or_default();
            let clash = list.iter().find(|(_, other)| one.clashes(other));
            if let Some((other, _)) = clash {
                let path = format!("services.{}.ports[{index}]", container.spec.service);
                let (first, second) = (&other.spec.service, &container.spec.service);
                if one_is_oneoff(container, other) {
                    problems.add_with_help(
                        path,
                        format!("host port {} is published by {} already", port(one), other.spec.name),
                        "leave `-P` (`--service-ports`) out, or publish another port with `-p HOST:CONTAINER`",
                    );
                } else if first == second && other.spec.name != container.spec.name {
                    let help = format!(
                        "publish a range to pick from, as `{0}-{1}:{2}`, or only `{2}`",
                        one.published,
                        one.published.saturating_add(9),
                        one.target
                    );
                    problems.add_with_help(
                        path,
                        format!("containers of `{second}` cannot share host port {}", port(one)),
                        help,
                    );
                } else {
                    problems.add(
                        path,
                        format!("host port {}/{} is published by service `{first}` too", one.published, one.protocol),
                    );
                }
            }
            list.push((container, one));
        }
    }
}
