//! Two projects in canonical form, field by field. Pure; for `windlass diff`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `services.web.ports[80].published`.
    pub path: String,
    /// On which side it is.
    pub change: Change,
    /// The first side's value; none where it is not there, hidden, or a whole mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub a: Option<Value>,
    /// The second side's value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Value>,
    /// The values may be secrets and are left out.
    pub hidden: bool,
}

/// How a field differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only on the first side.
    Removed,
    /// Only on the second side.
    Added,
    /// On both, and not the same.
    Changed,
}

/// Fields whose values are hidden: passwords are often among them.
const HIDDEN: [&str; 6] = ["environment", "labels", "annotations", "args", "content", "driver_opts"];

/// What differs between two projects as [`super::config::value`] gives them. With `values`, those of environment
/// variables, labels, build arguments and inline configs are in it; secrets never are.
pub fn compare(a: &Value, b: &Value, values: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    Walk { values, found: &mut found }.node(&mut Vec::new(), a, b);
    found
}

struct Walk<'a> {
    values: bool,
    found: &'a mut Vec<Difference>,
}

impl Walk<'_> {
    fn node(&mut self, path: &mut Vec<String>, a: &Value, b: &Value) {
        if a == b || is_nothing(a) && is_nothing(b) {
            return;
        }
        match (mapping(a), mapping(b)) {
            (Some(a), Some(b)) => self.members(path, &a, &b),
            // A whole service or volume is one difference; smaller things are told field by field.
            (Some(members), None) if path.len() > 2 && is_nothing(b) => self.members(path, &members, &Map::new()),
            (None, Some(members)) if path.len() > 2 && is_nothing(a) => self.members(path, &Map::new(), &members),
            _ => self.leaf(path, a, b),
        }
    }

    fn members(&mut self, path: &mut Vec<String>, a: &Map<String, Value>, b: &Map<String, Value>) {
        if path.len() > 2 && (a.is_empty() && b.values().all(is_nothing) || b.is_empty() && a.values().all(is_nothing))
        {
            return self.leaf(path, &present(a), &present(b));
        }
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            path.push(key.clone());
            self.node(path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
            path.pop();
        }
    }

    fn leaf(&mut self, path: &[String], a: &Value, b: &Value) {
        let change = match (is_nothing(a), is_nothing(b)) {
            (true, _) => Change::Added,
            (_, true) => Change::Removed,
            _ => Change::Changed,
        };
        let hidden =
            !self.values && path.iter().skip(2).any(|key| HIDDEN.contains(&key.as_str())) && !names_a_variable(path);
        let shown =
            |value: &Value| Some(value.clone()).filter(|value| !hidden && !is_nothing(value) && !value.is_object());
        self.found.push(Difference { path: text(path), change, a: shown(a), b: shown(b), hidden });
    }
}

/// `secrets.x.environment` is a name.
fn names_a_variable(path: &[String]) -> bool {
    matches!(path, [section, _, key] if matches!(section.as_str(), "secrets" | "configs") && key == "environment")
}

fn is_nothing(value: &Value) -> bool {
    value.is_null()
}

/// A mapping that is there, though it is empty.
fn present(map: &Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { Value::Object(map.clone()) }
}

/// The members of a mapping, or of a list of mappings by what tells them apart: a mount's target, a rule's path.
fn mapping(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map.clone()),
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_object) => {
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            let keyed = list.iter().enumerate().map(|(index, item)| {
                let key = identity(item).unwrap_or_else(|| index.to_string());
                let count = seen.entry(key.clone()).and_modify(|count| *count += 1).or_insert(1);
                let key = if *count == 1 { format!("[{key}]") } else { format!("[{key}#{count}]") };
                (key, item.clone())
            });
            Some(keyed.collect())
        }
        _ => None,
    }
}

fn identity(item: &Value) -> Option<String> {
    let key = ["target", "path", "source", "subnet", "command"].iter().find_map(|key| item.get(key))?;
    let text = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    match item.get("protocol").and_then(Value::as_str) {
        Some(protocol) if protocol != "tcp" => Some(format!("{text}/{protocol}")),
        _ => Some(text),
    }
}

fn text(path: &[String]) -> String {
    let mut text = String::new();
    for part in path {
        if !text.is_empty() && !part.starts_with('[') {
            text.push('.');
        }
        text.push_str(part);
    }
    text
}
