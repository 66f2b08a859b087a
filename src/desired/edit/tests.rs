#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::desired::*;

fn now() -> Stamp {
    Stamp { boot: "b".into(), nanos: 7, wall: 7 }
}

fn container(service: &str, needs: &[(&str, bool)], volumes: &[&str]) -> DesiredContainer {
    let edge = |(service, restart): &(&str, bool)| Dependency {
        service: (*service).into(),
        condition: Condition::ServiceStarted,
        restart: *restart,
        required: true,
    };
    let mount = |name: &&str| MountSpec {
        target: format!("/{name}"),
        source: MountSource::Volume { name: (*name).into(), subpath: String::new(), copy: true },
        read_only: false,
    };
    let spec = ContainerSpec {
        name: format!("p-{service}-1").into(),
        service: service.into(),
        mounts: volumes.iter().map(mount).collect(),
        endpoints: vec![EndpointSpec { network: "p_default".into(), ..EndpointSpec::default() }],
        ..ContainerSpec::default()
    };
    DesiredContainer {
        hash: spec.hash(),
        stop: spec.stop.clone(),
        spec,
        target: Target::Running,
        depends_on: needs.iter().map(edge).collect(),
        restart: RestartPolicy::No,
        health: None,
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

/// web → api → db, where api is restarted with db; `once` is a container of `run`.
fn desired() -> Desired {
    let mut once = container("api", &[], &[]);
    (once.spec.name, once.spec.oneoff) = ("p-api-run-1".into(), true);
    let list = [
        container("web", &[("api", false)], &["anon"]),
        container("api", &[("db", true)], &["shared"]),
        container("db", &[], &["p_data", "shared", "ext"]),
        once,
    ];
    let volume = |name: &str, anonymous: bool| VolumeSpec {
        name: name.into(),
        project: (name != "ext").then(|| "p".into()),
        anonymous,
        ..VolumeSpec::default()
    };
    let volumes = [volume("anon", true), volume("p_data", false), volume("shared", false), volume("ext", false)];
    Desired {
        schema: SCHEMA,
        project: "p".into(),
        generation: 4,
        made_by: String::new(),
        applied: Stamp::default(),
        source: Source::default(),
        services: ["web", "api", "db", "spare"].map(ServiceName::from).into(),
        off: Default::default(),
        remove_orphans: false,
        ignore_orphans: false,
        grace: None,
        networks: BTreeMap::from([(
            "p_default".into(),
            NetworkSpec { name: "p_default".into(), ..NetworkSpec::default() },
        )]),
        volumes: volumes.into_iter().map(|volume| (volume.name.clone(), volume)).collect(),
        remove_volumes: BTreeSet::new(),
        remove_containers: BTreeSet::new(),
        leaving: BTreeMap::new(),
        containers: list.into_iter().map(|one| (one.spec.name.clone(), one)).collect(),
        providers: Default::default(),
        asked: None,
    }
}

fn set(names: &[&str]) -> BTreeSet<ServiceName> {
    names.iter().map(|name| ServiceName::from(*name)).collect()
}

fn targets(desired: &Desired) -> Vec<(&str, Target)> {
    desired.containers.iter().map(|(name, one)| (name.as_str(), one.target)).collect()
}

#[test]
fn stop_and_start() {
    let timeout = Some(Duration::from_secs(1));
    let stopped = edit(&desired(), &Edit::Stop { services: set(&["web", "db"]), timeout }, &now()).unwrap();
    assert_eq!(stopped.generation, 5);
    let states = [Target::Running, Target::Running, Target::Stopped, Target::Stopped];
    assert_eq!(targets(&stopped).iter().map(|one| one.1).collect::<Vec<_>>(), states);
    assert_eq!(stopped.containers["p-web-1"].stop.grace, Duration::from_secs(1));
    let started = edit(&stopped, &Edit::Start { services: set(&["web"]) }, &now()).unwrap();
    assert!(targets(&started).iter().all(|one| one.1 == Target::Running), "what it depends on comes along");
    assert_eq!(started.containers["p-web-1"].stop, StopSpec::default());
    assert_eq!(started.containers["p-web-1"].start_before, Some(now()));
    assert_eq!(started.containers["p-web-1"].restart_before, None);
    assert_eq!(started.applied, desired().applied);
}

#[test]
fn restart_takes_along_those_whose_dependency_says_so() {
    let restarted = |services: &[&str], no_deps| {
        let verb = Edit::Restart { services: set(services), timeout: None, no_deps };
        let next = edit(&desired(), &verb, &now()).unwrap();
        let names = next.containers.iter().filter(|(_, one)| one.restart_before == Some(now()));
        names.map(|(name, _)| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(restarted(&["db"], false), ["p-api-1", "p-db-1"]);
    assert_eq!(restarted(&["db"], true), ["p-db-1"]);
    // What is concerned only through one that does not run goes on.
    let mut chain = desired();
    for name in ["p-api-1", "p-web-1"] {
        chain.containers.get_mut(name).unwrap().depends_on[0].restart = true;
    }
    let of_chain = |desired: &Desired| {
        let wanted = Edit::Restart { services: set(&["db"]), timeout: None, no_deps: false };
        let next = edit(desired, &wanted, &now()).unwrap();
        next.containers.values().filter(|one| one.restart_before == Some(now())).count()
    };
    assert_eq!(of_chain(&chain), 3);
    chain.containers.get_mut("p-api-1").unwrap().target = Target::Stopped;
    assert_eq!(of_chain(&chain), 1);
    assert_eq!(restarted(&["api"], false), ["p-api-1"]);
    assert_eq!(restarted(&[], false), ["p-api-1", "p-db-1", "p-web-1"]);
    let stopped = edit(&desired(), &Edit::Stop { services: set(&["api"]), timeout: None }, &now()).unwrap();
    let verb = Edit::Restart { services: set(&["db"]), timeout: None, no_deps: false };
    assert_eq!(edit(&stopped, &verb, &now()).unwrap().containers["p-api-1"].target, Target::Stopped);
}

#[test]
fn unknown_services_are_told_with_what_there_is() {
    let error = edit(&desired(), &Edit::Start { services: set(&["wbe"]) }, &now()).unwrap_err();
    assert_eq!(error.to_string(), "there is no service `wbe` in project `p`; it has `api`, `db`, `spare`, `web`");
    let error = edit(&desired(), &Edit::Start { services: set(&["spare"]) }, &now()).unwrap_err();
    assert_eq!(error, EditError::NoContainer { service: "spare".into() });
    assert!(edit(&desired(), &Edit::Stop { services: set(&["spare"]), timeout: None }, &now()).is_ok());
}

#[test]
fn pause_and_unpause() {
    let paused = edit(&desired(), &Edit::Pause { services: set(&["db"]), down: BTreeSet::new() }, &now()).unwrap();
    assert_eq!(paused.containers["p-db-1"].target, Target::Paused);
    let thawed = edit(&paused, &Edit::Unpause { services: set(&[]) }, &now()).unwrap();
    assert_eq!(targets(&thawed), targets(&desired()));
    let stopped = edit(&desired(), &Edit::Stop { services: set(&["db"]), timeout: None }, &now()).unwrap();
    let error = edit(&stopped, &Edit::Pause { services: set(&["db"]), down: BTreeSet::new() }, &now()).unwrap_err();
    assert_eq!(error, EditError::NotRunning { service: "db".into() });
    let all = edit(&stopped, &Edit::Pause { services: set(&[]), down: BTreeSet::new() }, &now()).unwrap();
    assert_eq!(all.containers["p-db-1"].target, Target::Stopped);
    let error = edit(&desired(), &Edit::Unpause { services: set(&["db"]) }, &now()).unwrap_err();
    assert_eq!(error, EditError::NotPaused { service: "db".into() });
    let error = edit(&paused, &Edit::Pause { services: set(&["db"]), down: BTreeSet::new() }, &now()).unwrap_err();
    assert_eq!(error, EditError::Paused { service: "db".into() });
    // Where none is named, one that is left to be paused or thawed is enough.
    let all = edit(&paused, &Edit::Pause { services: set(&[]), down: BTreeSet::new() }, &now()).unwrap();
    assert!(matches!(
        edit(&all, &Edit::Pause { services: set(&[]), down: BTreeSet::new() }, &now()),
        Err(EditError::Paused { .. })
    ));
    assert!(matches!(edit(&thawed, &Edit::Unpause { services: set(&[]) }, &now()), Err(EditError::NotPaused { .. })));
}

#[test]
fn what_does_not_run_is_not_frozen_and_neither_verb_asks_for_it() {
    let pause = |services: &[&str]| {
        let down = BTreeSet::from(["p-web-1".into()]);
        edit(
            &desired(),
            &Edit::Pause { services: services.iter().map(|name| ServiceName::from(*name)).collect(), down },
            &now(),
        )
    };
    let paused = pause(&[]).unwrap();
    assert_eq!(
        (paused.containers["p-web-1"].target, paused.containers["p-db-1"].target),
        (Target::Running, Target::Paused)
    );
    assert_eq!(pause(&["web"]), Err(EditError::NotRunning { service: "web".into() }));
    let thawed = edit(&paused, &Edit::Unpause { services: BTreeSet::new() }, &now()).unwrap();
    for (state, other) in [(&paused, desired()), (&thawed, paused.clone())] {
        assert!(state.is_beside(&"p-web-1".into()) && !state.is_beside(&"p-db-1".into()), "{:?}", state.asked);
        assert_ne!(state.containers["p-db-1"], other.containers["p-db-1"]);
    }
}

#[test]
fn start_needs_a_container() {
    let all = Edit::Remove { services: set(&[]), only: None, volumes: false };
    let removed = edit(&desired(), &all, &now()).unwrap();
    let error = edit(&removed, &Edit::Start { services: set(&[]) }, &now()).unwrap_err();
    assert_eq!(error, EditError::NoContainer { service: "api".into() });
}

#[test]
fn kill_is_a_stop_without_grace() {
    let killed = edit(&desired(), &Edit::Kill { services: set(&["api"]) }, &now()).unwrap();
    for name in ["p-api-1", "p-api-run-1"] {
        let one = &killed.containers[name];
        assert_eq!((one.target, one.stop.signal, one.stop.grace), (Target::Stopped, 9, Duration::ZERO));
    }
}

#[test]
fn remove_takes_containers_and_their_anonymous_volumes() {
    let all = Edit::Remove { services: set(&["web", "api"]), only: None, volumes: true };
    let next = edit(&desired(), &all, &now()).unwrap();
    assert_eq!(next.containers.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["p-api-run-1", "p-db-1"]);
    assert_eq!(next.remove_volumes, BTreeSet::from(["anon".into()]));
    assert!(next.volumes.contains_key("shared") && next.services.contains("web"));
    let some = Edit::Remove { services: set(&[]), only: Some(["p-api-run-1".into()].into()), volumes: false };
    let next = edit(&desired(), &some, &now()).unwrap();
    assert_eq!((next.containers.len(), next.remove_volumes.len()), (3, 0));
}

#[test]
fn verbs_reach_what_is_no_longer_declared() {
    let mut held = desired();
    held.services.remove("db");
    let only_db = || set(&["db"]);
    let target = |verb: Edit| edit(&held, &verb, &now()).unwrap().containers["p-db-1"].target;
    assert_eq!(target(Edit::Stop { services: only_db(), timeout: None }), Target::Stopped);
    assert_eq!(target(Edit::Kill { services: only_db() }), Target::Stopped);
    assert_eq!(target(Edit::Pause { services: only_db(), down: BTreeSet::new() }), Target::Paused);
    let gone = |verb: Edit| {
        let next = edit(&held, &verb, &now()).unwrap();
        assert!(!next.containers.contains_key("p-db-1"), "{verb:?}");
        next.remove_containers
    };
    let seen = Some(["p-db-1".into(), "p-seen-1".into()].into());
    let names = gone(Edit::Remove { services: set(&[]), only: seen, volumes: false });
    assert_eq!(names, BTreeSet::from(["p-db-1".into(), "p-seen-1".into()]), "also what nothing was desired of");
    assert_eq!(gone(down(&["db"], false)), BTreeSet::from(["p-db-1".into()]));
    assert_eq!(gone(down(&["web"], false)), BTreeSet::from(["p-db-1".into(), "p-web-1".into()]), "--remove-orphans");
}

fn down(services: &[&str], volumes: bool) -> Edit {
    let declared = services.is_empty().then(|| ["p_never".into()].into());
    Edit::Down { services: set(services), timeout: None, volumes, declared, remove_orphans: true }
}

#[test]
fn down_leaves_nothing_and_volumes_only_go_when_asked() {
    let next = edit(&desired(), &down(&[], false), &now()).unwrap();
    assert!(next.is_empty() && next.remove_orphans && next.remove_volumes.is_empty());
    let next = edit(&desired(), &down(&[], true), &now()).unwrap();
    let expected = ["anon", "p_data", "p_never", "shared"].map(VolumeName::from);
    assert_eq!(next.remove_volumes, BTreeSet::from(expected), "not the external one");
    let order: Vec<_> = next.leaving["p-web-1"].depends_on.iter().map(|one| one.service.as_str()).collect();
    assert_eq!(order, ["api"], "as it was declared last");
}

#[test]
fn down_of_some_keeps_what_the_others_use() {
    let next = edit(&desired(), &down(&["db"], true), &now()).unwrap();
    assert_eq!(next.remove_volumes, BTreeSet::from(["p_data".into()]));
    assert!(next.networks.contains_key("p_default") && next.volumes.contains_key("shared"));
    assert_eq!(next.containers.len(), 3);
}

#[test]
fn down_of_the_files_at_hand_takes_the_volumes_that_they_declare_and_what_is_there_of_them() {
    let only = |declared: &[&str]| Edit::Down {
        services: set(&["db", "old"]),
        timeout: None,
        volumes: true,
        declared: Some(declared.iter().map(|name| VolumeName::from(*name)).collect()),
        remove_orphans: false,
    };
    let next = edit(&desired(), &only(&["p_other"]), &now()).unwrap();
    assert_eq!(next.remove_volumes, BTreeSet::from(["p_other".into()]), "p_data is declared by other files");
    assert!(next.services.contains("old"), "a container of it is nobody's, and goes");
    let next = edit(&desired(), &only(&["p_data"]), &now()).unwrap();
    assert_eq!(next.remove_volumes, BTreeSet::from(["p_data".into()]));
}

#[test]
fn a_verb_asks_for_those_that_it_names_and_changes() {
    let asked = |verb: Edit| {
        let asked = edit(&desired(), &verb, &now()).unwrap().asked;
        asked.map(|names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    let restart = Edit::Restart { services: set(&["db"]), timeout: None, no_deps: false };
    assert_eq!(asked(restart).unwrap(), "p-api-1 p-db-1");
    assert_eq!(asked(Edit::Start { services: set(&["api"]) }).unwrap(), "p-api-1 p-db-1");
    assert_eq!(asked(Edit::Stop { services: set(&["spare"]), timeout: None }).unwrap(), "");
    let only = Some(["p-api-run-1".into()].into());
    assert_eq!(asked(Edit::Remove { services: set(&[]), only, volumes: false }).unwrap(), "");
    assert_eq!(asked(Edit::Stop { services: set(&[]), timeout: None }), None);
}

#[test]
fn edits_travel_as_json() {
    for verb in [down(&["db"], true), Edit::Start { services: set(&[]) }] {
        let text = serde_json::to_string(&verb).unwrap();
        assert_eq!(serde_json::from_str::<Edit>(&text).unwrap(), verb);
    }
}

fn verb() -> impl Strategy<Value = Edit> {
    let names =
        prop::collection::btree_set(prop::sample::select(vec!["web", "api", "db"]).prop_map(ServiceName::from), 0..3);
    (0..8, names, any::<bool>()).prop_map(|(kind, services, flag)| match kind {
        0 => Edit::Start { services },
        1 => Edit::Stop { services, timeout: None },
        2 => Edit::Restart { services, timeout: None, no_deps: flag },
        3 => Edit::Kill { services },
        4 => Edit::Pause { services, down: BTreeSet::new() },
        5 => Edit::Unpause { services },
        6 => Edit::Remove { services, only: None, volumes: flag },
        _ => Edit::Down { services, timeout: None, volumes: flag, declared: None, remove_orphans: false },
    })
}

proptest! {
    /// Whatever is done in whatever order: a volume goes only when somebody asked, never an external one, and none that a
    /// container still uses; every network that is used stays.
    #[test]
    fn no_volume_goes_unasked(verbs in prop::collection::vec(verb(), 1..8)) {
        let mut state = desired();
        let mut asked = false;
        for verb in &verbs {
            let Ok(next) = edit(&state, verb, &now()) else { continue };
            asked |= matches!(verb, Edit::Remove { volumes: true, .. } | Edit::Down { volumes: true, .. });
            prop_assert_eq!(next.generation, state.generation + 1);
            state = next;
        }
        prop_assert!(asked || state.remove_volumes.is_empty());
        prop_assert!(!state.remove_volumes.contains("ext"));
        for container in state.containers.values() {
            for name in volumes_of(container) {
                prop_assert!(!state.remove_volumes.contains(name));
            }
            for endpoint in &container.spec.endpoints {
                prop_assert!(state.networks.contains_key(&endpoint.network));
            }
        }
    }
}
