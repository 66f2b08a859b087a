//! Short forms → long forms (spec.md sections 3 to 8).

pub mod ports;
pub mod volume;

use super::attributes::{Form, Keys, Shape};
use super::merge::names_to_map;
use super::node::{Kind, Map, Node};
use super::scalar;
use crate::diag::{Code, Diagnostic};

/// Writes a tree long. `lenient` keeps what cannot be read (values that still have their variables).
pub fn canonical(node: &mut Node, shape: &Shape, lenient: bool, diags: &mut Vec<Diagnostic>) {
    if shape.form != Form::No {
        long(node, shape, lenient, diags);
    }
    match &mut node.kind {
        Kind::Map(map) if !matches!(shape.keys, Keys::No) => {
            for (key, value) in map {
                if let Some(row) = shape.field(key) {
                    canonical(value, row, lenient, diags);
                }
            }
        }
        Kind::List(list) => {
            if let Some(items) = shape.items {
                list.iter_mut().for_each(|item| canonical(item, items, lenient, diags));
            }
        }
        _ => {}
    }
}

fn long(node: &mut Node, shape: &Shape, lenient: bool, diags: &mut Vec<Diagnostic>) {
    match shape.form {
        Form::No => {}
        Form::OneOrMore => one_or_more(node),
        Form::OneOrMoreFilled => {
            one_or_more(node);
            if let Kind::List(list) = &mut node.kind {
                list.retain(|item| item.as_str() != Some("") && !item.is_null());
            }
        }
        Form::Build => text_to_map(node, "context"),
        Form::Extends => text_to_map(node, "service"),
        Form::File => text_to_map(node, "source"),
        Form::DependsOn => {
            names_to_map(node, &|name| Kind::Map(started(name)));
            required(node);
        }
        Form::Names => names_to_map(node, &|_| Kind::Null),
        Form::EnvFile => env_file(node),
        Form::Gpus => gpus(node),
        Form::Device => device(node, diags),
        Form::Ports => ports::expand(node, lenient, diags),
        Form::Volume => volume::long(node, lenient, diags),
        Form::Pairs | Form::Ssh => pairs_to_map(node),
        Form::External => external(node, diags),
        Form::Text => {
            if let Some(text) = scalar::text(&node.kind) {
                node.kind = Kind::Str(text);
            }
        }
        Form::Ulimit if lenient => ulimit(node, diags),
        Form::Ulimit => {}
    }
}

/// A dependency is required unless it says otherwise.
fn required(node: &mut Node) {
    for entry in node.as_map_mut().into_iter().flat_map(Map::values_mut) {
        let yes = Node::like(entry, Kind::Bool(true));
        if let Some(entry) = entry.as_map_mut() {
            entry.entry("required".to_owned()).or_insert(yes);
        }
    }
}

/// The condition that a plain name in `depends_on` stands for.
pub fn started(place: &Node) -> Map {
    let mut entry = Map::new();
    entry.insert("condition".to_owned(), Node::text_like(place, "service_started"));
    entry.insert("required".to_owned(), Node::like(place, Kind::Bool(true)));
    entry
}

fn one_or_more(node: &mut Node) {
    if matches!(node.kind, Kind::Str(_)) {
        node.kind = Kind::List(vec![node.clone()]);
    }
}

fn text_to_map(node: &mut Node, key: &str) {
    if let Kind::Str(_) = node.kind {
        let mut map = Map::new();
        map.insert(key.to_owned(), node.clone());
        node.kind = Kind::Map(map);
    }
}

fn env_file(node: &mut Node) {
    if matches!(node.kind, Kind::Str(_)) {
        node.kind = Kind::List(vec![node.clone()]);
    }
    let Kind::List(list) = &mut node.kind else { return };
    for item in list {
        text_to_map(item, "path");
        let required = Node::like(item, Kind::Bool(true));
        if let Some(map) = item.as_map_mut() {
            map.entry("required".to_owned()).or_insert(required);
        }
    }
}

fn gpus(node: &mut Node) {
    if node.as_str() == Some("all") {
        let all = Map::from([("count".to_owned(), node.clone())]);
        node.kind = Kind::List(vec![Node::like(node, Kind::Map(all))]);
    }
}

/// docker compose has no text here, not even one with a variable that is left in it.
fn ulimit(node: &Node, diags: &mut Vec<Diagnostic>) {
    if let Some(text) = node.as_str() {
        let diag = Diagnostic::new(Code::WrongKind, format!("the limit `{text}` is no number where variables stay"));
        diags.push(diag.at(node.span, "").help("write it as `soft` and `hard`, which may have variables"));
    }
}

fn device(node: &mut Node, diags: &mut Vec<Diagnostic>) {
    let Kind::Str(text) = &node.kind else { return };
    let mut parts = text.split(':');
    let source = parts.next().unwrap_or_default();
    let target = parts.next().filter(|text| !text.is_empty()).unwrap_or(source);
    let permissions = parts.next().unwrap_or("rwm");
    if parts.next().is_some() {
        diags.push(
            Diagnostic::new(
                Code::BadDevice,
                format!("`{text}` is no device: it has more than `source:target:permissions`"),
            )
            .at(node.span, ""),
        );
        return;
    }
    let map = [("source", source), ("target", target), ("permissions", permissions)];
    let map = map.into_iter().map(|(key, value)| (key.to_owned(), Node::text_like(node, value)));
    node.kind = Kind::Map(map.collect());
}

/// A list of `k=v` as the map it stands for.
fn pairs_to_map(node: &mut Node) {
    let Kind::List(list) = &node.kind else { return };
    let map = list.iter().filter_map(|item| {
        let text = scalar::text(&item.kind)?;
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Kind::Str(value.to_owned())),
            None => (text, Kind::Null),
        };
        Some((key, Node { key: item.place(), ..Node::like(item, value) }))
    });
    node.kind = Kind::Map(map.collect());
}

/// `external: {name: x}` is the old way to say `external: true` and `name: x`.
fn external(node: &mut Node, diags: &mut Vec<Diagnostic>) {
    let Some(map) = node.as_map_mut() else { return };
    let Some(external) = map.get_mut("external") else { return };
    let Kind::Map(inner) = &mut external.kind else { return };
    let old = inner.remove("name");
    external.kind = Kind::Bool(true);
    let Some(old) = old else { return };
    match map.get("name") {
        None => {
            map.insert("name".to_owned(), old);
        }
        Some(name) if name.kind != old.kind => diags.push(
            Diagnostic::new(Code::Contradiction, "`name` and `external.name` differ")
                .at(old.span, "this one is the old way to say it")
                .at(name.span, "here")
                .help("give the name once, as `name`, and say `external: true`"),
        ),
        Some(_) => {}
    }
}
