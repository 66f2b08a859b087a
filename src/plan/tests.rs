#![allow(clippy::unwrap_used)] // a test fails by panicking

mod hooks;
mod network;
mod parts;
mod sharing;
mod undeclared;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::desired::*;
use crate::name::ContainerId;
use crate::observed::{Exit, Health, ObservedContainer, ObservedNetwork, ObservedVolume, State};

fn at(secs: u64) -> Stamp {
    Stamp { boot: "b".into(), nanos: secs * 1_000_000_000, wall: 0 }
}

/// Replica `number` of a service on the network `p_default`.
fn replica(service: &str, number: u32) -> DesiredContainer {
    let spec = ContainerSpec {
        name: format!("p-{service}-{number}").into(),
        project: "p".into(),
        service: service.into(),
        number,
        image: ImageSpec { name: "app:1".into(), id: "sha256:app".into(), ..ImageSpec::default() },
        argv: vec!["serve".into()],
        env: vec!["A=1".into()],
        endpoints: vec![EndpointSpec { network: "p_default".into(), ..EndpointSpec::default() }],
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

fn on(service: &str, condition: Condition) -> Dependency {
    Dependency { service: service.into(), condition, restart: false, required: true }
}

/// A desired state that was applied at second 50.
fn desired(containers: impl IntoIterator<Item = DesiredContainer>) -> Desired {
    let network = NetworkSpec {
        name: "p_default".into(),
        key: "default".into(),
        project: Some("p".into()),
        ..NetworkSpec::default()
    };
    let containers: BTreeMap<_, _> = containers.into_iter().map(|c| (c.spec.name.clone(), c)).collect();
    Desired {
        schema: SCHEMA,
        project: "p".into(),
        generation: 1,
        made_by: String::new(),
        applied: at(50),
        source: Source::default(),
        services: containers.values().map(|c| c.spec.service.clone()).collect(),
        off: Default::default(),
        remove_orphans: false,
        ignore_orphans: false,
        grace: None,
        networks: [(network.name.clone(), network)].into(),
        volumes: BTreeMap::new(),
        remove_volumes: Default::default(),
        remove_containers: Default::default(),
        leaving: Default::default(),
        containers,
        providers: Default::default(),
        asked: None,
    }
}

/// web, which waits for a healthy db.
fn web_and_db() -> Desired {
    let (mut web, mut db) = (replica("web", 1), replica("db", 1));
    web.depends_on = vec![on("db", Condition::ServiceHealthy)];
    db.health = Some(HealthSpec {
        argv: vec!["true".into()],
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        retries: 1,
        start_period: Duration::ZERO,
        start_interval: Duration::from_secs(1),
    });
    desired([web, db])
}

/// A world in which all that is desired has run since second 60, healthy where that is asked.
fn reached(desired: &Desired) -> Observed {
    let mut observed = Observed::default();
    for declared in desired.containers.values() {
        let id = ContainerId::new(format!("id of {}", declared.spec.name));
        let container = ObservedContainer {
            id: id.clone(),
            spec: declared.spec.clone(),
            hash: declared.hash.clone(),
            created: at(60),
            state: State::Running { pid: 1 },
            started: Some(at(60)),
            health: if declared.health.is_some() { Health::Healthy } else { Health::None },
            restarts: 0,
            streak: 0,
            sandbox: true,
            lost: Default::default(),
            ports: Vec::new(),
            hooks: Default::default(),
        };
        observed.containers.insert(id, container);
        observed.images.insert(declared.spec.image.id.clone());
    }
    for (name, spec) in &desired.networks {
        let endpoints = observed.containers.keys().cloned().collect();
        observed.networks.insert(
            name.clone(),
            ObservedNetwork { spec: spec.clone(), present: true, lost: Default::default(), endpoints },
        );
    }
    for (name, spec) in &desired.volumes {
        observed.volumes.insert(name.clone(), ObservedVolume { spec: spec.clone(), others: Vec::new() });
    }
    observed
}

fn of<'a>(observed: &'a mut Observed, service: &str) -> &'a mut ObservedContainer {
    observed.containers.values_mut().find(|c| &*c.spec.service == service).unwrap()
}

fn change(desired: &mut Desired, service: &str, change: impl Fn(&mut ContainerSpec)) {
    for declared in desired.containers.values_mut().filter(|c| &*c.spec.service == service) {
        change(&mut declared.spec);
        declared.hash = declared.spec.hash();
    }
}

fn exited(code: i32, secs: u64) -> State {
    State::Exited(Exit { code, oom: false, at: at(secs), stopped: false, error: None })
}

