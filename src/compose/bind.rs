//! Profiles, env_files and label_files, the command line's selection, and the typed [`Project`] (spec.md 12.7, 10.5).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::env::Environment;
use super::explain::Step;
use super::load::Loader;
use super::model::{Project, Sensitive};
use super::node::{Kind, Map, Node};
use super::{disk, dotenv, env, normalize, scalar};
use crate::diag::{Code, Diagnostic, FileId, Span};
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

/// Puts the values of env_files (where they are `wanted`) below `environment`, those of label_files below `labels`; the files
/// that it looked for.
pub fn files(tree: &mut Node, environment: &Environment, wanted: bool, loader: &mut Loader) -> Vec<PathBuf> {
    let mut texts = Texts::new();
    let Some(Kind::Map(map)) = tree.get_mut("services").map(|node| &mut node.kind) else { return Vec::new() };
    let mut said = Vec::new();
    for (name, service) in map {
        let mut reader = Reader { name, environment, texts: &mut texts, loader: &mut *loader, said: &mut said };
        if wanted {
            if let Some(own) = service.get_mut("environment") {
                normalize::inherit(own, environment);
            }
            reader.env_files(service);
        }
        reader.label_files(service);
    }
    if let Some(history) = &mut loader.history {
        // What the compose files say goes over it.
        history.splice(0..0, said);
    }
    texts.into_keys().collect()
}

/// Reads the files of one service.
struct Reader<'a> {
    name: &'a str,
    environment: &'a Environment,
    texts: &'a mut Texts,
    loader: &'a mut Loader,
    /// What each file said, if that is to be kept.
    said: &'a mut Vec<Step>,
}

/// Files that were read already, as many services name the same ones; or why they cannot be.
type Texts = BTreeMap<PathBuf, Result<(Rc<str>, FileId), String>>;

/// Values of files, where they stand.
type Values = BTreeMap<String, Node>;

impl Reader<'_> {
    fn read(&mut self, path: &Path) -> Result<(Rc<str>, FileId), String> {
        if let Some(known) = self.texts.get(path) {
            return known.clone();
        }
        let confined = self.loader.checkouts.confine(path).map_err(|diag| diag.message);
        let text = confined
            .and_then(|()| disk::read(path))
            .map(|text| (text.as_str().into(), env::add(&mut self.loader.sources, path, &text)));
        self.texts.entry(path.to_owned()).or_insert(text).clone()
    }

    /// The values of one file; `key` is where they go.
    fn take(&mut self, key: &str, path: &Path, (parsed, id): (dotenv::Dotenv, FileId), values: &mut Values) {
        let mut own = Values::new();
        for (name, value) in parsed.values {
            let span = parsed.places.get(&name).map_or_else(Span::default, |at| Span::new(id, at.start, at.end));
            own.insert(name, Node { kind: Kind::Str(value), span, ..Node::default() });
        }
        if self.loader.history.is_some() {
            let mut tree = Node { kind: Kind::Map(own.clone()), ..Node::default() };
            for step in [key, self.name, "services"] {
                tree = Node { kind: Kind::Map(Map::from([(step.to_owned(), tree)])), ..Node::default() };
            }
            self.said.push(Step { title: path.display().to_string(), tree });
        }
        values.extend(own);
    }

    fn env_files(&mut self, service: &mut Node) {
        let entries = service.get("env_file").and_then(Node::as_list).unwrap_or_default();
        if entries.is_empty() {
            return;
        }
        let own = service.get("environment").and_then(Node::as_map).cloned().unwrap_or_default();
        let mut values = Values::new();
        for entry in entries {
            let Some(path) = entry.get("path") else { continue };
            let file = Path::new(path.as_str().unwrap_or_default());
            let (text, id) = match self.read(file) {
                Ok(read) => read,
                Err(_) if is_optional(entry) && !disk::is_file(file) => continue,
                Err(problem) => {
                    let text = format!("cannot read the env_file `{}`: {problem}", file.display());
                    let diag = Diagnostic::new(Code::Unreadable, text).at(path.span, "");
                    self.loader.diags.push(diag.help("make the file, or say `required: false`"));
                    continue;
                }
            };
            let lookup = |name: &str| {
                let text = |map: &Map| map.get(name).and_then(Node::as_str).map(str::to_owned);
                self.environment.get(name).cloned().or_else(|| text(&own))
            };
            let earlier = |name: &str| values.get(name).and_then(Node::as_str).map(str::to_owned);
            let parsed = match entry.get_str("format") {
                None | Some("") => dotenv::parse(&text, &lookup, &earlier),
                Some("raw") => dotenv::parse_raw(&text, &lookup),
                Some(other) => {
                    let text = format!("`{other}` is no format of an env_file (raw)");
                    self.loader.diags.push(Diagnostic::new(Code::UnknownWord, text).at(path.span, ""));
                    continue;
                }
            };
            match parsed {
                Ok(parsed) => {
                    self.loader.diags.extend(parsed.unset.iter().map(|name| {
                        let text = format!("the variable `{name}` is not set, so it is empty in `{}`", file.display());
                        Diagnostic::new(Code::UnsetVariable, text).at(path.span, "")
                    }));
                    self.take("environment", file, (parsed, id), &mut values);
                }
                Err(errors) => self.loader.diags.push(env::describe(file, id, &errors).at(path.span, "named here")),
            }
        }
        below(service, "environment", values);
    }

    fn label_files(&mut self, service: &mut Node) {
        let mut values = Values::new();
        for path in service.get("label_file").and_then(Node::as_list).unwrap_or_default() {
            let file = Path::new(path.as_str().unwrap_or_default());
            let (text, id) = match self.read(file) {
                Ok(read) => read,
                Err(problem) => {
                    let text = format!("cannot read the label_file `{}`: {problem}", file.display());
                    self.loader.diags.push(Diagnostic::new(Code::Unreadable, text).at(path.span, ""));
                    continue;
                }
            };
            // Labels see labels only: those of the files before come before the file's own.
            let earlier = |name: &str| values.get(name).and_then(Node::as_str).map(str::to_owned);
            match dotenv::parse(&text, &earlier, &|_| None) {
                Ok(parsed) => self.take("labels", file, (parsed, id), &mut values),
                Err(errors) => self.loader.diags.push(env::describe(file, id, &errors).at(path.span, "named here")),
            }
        }
        below(service, "labels", values);
    }
}

fn is_optional(entry: &Node) -> bool {
    match entry.get("required").map(|required| &required.kind) {
        Some(Kind::Bool(required)) => !required,
        Some(Kind::Str(text)) => scalar::boolean(text) == Some(false),
        _ => false,
    }
}

/// Adds values that are not there yet.
fn below(service: &mut Node, key: &str, values: Values) {
    if values.is_empty() {
        return;
    }
    let Some(map) = service.as_map_mut() else { return };
    let target = map.entry(key.to_owned()).or_insert_with(Node::empty_map);
    if let Some(target) = target.as_map_mut() {
        for (key, value) in values {
            target.entry(key).or_insert(value);
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
    for service in map.values_mut() {
        leave_out_dependencies(service, &kept);
    }
}

/// Takes those dependencies out that are not there: they were optional.
fn leave_out_dependencies(service: &mut Node, kept: &BTreeSet<String>) {
    let Some(service) = service.as_map_mut() else { return };
    let Some(dependencies) = service.get_mut("depends_on").and_then(Node::as_map_mut) else { return };
    dependencies.retain(|name, _| kept.contains(name));
    if dependencies.is_empty() {
        service.remove("depends_on");
    }
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
        Kind::Large(n) => Value::Number((*n).into()),
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
