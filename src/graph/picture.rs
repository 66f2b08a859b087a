//! The graph as a picture: for graphviz, for mermaid, and as plain text.

use std::fmt::Write;

use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;

use super::{Cycle, Graph};
use crate::compose::model::Condition;

impl Graph {
    /// The graph in graphviz' language.
    pub fn dot(&self) -> String {
        let mut out = String::from("digraph services {\n  rankdir=LR;\n  node [shape=box];\n");
        for name in self.index.keys() {
            let _ = writeln!(out, "  \"{name}\";");
        }
        for (from, to, condition) in self.edges() {
            let label = word(condition).map(|word| format!(" [label=\"{word}\"]")).unwrap_or_default();
            let _ = writeln!(out, "  \"{from}\" -> \"{to}\"{label};");
        }
        out.push_str("}\n");
        out
    }

    /// The graph in mermaid's language.
    pub fn mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        let id = |name: &str| self.index.keys().position(|other| other.as_str() == name).unwrap_or_default();
        for (number, name) in self.index.keys().enumerate() {
            let _ = writeln!(out, "  s{number}[\"{name}\"]");
        }
        for (from, to, condition) in self.edges() {
            let label = word(condition).map(|word| format!("|{word}|")).unwrap_or_default();
            let _ = writeln!(out, "  s{} -->{label} s{}", id(&from), id(&to));
        }
        out
    }

    /// The graph as text: a line a service, in the order of the start, with what it waits for.
    ///
    /// # Errors
    /// When there is a circle.
    pub fn text(&self) -> Result<String, Cycle> {
        let mut out = String::new();
        let edges = self.edges();
        for (number, level) in self.levels()?.iter().enumerate() {
            for name in level {
                let waits: Vec<String> = edges
                    .iter()
                    .filter(|(from, ..)| from == name.as_str())
                    .map(|(_, to, condition)| match word(*condition) {
                        Some(word) => format!("{to} ({word})"),
                        None => to.clone(),
                    })
                    .collect();
                let after = if waits.is_empty() { String::new() } else { format!(" after {}", waits.join(", ")) };
                let _ = writeln!(out, "{} {name}{after}", number + 1);
            }
        }
        Ok(out)
    }

    /// All edges, sorted by name.
    fn edges(&self) -> Vec<(String, String, Condition)> {
        let name = |node: NodeIndex| self.graph[node].to_string();
        let mut edges: Vec<_> = self
            .graph
            .edge_references()
            .map(|edge| (name(edge.source()), name(edge.target()), edge.weight().condition))
            .collect();
        edges.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        edges
    }
}

/// What is written at an edge; nothing for the plain condition.
fn word(condition: Condition) -> Option<&'static str> {
    match condition {
        Condition::ServiceStarted => None,
        Condition::ServiceHealthy => Some("healthy"),
        Condition::ServiceCompletedSuccessfully => Some("completed"),
    }
}