/// The plan's text at second 100 is this, a line each.
#[track_caller]
fn check(desired: &Desired, observed: &Observed, expected: &[&str]) {
    let plan = plan(desired, observed, &at(100));
    let text = plan.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, expected, "\n{text}");
    for step in &plan.steps {
        assert!(!step.causes.is_empty(), "{step:?} has a cause");
        assert!(step.after.iter().all(|before| before < &step.id), "{step:?} stands after what it comes after");
    }
}

#[test]
fn first_up() {
    check(
        &web_and_db(),
        &Observed::default(),
        &[
            "pull image        app:1      layers are missing",
            "create network    p_default  missing",
            "create container  p-db-1     missing",
            "start container   p-db-1     missing",
            "create container  p-web-1    missing",
            "start container   p-web-1    missing; when db is healthy",
        ],
    );
}

#[test]
fn nothing_to_do() {
    let desired = web_and_db();
    check(&desired, &reached(&desired), &["nothing to do"]);
}

#[test]
fn a_changed_environment_recreates_only_that_one() {
    let mut desired = web_and_db();
    let observed = reached(&desired);
    change(&mut desired, "web", |spec| spec.env = vec!["A=2".into(), "B=secret".into()]);
    check(
        &desired,
        &observed,
        &[
            "stop container    p-web-1  environment.A changed, environment.B added",
            "remove container  p-web-1  environment.A changed, environment.B added",
            "create container  p-web-1  environment.A changed, environment.B added",
            "start container   p-web-1  environment.A changed, environment.B added",
        ],
    );
}

#[test]
fn a_changed_dependency_leaves_its_dependents_alone_unless_they_ask_to_be_restarted() {
    let mut desired = web_and_db();
    let observed = reached(&desired);
    change(&mut desired, "db", |spec| spec.env = vec!["A=2".into()]);
    check(
        &desired,
        &observed,
        &[
            "stop container    p-db-1  environment.A changed",
            "remove container  p-db-1  environment.A changed",
            "create container  p-db-1  environment.A changed",
            "start container   p-db-1  environment.A changed",
        ],
    );
    desired.containers.get_mut("p-web-1").unwrap().depends_on[0].restart = true;
    check(
        &desired,
        &observed,
        &[
            "stop container    p-web-1  dependency db is made anew",
            "stop container    p-db-1   environment.A changed",
            "remove container  p-db-1   environment.A changed",
            "create container  p-db-1   environment.A changed",
            "start container   p-db-1   environment.A changed",
            "start container   p-web-1  dependency db is made anew; when db is healthy",
        ],
    );
}

#[test]
fn what_ended_under_restart_no_stays_down_until_the_next_up() {
    let mut desired = desired([replica("job", 1)]);
    let mut observed = reached(&desired);
    of(&mut observed, "job").state = exited(3, 70);
    check(&desired, &observed, &["release container  p-job-1  exited 3, and stays down"]);
    of(&mut observed, "job").sandbox = false;
    check(&desired, &observed, &["nothing to do"]);
    desired.applied = at(80);
    check(&desired, &observed, &["start container  p-job-1  exited 3, up asks again"]);
}

#[test]
fn a_restart_policy_starts_again_when_it_is_due() {
    let mut desired = desired([replica("web", 1)]);
    desired.containers.get_mut("p-web-1").unwrap().restart = RestartPolicy::OnFailure { retries: 3 };
    let mut observed = reached(&desired);
    let web = of(&mut observed, "web");
    (web.started, web.restarts, web.streak) = (Some(at(95)), 2, 2);
    web.state = exited(137, 99);
    let early = plan(&desired, &observed, &at(99));
    assert!(early.is_empty());
    assert_eq!(early.due, Some(at(99).after(Duration::from_millis(400))));
    check(&desired, &observed, &["start container  p-web-1  exited 137"]);
    let again = plan(&desired, &observed, &at(100));
    assert!(matches!(again.steps[0].action, Action::StartContainer { restart: Some((3, 3)), .. }));
    of(&mut observed, "web").restarts = 3;
    check(&desired, &observed, &["release container  p-web-1  exited 137, and stays down"]);
}

#[test]
fn scale_down_removes_the_last_replica() {
    let observed = reached(&desired([replica("web", 1), replica("web", 2)]));
    check(
        &desired([replica("web", 1)]),
        &observed,
        &["stop container    p-web-2  not declared", "remove container  p-web-2  not declared"],
    );
}

/// What `down` leaves of a desired state.
fn down(up: &Desired) -> Desired {
    Desired { containers: BTreeMap::new(), networks: BTreeMap::new(), volumes: BTreeMap::new(), ..up.clone() }
}

