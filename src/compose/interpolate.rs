//! Replaces variables in every scalar of a tree and casts where the table says so (spec.md 10.1).

use std::collections::BTreeMap;

use super::attributes::{Cast, Shape};
use super::node::{Kind, Node};
use super::scalar;
use super::template::{self, Lookup, TemplateError};
use crate::diag::{Diagnostic, SourceMap, Span};

/// Names of variables → values.
pub type Environment = BTreeMap<String, String>;

/// Replaces variables by the values of `environment`. Diagnostics go to `diags`, all of them.
pub fn interpolate(node: &mut Node, shape: &Shape, environment: &Environment, told: &mut Told<'_>) {
    let get = |name: &str| environment.get(name).cloned();
    Walk { get: &get, told }.node(node, shape);
}

/// Where an interpolation tells what it met.
pub struct Told<'a> {
    /// Errors and warnings.
    pub diags: &'a mut Vec<Diagnostic>,
    /// Variables that were warned of already.
    pub unset: &'a mut Vec<String>,
    /// The texts, to find the variable in.
    pub sources: &'a SourceMap,
}

struct Walk<'a, 'b> {
    get: &'a dyn Fn(&str) -> Option<String>,
    told: &'a mut Told<'b>,
}

impl Walk<'_, '_> {
    fn node(&mut self, node: &mut Node, shape: &Shape) {
        match &mut node.kind {
            Kind::Map(map) => {
                for (key, value) in map {
                    self.node(value, shape.field(key).unwrap_or(&super::attributes::ANY));
                }
            }
            Kind::List(list) => {
                let items = shape.items.unwrap_or(&super::attributes::ANY);
                list.iter_mut().for_each(|item| self.node(item, items));
            }
            Kind::Str(text) => {
                if text.contains('$') {
                    match self.substitute(text, node.span) {
                        Some(new) => *text = new,
                        None => return,
                    }
                }
                self.cast(node, shape);
            }
            _ => {}
        }
    }

    fn substitute(&mut self, text: &str, span: Span) -> Option<String> {
        let mut lookup = Lookup::new(self.get);
        let result = template::substitute(text, &mut lookup);
        for name in lookup.unset {
            self.warn_unset(name, span);
        }
        match result {
            Ok(text) => Some(text),
            Err(error) => {
                self.told.diags.push(self.describe(&error, span));
                None
            }
        }
    }

    fn warn_unset(&mut self, name: String, span: Span) {
        if !self.told.unset.contains(&name) {
            let place = self.find(span, &name);
            self.told
                .diags
                .push(Diagnostic::warning(format!("the variable `{name}` is not set, so it is empty")).at(place, ""));
            self.told.unset.push(name);
        }
    }

    fn describe(&self, error: &TemplateError, span: Span) -> Diagnostic {
        match error {
            TemplateError::Invalid(text) => Diagnostic::error(error.to_string())
                .at(self.find(span, text), "")
                .help("write `$$` for a dollar sign that starts no variable"),
            TemplateError::Required { name, .. } => Diagnostic::error(error.to_string())
                .at(self.find(span, name), "")
                .help(format!("set it in the environment or in `.env`: {name}=…")),
        }
    }

    /// The place of a word inside a scalar's text as the file has it.
    fn find(&self, span: Span, word: &str) -> Span {
        let text = self.told.sources.text(span.file()).unwrap_or_default();
        let slice = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        slice.find(word).map_or(span, |at| span.part(at, at + word.len()))
    }

    fn cast(&mut self, node: &mut Node, shape: &Shape) {
        let Kind::Str(text) = &node.kind else { return };
        // The short form of a mapping is text of its own, not a value to cast.
        let cast = match (shape.cast, text.trim()) {
            (Cast::No, _) => return,
            (Cast::Bool, text) => scalar::boolean(text).map(Kind::Bool),
            (Cast::Int, text) => text.parse().ok().map(Kind::Int),
            (Cast::Float, text) => text.parse().ok().map(Kind::Float),
        };
        match cast {
            Some(kind) => node.kind = kind,
            None => {
                let wanted = match shape.cast {
                    Cast::Bool => "true or false",
                    Cast::Int => "a whole number",
                    _ => "a number",
                };
                let shown = if text.is_empty() { "empty text".to_owned() } else { format!("`{text}`") };
                let diag = Diagnostic::error(format!("{shown} is not {wanted}"))
                    .at(node.span, format!("{wanted} is needed here"));
                self.told.diags.push(diag);
            }
        }
    }
}
