//! Of entries that speak of the same thing, the later takes the earlier one's place (spec.md 9.2).

use std::collections::BTreeMap;

use super::attributes::{Keys, Shape, Unique};
use super::forms;
use super::node::{Kind, Node};
use super::scalar;

/// Makes every list of a tree unique by its rule.
pub fn enforce(node: &mut Node, shape: &Shape) {
    match &mut node.kind {
        Kind::Map(map) if !matches!(shape.keys, Keys::No) => {
            for (key, value) in map {
                if let Some(row) = shape.field(key) {
                    enforce(value, row);
                }
            }
        }
        Kind::List(list) => {
            if let Some(items) = shape.items {
                list.iter_mut().for_each(|item| enforce(item, items));
            }
            if shape.unique != Unique::No && list.len() > 1 {
                *list = unique(std::mem::take(list), shape.unique);
            }
        }
        _ => {}
    }
}

fn unique(list: Vec<Node>, rule: Unique) -> Vec<Node> {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept: Vec<Node> = Vec::with_capacity(list.len());
    for item in list {
        match index(&item, rule) {
            None => kept.push(item),
            Some(index) => match places.get(&index) {
                Some(place) => kept[*place] = item,
                None => {
                    places.insert(index, kept.len());
                    kept.push(item);
                }
            },
        }
    }
    kept
}

/// What an entry speaks of.
fn index(item: &Node, rule: Unique) -> Option<String> {
    match rule {
        Unique::No => None,
        Unique::Key => item.as_str().map(|text| text.split_once('=').map_or(text, |(key, _)| key).to_owned()),
        Unique::Text => scalar::text(&item.kind),
        Unique::Path => item.as_str().or_else(|| item.get_str("path")).map(str::to_owned),
        Unique::File(folder) => match item.as_str() {
            Some(name) => Some(format!("{folder}/{name}")),
            None => {
                let target = item.get_str("target").map(str::to_owned);
                target.or_else(|| item.get_str("source").map(|name| format!("{folder}/{name}")))
            }
        },
        Unique::Device => match item.as_str() {
            Some(text) => Some(text.split(':').nth(1).unwrap_or(text).to_owned()),
            None => item.get_str("target").or_else(|| item.get_str("source")).map(str::to_owned),
        },
        Unique::Volume => match item.as_str() {
            Some(text) => forms::volume::parse(text).ok().map(|volume| volume.target),
            None => item.get_str("target").map(str::to_owned),
        },
        Unique::Port => port(item),
    }
}

fn port(item: &Node) -> Option<String> {
    let Some(_) = item.as_map() else { return scalar::text(&item.kind) };
    let text = |key: &str| item.get(key).and_then(|value| scalar::text(&value.kind));
    let or = |key: &str, default: &str| text(key).unwrap_or_else(|| default.to_owned());
    // The peer takes a published port that is a number for another than the same one as text.
    let number = item.get("published").is_some_and(|value| matches!(value.kind, Kind::Int(_)));
    let mark = if number { "#" } else { "" };
    let published = or("published", "");
    Some(format!("{}:{mark}{published}:{}/{}", or("host_ip", "0.0.0.0"), text("target")?, or("protocol", "tcp")))
}
