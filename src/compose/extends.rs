//! `extends`: a service begins as a copy of another one, of this file or of another (spec.md 9.4).

use std::path::{Path, PathBuf};

use super::attributes::{PROJECT, SERVICE};
use super::explain::Step;
use super::load::{Input, Loader, Scope};
use super::node::{Kind, Map, Node};
use super::paths::{self, Base};
use super::{disk, forms, merge, reset, unique};
use crate::diag::{Code, Diagnostic, Span};

/// The services of a file that others extend.
#[derive(Clone, Debug, Default)]
pub struct Extended(Map);

/// How many services may extend each other in a row; each needs some stack.
const DEEPEST: usize = 100;

/// Which services led here: file, service, place of its `extends`.
type Chain = Vec<(PathBuf, String, Span)>;

/// An `extends`: the file it is looked up in, the project's scope, its place.
struct At<'a> {
    file: &'a Path,
    scope: &'a Scope,
    place: Span,
}

impl Loader {
    /// Resolves every `extends` of a document.
    pub fn extend_all(&mut self, tree: &mut Node, file: &Path, scope: &Scope) {
        let Some(Kind::Map(services)) = tree.get_mut("services").map(|services| &mut services.kind) else { return };
        let names: Vec<String> = services
            .iter()
            .filter(|(_, service)| service.get("extends").is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.extend(&name, services, file, scope, &mut Vec::new());
        }
    }

    fn extend(&mut self, name: &str, services: &mut Map, file: &Path, scope: &Scope, chain: &mut Chain) {
        let Some(extends) = services.get(name).and_then(|service| service.get("extends")) else { return };
        if extends.is_null() {
            return;
        }
        let place = extends.span;
        let Some(of) = extends.as_str().or_else(|| extends.get_str("service")).map(str::to_owned) else { return };
        let other = extends.get("file").and_then(|file| Some((file.as_str()?.to_owned(), file.span)));
        if let Some(first) = chain.iter().position(|(f, n, _)| f == file && n == name) {
            self.cycle(&chain[first..], name, place);
            services.get_mut(name).and_then(Node::as_map_mut).and_then(|service| service.remove("extends"));
            return;
        }
        if chain.len() >= DEEPEST {
            let text = format!("more than {DEEPEST} services extend each other in a row");
            self.diags.push(Diagnostic::new(Code::TooDeep, text).at(place, ""));
            services.get_mut(name).and_then(Node::as_map_mut).and_then(|service| service.remove("extends"));
            return;
        }
        chain.push((file.to_owned(), name.to_owned(), place));
        let base = match other {
            None => self.base_here(&of, services, &At { file, scope, place }, chain),
            Some(other) => self.base_there(&of, &other, &At { file, scope, place }, chain),
        };
        chain.pop();
        let Some(mut service) = services.remove(name) else { return };
        if let Some(mut base) = base {
            reset::strip(&mut base);
            reset::apply(&mut base, &service);
            self.note_extends(name, &of, &base);
            let (span, key) = (service.span, service.key);
            if !base.is_null() {
                merge::merge(&mut base, service, &SERVICE, &format!("services.{name}"), &mut self.diags);
                service = Node { span, key, ..base };
                service.as_map_mut().and_then(|map| map.remove("extends"));
            }
        }
        services.insert(name.to_owned(), service);
    }

    /// For `config --explain`: what the service begins with.
    fn note_extends(&mut self, name: &str, of: &str, base: &Node) {
        let Some(history) = &mut self.history else { return };
        let services = Node { kind: Kind::Map(Map::from([(name.to_owned(), base.clone())])), ..Node::default() };
        let tree = Node { kind: Kind::Map(Map::from([("services".to_owned(), services)])), ..Node::default() };
        history.push(Step { title: format!("{name} extends {of}"), tree });
    }

    fn base_here(&mut self, of: &str, services: &mut Map, at: &At<'_>, chain: &mut Chain) -> Option<Node> {
        if !services.contains_key(of) {
            self.diags.push(
                Diagnostic::new(Code::ExtendsUnknown, format!("no service `{of}` to extend"))
                    .at(at.place, "no service of this file has this name")
                    .did_you_mean(of, services.keys().map(String::as_str)),
            );
            return None;
        }
        self.extend(of, services, at.file, at.scope, chain);
        services.get(of).cloned()
    }

    fn base_there(&mut self, of: &str, other: &(String, Span), at: &At<'_>, chain: &mut Chain) -> Option<Node> {
        let At { file, scope, place } = *at;
        let input = self.named(&other.0, other.1, file, scope)?;
        let key = (input.path.clone(), scope.dir.clone());
        let mut services = match self.extended.remove(&key) {
            Some(Extended(services)) => services,
            None => self.read_extended(&input, scope, place)?,
        };
        let base = self.base_here(of, &mut services, &At { file: &input.path, scope, place }, chain);
        self.extended.insert(key, Extended(services));
        base
    }

    /// The services of another file, long, with paths as seen from the project's folder.
    fn read_extended(&mut self, input: &Input, scope: &Scope, place: Span) -> Option<Map> {
        let Input { path, shown } = input;
        if !disk::is_file(path) {
            self.diags.push(
                Diagnostic::new(
                    Code::Unreadable,
                    format!("cannot read the file to extend from, `{}`: no such file", path.display()),
                )
                .at(place, "named here"),
            );
            return None;
        }
        let mut merged = Node::empty_map();
        for document in self.documents(input) {
            let mut tree = document.root;
            self.interpolate(&mut tree, &scope.variables);
            merge::merge(&mut merged, tree, &PROJECT, "", &mut self.diags);
            unique::enforce(&mut merged, &PROJECT);
            forms::canonical(&mut merged, &PROJECT, self.keep_variables, &mut self.diags);
            unique::enforce(&mut merged, &PROJECT);
        }
        let dir = paths::relative(path.parent().unwrap_or(path), &scope.dir);
        let base = Base { dir, home: self.home.clone() };
        paths::resolve(&mut merged, &PROJECT, &base, &mut self.diags);
        match merged.as_map_mut().and_then(|map| map.remove("services")).map(|services| services.kind) {
            Some(Kind::Map(services)) => Some(services),
            _ => {
                let text = format!("no services stand in the file to extend from, `{shown}`");
                self.diags.push(Diagnostic::new(Code::ExtendsUnknown, text).at(place, "named here"));
                None
            }
        }
    }

    fn cycle(&mut self, chain: &[(PathBuf, String, Span)], name: &str, place: Span) {
        let mut names: Vec<&str> = chain.iter().map(|(_, name, _)| name.as_str()).collect();
        names.push(name);
        self.diags.push(
            Diagnostic::new(
                Code::ExtendsCircle,
                format!("services extend each other in a circle: {}", names.join(" → ")),
            )
            .at(place, ""),
        );
    }
}
