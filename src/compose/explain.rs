//! Where a value came from: files, merge steps, variables, defaults (`config --explain`).

use std::fmt::Write;

use super::attributes::{ANY, Keys, Merge, PROJECT, Shape, Unique};
use super::node::{Kind, Node};
use super::{Loaded, config};
use crate::diag::{Code, Diagnostic, Span};

/// What one file, or one `extends`, said.
#[derive(Clone, Debug)]
pub struct Step {
    /// The file, or what extends what.
    pub title: String,
    /// What it said, with its variables replaced.
    pub tree: Node,
}

/// One step of a path: a key, or a place in a list.
enum Part<'a> {
    Key(&'a str),
    Item(usize),
}

impl Loaded {
    /// Where the value at a path such as `services.web.ports[0]` came from, for people.
    ///
    /// # Errors
    /// Nothing stands there.
    pub fn origin(&self, path: &str) -> Result<String, Diagnostic> {
        let parts = parts(path);
        let Some(node) = at(&self.tree, &parts) else { return Err(self.nothing(path, &parts)) };
        let mut out = format!("{path} = {}\n", config::inline(node));
        let said: Vec<(&Step, &Node)> =
            self.history.iter().filter_map(|step| Some((step, at(&step.tree, &parts)?))).collect();
        // Items have no place that stays the same over files: their list tells the steps.
        let whole = parts.len() - usize::from(matches!(parts.last(), Some(Part::Item(_))));
        let steps: Vec<(&Step, &Node)> = if whole < parts.len() {
            self.history.iter().filter_map(|step| Some((step, at(&step.tree, &parts[..whole])?))).collect()
        } else {
            said.clone()
        };
        if self.is_implied(node, &parts) {
            let _ = writeln!(out, "  implied: no file says it; it follows from {}", self.around(node));
        } else {
            let _ = writeln!(out, "  from {}", self.shown(node.span));
        }
        self.variables(&mut out, node);
        if steps.len() > 1 || whole < parts.len() {
            let _ = writeln!(out, "  steps of {}, {}:", name(&parts[..whole]), rule(shape(&parts[..whole])));
            for (at, (step, node)) in steps.iter().enumerate() {
                let _ = writeln!(out, "    {}. {}: {}", at + 1, step.title, self.shown(place(node)));
            }
        }
        Ok(out)
    }

