//! Runs the passes over the files of a project, or of an included one (spec.md section 1, step 5 and 6).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::attributes::PROJECT;
use super::env::{Environment, Variables};
use super::explain::Step;
use super::extends::Extended;
use super::interpolate::{self, Told, Traces};
use super::node::{Kind, Node};
use super::paths::{self, Base};
use super::remote::{Address, Checkouts, without_passwords};
use super::stages::Stages;
use super::{
    LoadOptions, defaults, disk, forms, include, looks, merge, reset, schema, source, syntax, template, unique,
    validate,
};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceMap, Span};

/// With so many errors nobody looks for those that follow from others.
const MANY: usize = 2000;

/// What all passes share.
pub struct Loader {
    /// The texts read so far.
    pub sources: SourceMap,
    /// All that was found wrong.
    pub diags: Vec<Diagnostic>,
    /// Variables warned of.
    pub unset: BTreeSet<String>,
    /// The variables in values.
    pub traces: Traces,
    /// Where services begin, to tell which one a place belongs to.
    pub services: BTreeMap<Span, String>,
    /// What every file and step said, if that is wanted.
    pub history: Option<Vec<Step>>,
    /// How long the passes took.
    pub stages: Stages,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// Variables stay (`--no-interpolate`).
    pub keep_variables: bool,
    /// Standard input, if it was read.
    pub stdin: Option<String>,
    /// Files read already, to look for the project's name.
    pub parsed: BTreeMap<PathBuf, Vec<syntax::Document>>,
    /// Env files that included projects have read.
    pub env_files: Vec<PathBuf>,
    /// All files that were read, or were looked for.
    pub read: BTreeSet<PathBuf>,
    /// What was fetched from elsewhere.
    pub checkouts: Checkouts,
    /// Files that services extend, already read.
    pub extended: BTreeMap<(PathBuf, PathBuf), Extended>,
}

/// Where a group of files belongs.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Their project folder, absolute.
    pub dir: PathBuf,
    /// What their relative paths are resolved against; `None`: they stay.
    pub base: Option<PathBuf>,
    /// Variables.
    pub variables: Arc<Variables>,
    /// Files that led here by `include`.
    pub chain: Vec<PathBuf>,
}

/// A file to read: its path, and the name people know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Absolute; `-` is standard input.
    pub path: PathBuf,
    /// As it was written.
    pub shown: String,
}

impl Loader {
    /// A loader for what was found; it takes over the warnings.
    pub fn new(options: &LoadOptions, found: &mut source::Found) -> Self {
        Self {
            sources: SourceMap::default(),
            diags: std::mem::take(&mut found.warnings),
            unset: BTreeSet::new(),
            traces: Traces::new(),
            services: BTreeMap::new(),
            stages: Stages::start(),
            history: options.history.then(Vec::new),
            home: found.variables.values.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            keep_variables: options.no_interpolate,
            stdin: options.stdin.clone(),
            parsed: BTreeMap::new(),
            env_files: Vec::new(),
            read: BTreeSet::new(),
            checkouts: std::mem::take(&mut found.checkouts),
            extended: BTreeMap::new(),
        }
    }

    /// Is anything wrong so far?
    pub fn failed(&self) -> bool {
        self.diags.iter().any(Diagnostic::is_error)
    }

    /// All that was told.
    pub fn diagnostics(mut self) -> Diagnostics {
        self.drop_consequences();
        // Env files are known by their paths, which say nothing where they lie in a cache.
        self.sources.rename(|name| self.checkouts.label(Path::new(name)));
        Diagnostics::new(interpolate::show_variables(self.diags, &self.traces), self.sources)
    }

    /// Of errors at one place only that of the earliest stage is told: what has the wrong kind can't be read either.
    fn drop_consequences(&mut self) {
        let errors = self.diags.iter().filter(|diag| diag.is_error());
        let places: Vec<(&str, Span)> = errors.filter_map(|diag| Some((diag.code.stage(), diag.span()?))).collect();
        if places.len() > MANY {
            return;
        }
        let follows = |diag: &Diagnostic| {
            let (Some(span), stage) = (diag.span(), diag.code.stage()) else { return false };
            diag.is_error() && places.iter().any(|(earlier, place)| *earlier < stage && place.meets(span))
        };
        let kept: Vec<bool> = self.diags.iter().map(|diag| !follows(diag)).collect();
        let mut kept = kept.into_iter();
        self.diags.retain(|_| kept.next().unwrap_or(true));
    }

