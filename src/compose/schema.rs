//! Unknown keys, wrong kinds, missing keys: everything the table of attributes can tell, all at once.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::attributes::{Keys, Out, Shape, takes};
use super::looks::{self, Looks};
use super::node::{Kind, Map, Node};
use super::scalar;
use crate::diag::{Code, Diagnostic};

/// Where in a tree a check is; only an error needs the text of it.
pub enum Path<'a> {
    /// At the top.
    Root,
    /// Under a key.
    Key(&'a Path<'a>, &'a str),
    /// At a place of a list.
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Key(Path::Root, key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
            Path::Item(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}

/// Checks a tree against the table.
pub fn check(node: &Node, shape: &Shape, path: &Path<'_>, diags: &mut Vec<Diagnostic>) {
    match &node.kind {
        Kind::Map(map) if !matches!(shape.keys, Keys::No) => mapping(node, map, shape, path, diags),
        Kind::List(list) if shape.items.is_some() => items(list, shape, path, diags),
        Kind::Str(text) if shape.scalars & takes::STR != 0 && shape.scalars != takes::ANY => {
            value(node, text, shape, path, diags)
        }
        Kind::Int(n) if *n < shape.least => diags.push(
            Diagnostic::new(Code::OutOfRange, format!("`{}` must be at least {}", path, shape.least)).at(node.span, ""),
        ),
        kind if takes_scalar(kind, shape.scalars) => {}
        kind => {
            let wanted = wanted(shape);
            let place = if node.is_null() { node.place() } else { node.span };
            let text = format!("`{path}` must be {wanted}, not {}", node.kind_name());
            let diag = Diagnostic::new(Code::WrongKind, text).at(place, format!("{wanted} is needed here"));
            diags.push(match quoted(kind, shape).or_else(|| dashes(kind, shape)) {
                Some(help) => diag.help(help),
                None => diag,
            });
        }
    }
}

/// A list in a mapping's place, and a mapping as an entry of a list of texts.
fn dashes(kind: &Kind, shape: &Shape) -> Option<String> {
    match kind {
        Kind::List(_) if shape.items.is_none() && !matches!(shape.keys, Keys::No) => {
            Some("take the dashes out: each entry is `name: …`".to_owned())
        }
        Kind::Map(map) if shape.scalars & takes::STR != 0 => {
            let (key, value) = map.iter().next().filter(|_| map.len() == 1)?;
            Some(format!("write `{key}={}` in a list, or take all its dashes out", scalar::text(&value.kind)?))
        }
        _ => None,
    }
}

/// How a scalar that is no text would be one.
fn quoted(kind: &Kind, shape: &Shape) -> Option<String> {
    let scalar = matches!(kind, Kind::Bool(_) | Kind::Int(_) | Kind::Large(_) | Kind::Float(_) | Kind::Date(_));
    let text = scalar::text(kind).filter(|_| scalar && shape.scalars & takes::STR != 0)?;
    match shape.out {
        Out::Duration => Some(format!("a duration has a unit: `{text}s`")),
        Out::Bool | Out::Int | Out::Float => None,
        _ => Some(format!("put it in quotes: \"{text}\"")),
    }
}

fn takes_scalar(kind: &Kind, scalars: u8) -> bool {
    let bit = match kind {
        _ if scalars == takes::ANY => return true,
        Kind::Null => takes::NULL,
        Kind::Bool(_) => takes::BOOL,
        Kind::Int(_) | Kind::Large(_) => takes::INT | takes::NUM,
        Kind::Float(f) if f.fract() == 0.0 => takes::INT | takes::NUM,
        Kind::Float(_) => takes::NUM,
        Kind::Str(_) => takes::STR,
        Kind::Date(_) | Kind::List(_) | Kind::Map(_) => return false,
    };
    scalars & bit != 0
}

fn wanted(shape: &Shape) -> String {
    let mut words = Vec::new();
    if !matches!(shape.keys, Keys::No) {
        words.push("a mapping");
    }
    if shape.items.is_some() {
        words.push("a list");
    }
    for (bit, word) in
        [(takes::STR, "text"), (takes::NUM, "a number"), (takes::INT, "a whole number"), (takes::BOOL, "a boolean")]
    {
        if shape.scalars & bit != 0 {
            words.push(word);
        }
    }
    match words.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

fn mapping(node: &Node, map: &Map, shape: &Shape, path: &Path<'_>, diags: &mut Vec<Diagnostic>) {
    for (key, value) in map {
        match shape.field(key) {
            Some(row) => {
                if key.is_empty() && !shape.names && matches!(shape.keys, Keys::Own(_)) {
                    let text = format!("an entry of `{path}` has no name");
                    diags.push(Diagnostic::new(Code::EntryName, text).at(value.place(), "write it before the `:`"));
                }
                if shape.names && !is_name(key) {
                    diags.push(
                        Diagnostic::new(Code::EntryName, format!("`{key}` is no name for an entry of `{}`", path))
                            .at(value.place(), "")
                            .help("a name has letters, digits, `.`, `_` and `-` only"),
                    );
                }
                check(value, row, &Path::Key(path, key), diags);
            }
            None if shape.open => diags.push(left_out(key, value, shape, path)),
            None => diags.push(unknown(key, value, shape, path)),
        }
    }
    for key in shape.required {
        if !map.contains_key(*key) {
            diags.push(
                Diagnostic::new(Code::MissingKey, format!("`{}` needs `{key}`", path))
                    .at(node.place(), format!("`{key}` is missing here")),
            );
        }
    }
}

fn unknown(key: &str, value: &Node, shape: &Shape, path: &Path<'_>) -> Diagnostic {
    let Keys::Fields(fields) = shape.keys else {
        return Diagnostic::new(Code::UnknownKey, format!("unknown key `{key}`"));
    };
    let place = if matches!(path, Path::Root) { "at the top level".to_owned() } else { format!("in `{}`", path) };
    let diag = Diagnostic::new(Code::UnknownKey, format!("unknown key `{key}` {place}"))
        .at(value.place(), "no such attribute");
    let known = fields.iter().map(|(name, _)| *name);
    let diag = diag.did_you_mean(key, known);
    if matches!(path, Path::Root)
        && diag.help.is_none()
        && value.as_map().is_some_and(|m| m.contains_key("image") || m.contains_key("build"))
    {
        return diag.help("services stand under the key `services`");
    }
    diag
}

/// A key that the peer leaves out without a word.
fn left_out(key: &str, value: &Node, shape: &Shape, path: &Path<'_>) -> Diagnostic {
    let Keys::Fields(fields) = shape.keys else { return unknown(key, value, shape, path) };
    Diagnostic::new(Code::LeftOut, format!("the key `{key}` in `{path}` is left out: there is no such attribute"))
        .at(value.place(), "")
        .did_you_mean(key, fields.iter().map(|(name, _)| *name))
}

fn items(list: &[Node], shape: &Shape, path: &Path<'_>, diags: &mut Vec<Diagnostic>) {
    let Some(row) = shape.items else { return };
    for (at, item) in list.iter().enumerate() {
        check(item, row, &Path::Item(path, at), diags);
    }
    if !shape.distinct || list.len() < 2 {
        return;
    }
    let mut seen: BTreeMap<String, &Node> = BTreeMap::new();
    for item in list {
        let mut form = String::new();
        written(item, &mut form);
        if let Some(first) = seen.get(&form) {
            let what = scalar::text(&item.kind).map_or_else(|| "an entry".to_owned(), |text| format!("`{text}`"));
            diags.push(
                Diagnostic::new(Code::ItemTwice, format!("{what} stands twice in `{path}`"))
                    .at(item.span, "again")
                    .at(first.span, "first"),
            );
        } else {
            seen.insert(form, item);
        }
    }
}

/// A text that is the same for equal values.
fn written(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Map(map) => {
            out.push('{');
            for (key, value) in map {
                let _ = write!(out, "{key:?}:");
                written(value, out);
                out.push(',');
            }
        }
        Kind::List(list) => {
            out.push('[');
            for item in list {
                written(item, out);
                out.push(',');
            }
        }
        kind => {
            let _ = write!(out, "{kind:?}");
        }
    }
}

fn value(node: &Node, text: &str, shape: &Shape, path: &Path<'_>, diags: &mut Vec<Diagnostic>) {
    if shape.looks == Looks::PullPolicy && !looks::has_policy(text) {
        diags.push(looks::no_policy(node, text, path));
    }
    if !shape.values.is_empty() && !shape.values.contains(&text) {
        let diag = Diagnostic::new(Code::UnknownWord, format!("`{}` cannot be `{text}`", path))
            .at(node.span, format!("one of {}", shape.values.join(", ")));
        // `healthy` is near to nothing, and yet everybody knows what is meant.
        let end = shape.values.iter().find(|known| text.len() > 2 && known.ends_with(&format!("_{text}")));
        diags.push(match end {
            Some(known) => diag.help(format!("did you mean `{known}`?")),
            None => diag.did_you_mean(text, shape.values.iter().copied()),
        });
    }
}

fn is_name(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}
