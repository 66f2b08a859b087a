//! JSON, with the peculiarities of the peer's that scripts have learned to live with.

use serde_json::{Map as Object, Value};

use super::super::node::{Kind, Node};
use super::escape;

/// The tree as JSON. `typed` adds the members that the peer always prints and leaves out those it never does.
pub fn print(root: &Node, typed: bool) -> String {
    let mut value = convert(root);
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

fn convert(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(b) => Value::Bool(*b),
        Kind::Int(n) => Value::from(*n),
        Kind::Float(f) => Value::from(*f),
        Kind::Str(text) | Kind::Date(text) => Value::String(escape(text)),
        Kind::List(list) => Value::Array(list.iter().map(convert).collect()),
        Kind::Map(map) => Value::Object(map.iter().map(|(key, node)| (escape(key), convert(node))).collect()),
    }
}

fn project(root: &mut Object<String, Value>) {
    root.retain(|key, value| {
        key == "services" || key.starts_with("x-") || !value.as_object().is_some_and(Object::is_empty)
    });
    for (key, section) in root.iter_mut().filter(|(key, _)| !key.starts_with("x-")) {
        let Some(section) = section.as_object_mut() else { continue };
        for entry in section.values_mut() {
            drop_extensions(entry, key == "services");
            let Some(entry) = entry.as_object_mut() else { continue };
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

/// The peer's JSON has `x-*` at the top level only.
fn drop_extensions(value: &mut Value, service: bool) {
    if let Value::Object(map) = value {
        map.retain(|key, _| !key.starts_with("x-"));
        for (key, value) in map.iter_mut() {
            let own = service && matches!(key.as_str(), "environment" | "labels" | "annotations" | "sysctls");
            if !own {
                drop_extensions(value, false);
            }
        }
    }
    if let Value::Array(list) = value {
        list.iter_mut().for_each(|item| drop_extensions(item, false));
    }
}

fn service(service: &mut Object<String, Value>) {
    for key in ["command", "entrypoint"] {
        service.entry(key).or_insert(Value::Null);
    }
    service.remove("env_file");
    service.remove("label_file");
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