    /// All that was told of a finished tree. Whoever uses it would be refused next what `config` only prints, so that is
    /// among it; it is more exact than what the typed project was not made for.
    pub fn failure(mut self, tree: &Node, options: &LoadOptions) -> Diagnostics {
        if !options.untyped {
            let refused = looks::refused(tree);
            let places: BTreeSet<Span> = refused.iter().filter_map(Diagnostic::span).collect();
            let better = |diag: &Diagnostic| diag.span().is_some_and(|span| places.contains(&span));
            self.diags.retain(|diag| diag.code != Code::BadValue || !better(diag));
            self.diags.extend(refused);
        }
        self.diagnostics()
    }

    /// Is something wrong that makes references between the parts meaningless: files, YAML, merging?
    pub fn broken(&self) -> bool {
        let breaks = |diag: &Diagnostic| match diag.code.stage() {
            "01" => diag.code != Code::ProjectName,
            "02" | "04" => true,
            _ => false,
        };
        self.diags.iter().any(|diag| diag.is_error() && breaks(diag))
    }

    /// Top-level keys that nobody knows.
    pub fn unknown_sections(&self, tree: &Node) -> Vec<String> {
        let keys = tree.as_map().into_iter().flat_map(|map| map.keys());
        keys.filter(|key| PROJECT.field(key).is_none()).cloned().collect()
    }

    /// The services that something is wrong with already: what they lack may be what is wrong.
    pub fn bad_services(&self) -> BTreeSet<String> {
        let errors = self.diags.iter().filter(|diag| diag.is_error()).filter_map(Diagnostic::span);
        errors.filter_map(|span| self.services.range(..=span).next_back().map(|(_, name)| name.clone())).collect()
    }

    /// The merged, checked, long tree of some files.
    pub fn model(&mut self, inputs: &[Input], scope: &Scope) -> Node {
        let mut merged = Node::empty_map();
        for input in inputs {
            self.file(input, scope, &mut merged);
        }
        if self.broken() {
            return merged;
        }
        defaults::set(&mut merged);
        validate::check(&merged, &mut self.diags);
        if let Some(dir) = &scope.base {
            let base = Base { dir: dir.clone(), home: self.home.clone() };
            paths::resolve(&mut merged, &PROJECT, &base, &mut self.diags);
        }
        self.stages.ended("paths");
        merged
    }

    /// The documents of a file; what is wrong with them is told.
    pub fn documents(&mut self, input: &Input) -> Vec<syntax::Document> {
        if let Some(documents) = self.parsed.remove(&input.path) {
            return documents;
        }
        let Some(text) = self.read(input) else { return Vec::new() };
        let file = self.sources.add(&input.shown, without_passwords(&text));
        self.stages.ended("read");
        let parsed = syntax::parse(file, &text);
        self.stages.ended("parse");
        match parsed {
            Ok(documents) => documents,
            Err(error) => {
                self.diags.push(error);
                Vec::new()
            }
        }
    }

    /// The last `name` of the files, with its variables replaced.
    pub fn name_in_files(&mut self, inputs: &[Input], environment: &Environment) -> Result<Option<String>, Diagnostic> {
        let mut name = None;
        for input in inputs {
            let documents = self.documents(input);
            let found = self.name_in(&documents, environment);
            self.parsed.insert(input.path.clone(), documents);
            name = found?.or(name);
        }
        Ok(name)
    }

    fn name_in(&self, documents: &[syntax::Document], env: &Environment) -> Result<Option<String>, Diagnostic> {
        let mut name = None;
        for node in documents.iter().filter_map(|document| document.root.get("name")) {
            let Some(text) = node.as_str() else {
                return Err(Diagnostic::new(Code::ProjectName, "the project's name must be text")
                    .at(node.span, "put it in quotes"));
            };
            if text.is_empty() {
                continue;
            }
            if self.keep_variables {
                name = Some(text.to_owned());
                continue;
            }
            let get = |name: &str| env.get(name).cloned();
            // What is wrong is told when the variables of all values are replaced.
            if let Ok(text) = template::substitute(text, &mut template::Lookup::new(&get)) {
                name = Some(text);
            }
        }
        Ok(name)
    }

    fn read(&mut self, input: &Input) -> Option<String> {
        if input.path == Path::new("-") {
            return self.stdin.clone();
        }
        if let Err(diag) = self.checkouts.confine(&input.path) {
            self.diags.push(diag);
            return None;
        }
        self.read.insert(input.path.clone());
        let problem = match disk::read_yaml(&input.path) {
            Ok(text) => return Some(text),
            Err(problem) => problem,
        };
        self.diags.push(Diagnostic::new(Code::Unreadable, format!("cannot read `{}`: {problem}", input.shown)));
        None
    }

