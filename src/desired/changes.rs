//! What differs between two specs of a container, field by field, in words for people: the causes that a plan shows.
//!
//! Values of environment, labels and secrets are never shown.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::hash::comparable;
use super::{ContainerSpec, ImageSpec, PortSpec};

/// Why a container of spec `old` must be made anew to be one of spec `new`; empty if their hashes are equal.
pub fn changes(old: &ContainerSpec, new: &ContainerSpec) -> Vec<String> {
    if old.hash() == new.hash() {
        return Vec::new();
    }
    let (old, new) = (comparable(old), comparable(new));
    let mut causes = Vec::new();
    causes.extend(image(&old.image, &new.image));
    if old.argv != new.argv {
        causes.push("command changed".to_owned());
    }
    keyed(&mut causes, "environment.", &environment(&old), &environment(&new));
    keyed(&mut causes, "labels.", &old.labels, &new.labels);
    keyed(&mut causes, "annotations.", &old.annotations, &new.annotations);
    listed(&mut causes, "ports ", &old.ports, &new.ports, port);
    keyed(&mut causes, "mounts ", &by(&old.mounts, |one| &one.target), &by(&new.mounts, |one| &one.target));
    keyed(&mut causes, "devices ", &by(&old.devices, |one| &one.target), &by(&new.devices, |one| &one.target));
    files(&mut causes, &old, &new);
    endpoints(&mut causes, &old, &new);
    listed(&mut causes, "cap_add ", &old.security.capabilities, &new.security.capabilities, String::clone);
    rest(&mut causes, &old, &new);
    if causes.is_empty() {
        // Only an order that nobody sees can be left: of environment entries that are there twice, of mounts.
        causes.push("spec changed".to_owned());
    }
    causes
}

/// The fields that have words of their own above.
const DONE: [&str; 10] =
    ["image", "argv", "env", "labels", "annotations", "ports", "mounts", "devices", "files", "endpoints"];

/// Fields that people know under another name.
const NAMES: [(&str, &str); 7] = [
    ("exposed", "expose"),
    ("cwd", "working_dir"),
    ("groups", "group_add"),
    ("log", "logging"),
    ("device_rules", "device_cgroup_rules"),
    ("security", "security_opt"),
    ("oneoff", "run"),
];

fn image(old: &ImageSpec, new: &ImageSpec) -> Option<String> {
    if old.name != new.name {
        return Some(format!("image {}→{}", old.name, new.name));
    }
    let short = |image: &ImageSpec| image.id.hex().get(..12).unwrap_or(image.id.hex()).to_owned();
    (old.id != new.id).then(|| format!("image {} {}→{}", new.name, short(old), short(new)))
}

fn environment(spec: &ContainerSpec) -> BTreeMap<String, String> {
    let pair = |entry: &String| {
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        (key.to_owned(), value.to_owned())
    };
    spec.env.iter().map(pair).collect()
}

fn by<T>(list: &[T], key: impl Fn(&T) -> &String) -> BTreeMap<String, &T> {
    list.iter().map(|one| (key(one).clone(), one)).collect()
}

/// `<prefix><key> added|removed|changed`.
fn keyed<T: PartialEq>(causes: &mut Vec<String>, prefix: &str, old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let verb = match (old.get(key), new.get(key)) {
            (None, Some(_)) => "added",
            (Some(_), None) => "removed",
            (Some(before), Some(after)) if before != after => "changed",
            _ => continue,
        };
        causes.push(format!("{prefix}{key} {verb}"));
    }
}

/// `<prefix><text> added|removed`; `reordered` where only the order differs.
fn listed<T: PartialEq>(causes: &mut Vec<String>, prefix: &str, old: &[T], new: &[T], text: impl Fn(&T) -> String) {
    let before = causes.len();
    causes.extend(old.iter().filter(|one| !new.contains(one)).map(|one| format!("{prefix}{} removed", text(one))));
    causes.extend(new.iter().filter(|one| !old.contains(one)).map(|one| format!("{prefix}{} added", text(one))));
    if causes.len() == before && old != new {
        causes.push(format!("{prefix}reordered"));
    }
}

