//! Desired states and worlds for tests, in few words.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::desired::{
    Condition, ContainerSpec, Dependency, Desired, DesiredContainer, EndpointSpec, HealthSpec, ImageSpec, MountSource,
    MountSpec, NetworkSpec, PortSpec, Protocol, RestartPolicy, SCHEMA, Source, Stamp, StopSpec, Target, VolumeSpec,
};
use crate::name::{NetworkName, VolumeName};
use crate::observed::{Health, Observed, ObservedContainer, ObservedNetwork, ObservedVolume, State};

/// The moment `millis` after the boot of these tests.
pub fn at(millis: u64) -> Stamp {
    Stamp { boot: "boot".into(), nanos: millis * 1_000_000, wall: millis * 1_000_000 }
}

/// An empty project `app` of generation 1, applied at second 10.
pub fn project() -> Desired {
    Desired {
        schema: SCHEMA,
        project: "app".into(),
        generation: 1,
        made_by: String::new(),
        applied: at(10_000),
        source: Source::default(),
        services: Default::default(),
        off: Default::default(),
        remove_orphans: false,
        ignore_orphans: false,
        grace: None,
        networks: BTreeMap::new(),
        volumes: BTreeMap::new(),
        remove_volumes: Default::default(),
        remove_containers: Default::default(),
        leaving: Default::default(),
        containers: BTreeMap::new(),
        providers: Default::default(),
        asked: None,
    }
}

/// Adds a service of so many replicas on the network `app_default`; `with` changes each.
pub fn service(desired: &mut Desired, name: &str, replicas: u32, with: impl Fn(&mut DesiredContainer)) {
    desired.services.insert(name.into());
    network(desired, "app_default");
    for number in 1..=replicas {
        let mut container = container(name, number);
        with(&mut container);
        container.hash = container.spec.hash();
        desired.containers.insert(container.spec.name.clone(), container);
    }
}

/// Adds a network of the project.
pub fn network(desired: &mut Desired, name: &str) {
    let spec = NetworkSpec {
        name: name.into(),
        key: name.trim_start_matches("app_").into(),
        project: Some("app".into()),
        ..NetworkSpec::default()
    };
    desired.networks.entry(NetworkName::from(name)).or_insert(spec);
}

/// Adds a volume of the project.
pub fn volume(desired: &mut Desired, name: &str) {
    let spec =
        VolumeSpec { name: name.into(), project: Some("app".into()), driver: "local".into(), ..VolumeSpec::default() };
    desired.volumes.insert(VolumeName::from(name), spec);
}

fn container(service: &str, number: u32) -> DesiredContainer {
    let spec = ContainerSpec {
        name: format!("app-{service}-{number}").into(),
        project: "app".into(),
        service: service.into(),
        number,
        image: ImageSpec { name: format!("{service}:1"), id: format!("sha256:{service}").into(), ..Default::default() },
        argv: vec!["/bin/server".into()],
        endpoints: vec![EndpointSpec { network: "app_default".into(), ..EndpointSpec::default() }],
        ..ContainerSpec::default()
    };
    DesiredContainer {
        hash: spec.hash(),
        spec,
        target: Target::Running,
        depends_on: Vec::new(),
        restart: RestartPolicy::No,
        health: None,
        stop: StopSpec::default(),
        recreate_before: None,
        restart_before: None,
        start_before: None,
        keep_different: false,
        auto_remove: false,
        pre_start: Vec::new(),
        prepares: false,
        restart_pace: Default::default(),
    }
}

/// A required dependency without `restart`.
pub fn needs(service: &str, condition: Condition) -> Dependency {
    Dependency { service: service.into(), condition, restart: false, required: true }
}

/// A health check every second, three failures of which count.
pub fn health() -> HealthSpec {
    HealthSpec {
        argv: vec!["/bin/check".into()],
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        retries: 3,
        start_period: Duration::ZERO,
        start_interval: Duration::from_secs(5),
    }
}

/// A mount of a volume at `/data`.
pub fn mount(volume: &str) -> MountSpec {
    let source = MountSource::Volume { name: volume.into(), subpath: String::new(), copy: true };
    MountSpec { target: "/data".into(), source, read_only: false }
}

/// A published TCP port.
pub fn port(number: u16) -> PortSpec {
    PortSpec { host_ip: None, published: number, published_end: number, target: 80, protocol: Protocol::Tcp }
}

/// The world in which all of `desired` exists and runs, and is healthy where it has a check: made at second 11, started
/// at second 12.
pub fn reached(desired: &Desired) -> Observed {
    let mut observed = Observed::default();
    for (name, spec) in &desired.networks {
        let network = ObservedNetwork {
            spec: spec.clone(),
            present: true,
            lost: Default::default(),
            endpoints: Default::default(),
        };
        observed.networks.insert(name.clone(), network);
    }
    for (name, spec) in &desired.volumes {
        observed.volumes.insert(name.clone(), ObservedVolume { spec: spec.clone(), others: Vec::new() });
    }
    for container in desired.containers.values() {
        add(&mut observed, container);
    }
    observed
}

fn add(observed: &mut Observed, container: &DesiredContainer) {
    let id = crate::name::ContainerId::new(format!("id-{}", container.spec.name));
    for endpoint in &container.spec.endpoints {
        if let Some(network) = observed.networks.get_mut(&endpoint.network) {
            network.endpoints.insert(id.clone());
        }
    }
    observed.images.insert(container.spec.image.id.clone());
    let there = ObservedContainer {
        id: id.clone(),
        spec: container.spec.clone(),
        hash: container.hash.clone(),
        created: at(11_000),
        state: State::Running { pid: 1 },
        started: Some(at(12_000)),
        health: if container.health.is_some() { Health::Healthy } else { Health::None },
        restarts: 0,
        streak: 0,
        sandbox: true,
        lost: Default::default(),
        ports: container.spec.ports.clone(),
        hooks: Default::default(),
    };
    observed.containers.insert(id, there);
}
