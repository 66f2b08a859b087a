#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::compose::model::{Condition, Service};

fn project(edges: &[(&str, &str)], services: &[&str]) -> Project {
    let mut project = Project::default();
    for name in services {
        project.services.insert((*name).into(), Service::default());
    }
    for (from, to) in edges {
        project.services.entry((*from).into()).or_default();
        let service = project.services.entry((*from).into()).or_default();
        service.depends_on.insert((*to).into(), Dependency { required: true, ..Dependency::default() });
    }
    project
}

fn names(names: &[&str]) -> Vec<ServiceName> {
    names.iter().map(|name| ServiceName::from(*name)).collect()
}

#[test]
fn levels_put_each_service_after_what_it_depends_on() {
    let graph =
        Graph::of(&project(&[("web", "api"), ("api", "db"), ("api", "cache"), ("job", "db")], &["db", "cache"]));
    let levels = graph.levels().unwrap();
    assert_eq!(levels, vec![names(&["cache", "db"]), names(&["api", "job"]), names(&["web"])]);
    assert_eq!(graph.order().unwrap(), names(&["cache", "db", "api", "job", "web"]));
}

#[test]
fn a_circle_is_named_whole_and_from_its_first_name() {
    let graph = Graph::of(&project(&[("c", "a"), ("a", "b"), ("b", "c"), ("d", "a"), ("s", "s")], &[]));
    let cycles: Vec<String> = graph.cycles().iter().map(|cycle| cycle.services.join(" ")).collect();
    assert_eq!(cycles, ["a b c a", "s s"]);
    let error = graph.levels().unwrap_err();
    assert_eq!(error.to_string(), "services depend on one another in a circle: a → b → c → a");
}

#[test]
fn dependencies_and_dependents_are_transitive_and_hold_the_start() {
    let graph = Graph::of(&project(&[("web", "api"), ("api", "db"), ("job", "db")], &["db", "alone"]));
    let set = |list: &[&str]| names(list).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(graph.dependencies(&set(&["web"])), set(&["web", "api", "db"]));
    assert_eq!(graph.dependents(&set(&["db"])), set(&["web", "api", "db", "job"]));
    assert_eq!(graph.dependencies(&set(&["nobody"])), set(&[]));
}

#[test]
fn a_dependency_that_is_not_there_is_no_edge() {
    let graph = Graph::of(&project(&[("web", "other-profile")], &["web"]));
    assert_eq!(graph.levels().unwrap(), vec![names(&["web"])]);
}

#[test]
fn pictures_show_the_conditions() {
    let mut project = project(&[("web", "db"), ("web", "cache")], &["db", "cache"]);
    if let Some(db) = project.services.get_mut("web").and_then(|web| web.depends_on.get_mut("db")) {
        db.condition = Condition::ServiceHealthy;
    }
    let graph = Graph::of(&project);
    assert_eq!(graph.text().unwrap(), "1 cache\n1 db\n2 web after cache, db (healthy)\n");
    assert!(graph.dot().contains("  \"web\" -> \"db\" [label=\"healthy\"];\n"));
    assert!(graph.mermaid().contains("  s2 -->|healthy| s1\n"));
}

proptest! {
    /// Whatever the edges: either there is an order that respects them all, or a circle whose every step is an edge.
    #[test]
    fn an_order_or_a_true_circle(edges in prop::collection::vec((0u8..8, 0u8..8), 0..20)) {
        let edges: Vec<(String, String)> = edges.iter().map(|(a, b)| (format!("s{a}"), format!("s{b}"))).collect();
        let pairs: Vec<(&str, &str)> = edges.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let all: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let graph = Graph::of(&project(&pairs, &all));
        match graph.order() {
            Ok(order) => {
                prop_assert_eq!(order.len(), 8);
                let at = |name: &str| order.iter().position(|other| other.as_str() == name);
                for (from, to) in &pairs {
                    prop_assert!(at(to) < at(from));
                }
                prop_assert!(graph.cycles().is_empty());
            }
            Err(cycle) => {
                prop_assert_eq!(cycle.services.first(), cycle.services.last());
                for step in cycle.services.windows(2) {
                    prop_assert!(pairs.contains(&(step[0].as_str(), step[1].as_str())));
                }
            }
        }
    }
}
