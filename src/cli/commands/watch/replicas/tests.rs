use std::path::Path;

use super::*;
use crate::compose::model::{Develop, Project, Service, WatchRule};
use crate::desired::{ContainerSpec, MountSource, MountSpec};
use crate::host::paths::Paths;
use crate::watch::rule::rules;

/// Rules of a service `web`: paths with their actions.
fn rules_of(declared: &[(&str, &str)]) -> Arc<Vec<Rule>> {
    let rule = |(path, action): &(&str, &str)| WatchRule {
        path: (*path).into(),
        action: (*action).into(),
        target: Some("/app".into()),
        ..WatchRule::default()
    };
    let watch = declared.iter().map(rule).collect();
    let mut project = Project::default();
    let service = Service { develop: Some(Develop { watch }), ..Service::default() };
    project.services.insert("web".into(), service);
    Arc::new(rules(&project, &BTreeSet::new(), &|_| None).expect("rules").rules)
}

fn replicas(rules: &Arc<Vec<Rule>>) -> Replicas {
    Replicas::new(rules.clone(), &BTreeSet::new(), &BTreeSet::new())
}

fn id(number: u32) -> ContainerId {
    ContainerId::new(format!("{number:064x}"))
}

fn replica(number: u32) -> Replica {
    let paths = Paths { root: "/nowhere".into(), run: "/nowhere".into() };
    Replica::new(&paths, &id(number), &ContainerSpec::default()).expect("no volumes")
}

fn batch(paths: &[&str]) -> Batch {
    let paths = paths.iter().map(PathBuf::from).collect();
    Batch { paths, links: BTreeSet::new(), everything: false, since: Instant::now() }
}

/// A job that is done for one rule and one container, and how its rounds ended, one after the other.
fn finished(rules: &Arc<Vec<Rule>>, rule: usize, mut results: Vec<Result<Outcome, SyncError>>) -> Finished {
    let paths = |path: &str| [PathBuf::from(path)].into();
    let todo = Todo { changed: paths("f"), compared: paths("g"), lost: paths("h") };
    let part = Part { id: id(1), replica: replica(1), rule, todo, links: Arc::default() };
    results.reverse();
    let results = std::cell::RefCell::new(results);
    let done = rounds(&part, |_, _, _| results.borrow_mut().pop().unwrap_or_else(|| Ok(Outcome::default())));
    Finished { rules: rules.clone(), parts: vec![(part, done)], since: Instant::now(), ended: Instant::now() }
}

fn gone() -> SyncError {
    SyncError::Owner { name: "web-1".into(), why: "gone".into() }
}

fn written() -> Outcome {
    let (written, left) = ([PathBuf::from("f")].into(), [PathBuf::from("later")].into());
    Outcome { written, left, links: [PathBuf::from("l")].into(), ..Outcome::default() }
}

#[test]
fn a_copy_that_ends_under_fewer_rules_is_told_and_leaves_nothing() {
    let before = rules_of(&[("/src", "sync"), ("/conf", "sync+restart")]);
    let former = replicas(&before);
    let mut now = replicas(&rules_of(&[]));
    now.succeed(&former);
    now.add(id(1), "web".into(), replica(1));
    let taken = now.take(finished(&before, 1, vec![Ok(written())]));
    assert_eq!(taken.arrived.len(), 1);
    assert_eq!(taken.arrived[0].rule.path, Path::new("/conf"));
    assert!(taken.lines[0].starts_with("web  sync+restart  1 file"), "{:?}", taken.lines);
    assert_eq!(now.take(finished(&before, 1, vec![Err(gone())])).warnings.len(), 1);
    assert!(!now.waits(), "what is left of rules that are gone is left");
}

#[test]
fn what_a_container_has_not_got_is_kept_for_it() {
    let rules = rules_of(&[("/src", "sync")]);
    let mut replicas = replicas(&rules);
    replicas.add(id(1), "web".into(), replica(1));
    assert!(!replicas.waits());
    let taken = replicas.take(finished(&rules, 0, vec![Ok(written())]));
    assert_eq!(taken.arrived[0].containers, [id(1)].into());
    assert!(replicas.containers[&id(1)].todo[&0].changed.contains(Path::new("later")));
    assert!(replicas.links[0].contains(Path::new("l")));
}

#[test]
fn what_is_told_while_no_container_is_there_waits_for_one() {
    let rules = rules_of(&[("/src", "sync"), ("/other", "restart")]);
    let mut replicas = replicas(&rules);
    replicas.changed(&batch(&["/other/x"]));
    assert!(!replicas.waits(), "a restart needs no copy");
    replicas.changed(&batch(&["/src/a", "/src/b"]));
    assert!(replicas.waits());
    replicas.add(id(1), "web".into(), replica(1));
    assert_eq!(replicas.containers[&id(1)].todo[&0].compared, ["a".into(), "b".into()].into());
    replicas.add(id(2), "db".into(), replica(2));
    assert!(replicas.containers[&id(2)].todo.is_empty());
}

#[test]
fn what_a_round_did_stays_done_when_the_next_one_fails() {
    let rules = rules_of(&[("/src", "sync+restart")]);
    let mut replicas = replicas(&rules);
    replicas.add(id(1), "web".into(), replica(1));
    let done = Outcome { left: BTreeSet::new(), ..written() };
    let taken = replicas.take(finished(&rules, 0, vec![Ok(done), Err(gone())]));
    assert_eq!((taken.arrived.len(), taken.warnings.len()), (1, 1));
    assert!(taken.arrived[0].paths.contains(Path::new("/src/f")));
    assert!(replicas.links[0].contains(Path::new("l")), "a link that was made is known as one");
    let rest = Todo { compared: ["g".into()].into(), lost: ["h".into()].into(), ..Todo::default() };
    assert_eq!(replicas.containers[&id(1)].todo[&0], rest, "only what was not done is tried again");
    assert!(replicas.containers[&id(1)].again.is_some());
}

#[test]
fn what_a_tmpfs_lost_is_put_back_once_for_each_start_and_is_no_reason_to_restart() {
    let rules = rules_of(&[("/src", "sync+restart")]);
    let mut replicas = replicas(&rules);
    replicas.changed(&batch(&["/src/a"]));
    let mount = MountSpec {
        source: MountSource::Tmpfs { size: 0, mode: None, options: Vec::new() },
        target: "/app".into(),
        read_only: false,
    };
    let paths = Paths { root: "/nowhere".into(), run: "/nowhere".into() };
    for (number, mounts) in [(1, vec![mount]), (2, Vec::new())] {
        let spec = ContainerSpec { mounts, ..ContainerSpec::default() };
        replicas.add(id(number), "web".into(), Replica::new(&paths, &id(number), &spec).expect("no volumes"));
    }
    let at = |nanos| Stamp { nanos, ..Stamp::default() };
    let lost = |replicas: &Replicas, number| replicas.containers[&id(number)].todo[&0].lost.clone();
    for number in [1, 2] {
        replicas.started(&id(number), &at(1));
        replicas.started(&id(number), &at(1));
        assert!(lost(&replicas, number).is_empty(), "the first process");
        replicas.started(&id(number), &at(2));
    }
    assert_eq!((lost(&replicas, 1), lost(&replicas, 2)), (["a".into()].into(), BTreeSet::new()));
    let back = || Ok(Outcome { written: ["h".into()].into(), ..Outcome::default() });
    let nothing = || Ok(Outcome::default());
    let taken = replicas.take(finished(&rules, 0, vec![nothing(), nothing(), back()]));
    assert!(taken.arrived.len() == 1 && taken.arrived[0].restored);
}
