//! Profiles, env_files and label_files, the command line's selection, and the typed [`Project`] (spec.md 12.7, 10.5).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::env::Environment;
use super::model::{Project, Sensitive};
use super::node::{Kind, Map, Node};
use super::{disk, dotenv, env, scalar};
use crate::diag::{Code, Diagnostic};
use crate::name::ServiceName;

/// The services of a tree.
pub fn services(tree: &Node) -> impl Iterator<Item = (&String, &Node)> {
    tree.get("services").and_then(Node::as_map).into_iter().flat_map(Map::iter)
}

/// Takes the services out whose profiles are off, and gives them back.
pub fn profiles(tree: &mut Node, active: &[String], selected: &[String]) -> Map {
    let mut on: BTreeSet<String> = active.iter().cloned().collect();
    for (name, service) in services(tree) {
        let off = !runs(service, &on);
        if off && selected.contains(name) {
            on.extend(list(service, "profiles").map(str::to_owned));
        }
    }
    let mut disabled = Map::new();
    if let Some(Kind::Map(map)) = tree.get_mut("services").map(|node| &mut node.kind) {
        for (name, service) in std::mem::take(map) {
            let target = if runs(&service, &on) { &mut *map } else { &mut disabled };
            target.insert(name, service);
        }
    }
    disabled
}

fn runs(service: &Node, on: &BTreeSet<String>) -> bool {
    let mut profiles = list(service, "profiles").peekable();
    profiles.peek().is_none() || on.contains("*") || profiles.any(|profile| on.contains(profile))
}

fn list<'a>(node: &'a Node, key: &str) -> impl Iterator<Item = &'a str> {
    node.get(key).and_then(Node::as_list).unwrap_or_default().iter().filter_map(Node::as_str)
}

/// Puts the values of env_files below `environment`, those of label_files below `labels`; the files that it looked for.
pub fn files(tree: &mut Node, environment: &Environment, diags: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut texts = Texts::new();
    let Some(Kind::Map(map)) = tree.get_mut("services").map(|node| &mut node.kind) else { return Vec::new() };
    for service in map.values_mut() {
        env_files(service, environment, &mut texts, diags);
        label_files(service, environment, &mut texts, diags);
    }
    texts.into_keys().collect()
}

/// Files that were read already, as many services name the same ones; or why they cannot be.
type Texts = BTreeMap<PathBuf, Result<String, String>>;

fn read(path: &Path, texts: &mut Texts) -> Result<String, String> {
    texts.entry(path.to_owned()).or_insert_with(|| disk::read(path)).clone()
}

fn env_files(service: &mut Node, environment: &Environment, texts: &mut Texts, diags: &mut Vec<Diagnostic>) {
    let entries = service.get("env_file").and_then(Node::as_list).unwrap_or_default();
    if entries.is_empty() {
        return;
    }
    let own = service.get("environment").and_then(Node::as_map).cloned().unwrap_or_default();
    let mut values = Environment::new();
    for entry in entries {
        let Some(path) = entry.get("path") else { continue };
        let file = Path::new(path.as_str().unwrap_or_default());
        let text = match read(file, texts) {
            Ok(text) => text,
            Err(_) if is_optional(entry) && !disk::is_file(file) => continue,
            Err(problem) => {
                diags.push(
                    Diagnostic::new(
                        Code::Unreadable,
                        format!("cannot read the env_file `{}`: {problem}", file.display()),
                    )
                    .at(path.span, "")
                    .help("make the file, or say `required: false`"),
                );
                continue;
            }
        };
        let lookup = |name: &str| {
            let own = || own.get(name).and_then(Node::as_str).map(str::to_owned);
            environment.get(name).cloned().or_else(own).or_else(|| values.get(name).cloned())
        };
        let parsed = match entry.get_str("format") {
            None | Some("") => dotenv::parse(&text, &lookup),
            Some("raw") => dotenv::parse_raw(&text, &lookup),
            Some(other) => {
                diags.push(
                    Diagnostic::new(Code::UnknownWord, format!("`{other}` is no format of an env_file (raw)"))
                        .at(path.span, ""),
                );
                continue;
            }
        };
        match parsed {
            Ok(parsed) => {
                values.extend(parsed.values);
                diags.extend(parsed.unset.iter().map(|name| {
                    let text = format!("the variable `{name}` is not set, so it is empty in `{}`", file.display());
                    Diagnostic::new(Code::UnsetVariable, text).at(path.span, "")
                }));
            }
            Err(error) => diags.push(env::describe(file, &error).at(path.span, "")),
        }
    }
    below(service, "environment", values);
}

fn is_optional(entry: &Node) -> bool {
    match entry.get("required").map(|required| &required.kind) {
        Some(Kind::Bool(required)) => !required,
        Some(Kind::Str(text)) => scalar::boolean(text) == Some(false),
        _ => false,
    }
}

