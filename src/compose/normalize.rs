//! What a project implies: its default network, names, dependencies, build defaults (spec.md section 1, step 7).

use std::path::Path;

use super::env::Environment;
use super::node::{Kind, Map, Node};
use super::{forms, paths, scalar};

/// Writes down what a checked tree implies. Variables without a value get the one of `environment`.
pub fn normalize(tree: &mut Node, project: &str, environment: &Environment) {
    let mut uses_default = false;
    if let Some(Kind::Map(services)) = tree.get_mut("services").map(|s| &mut s.kind) {
        for node in services.values_mut() {
            if node.as_map().is_some() {
                uses_default |= networks(node);
                service(node, environment);
            }
        }
    }
    let Some(root) = tree.as_map_mut() else { return };
    if uses_default {
        let networks = root.entry("networks".to_owned()).or_insert_with(Node::empty_map);
        if networks.is_null() {
            *networks = Node::empty_map();
        }
        if let Some(map) = networks.as_map_mut() {
            map.entry("default".to_owned()).or_default();
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        if let Some(Kind::Map(map)) = root.get_mut(section).map(|node| &mut node.kind) {
            map.iter_mut().for_each(|(key, node)| name(key, node, project));
        }
    }
}

/// Puts a service on the default network if it names none; tells whether it is on it.
fn networks(service: &mut Node) -> bool {
    let Some(map) = service.as_map_mut() else { return false };
    if map.contains_key("network_mode") || map.contains_key("provider") {
        return false;
    }
    let none = map.get("networks").is_none_or(|n| n.is_null() || n.as_map().is_some_and(Map::is_empty));
    if none {
        let mut networks = Map::new();
        networks.insert("default".to_owned(), Node::default());
        map.insert("networks".to_owned(), Node { kind: Kind::Map(networks), ..Node::default() });
        return true;
    }
    map.get("networks").is_some_and(|networks| networks.get("default").is_some())
}

fn service(node: &mut Node, environment: &Environment) {
    if let Some(policy) = node.get_mut("pull_policy")
        && policy.as_str() == Some("if_not_present")
    {
        policy.kind = Kind::Str("missing".to_owned());
    }
    if let Some(build) = node.get_mut("build") {
        let dockerfile = Node::text_like(build, "Dockerfile");
        if let Kind::Map(map) = &mut build.kind
            && !map.contains_key("dockerfile_inline")
        {
            map.entry("dockerfile".to_owned()).or_insert(dockerfile);
        }
        if let Some(args) = build.get_mut("args") {
            inherit(args, environment);
            match &mut args.kind {
                Kind::Map(map) => map.retain(|_, value| !value.is_null()),
                Kind::List(list) => list.retain(|item| item.as_str().is_none_or(|text| text.contains('='))),
                _ => {}
            }
        }
    }
    if let Some(own) = node.get_mut("environment") {
        inherit(own, environment);
    }
    targets(node);
    depend(node);
}

/// Cleans the paths that volumes are mounted on.
fn targets(service: &mut Node) {
    for mount in service.get_mut("volumes").and_then(Node::as_list_mut).into_iter().flatten() {
        if let Some(Kind::Str(target)) = mount.get_mut("target").map(|target| &mut target.kind) {
            *target = paths::clean(Path::new(target.as_str()));
        }
    }
}

/// Gives keys without a value the value of the same variable here.
pub fn inherit(node: &mut Node, environment: &Environment) {
    match &mut node.kind {
        Kind::Map(map) => {
            for (key, value) in map {
                if value.is_null()
                    && let Some(found) = environment.get(key)
                {
                    value.kind = Kind::Str(found.clone());
                }
            }
        }
        Kind::List(list) => {
            for item in list {
                if let Kind::Str(text) = &mut item.kind
                    && let Some(found) = environment.get(text.as_str())
                {
                    *text = format!("{text}={found}");
                }
            }
        }
        _ => {}
    }
}

/// Adds the dependencies that other attributes imply.
fn depend(service: &mut Node) {
    let mut implied: Vec<(String, Node, bool)> = Vec::new();
    let texts = |key: &str| service.get(key).and_then(Node::as_list).unwrap_or_default();
    for link in texts("links") {
        let text = link.as_str().unwrap_or_default();
        // Of anything but `service:alias` all is a name to the peer, which no service has.
        let name = text.split_once(':').filter(|(_, alias)| !alias.contains(':')).map_or(text, |(name, _)| name);
        implied.push((name.to_owned(), link.clone(), true));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = service.get(key)
            && let Some(name) = node.as_str().and_then(|text| text.strip_prefix("service:"))
        {
            implied.push((name.to_owned(), node.clone(), true));
        }
    }
    for from in texts("volumes_from") {
        let text = from.as_str().unwrap_or_default();
        if !text.starts_with("container:") {
            implied.push((text.split(':').next().unwrap_or_default().to_owned(), from.clone(), false));
        }
    }
    let Some(map) = service.as_map_mut().filter(|_| !implied.is_empty()) else { return };
    let depends_on = map.entry("depends_on".to_owned()).or_insert_with(Node::empty_map);
    let Some(depends_on) = depends_on.as_map_mut() else { return };
    for (name, place, restart) in implied {
        let mut entry = forms::started(&place);
        entry.insert("restart".to_owned(), Node::like(&place, Kind::Bool(restart)));
        depends_on.entry(name).or_insert_with(|| Node { key: place.span, ..Node::like(&place, Kind::Map(entry)) });
    }
}

fn name(key: &str, node: &mut Node, project: &str) {
    if node.is_null() {
        node.kind = Kind::Map(Map::new());
    }
    let external = node.get("external").is_some_and(is_true);
    let name = if external { key.to_owned() } else { format!("{project}_{key}") };
    let place = node.clone_place();
    if let Some(map) = node.as_map_mut()
        && !map.contains_key("name")
    {
        map.insert("name".to_owned(), Node { kind: Kind::Str(name), ..place });
    }
}

/// A project may have no services, and then they are an empty mapping.
pub fn services(tree: &mut Node) {
    if let Some(map) = tree.as_map_mut() {
        map.entry("services".to_owned()).or_insert_with(Node::empty_map);
    }
}

/// Text is asked too: where variables stay, it is not cast.
fn is_true(node: &Node) -> bool {
    scalar::text(&node.kind).is_some_and(|text| matches!(&*text, "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// `scale` is what `deploy.replicas` says, where there is a `deploy`.
pub fn scale(tree: &mut Node) {
    let Some(Kind::Map(services)) = tree.get_mut("services").map(|s| &mut s.kind) else { return };
    for service in services.values_mut() {
        let Some(scale) = service.get("scale").cloned() else { continue };
        if let Some(deploy) = service.get_mut("deploy").and_then(Node::as_map_mut) {
            deploy.entry("replicas".to_owned()).or_insert(scale);
        }
    }
}

/// Without checks the peer takes the networks of a service whose names begin with `x-` for extensions, and prints so.
pub fn hide_extensions(tree: &mut Node) {
    let Some(Kind::Map(services)) = tree.get_mut("services").map(|s| &mut s.kind) else { return };
    for networks in services.values_mut().filter_map(|service| service.get_mut("networks")?.as_map_mut()) {
        let before = networks.len();
        networks.retain(|name, _| !name.starts_with("x-"));
        if networks.len() < before {
            networks.insert("#extensions".to_owned(), Node::empty_map());
        }
    }
}
