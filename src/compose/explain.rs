//! Where a value came from: files, merge steps, variables, defaults (`config --explain`).

use std::fmt::Write;

use super::attributes::{ANY, Keys, Merge, PROJECT, Shape, Unique};
use super::node::{Kind, Node, Tag};
use super::path::{Part, Shown, child, parts};
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

impl Loaded {
    /// Where the value at a path such as `services.web.ports[0]` came from, for people.
    ///
    /// # Errors
    /// Nothing stands there.
    pub fn origin(&self, path: &str) -> Result<String, Diagnostic> {
        let parts = parts(&self.tree, path);
        let Some(node) = at(&self.tree, &parts) else { return Err(self.nothing(path)) };
        let mut out = format!("{path} = {}\n", config::inline(node));
        // Items have no place that stays the same over files: their list tells the steps.
        let whole = parts.len() - usize::from(matches!(parts.last(), Some(Part::Item(_))));
        let steps = self.steps(&parts[..whole]);
        if self.is_implied(node, &parts) {
            let _ = writeln!(out, "  implied: no file says it; it follows from {}", self.around(node));
        } else {
            let _ = writeln!(out, "  from {}", self.shown(node.span));
        }
        self.variables(&mut out, node);
        if steps.len() > 1 || whole < parts.len() {
            let _ = writeln!(out, "  steps of {}, {}:", Shown(&parts[..whole]), rule(shape(&parts[..whole])));
            for (at, (step, said)) in steps.iter().enumerate() {
                let _ = writeln!(out, "    {}. {}: {}", at + 1, step.title, self.told(said));
            }
        }
        Ok(out)
    }

    /// What each file said of a path, in their order: a value, or that what stood there before is gone.
    fn steps(&self, parts: &[Part<'_>]) -> Vec<(&Step, Said<'_>)> {
        self.history.iter().filter_map(|step| Some((step, said(&step.tree, parts)?))).collect()
    }

    fn told(&self, said: &Said<'_>) -> String {
        match said {
            Said::Value(node) => self.shown(place(node)),
            Said::Reset(node) => format!("{}  takes away what stands above (`!reset`)", self.shown(place(node))),
            Said::Override(node, value) => {
                let place = self.shown(place(value.unwrap_or(node)));
                format!("{place}  goes in the place of what stands above (`!override`)")
            }
        }
    }

    fn nothing(&self, path: &str) -> Diagnostic {
        let parts = parts(&self.tree, path);
        let mut known = &self.tree;
        let mut depth = 0;
        while let Some(next) = parts.get(depth).and_then(|part| child(known, part)) {
            known = next;
            depth += 1;
        }
        let diag = Diagnostic::new(Code::NothingThere, format!("nothing stands at `{path}`"));
        // A file may have the keys that the whole no longer has.
        let gone = self.history.iter().rev().find_map(|step| match said(&step.tree, &self::parts(&step.tree, path)) {
            Some(Said::Reset(node) | Said::Override(node, None)) => Some(node),
            _ => None,
        });
        if let Some(node) = gone {
            return diag.at(place(node), "taken away here").help("take `!reset` or `!override` out to have it again");
        }
        let diag = diag.at(place(known), format!("`{}` is here", Shown(&parts[..depth])));
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

/// What one file said of a path.
enum Said<'a> {
    /// This.
    Value(&'a Node),
    /// That nothing be left of it.
    Reset(&'a Node),
    /// That nothing be left of what was there, and what is in its place.
    Override(&'a Node, Option<&'a Node>),
}

fn said<'a>(tree: &'a Node, parts: &[Part<'_>]) -> Option<Said<'a>> {
    let mut node = tree;
    for (depth, part) in parts.iter().enumerate() {
        node = child(node, part)?;
        match node.tag {
            Tag::None => {}
            Tag::Reset => return Some(Said::Reset(node)),
            Tag::Override => return Some(Said::Override(node, at(node, &parts[depth + 1..]))),
        }
    }
    Some(Said::Value(node))
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