    /// The file that stands in an `include` or `extends` of the file `by`, fetched if it is an address.
    pub fn named(&mut self, text: &str, place: Span, by: &Path, scope: &Scope) -> Option<Input> {
        // Which file is meant must be known also where variables stay.
        let meant = if self.keep_variables { filled(text, scope) } else { text.to_owned() };
        let varies = meant != text || self.traces.contains_key(&place);
        let text = &meant;
        let found = match Address::parse(text) {
            None => {
                let home = Base { dir: scope.dir.clone(), home: self.home.clone() };
                let path = PathBuf::from(home.join(text));
                self.checkouts.check(by, &path).map(|()| path)
            }
            Some(address) => self.remote(address, varies, (place, by), scope),
        };
        match found {
            Ok(path) => {
                let shown = self.checkouts.label(&path).unwrap_or_else(|| text.to_owned());
                Some(Input { path, shown })
            }
            Err(diag) => {
                self.diags.push(diag.at(place, "named here"));
                None
            }
        }
    }

    fn remote(
        &mut self,
        address: Result<Address, String>,
        varies: bool,
        (place, by): (Span, &Path),
        scope: &Scope,
    ) -> Result<PathBuf, Diagnostic> {
        let namer = self.checkouts.source_of(by).map(ToString::to_string);
        if let Some(namer) = namer.as_ref().filter(|_| varies) {
            let text = format!("an address in a file of `{namer}` has variables");
            return Err(Diagnostic::new(Code::RemoteEscape, text)
                .help("whoever is asked would learn their values: write the address without variables"));
        }
        let source = address.as_ref().ok().map(|address| address.source.to_string()).unwrap_or_default();
        let (path, new) = self.checkouts.open(address, &scope.variables.values)?;
        if let Some(namer) = namer.filter(|namer| new && *namer != source) {
            let text = format!("`{source}` was fetched for the first time, because `{namer}` names it");
            self.diags.push(Diagnostic::new(Code::RemoteChain, text).at(place, "named here"));
        }
        Ok(path)
    }

    fn file(&mut self, input: &Input, scope: &Scope, merged: &mut Node) {
        for document in self.documents(input) {
            if document.root.as_map().is_none() {
                let text = format!("`{}` must be a mapping, not {}", input.shown, document.root.kind_name());
                let diag = Diagnostic::new(Code::WrongKind, text).at(document.root.span, "");
                self.diags.push(match document.root.is_null() {
                    true => diag.help("a document that says nothing is none: remove the `---` or `null`"),
                    false => diag,
                });
                continue;
            }
            self.document(document, input, scope, merged);
        }
    }

    fn document(&mut self, document: syntax::Document, input: &Input, scope: &Scope, merged: &mut Node) {
        let mut tree = document.root;
        self.interpolate(&mut tree, &scope.variables);
        self.stages.ended("interpolate");
        self.note_services(&tree);
        let own = self.history.is_some().then(|| tree.clone());
        self.extend_all(&mut tree, &input.path, scope);
        if let (Some(tree), Some(history)) = (own, &mut self.history) {
            history.push(Step { title: input.shown.clone(), tree });
        }
        if document.tagged {
            reset::apply(merged, &tree);
            reset::strip(&mut tree);
        }
        self.stages.ended("extends");
        include::apply(self, &mut tree, input, scope);
        self.stages.ended("include");
        merge::merge(merged, tree, &PROJECT, "", &mut self.diags);
        unique::enforce(merged, &PROJECT);
        self.stages.ended("merge");
        schema::check(merged, &PROJECT, &schema::Path::Root, &mut self.diags);
        self.drop_version(merged, input);
        self.stages.ended("schema");
        forms::canonical(merged, &PROJECT, self.keep_variables, &mut self.diags);
        unique::enforce(merged, &PROJECT);
        self.stages.ended("forms");
    }

    fn note_services(&mut self, tree: &Node) {
        for (name, service) in tree.get("services").and_then(Node::as_map).into_iter().flatten() {
            self.services.insert(service.key, name.clone());
        }
    }

    /// Replaces variables, unless they are to stay.
    pub fn interpolate(&mut self, tree: &mut Node, variables: &Variables) {
        if self.keep_variables {
            return;
        }
        let mut told =
            Told { diags: &mut self.diags, unset: &mut self.unset, traces: &mut self.traces, sources: &self.sources };
        interpolate::interpolate(tree, &PROJECT, variables, &mut told);
    }

    fn drop_version(&mut self, merged: &mut Node, input: &Input) {
        if let Kind::Map(map) = &mut merged.kind
            && let Some(version) = map.remove("version")
        {
            self.diags.push(
                Diagnostic::new(Code::Version, format!("`version` in `{}` has no meaning any more", input.shown))
                    .at(version.place(), "")
                    .help("remove it")
                    .once(),
            );
        }
    }
}

/// A text with its variables replaced; as it stands, if it is no valid use of them, which is told elsewhere.
fn filled(text: &str, scope: &Scope) -> String {
    let get = |name: &str| scope.variables.values.get(name).cloned();
    template::substitute(text, &mut template::Lookup::new(&get)).unwrap_or_else(|_| text.to_owned())
}