    fn nothing(&self, path: &str, parts: &[Part<'_>]) -> Diagnostic {
        let mut known = &self.tree;
        let mut depth = 0;
        while let Some(next) = parts.get(depth).and_then(|part| child(known, part)) {
            known = next;
            depth += 1;
        }
        let diag = Diagnostic::new(Code::NothingThere, format!("nothing stands at `{path}`"));
        let diag = diag.at(place(known), format!("`{}` is here", name(&parts[..depth])));
        match (parts.get(depth), &known.kind) {
            (Some(Part::Key(key)), Kind::Map(map)) => diag.did_you_mean(key, map.keys().map(String::as_str)),
            (Some(Part::Item(_)), Kind::List(list)) => {
                diag.help(format!("the list has {} entries, from [0] on", list.len()))
            }
            _ => diag,
        }
    }

    /// Does no file say it? A short form (`8080:80`) says all that becomes of it.
    fn is_implied(&self, node: &Node, parts: &[Part<'_>]) -> bool {
        if !node.span.is_known() {
            return true;
        }
        !self.history.iter().any(|step| holds(&step.tree, node.span)) || {
            let key = parts.last();
            let parent = at(&self.tree, &parts[..parts.len().saturating_sub(1)]);
            // What was added stands where the thing it was added to stands.
            matches!(key, Some(Part::Key(_)))
                && parent.is_some_and(|parent| parent.span == node.span && is_mapping(&self.history, node.span))
        }
    }

    fn around(&self, node: &Node) -> String {
        if node.span.is_known() { self.shown(place(node)) } else { "the project as a whole".to_owned() }
    }

    fn variables(&self, out: &mut String, node: &Node) {
        for usage in self.traces.get(&node.span).into_iter().flatten() {
            let _ = writeln!(out, "  variable {}", usage.describe());
        }
    }

    fn shown(&self, span: Span) -> String {
        match self.sources.place(span) {
            Some(place) => format!("{}:{}:{}  {}", place.file, place.line, place.column, place.text.trim()),
            None => "no file".to_owned(),
        }
    }
}

/// The place of the value, or of its key where it is a mapping or a list.
fn place(node: &Node) -> Span {
    match node.kind {
        Kind::Map(_) | Kind::List(_) => node.place(),
        _ => node.span,
    }
}

fn parts(path: &str) -> Vec<Part<'_>> {
    let steps = path.split(['.', '[']).filter(|step| !step.is_empty());
    steps
        .map(|step| match step.strip_suffix(']').and_then(|index| index.parse().ok()) {
            Some(index) => Part::Item(index),
            None => Part::Key(step),
        })
        .collect()
}

fn name(parts: &[Part<'_>]) -> String {
    let mut out = String::new();
    for part in parts {
        let _ = match part {
            Part::Key(key) if out.is_empty() => write!(out, "{key}"),
            Part::Key(key) => write!(out, ".{key}"),
            Part::Item(at) => write!(out, "[{at}]"),
        };
    }
    if out.is_empty() { "the file".to_owned() } else { out }
}

fn child<'a>(node: &'a Node, part: &Part<'_>) -> Option<&'a Node> {
    match part {
        Part::Key(key) => node.get(key),
        Part::Item(at) => node.as_list()?.get(*at),
    }
}

fn at<'a>(tree: &'a Node, parts: &[Part<'_>]) -> Option<&'a Node> {
    parts.iter().try_fold(tree, child)
}

/// Does a value of the tree stand at this place?
fn holds(node: &Node, span: Span) -> bool {
    node.span == span
        || match &node.kind {
            Kind::Map(map) => map.values().any(|node| holds(node, span)),
            Kind::List(list) => list.iter().any(|node| holds(node, span)),
            _ => false,
        }
}

fn is_mapping(history: &[Step], span: Span) -> bool {
    fn find(node: &Node, span: Span) -> bool {
        match &node.kind {
            Kind::Map(map) => node.span == span || map.values().any(|node| find(node, span)),
            Kind::List(list) => list.iter().any(|node| find(node, span)),
            _ => false,
        }
    }
    history.iter().any(|step| find(&step.tree, span))
}

fn shape(parts: &[Part<'_>]) -> &'static Shape {
    parts.iter().fold(&PROJECT, |shape, part| match part {
        Part::Key(key) => shape.field(key).unwrap_or(&ANY),
        Part::Item(_) => shape.items.unwrap_or(&ANY),
    })
}

/// How a later file's value meets an earlier one.
pub fn rule(shape: &Shape) -> &'static str {
    match (shape.unique, shape.merge) {
        (_, Merge::Replace) => "a later one replaces it",
        (Unique::Key, Merge::KeyValue) => "appended; the later of two with one key takes the earlier one's place",
        (Unique::Key | Unique::Text, _) => "appended; of two equal ones the earlier one's place is kept",
        (Unique::Volume | Unique::Device | Unique::File(_), _) => {
            "appended; the later of two with one target takes the earlier one's place"
        }
        (Unique::Port, _) => {
            "appended; the later of two with one address, published port, target and protocol takes the earlier one's place"
        }
        (Unique::Path, _) => "appended; the later of two with one path takes the earlier one's place",
        (_, Merge::KeyValue | Merge::Hosts) => "appended",
        (_, Merge::DependsOn | Merge::Names | Merge::Build) => "merged key by key, also where one is the short form",
        (_, Merge::Logging) => "merged key by key where the driver is the same, else replaced",
        (_, Merge::Pools) => "merged by subnet, else appended",
        (Unique::No, Merge::Plain) => match (shape.keys, shape.items) {
            (Keys::Fields(_) | Keys::Own(_), _) => "merged key by key",
            (Keys::No, Some(_)) => "appended",
            (Keys::No, None) => "a later one replaces it",
        },
    }
}
