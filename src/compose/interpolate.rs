//! Replaces variables in every scalar of a tree and casts where the table says so (spec.md 10.1).

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{Cast, Shape};
use super::env::{Origin, Variables};
use super::node::{Kind, Node};
use super::scalar;
use super::template::{self, Lookup, Taken, TemplateError};
use crate::diag::{Code, Diagnostic, SourceMap, Span};

/// How a variable came into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableUse {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// What was taken for it.
    pub taken: Taken,
    /// Where its value came from, if that was taken.
    pub origin: Origin,
}

impl VariableUse {
    /// Where the text came from, for people. The value itself may be a secret.
    pub fn describe(&self) -> String {
        match self.taken {
            Taken::Value => format!("`{}` comes from {}", self.name, self.origin),
            Taken::Default => format!("`{}` is not set, so the text of the file stands for it", self.name),
            Taken::Nothing => format!("`{}` is not set, so it is empty", self.name),
        }
    }
}

/// The variables in the values that stand at these places.
pub type Traces = BTreeMap<Span, Vec<VariableUse>>;

/// Shows values with variables at the variable, and says where that came from.
pub fn show_variables<L: AsMut<[Diagnostic]>>(mut diags: L, traces: &Traces) -> L {
    for diag in diags.as_mut() {
        let Some(label) = diag.labels.first_mut() else { continue };
        let Some(uses) = traces.get(&label.span) else { continue };
        if let [only] = uses.as_slice() {
            label.span = only.span;
        }
        diag.notes.extend(uses.iter().map(VariableUse::describe));
    }
    diags
}

/// Replaces variables. Diagnostics go to `told`, all of them.
pub fn interpolate(node: &mut Node, shape: &Shape, variables: &Variables, told: &mut Told<'_>) {
    let get = |name: &str| variables.values.get(name).cloned();
    Walk { get: &get, variables, told }.node(node, shape);
}

/// Where an interpolation tells what it met.
pub struct Told<'a> {
    /// Errors and warnings.
    pub diags: &'a mut Vec<Diagnostic>,
    /// Variables that were warned of already.
    pub unset: &'a mut BTreeSet<String>,
    /// Which variables stand where.
    pub traces: &'a mut Traces,
    /// The texts, to find the variable in.
    pub sources: &'a SourceMap,
}

struct Walk<'a, 'b> {
    get: &'a dyn Fn(&str) -> Option<String>,
    variables: &'a Variables,
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
        self.trace(lookup.uses, span);
        match result {
            Ok(text) => Some(text),
            Err(error) => {
                self.told.diags.push(self.describe(&error, span));
                None
            }
        }
    }

    fn trace(&mut self, uses: Vec<(String, Taken)>, span: Span) {
        let uses = uses.into_iter().map(|(name, taken)| {
            let origin = self.variables.origin(&name);
            VariableUse { span: self.find(span, &name), origin, name, taken }
        });
        let uses: Vec<VariableUse> = uses.collect();
        if !uses.is_empty() {
            self.told.traces.insert(span, uses);
        }
    }

    fn warn_unset(&mut self, name: String, span: Span) {
        if self.told.unset.insert(name.clone()) {
            let place = self.find(span, &name);
            self.told.diags.push(
                Diagnostic::new(Code::UnsetVariable, format!("the variable `{name}` is not set, so it is empty"))
                    .at(place, ""),
            );
        }
    }

    fn describe(&self, error: &TemplateError, span: Span) -> Diagnostic {
        match error {
            TemplateError::Invalid(text) => Diagnostic::new(Code::BadVariable, error.to_string())
                .at(self.find(span, text), "")
                .help("write `$$` for a dollar sign that starts no variable"),
            TemplateError::Required { name, .. } => Diagnostic::new(Code::RequiredVariable, error.to_string())
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
        let cast = match (shape.cast, text.as_str()) {
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
                let diag = Diagnostic::new(Code::WrongKind, format!("{shown} is not {wanted}"))
                    .at(node.span, format!("{wanted} is needed here"));
                self.told.diags.push(diag);
            }
        }
    }
}
