//! The services of a project as a graph: who waits for whom, in which order, and where that goes in a circle.

mod picture;
#[cfg(test)]
mod tests;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::algo::{tarjan_scc, toposort};
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeRef, Reversed};

use crate::compose::model::{Dependency, Project};
use crate::name::ServiceName;

/// The dependency graph of a project; its edges go from a service to what it depends on.
#[derive(Clone, Debug)]
pub struct Graph {
    graph: DiGraph<ServiceName, Dependency>,
    index: BTreeMap<ServiceName, NodeIndex>,
}

/// Services that wait for one another in a circle, so that none can ever start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("services depend on one another in a circle: {}", .services.join(" → "))]
pub struct Cycle {
    /// The circle in the direction of the dependencies; the first service comes again at the end.
    pub services: Vec<String>,
}

impl Graph {
    /// The graph of a project. A dependency on a service that is not in it (not required, and of another profile) is no edge.
    pub fn of(project: &Project) -> Self {
        let mut graph = DiGraph::new();
        let index: BTreeMap<ServiceName, NodeIndex> =
            project.services.keys().map(|name| (name.clone(), graph.add_node(name.clone()))).collect();
        for (name, service) in &project.services {
            for (other, dependency) in &service.depends_on {
                if let (Some(from), Some(to)) = (index.get(name), index.get(other)) {
                    graph.add_edge(*from, *to, dependency.clone());
                }
            }
        }
        Self { graph, index }
    }

    /// Every circle, each once, beginning with the service whose name comes first.
    pub fn cycles(&self) -> Vec<Cycle> {
        let mut cycles: Vec<Cycle> = tarjan_scc(&self.graph)
            .into_iter()
            .filter(|group| group.len() > 1 || group.iter().any(|node| self.graph.contains_edge(*node, *node)))
            .filter_map(|group| self.walk(&group))
            .collect();
        cycles.sort_by(|one, other| one.services.cmp(&other.services));
        cycles
    }

    /// All services, each after what it depends on; where there is a choice, by name.
    ///
    /// # Errors
    /// When there is a circle.
    pub fn order(&self) -> Result<Vec<ServiceName>, Cycle> {
        Ok(self.levels()?.into_iter().flatten().collect())
    }

    /// The services in groups: those of a group depend only on those of the groups before it.
    ///
    /// # Errors
    /// When there is a circle.
    pub fn levels(&self) -> Result<Vec<Vec<ServiceName>>, Cycle> {
        let order = toposort(&self.graph, None).map_err(|_| {
            // toposort names one service of a circle only; the walk names all of it.
            self.cycles().into_iter().next().unwrap_or(Cycle { services: Vec::new() })
        })?;
        let mut depth: BTreeMap<NodeIndex, usize> = BTreeMap::new();
        let mut levels: Vec<Vec<ServiceName>> = Vec::new();
        for node in order.into_iter().rev() {
            let below = self.graph.neighbors(node).filter_map(|other| depth.get(&other)).max();
            let level = below.map_or(0, |below| below + 1);
            depth.insert(node, level);
            levels.resize_with(levels.len().max(level + 1), Vec::new);
            levels[level].push(self.graph[node].clone());
        }
        for level in &mut levels {
            level.sort();
        }
        Ok(levels)
    }

    /// These services and all that they depend on, directly or not. Unknown names are left out.
    pub fn dependencies(&self, of: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
        self.reach(of, Direction::Outgoing)
    }

    /// These services and all that depend on them, directly or not. Unknown names are left out.
    pub fn dependents(&self, of: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
        self.reach(of, Direction::Incoming)
    }

    fn reach(&self, of: &BTreeSet<ServiceName>, direction: Direction) -> BTreeSet<ServiceName> {
        let mut found = BTreeSet::new();
        for start in of.iter().filter_map(|name| self.index.get(name)) {
            let mut search = Dfs::new(&self.graph, *start);
            let reversed = Reversed(&self.graph);
            while let Some(node) = match direction {
                Direction::Outgoing => search.next(&self.graph),
                Direction::Incoming => search.next(reversed),
            } {
                found.insert(self.graph[node].clone());
            }
        }
        found
    }

    /// One circle inside a strongly connected group: from its first service by name along edges that stay inside, back to it.
    fn walk(&self, group: &[NodeIndex]) -> Option<Cycle> {
        let start = group.iter().copied().min_by_key(|node| &self.graph[*node])?;
        let mut before: BTreeMap<NodeIndex, NodeIndex> = BTreeMap::new();
        let mut row = vec![start];
        // Breadth first, so that the circle that is shown is a shortest one.
        while !row.is_empty() {
            let mut next = Vec::new();
            for node in row {
                let mut edges: Vec<NodeIndex> =
                    self.graph.edges(node).map(|edge| edge.target()).filter(|to| group.contains(to)).collect();
                edges.sort_by_key(|to| &self.graph[*to]);
                for to in edges {
                    if to == start {
                        return Some(self.circle(start, node, &before));
                    }
                    if let Entry::Vacant(free) = before.entry(to) {
                        free.insert(node);
                        next.push(to);
                    }
                }
            }
            row = next;
        }
        None
    }

    fn circle(&self, start: NodeIndex, last: NodeIndex, before: &BTreeMap<NodeIndex, NodeIndex>) -> Cycle {
        let mut path = vec![start];
        let mut at = last;
        while at != start {
            path.push(at);
            at = before.get(&at).copied().unwrap_or(start);
        }
        path.push(start);
        path.reverse();
        Cycle { services: path.into_iter().map(|node| self.graph[node].to_string()).collect() }
    }
}
