//! JSON, with the peculiarities of the peer's that scripts have learned to live with.

use serde_json::{Map as Object, Value};

use super::super::attributes::{ANY, Keys, Out, Shape, Unique};
use super::super::date;
use super::super::node::{Kind, Node};
use super::{View, escape};

/// The tree as JSON. `typed` adds the members that the peer always prints and leaves out those it never does.
pub fn print(root: &Node, shape: &Shape, typed: bool) -> String {
    let mut value = convert(&View { node: root, shape }, typed, 0);
    if let (true, Some(root)) = (typed, value.as_object_mut()) {
        root.remove("models");
        project(root);
    }
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    // Go's encoder writes these so, to be safe inside HTML.
    for (from, to) in [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")] {
        text = text.replace(from, to);
    }
    text.push('\n');
    text
}

/// A value as it is.
pub fn value(node: &Node, shape: &Shape) -> Value {
    convert(&View { node, shape }, false, 1)
}

/// `depth` 0 is the project; below it the peer's JSON has no `x-*`.
fn convert(view: &View<'_>, typed: bool, depth: usize) -> Value {
    match &view.node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(b) => Value::Bool(*b),
        Kind::Int(n) => Value::from(*n),
        Kind::Large(n) => Value::from(*n),
        // Go writes no fraction of nothing.
        Kind::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Value::from(*f as i64),
        Kind::Float(f) => Value::from(*f),
        Kind::Str(text) => Value::String(escape(text, typed)),
        Kind::Date(text) => Value::String(date::printed(text)),
        Kind::List(list) => {
            // An empty list is nothing to the peer where it has gone over it last as something of no type.
            let own = typed || view.shape.unique != Unique::No && view.shape.out != Out::EnvMap;
            if list.is_empty() && (view.shape.scalars == ANY.scalars || !own) {
                return Value::Null;
            }
            Value::Array(view.items(list, typed).iter().map(|item| convert(item, typed, depth + 1)).collect())
        }
        Kind::Map(map) => {
            let own = matches!(view.shape.keys, Keys::Fields(_)) && typed && depth > 0;
            let members = view.members(map, typed).into_iter().filter(|(key, _)| !(own && key.starts_with("x-")));
            Value::Object(members.map(|(key, view)| (escape(key, typed), convert(&view, typed, depth + 1))).collect())
        }
    }
}

fn project(root: &mut Object<String, Value>) {
    root.retain(|key, value| {
        key == "services" || key.starts_with("x-") || !value.as_object().is_some_and(Object::is_empty)
    });
    for (key, section) in root.iter_mut() {
        let Some(section) = section.as_object_mut() else { continue };
        for entry in section.values_mut().filter_map(Value::as_object_mut) {
            match key.as_str() {
                "services" => service(entry),
                "networks" => {
                    entry.entry("ipam").or_insert_with(|| Value::Object(Object::new()));
                }
                _ => {}
            }
        }
    }
}

fn service(service: &mut Object<String, Value>) {
    for key in ["command", "entrypoint"] {
        service.entry(key).or_insert(Value::Null);
    }
    if let Some(deploy) = service.get_mut("deploy").and_then(Value::as_object_mut) {
        for key in ["resources", "placement"] {
            deploy.entry(key).or_insert_with(|| Value::Object(Object::new()));
        }
    }
    let watch = service.get_mut("develop").and_then(|develop| develop.get_mut("watch")).and_then(Value::as_array_mut);
    for rule in watch.into_iter().flatten().filter_map(Value::as_object_mut) {
        let exec = rule.entry("exec").or_insert_with(|| Value::Object(Object::new()));
        if let Some(exec) = exec.as_object_mut() {
            exec.entry("command").or_insert(Value::Null);
        }
    }
    for limits in [&["ulimits"][..], &["build", "ulimits"]] {
        let limits = limits.iter().try_fold(&mut *service, |map, key| map.get_mut(*key)?.as_object_mut());
        for limit in limits.into_iter().flat_map(Object::values_mut).filter_map(Value::as_object_mut) {
            limit.retain(|_, number| number.as_i64() != Some(0));
        }
    }
    if let Some(blkio) = service.get_mut("blkio_config").and_then(Value::as_object_mut) {
        for device in blkio.values_mut().filter_map(Value::as_array_mut).flatten().filter_map(Value::as_object_mut) {
            for (key, name) in [("path", "Path"), ("weight", "Weight"), ("rate", "Rate")] {
                if let Some(value) = device.remove(key) {
                    device.insert(name.to_owned(), value);
                }
            }
        }
    }
}
