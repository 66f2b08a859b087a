use std::path::Path;

use super::*;
use crate::compose::model::{Develop, Project, Service, WatchRule};
use crate::desired::ContainerSpec;
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

/// A job that is done for one rule and one container.
fn finished(rules: &Arc<Vec<Rule>>, rule: usize, result: Result<Outcome, SyncError>) -> Finished {
    let todo = Todo { changed: [PathBuf::from("f")].into(), ..Todo::default() };
    let part = Part { id: id(1), replica: replica(1), rule, todo, links: Arc::default() };
    Finished { rules: rules.clone(), parts: vec![(part, result)], since: Instant::now(), ended: Instant::now() }
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
    let taken = now.take(finished(&before, 1, Ok(written())));
    assert_eq!(taken.arrived.len(), 1);
    assert_eq!(taken.arrived[0].rule.path, Path::new("/conf"));
    assert!(taken.lines[0].starts_with("web  sync+restart  1 file"), "{:?}", taken.lines);
    let gone = SyncError::Owner { name: "web-1".into(), why: "gone".into() };
    assert_eq!(now.take(finished(&before, 1, Err(gone))).warnings.len(), 1);
    assert!(!now.waits(), "what is left of rules that are gone is left");
}

#[test]
fn what_a_container_has_not_got_is_kept_for_it() {
    let rules = rules_of(&[("/src", "sync")]);
    let mut replicas = replicas(&rules);
    replicas.add(id(1), "web".into(), replica(1));
    assert!(!replicas.waits());
    let taken = replicas.take(finished(&rules, 0, Ok(written())));
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