#[test]
fn down_stops_dependents_first_and_removes_the_network_when_nothing_is_on_it_any_more() {
    let mut up = web_and_db();
    change(&mut up, "web", |spec| {
        spec.labels.insert("com.docker.compose.depends_on".into(), "db:service_healthy:false".into());
    });
    let observed = reached(&up);
    check(
        &down(&up),
        &observed,
        &[
            "stop container    p-web-1    not declared",
            "remove container  p-web-1    not declared",
            "stop container    p-db-1     not declared",
            "remove container  p-db-1     not declared",
            "remove network    p_default  not declared",
        ],
    );
    let plan = plan(&down(&up), &observed, &at(100));
    let step = |verb: &str, object: &str| {
        plan.steps.iter().find(|s| s.action.verb() == verb && s.action.object() == object).unwrap()
    };
    assert!(step("stop container", "p-db-1").after.contains(&step("stop container", "p-web-1").id));
    let stops = [step("stop container", "p-db-1").id, step("stop container", "p-web-1").id];
    assert!(stops.iter().all(|id| step("remove network", "p_default").after.contains(id)));
}

#[test]
fn what_goes_is_stopped_as_it_was_declared_last() {
    let mut up = web_and_db();
    change(&mut up, "web", |spec| {
        spec.labels.insert("com.docker.compose.depends_on".into(), "db:service_healthy:false".into());
    });
    let observed = reached(&up);
    let mut gone = down(&up);
    let on_web = Dependency { service: "web".into(), ..up.containers["p-web-1"].depends_on[0].clone() };
    let leaving = |depends_on| Leaving { depends_on, grace: Duration::from_secs(33) };
    gone.leaving = [("p-web-1".into(), leaving(vec![])), ("p-db-1".into(), leaving(vec![on_web]))].into();
    let plan = plan(&gone, &observed, &at(100));
    let stop = |name: &str| {
        plan.steps.iter().find(|s| s.action.verb() == "stop container" && s.action.object() == name).unwrap()
    };
    assert!(stop("p-web-1").after.contains(&stop("p-db-1").id), "not as its label has it");
    assert!(matches!(stop("p-web-1").action, Action::StopContainer { grace, .. } if grace == Duration::from_secs(33)));
}

#[test]
fn a_network_waits_for_the_removal_of_what_has_ended_and_kept_its_links_only() {
    let up = desired([replica("web", 1)]);
    let mut observed = reached(&up);
    let web = observed.containers.values_mut().next().unwrap();
    web.state = exited(0, 99);
    for (sandbox, waits) in [(true, 1), (false, 0)] {
        observed.containers.values_mut().for_each(|web| web.sandbox = sandbox);
        let plan = plan(&down(&up), &observed, &at(100));
        let network = plan.steps.iter().find(|step| step.action.verb() == "remove network").unwrap();
        assert_eq!(network.after.len(), waits);
    }
}

#[test]
fn what_is_to_be_stopped_is_not_made() {
    let mut desired = desired([replica("db", 1), replica("web", 1)]);
    let volume = VolumeSpec { name: "p_data".into(), project: Some("p".into()), ..VolumeSpec::default() };
    desired.volumes.insert(volume.name.clone(), volume);
    let mut observed = reached(&desired);
    for container in desired.containers.values_mut() {
        container.target = Target::Stopped;
    }
    check(&desired, &Observed::default(), &["nothing to do"]);
    // Nor is one made anew that differs.
    change(&mut desired, "web", |spec| spec.env.push("A=1".into()));
    observed.volumes.clear();
    let stops = ["stop container  p-db-1   asked to stop", "stop container  p-web-1  asked to stop"];
    check(&desired, &observed, &stops);
}

#[test]
fn a_volume_is_removed_only_if_somebody_asks() {
    let mut up = desired([replica("db", 1)]);
    let volume = VolumeSpec { name: "p_data".into(), project: Some("p".into()), ..VolumeSpec::default() };
    up.volumes.insert(volume.name.clone(), volume);
    let observed = reached(&up);
    let mut labelled = up.clone();
    let spec = labelled.volumes.get_mut("p_data").unwrap();
    spec.labels.insert("com.docker.compose.version".into(), "9".into());
    check(&labelled, &observed, &["nothing to do"]);
    labelled.volumes.get_mut("p_data").unwrap().labels.insert("keep".into(), "yes".into());
    let told = plan(&labelled, &observed, &at(100)).warnings;
    assert_eq!(told, ["volume p_data was made with other labels, and stays as it is"]);
    let mut down = down(&up);
    check(
        &down,
        &observed,
        &[
            "stop container    p-db-1     not declared",
            "remove container  p-db-1     not declared",
            "remove network    p_default  not declared",
        ],
    );
    down.remove_volumes.insert("p_data".into());
    check(
        &down,
        &observed,
        &[
            "stop container    p-db-1     not declared",
            "remove container  p-db-1     not declared",
            "remove network    p_default  not declared",
            "remove volume     p_data     asked to be removed",
        ],
    );
    let mut shared = observed.clone();
    shared.volumes.get_mut("p_data").unwrap().others.push("q-app-1".into());
    let kept = plan(&down, &shared, &at(100));
    assert_eq!(kept.steps.len(), 3);
    assert_eq!(kept.warnings, ["volume p_data is still used by q-app-1 of another project, and stays"]);
    up.remove_volumes.insert("p_data".into());
    check(&up, &observed, &["nothing to do"]);
}