fn label_files(service: &mut Node, environment: &Environment, texts: &mut Texts, diags: &mut Vec<Diagnostic>) {
    let mut values = Environment::new();
    for path in service.get("label_file").and_then(Node::as_list).unwrap_or_default() {
        let file = Path::new(path.as_str().unwrap_or_default());
        let text = match read(file, texts) {
            Ok(text) => text,
            Err(problem) => {
                let text = format!("cannot read the label_file `{}`: {problem}", file.display());
                diags.push(Diagnostic::new(Code::Unreadable, text).at(path.span, ""));
                continue;
            }
        };
        match dotenv::parse(&text, &|name| environment.get(name).cloned()) {
            Ok(parsed) => values.extend(parsed.values),
            Err(error) => diags.push(env::describe(file, &error).at(path.span, "")),
        }
    }
    below(service, "labels", values);
}

/// Adds values that are not there yet.
fn below(service: &mut Node, key: &str, values: Environment) {
    if values.is_empty() {
        return;
    }
    let Some(map) = service.as_map_mut() else { return };
    let target = map.entry(key.to_owned()).or_insert_with(Node::empty_map);
    if let Some(target) = target.as_map_mut() {
        for (key, value) in values {
            target.entry(key).or_insert(Node { kind: Kind::Str(value), ..Node::default() });
        }
    }
}

/// Keeps the named services and what they depend on.
pub fn select(tree: &mut Node, names: &[String], diags: &mut Vec<Diagnostic>) {
    if names.is_empty() {
        return;
    }
    let Some(Kind::Map(map)) = tree.get_mut("services").map(|node| &mut node.kind) else { return };
    let mut wanted: Vec<String> = names.to_vec();
    let mut kept: BTreeSet<String> = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        match map.get(&name) {
            Some(service) if kept.insert(name.clone()) => {
                wanted
                    .extend(service.get("depends_on").and_then(Node::as_map).into_iter().flat_map(Map::keys).cloned());
            }
            None if names.contains(&name) => diags.push(
                Diagnostic::new(Code::NoSuchService, format!("no such service: `{name}`"))
                    .did_you_mean(&name, map.keys().map(String::as_str)),
            ),
            _ => {}
        }
    }
    map.retain(|name, _| kept.contains(name));
}

/// Drops the networks, volumes, secrets, configs and models that no service uses.
pub fn drop_unused(tree: &mut Node) {
    let mut used: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (_, service) in services(tree) {
        let mut keep = |section: &'static str, name: &str| {
            used.entry(section).or_default().insert(name.to_owned());
        };
        for section in ["networks", "models"] {
            service.get(section).and_then(Node::as_map).into_iter().flat_map(Map::keys).for_each(|n| keep(section, n));
        }
        for mount in service.get("volumes").and_then(Node::as_list).unwrap_or_default() {
            if mount.get_str("type") == Some("volume") {
                keep("volumes", mount.get_str("source").unwrap_or_default());
            }
        }
        for section in ["secrets", "configs"] {
            let of = |node: &Node| -> Vec<String> {
                let grants = node.get(section).and_then(Node::as_list).unwrap_or_default();
                grants.iter().filter_map(|grant| grant.get_str("source").map(str::to_owned)).collect()
            };
            let grants = of(service).into_iter().chain(service.get("build").map(of).unwrap_or_default());
            grants.for_each(|name| keep(section, &name));
        }
    }
    for section in ["networks", "volumes", "secrets", "configs", "models"] {
        let used = used.remove(section).unwrap_or_default();
        if let Some(Kind::Map(map)) = tree.get_mut(section).map(|node| &mut node.kind) {
            map.retain(|name, _| used.contains(name));
        }
    }
}

/// The typed project of a finished tree.
pub fn project(tree: &Node, environment: &Environment) -> Result<Project, Diagnostic> {
    let value = value(tree, 0);
    let mut project: Project = serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let node = tree.nearest(&path);
        Diagnostic::new(Code::BadValue, format!("`{path}`: {}", error.inner())).at(node.span, "")
    })?;
    for object in project.secrets.values_mut().chain(project.configs.values_mut()) {
        object.value = object.environment.as_ref().and_then(|name| environment.get(name)).map(Sensitive::new);
    }
    // Optional dependencies whose profiles are off: nobody is there to wait for.
    let there: BTreeSet<ServiceName> = project.services.keys().cloned().collect();
    for service in project.services.values_mut() {
        service.depends_on.retain(|name, dependency| dependency.required || there.contains(name));
    }
    Ok(project)
}

/// A tree as serde knows it; `x-*` of the project and of services go under `extensions`.
fn value(node: &Node, depth: usize) -> serde_yaml::Value {
    use serde_yaml::Value;
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(b) => Value::Bool(*b),
        Kind::Int(n) => Value::Number((*n).into()),
        Kind::Float(f) => Value::Number((*f).into()),
        Kind::Str(text) | Kind::Date(text) => Value::String(text.clone()),
        Kind::List(list) => Value::Sequence(list.iter().map(|item| value(item, depth + 1)).collect()),
        Kind::Map(map) => {
            let mut out = serde_yaml::Mapping::with_capacity(map.len());
            let mut extensions = serde_yaml::Mapping::new();
            for (key, node) in map {
                let value = value(node, depth + 1);
                let target =
                    if key.starts_with("x-") && (depth == 0 || depth == 2) { &mut extensions } else { &mut out };
                target.insert(Value::String(key.clone()), value);
            }
            if !extensions.is_empty() {
                out.insert(Value::String("extensions".to_owned()), Value::Mapping(extensions));
            }
            Value::Mapping(out)
        }
    }
}
