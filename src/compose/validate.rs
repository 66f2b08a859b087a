//! Rules between the attributes of one thing (spec.md sections 4 and 8).

use std::net::IpAddr;

use super::node::{Map, Node};
use super::pattern::Patterns;
use crate::diag::{Code, Diagnostic};

/// Checks a merged, long tree.
pub fn check(tree: &Node, diags: &mut Vec<Diagnostic>) {
    for section in ["volumes", "networks"] {
        for (name, node) in entries(tree, section) {
            external(section, name, node, diags);
        }
    }
    for (name, node) in entries(tree, "secrets") {
        file_object("secrets", name, node, &["file", "environment"], diags);
    }
    for (name, node) in entries(tree, "configs") {
        file_object("configs", name, node, &["file", "environment", "content"], diags);
    }
    for (name, service) in entries(tree, "services") {
        self::service(name, service, diags);
    }
}

fn entries<'a>(tree: &'a Node, section: &str) -> impl Iterator<Item = (&'a String, &'a Node)> {
    tree.get(section).and_then(Node::as_map).into_iter().flat_map(Map::iter)
}

fn items<'a>(node: &'a Node, key: &str) -> &'a [Node] {
    node.get(key).and_then(Node::as_list).unwrap_or_default()
}

/// What exists already cannot be described.
fn external(section: &str, name: &str, node: &Node, diags: &mut Vec<Diagnostic>) {
    let Some(map) = node.as_map() else { return };
    let is_external = map.get("external").is_some_and(|e| matches!(e.kind, super::node::Kind::Bool(true)));
    if !is_external {
        return;
    }
    for (key, value) in map {
        if !(key == "name" || key == "external" || key.starts_with("x-")) {
            // Real files say more about external networks, which docker compose takes without a word.
            let diag = if section == "volumes" {
                Diagnostic::new(
                    Code::ExternalDescribed,
                    format!("`{section}.{name}` is external, so it cannot have `{key}`"),
                )
            } else {
                Diagnostic::new(
                    Code::ExternalIgnored,
                    format!("`{section}.{name}` is external, so `{key}` has no effect"),
                )
            };
            diags.push(diag.at(value.place(), "").help("external things are used as they are: give only `name`"));
        }
    }
}

fn file_object(section: &str, name: &str, node: &Node, keys: &[&str], diags: &mut Vec<Diagnostic>) {
    let Some(map) = node.as_map() else { return };
    let given: Vec<&&str> = keys.iter().filter(|key| map.contains_key(**key)).collect();
    if given.len() > 1 {
        diags.push(
            Diagnostic::new(Code::Exclusive, format!("`{section}.{name}` has more than one of {}", keys.join(", ")))
                .at(node.place(), ""),
        );
    }
    if given.is_empty() && !map.contains_key("driver") && !map.contains_key("external") {
        diags.push(
            Diagnostic::new(Code::MissingKey, format!("`{section}.{name}` needs one of {}", keys.join(", ")))
                .at(node.place(), ""),
        );
    }
}

/// Texts that must look like something. Those with variables left in them cannot be judged.
fn patterns(service: &Node, diags: &mut Vec<Diagnostic>) {
    let text = |key: &str| service.get(key).and_then(|node| Some((node, node.as_str().filter(|t| !t.contains('$'))?)));
    if let Some((node, name)) = text("container_name") {
        let good = |w: &[u8]| w[0].is_ascii_alphanumeric() && (w[1].is_ascii_alphanumeric() || b"_.-".contains(&w[1]));
        if !name.as_bytes().windows(2).any(good) {
            diags.push(
                Diagnostic::new(Code::ContainerName, format!("`{name}` is no name for a container"))
                    .at(node.span, "at least two letters or digits"),
            );
        }
    }
}

/// Patterns of a watch rule, one text or several. Those with variables left in them cannot be judged.
fn ignore_patterns(service: &str, key: &str, rule: &Node, diags: &mut Vec<Diagnostic>) {
    let Some(patterns) = rule.get(key) else { return };
    for node in patterns.as_list().unwrap_or(std::slice::from_ref(patterns)) {
        if let Some(text) = node.as_str().filter(|text| !text.contains('$'))
            && let Err(error) = Patterns::new([text])
        {
            let text = format!("a pattern of `services.{service}.develop.watch` under `{key}` is none");
            diags.push(Diagnostic::new(Code::BadPattern, text).at(node.span, error.why));
        }
    }
}

/// `KEY = value` in a list gives a variable that ends in a blank, which nobody means.
fn variables(name: &str, service: &Node, diags: &mut Vec<Diagnostic>) {
    let Some(environment) = service.get("environment") else { return };
    let keys = environment.as_map().into_iter().flatten().map(|(key, node)| (key.as_str(), node));
    let listed = environment.as_list().unwrap_or_default().iter();
    let listed = listed.filter_map(|item| Some((item.as_str()?.split_once('=').map(|(key, _)| key)?, item)));
    for (key, node) in keys.chain(listed).filter(|(key, _)| key.ends_with([' ', '\t'])) {
        let text = format!("the variable `{key}` of service `{name}` ends in a blank");
        diags.push(
            Diagnostic::new(Code::VariableName, text)
                .at(node.place(), "")
                .help("write NAME=value, without blanks around `=`"),
        );
    }
}

/// Only the key `default` has a socket that is known without a path.
fn ssh(service: &Node, diags: &mut Vec<Diagnostic>) {
    let keys = service.get("build").and_then(|build| build.get("ssh")).and_then(Node::as_map);
    for (key, node) in keys.into_iter().flatten().filter(|(key, node)| node.is_null() && key.as_str() != "default") {
        diags.push(
            Diagnostic::new(Code::BadValue, format!("the key `{key}` of `build.ssh` has no path"))
                .at(node.place(), "")
                .help(format!("write `{key}=PATH`, of a key file or of an agent's socket; only `default` has one")),
        );
    }
}

fn service(name: &str, service: &Node, diags: &mut Vec<Diagnostic>) {
    patterns(service, diags);
    variables(name, service, diags);
    for port in items(service, "ports") {
        if let Some(ip) = port.get("host_ip")
            && let Some(text) = ip.as_str()
            && text.parse::<IpAddr>().is_err()
        {
            diags.push(
                Diagnostic::new(Code::BadValue, format!("`{text}` is no address"))
                    .at(ip.span, "an address is needed here"),
            );
        }
    }
    ssh(service, diags);
    let watch = service.get("develop").map_or(&[][..], |develop| items(develop, "watch"));
    for rule in watch {
        if let Some(path) = rule.get("path")
            && path.as_str() == Some("")
        {
            diags.push(
                Diagnostic::new(Code::BadValue, format!("a rule of `services.{name}.develop.watch` has an empty path"))
                    .at(path.span, ""),
            );
        }
        for key in ["ignore", "include"] {
            ignore_patterns(name, key, rule, diags);
        }
    }
    let reservations = service.get("deploy").and_then(|d| d.get("resources")).and_then(|r| r.get("reservations"));
    let devices = reservations.map_or(&[][..], |reservations| items(reservations, "devices"));
    for device in devices.iter().chain(items(service, "gpus")) {
        if device.get("count").is_some() && device.get("device_ids").is_some() {
            diags.push(
                Diagnostic::new(Code::Exclusive, "devices are asked for by `count` or by `device_ids`, not by both")
                    .at(device.span, ""),
            );
        }
    }
}