/// A published port as the short form of compose writes it.
pub fn port(port: &PortSpec) -> String {
    let host = match port.host_ip {
        Some(std::net::IpAddr::V6(ip)) => format!("[{ip}]:"),
        Some(ip) => format!("{ip}:"),
        None => String::new(),
    };
    let published = match (port.published, port.published_end) {
        (0, _) if host.is_empty() => String::new(),
        (0, _) => ":".to_owned(),
        (first, last) if first == last => format!("{first}:"),
        (first, last) => format!("{first}-{last}:"),
    };
    let protocol = if port.protocol == super::Protocol::Udp { "/udp" } else { "" };
    format!("{host}{published}{}{protocol}", port.target)
}

fn files(causes: &mut Vec<String>, old: &ContainerSpec, new: &ContainerSpec) {
    let (before, after) = (by(&old.files, |file| &file.target), by(&new.files, |file| &file.target));
    for (target, file) in &after {
        let Some(other) = before.get(target) else {
            causes.push(format!("{} `{}` added", kind(target), file.name));
            continue;
        };
        if file.content != other.content {
            causes.push(format!("{} `{}` content changed", kind(target), file.name));
        } else if file != other {
            causes.push(format!("{} `{}` changed", kind(target), file.name));
        }
    }
    for (target, file) in before.iter().filter(|(target, _)| !after.contains_key(*target)) {
        causes.push(format!("{} `{}` removed", kind(target), file.name));
    }
    if before == after && old.files != new.files {
        causes.push("secrets reordered".to_owned());
    }
}

fn kind(target: &str) -> &'static str {
    if target.starts_with("/run/secrets/") { "secret" } else { "config" }
}

fn endpoints(causes: &mut Vec<String>, old: &ContainerSpec, new: &ContainerSpec) {
    let map = |spec: &ContainerSpec| -> BTreeMap<String, Value> {
        let value = |endpoint| serde_json::to_value(endpoint).unwrap_or_default();
        spec.endpoints.iter().map(|endpoint| (endpoint.network.to_string(), value(endpoint))).collect()
    };
    let (before, after) = (map(old), map(new));
    let known = causes.len();
    for (network, endpoint) in &after {
        match before.get(network) {
            None => causes.push(format!("network {network} added")),
            Some(other) => fields(causes, &format!("network {network} "), other, endpoint),
        }
    }
    causes.extend(before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("network {key} removed")));
    if causes.len() == known && old.endpoints != new.endpoints {
        causes.push("networks reordered".to_owned());
    }
}

/// All other fields, by their JSON.
fn rest(causes: &mut Vec<String>, old: &ContainerSpec, new: &ContainerSpec) {
    let (Ok(Value::Object(before)), Ok(Value::Object(after))) = (serde_json::to_value(old), serde_json::to_value(new))
    else {
        return;
    };
    for (key, value) in after.iter().filter(|(key, _)| !DONE.contains(&key.as_str())) {
        let Some(other) = before.get(key).filter(|other| *other != value) else { continue };
        let name = NAMES.iter().find(|(field, _)| field == key).map_or(key.as_str(), |(_, name)| name);
        match (other, value) {
            (Value::Object(_), Value::Object(_)) => fields(causes, &format!("{name}."), other, value),
            _ => causes.push(leaf(name, other, value)),
        }
    }
}

/// The fields of two objects that differ.
fn fields(causes: &mut Vec<String>, prefix: &str, old: &Value, new: &Value) {
    let (Value::Object(before), Value::Object(after)) = (old, new) else { return };
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys.into_iter().filter(|key| *key != "capabilities") {
        let (one, other) = (before.get(key).unwrap_or(&Value::Null), after.get(key).unwrap_or(&Value::Null));
        if one != other {
            causes.push(leaf(&format!("{prefix}{key}"), one, other));
        }
    }
}

/// `name a→b` where both are short and plain, else `name changed`.
fn leaf(name: &str, old: &Value, new: &Value) -> String {
    match (short(old), short(new)) {
        (Some(old), Some(new)) => format!("{name} {old}→{new}"),
        _ => format!("{name} changed"),
    }
}

fn short(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => return None,
    };
    (text.len() <= 40).then_some(text)
}
