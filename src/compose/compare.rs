//! Two projects in canonical form, field by field. Pure; for `windlass diff`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Difference {
    /// `services.web.ports[80].published`.
    pub path: String,
    /// On which side it is.
    pub change: Change,
    /// The first side's value; none where it is not there, hidden, or too large; of a whole
    /// service, its plain members.
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// Mappings whose keys are the user's: a key without a value says something there.
const NAMED: [&str; 8] =
    ["services", "networks", "volumes", "secrets", "configs", "models", "depends_on", "environment"];

/// What differs between two projects as [`super::config::value`] gives them. With `values`, those of environment
/// variables, labels and build arguments are in it; secrets, their digests and the text of inline configs never are.
pub fn compare(a: &Value, b: &Value, values: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    let (a, b) = (normal("", a), normal("", b));
    Walk { values, found: &mut found }.node(&mut Vec::new(), a.as_ref(), b.as_ref());
    found
}

/// A value without what says nothing: nulls and empty things that the canonical form has in some places.
fn normal(key: &str, value: &Value) -> Option<Value> {
    let is_named = NAMED.contains(&key);
    match value {
        Value::Null => None,
        Value::Object(map) => {
            let members = map.iter().filter_map(|(key, value)| match normal(key, value) {
                None if is_named => Some((key.clone(), Value::Object(Map::new()))),
                member => Some((key.clone(), member?)),
            });
            Some(Value::Object(members.collect())).filter(|map| map.as_object().is_some_and(|map| !map.is_empty()))
        }
        Value::Array(list) if list.is_empty() => None,
        Value::Array(list) => Some(Value::Array(list.iter().filter_map(|item| normal("", item)).collect())),
        value => Some(value.clone()),
    }
}

struct Walk<'a> {
    values: bool,
    found: &'a mut Vec<Difference>,
}

impl Walk<'_> {
    fn node(&mut self, path: &mut Vec<String>, a: Option<&Value>, b: Option<&Value>) {
        if a == b {
            return;
        }
        // A whole service, volume, port or mount is one difference; smaller things are told field by field.
        let is_whole = path.len() == 2 || path.last().is_some_and(|last| last.starts_with('['));
        let nothing = Map::new();
        match (a.map(mapping), b.map(mapping)) {
            (Some(Some(a)), Some(Some(b))) => self.members(path, &a, &b),
            (Some(Some(members)), None) if !is_whole && !members.is_empty() => self.members(path, &members, &nothing),
            (None, Some(Some(members))) if !is_whole && !members.is_empty() => self.members(path, &nothing, &members),
            _ => self.leaf(path, a, b),
        }
    }

    fn members(&mut self, path: &mut Vec<String>, a: &Map<String, Value>, b: &Map<String, Value>) {
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            path.push(key.clone());
            self.node(path, a.get(key), b.get(key));
            path.pop();
        }
    }

    fn leaf(&mut self, path: &[String], a: Option<&Value>, b: Option<&Value>) {
        let change = match (a, b) {
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
            _ => Change::Changed,
        };
        let secret = path.iter().skip(2).any(|key| HIDDEN.contains(&key.as_str())) && !names_a_variable(path);
        let hidden = (!self.values && secret) || is_of_a_secret(path);
        let shown = |value: Option<&Value>| if hidden { None } else { value.and_then(|value| plain(path, value)) };
        self.found.push(Difference { path: text(path), change, a: shown(a), b: shown(b), hidden });
    }
}

/// What is shown of a value: all of a plain one, the plain members of an item of a list, a service, a config.
fn plain(path: &[String], value: &Value) -> Option<Value> {
    let Value::Object(map) = value else { return Some(value.clone()) };
    let may_be_seen = |key: &String| {
        let place = [path, std::slice::from_ref(key)].concat();
        !is_of_a_secret(&place) && !HIDDEN.contains(&key.as_str()) || names_a_variable(&place)
    };
    let members = map.iter().filter(|(key, value)| !value.is_object() && !value.is_array() && may_be_seen(key));
    let members: Map<String, Value> = members.map(|(key, value)| (key.clone(), value.clone())).collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

/// The digest of a secret tells whoever has a guess whether it is right: that it differs is all that is told.
fn is_of_a_secret(path: &[String]) -> bool {
    matches!(path, [section, _, key] if section == "secrets" && key == "digest")
}

/// `secrets.x.environment` is a name.
fn names_a_variable(path: &[String]) -> bool {
    matches!(path, [section, _, key] if matches!(section.as_str(), "secrets" | "configs") && key == "environment")
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