#[test]
fn a_changed_network_is_made_anew_with_all_that_is_on_it() {
    let mut desired = desired([replica("web", 1)]);
    let observed = reached(&desired);
    desired.networks.get_mut("p_default").unwrap().mtu = Some(1400);
    check(
        &desired,
        &observed,
        &[
            "stop container    p-web-1    network p_default is made anew",
            "remove container  p-web-1    network p_default is made anew",
            "remove network    p_default  mtu changed",
            "create network    p_default  mtu changed",
            "create container  p-web-1    network p_default is made anew",
            "start container   p-web-1    network p_default is made anew",
        ],
    );
}

#[test]
fn a_changed_network_that_an_orphan_is_on_stays_and_so_does_all_that_is_on_it() {
    let observed = reached(&desired([replica("web", 1), replica("old", 1)]));
    let mut desired = desired([replica("web", 1)]);
    desired.networks.get_mut("p_default").unwrap().mtu = Some(1400);
    check(
        &desired,
        &observed,
        &[
            "warning: network p_default differs (mtu changed), but is still in use, and stays as it is",
            "warning: a container of this project belongs to no service of the files (p-old-1); `--remove-orphans` removes it",
            "nothing to do",
        ],
    );
}

#[test]
fn a_failed_dependency_is_told() {
    let desired = web_and_db();
    let mut observed = reached(&desired);
    of(&mut observed, "web").state = State::Created;
    of(&mut observed, "db").health = Health::Unhealthy;
    check(&desired, &observed, &["error: p-web-1 can't be started: dependency db is unhealthy"]);
    let db = of(&mut observed, "db");
    (db.state, db.sandbox) = (exited(1, 70), false);
    check(&desired, &observed, &["error: p-web-1 can't be started: dependency db exited with 1"]);
}

#[test]
fn who_is_to_blame_is_named_through_any_number_of_dependencies() {
    let mut desired = web_and_db();
    let mut front = replica("front", 1);
    front.depends_on = vec![on("web", Condition::ServiceStarted)];
    desired.services.insert("front".into());
    desired.containers.insert(front.spec.name.clone(), front);
    let mut observed = reached(&desired);
    observed.containers.retain(|_, c| &*c.spec.service == "db");
    of(&mut observed, "db").health = Health::Unhealthy;
    let failures = plan(&desired, &observed, &at(100)).failures;
    let blamed: Vec<_> = failures.iter().map(|f| (f.container.as_str(), f.culprit.as_deref())).collect();
    assert_eq!(blamed, [("p-web-1", Some("p-db-1")), ("p-front-1", Some("p-db-1"))], "{failures:#?}");
}

#[test]
fn a_dependency_that_is_not_required_is_told_and_not_waited_for() {
    let mut desired = web_and_db();
    let mut observed = reached(&desired);
    of(&mut observed, "web").state = State::Created;
    of(&mut observed, "db").health = Health::Unhealthy;
    desired.containers.get_mut("p-web-1").unwrap().depends_on[0].required = false;
    check(
        &desired,
        &observed,
        &[
            "start container  p-web-1  not started yet",
            "warning: p-web-1: dependency db is unhealthy, but it is not required",
        ],
    );
}

#[test]
fn the_conditions_hold_at_healing_too() {
    let mut desired = web_and_db();
    for declared in desired.containers.values_mut() {
        declared.restart = RestartPolicy::Always;
    }
    let mut observed = reached(&desired);
    for container in observed.containers.values_mut() {
        (container.state, container.health) = (exited(137, 80), Health::None);
    }
    check(
        &desired,
        &observed,
        &["start container  p-db-1   exited 137", "start container  p-web-1  exited 137; when db is healthy"],
    );
    // The database comes back later: its user waits for that as well.
    of(&mut observed, "db").started = Some(at(99));
    of(&mut observed, "db").state = exited(137, 100);
    check(&desired, &observed, &["start container  p-web-1  exited 137; when db is healthy"]);
}
