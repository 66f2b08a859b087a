//! How a later file or an extending service meets an earlier one: rules by attribute (spec.md 9.1).

use std::collections::BTreeSet;

use super::attributes::{Merge, Shape};
use super::node::{Kind, Map, Node, Tag};
use super::scalar;
use crate::diag::{Code, Diagnostic};

/// Merges `over` into `base`. Errors name both places.
pub fn merge(base: &mut Node, over: Node, shape: &Shape, path: &str, diags: &mut Vec<Diagnostic>) {
    if over.tag == Tag::None && over.is_null() && shape.merge != Merge::Replace {
        return;
    }
    if base.is_null() || over.tag != Tag::None {
        *base = over;
        return;
    }
    match shape.merge {
        Merge::Plain => plain(base, over, shape, path, diags),
        Merge::Replace => *base = over,
        Merge::KeyValue => append(base, over),
        Merge::Hosts => {
            append(base, over);
            drop_repetitions(base);
        }
        Merge::DependsOn => {
            let started = |name: &Node| {
                let mut entry = Map::new();
                entry.insert("condition".to_owned(), Node::text_like(name, "service_started"));
                entry.insert("required".to_owned(), Node::like(name, Kind::Bool(true)));
                Kind::Map(entry)
            };
            named(base, over, shape, path, diags, started);
        }
        Merge::Names => named(base, over, shape, path, diags, |_| Kind::Null),
        Merge::Build => {
            promote(base);
            let mut over = over;
            promote(&mut over);
            plain(base, over, shape, path, diags);
        }
        Merge::Logging => {
            let other = matches!((base.get_str("driver"), over.get_str("driver")), (Some(a), Some(b)) if a != b);
            if other { *base = over } else { plain(base, over, shape, path, diags) }
        }
        Merge::Pools => pools(base, over, shape, path, diags),
    }
}

fn plain(base: &mut Node, over: Node, shape: &Shape, path: &str, diags: &mut Vec<Diagnostic>) {
    let place = (base.span, over.span);
    match (&mut base.kind, over.kind) {
        (Kind::Map(base), Kind::Map(over)) => map(base, over, shape, path, diags),
        (Kind::List(base), Kind::List(over)) => base.extend(over),
        (Kind::Map(_) | Kind::List(_), _) => diags.push(
            Diagnostic::new(
                Code::MergeKinds,
                format!("`{}` cannot be merged: the two values are of different kinds", path.trim_start_matches('.')),
            )
            .at(place.1, "this one")
            .at(place.0, "and this one"),
        ),
        (_, kind) => *base = Node { kind, span: over.span, key: over.key, tag: over.tag },
    }
}

/// Merges two mappings key by key.
pub fn map(base: &mut Map, over: Map, shape: &Shape, path: &str, diags: &mut Vec<Diagnostic>) {
    for (key, value) in over {
        match base.get_mut(&key) {
            None => {
                base.insert(key, value);
            }
            Some(earlier) => {
                let row = shape.field(&key).unwrap_or(&super::attributes::ANY);
                merge(earlier, value, row, &format!("{path}.{key}"), diags);
            }
        }
    }
}

fn append(base: &mut Node, over: Node) {
    let over = pairs(over);
    base.kind = Kind::List(pairs(std::mem::take(base)).into_iter().chain(over).collect());
}

/// A map or a text as the list of `k=v` that it stands for.
fn pairs(node: Node) -> Vec<Node> {
    match node.kind {
        Kind::List(list) => list,
        Kind::Map(map) => map.into_iter().flat_map(|(key, value)| pair(&key, value)).collect(),
        Kind::Str(_) => vec![node],
        _ => Vec::new(),
    }
}

fn pair(key: &str, value: Node) -> Vec<Node> {
    let place = Node { key: value.key, span: value.span, ..Node::default() };
    let text = |value: &Node| match scalar::merged_text(&value.kind) {
        Some(text) => Node { kind: Kind::Str(format!("{key}={text}")), ..place.clone() },
        None => Node { kind: Kind::Str(key.to_owned()), ..place.clone() },
    };
    match &value.kind {
        Kind::List(list) => list.iter().map(text).collect(),
        _ => vec![text(&value)],
    }
}

fn drop_repetitions(node: &mut Node) {
    if let Kind::List(list) = &mut node.kind {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        list.retain(|item| item.as_str().is_none_or(|text| seen.insert(text.to_owned())));
    }
}

fn named(
    base: &mut Node,
    mut over: Node,
    shape: &Shape,
    path: &str,
    diags: &mut Vec<Diagnostic>,
    entry: impl Fn(&Node) -> Kind,
) {
    names_to_map(base, &entry);
    names_to_map(&mut over, &entry);
    plain(base, over, shape, path, diags);
}

/// A list of names as the map it stands for.
pub fn names_to_map(node: &mut Node, entry: &impl Fn(&Node) -> Kind) {
    if let Kind::List(list) = &node.kind {
        let map = list.iter().filter_map(|name| {
            let key = name.as_str()?.to_owned();
            Some((key, Node { kind: entry(name), span: name.span, key: name.span, tag: Tag::None }))
        });
        node.kind = Kind::Map(map.collect());
    }
}

fn promote(node: &mut Node) {
    if let Kind::Str(context) = &node.kind {
        let mut map = Map::new();
        map.insert("context".to_owned(), Node::text_like(node, context.clone()));
        node.kind = Kind::Map(map);
    }
}

/// As docker compose does it: each pool of the earlier file meets all of the later one. What has another subnet takes its
/// place, what has the same goes into it; a pool that was taken over already goes into the next one that is met.
fn pools(base: &mut Node, over: Node, shape: &Shape, path: &str, diags: &mut Vec<Diagnostic>) {
    let (Some(items), Kind::List(later), Kind::List(earlier)) = (shape.items, &over.kind, &mut base.kind) else {
        return plain(base, over, shape, path, diags);
    };
    /// A pool of the later file, or one of the earlier file and what went into it.
    #[derive(Clone, Copy)]
    enum Taken {
        Later(usize),
        Earlier(usize),
    }
    let mut taken: Vec<Taken> = Vec::new();
    for at in 0..earlier.len() {
        for (other, pool) in later.iter().enumerate() {
            let find = |subnet: Option<&str>, earlier: &[Node]| {
                taken.iter().position(|one| match one {
                    Taken::Later(at) => later[*at].get_str("subnet") == subnet,
                    Taken::Earlier(at) => earlier[*at].get_str("subnet") == subnet,
                })
            };
            let subnet = pool.get_str("subnet");
            if earlier[at].get_str("subnet") != subnet && find(subnet, earlier).is_none() {
                taken.push(Taken::Later(other));
                continue;
            }
            merge(&mut earlier[at], pool.clone(), items, path, diags);
            match find(earlier[at].get_str("subnet"), earlier) {
                Some(known) => taken[known] = Taken::Earlier(at),
                None => taken.push(Taken::Earlier(at)),
            }
        }
    }
    let pool = |one: &Taken| match one {
        Taken::Later(at) => later[*at].clone(),
        Taken::Earlier(at) => earlier[*at].clone(),
    };
    *earlier = taken.iter().map(pool).collect();
}
