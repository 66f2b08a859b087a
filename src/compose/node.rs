//! The tree of a YAML document: every value knows where it stands.

use std::collections::BTreeMap;

use super::path;
use crate::diag::Span;

/// A mapping; sorted, so that whatever is made of it comes out the same every time.
pub type Map = BTreeMap<String, Node>;

/// What `!reset` and `!override` ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    /// Merge as usual.
    #[default]
    None,
    /// Remove what earlier files said here.
    Reset,
    /// Replace what earlier files said here.
    Override,
}

/// A value and its place.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// The value.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
    /// Where its key stands, if it has one.
    pub key: Span,
    /// `!reset` or `!override`.
    pub tag: Tag,
}

/// The value of a [`Node`].
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Kind {
    /// Nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond those; nothing counts so far, but it may be text.
    Large(u64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(String),
    /// An unquoted date, which no attribute takes.
    Date(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

impl PartialEq for Node {
    /// Equal in value, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Node {
    /// A value that stands where another one stands.
    pub fn like(other: &Node, kind: Kind) -> Self {
        Self { kind, span: other.span, key: other.key, tag: Tag::None }
    }

    /// Text that stands where another value stands.
    pub fn text_like(other: &Node, text: impl Into<String>) -> Self {
        Self::like(other, Kind::Str(text.into()))
    }

    /// An empty mapping that stands nowhere.
    pub fn empty_map() -> Self {
        Self { kind: Kind::Map(Map::new()), ..Self::default() }
    }

    /// The mapping, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(list) => Some(list),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.kind {
            Kind::List(list) => Some(list),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Is it nothing?
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// The value under a key, if it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// The value under a key, if it is a mapping that has it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_map_mut()?.get_mut(key)
    }

    /// The text under a key.
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// An empty value at the same place.
    pub fn clone_place(&self) -> Node {
        Node { span: self.span, key: self.key, ..Node::default() }
    }

    /// The place of the key, or of the value where there is none.
    pub fn place(&self) -> Span {
        if self.key.is_known() { self.key } else { self.span }
    }

    /// The value at a path such as `services.web.ports[0]`, or the nearest thing around it.
    pub fn nearest(&self, path: &str) -> &Node {
        let parts = path::parts(self, path);
        let mut node = self;
        for part in &parts {
            match path::child(node, part) {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// What people call this kind of value.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) | Kind::Large(_) | Kind::Float(_) => "a number",
            Kind::Str(_) => "text",
            Kind::Date(_) => "a date",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}
