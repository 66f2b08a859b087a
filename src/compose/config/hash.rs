//! The hash of a service: sha256 of its JSON as the peer writes it, without what may change while its container stays.

use sha2::{Digest, Sha256};

use super::View;
use crate::compose::attributes::{Out, SERVICE};
use crate::compose::node::{Kind, Map, Node};

/// Attributes that do not count.
const LEFT_OUT: [&str; 5] = ["build", "pull_policy", "scale", "depends_on", "profiles"];

/// The hash of a finished service, in hexadecimal.
pub fn hash(service: &Node) -> String {
    let mut counted = service.as_map().cloned().unwrap_or_default();
    counted.retain(|key, _| !LEFT_OUT.contains(&key.as_str()) && !key.starts_with("x-"));
    for key in ["command", "entrypoint"] {
        counted.entry(key.to_owned()).or_default();
    }
    if let Some(deploy) = counted.get_mut("deploy").and_then(Node::as_map_mut) {
        deploy.remove("replicas");
        for key in ["resources", "placement"] {
            deploy.entry(key.to_owned()).or_insert_with(Node::empty_map);
        }
    }
    for limit in counted.get_mut("ulimits").and_then(Node::as_map_mut).into_iter().flat_map(Map::values_mut) {
        // Its JSON has no zeros.
        if let Some(limit) = limit.as_map_mut() {
            limit.retain(|_, number| number.kind != Kind::Int(0));
        }
    }
    for file in counted.get_mut("env_file").and_then(Node::as_list_mut).into_iter().flatten() {
        // One that is required is its path there.
        let required = file.get("required").is_none_or(|required| required.kind != Kind::Bool(false));
        if let Some(path) = file.get_str("path").filter(|_| required).map(str::to_owned) {
            file.kind = Kind::Str(path);
        }
    }
    let node = Node { kind: Kind::Map(counted), ..Node::default() };
    let mut json = String::new();
    write(&mut json, &View { node: &node, shape: &SERVICE });
    text(&json)
}

/// The hash of a text, in hexadecimal.
pub fn text(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(out: &mut String, view: &View<'_>) {
    match &view.node.kind {
        Kind::Map(map) => mapping(out, view, map),
        Kind::List(list) => {
            out.push('[');
            for (at, item) in view.items(list, true).iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(out, item);
            }
            out.push(']');
        }
        Kind::Null => out.push_str("null"),
        Kind::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Kind::Int(n) => out.push_str(&n.to_string()),
        Kind::Large(n) => out.push_str(&n.to_string()),
        Kind::Float(f) => out.push_str(&f.to_string()),
        Kind::Str(text) | Kind::Date(text) => string(out, text),
    }
}

fn mapping(out: &mut String, view: &View<'_>, map: &Map) {
    out.push('{');
    let mut first = true;
    let mut members = view.fields_then_names(map);
    members.retain(|(key, view)| view.shape.out != Out::Hidden || matches!(*key, "env_file" | "label_file"));
    for (key, member) in members {
        if !first {
            out.push(',');
        }
        first = false;
        string(out, key);
        out.push(':');
        write(out, &member);
    }
    out.push('}');
}

/// A JSON text with Go's extra escapes.
fn string(out: &mut String, text: &str) {
    let json = serde_json::Value::from(text).to_string();
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}
