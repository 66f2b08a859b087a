//! `include`: another project becomes a part of this one (spec.md 9.5).

use std::path::PathBuf;

use super::env::Variables;
use super::load::{Input, Loader, Scope};
use super::node::{Kind, Map, Node};
use super::paths::{self, Base};
use super::{disk, schema};
use crate::diag::{Code, Diagnostic, Span};

/// How many files may include each other in a row; each needs some stack.
const DEEPEST: usize = 40;

/// The sections that are taken over.
const SECTIONS: [&str; 6] = ["services", "volumes", "networks", "secrets", "configs", "models"];

/// Takes over all that a document includes.
pub fn apply(loader: &mut Loader, tree: &mut Node, input: &Input, scope: &Scope) {
    let Some(include) = tree.as_map_mut().and_then(|map| map.remove("include")) else { return };
    if let Some(shape) = super::attributes::PROJECT.field("include") {
        let before = loader.diags.len();
        schema::check(&include, shape, &schema::Path::Key(&schema::Path::Root, "include"), &mut loader.diags);
        if loader.diags.len() > before {
            return;
        }
    }
    let mut chain = scope.chain.clone();
    chain.push(input.path.clone());
    for entry in include.as_list().unwrap_or_default() {
        let scope = Scope { chain: chain.clone(), ..scope.clone() };
        if let Some(model) = one(loader, entry, input, &scope) {
            import(loader, tree, model, entry);
        }
    }
}

fn one(loader: &mut Loader, entry: &Node, by: &Input, scope: &Scope) -> Option<Node> {
    let home = Base { dir: scope.dir.clone(), home: loader.home.clone() };
    let named = match &entry.kind {
        Kind::Str(_) => texts(entry),
        _ => texts(entry.get("path")?),
    };
    let inputs = named.iter().map(|(text, place)| loader.named(text, *place, &by.path, scope));
    let inputs: Vec<Input> = inputs.collect::<Option<_>>()?;
    let first = &inputs.first()?.path;
    if let Some(missing) = inputs.iter().find(|input| !disk::is_file(&input.path)) {
        let text = format!("cannot read the included file `{}`: no such file", missing.shown);
        loader.diags.push(Diagnostic::new(Code::Unreadable, text).at(entry.span, "named here"));
        return None;
    }
    if scope.chain.contains(first) {
        let shown = |file: &PathBuf| loader.checkouts.label(file).unwrap_or_else(|| file.display().to_string());
        let files: Vec<String> = scope.chain.iter().chain([first]).map(shown).collect();
        loader.diags.push(
            Diagnostic::new(
                Code::IncludeCircle,
                format!("files include each other in a circle: {}", files.join(" → ")),
            )
            .at(entry.span, ""),
        );
        return None;
    }
    if scope.chain.len() > DEEPEST {
        let text = format!("more than {DEEPEST} files include each other in a row");
        loader.diags.push(Diagnostic::new(Code::TooDeep, text).at(entry.span, ""));
        return None;
    }
    let (dir, base) = match entry.get_str("project_directory").filter(|dir| !dir.is_empty()) {
        Some(dir) if dir.starts_with('/') => (PathBuf::from(dir), PathBuf::from(dir)),
        Some(dir) => {
            let dir = PathBuf::from(home.join(dir));
            // As in docker compose paths begin above what is no folder; only its `.env` is looked for there.
            let above = if disk::is_folder(&dir) { &dir } else { dir.parent().unwrap_or(&dir) };
            let base = paths::relative(above, &scope.dir);
            (dir, base)
        }
        None => (first.parent()?.to_owned(), paths::relative(first.parent()?, &scope.dir)),
    };
    let variables = variables(loader, entry, (&dir, by), scope)?;
    let base = Some(base);
    let inner = Scope { dir, base, variables: variables.into(), chain: scope.chain.clone() };
    Some(loader.model(&inputs, &inner))
}

/// The texts of a value, and where they stand.
fn texts(node: &Node) -> Vec<(String, Span)> {
    match &node.kind {
        Kind::Str(text) => vec![(text.clone(), node.span)],
        Kind::List(list) => list.iter().filter_map(|item| Some((item.as_str()?.to_owned(), item.span))).collect(),
        _ => Vec::new(),
    }
}

/// The included project's variables: those of here win over its env files.
fn variables(
    loader: &mut Loader,
    entry: &Node,
    (dir, by): (&std::path::Path, &Input),
    scope: &Scope,
) -> Option<Variables> {
    let home = Base { dir: scope.dir.clone(), home: loader.home.clone() };
    let named: Vec<PathBuf> =
        entry.get("env_file").map(texts).unwrap_or_default().iter().map(|(f, _)| PathBuf::from(home.join(f))).collect();
    let namer = if named.is_empty() { dir } else { &by.path };
    let files = if named.is_empty() {
        let own = dir.join(".env");
        if disk::is_file(&own) { vec![own] } else { Vec::new() }
    } else {
        named
    };
    let checked = files.iter().try_for_each(|file| loader.checkouts.check(namer, file));
    match checked.and_then(|()| scope.variables.read(&files, &mut loader.sources)) {
        Ok(more) => {
            loader.env_files.extend(files);
            let mut variables = Variables::clone(&scope.variables);
            variables.add(more);
            Some(variables)
        }
        Err(diag) => {
            loader.diags.push(diag.at(entry.span, "included here"));
            None
        }
    }
}

fn import(loader: &mut Loader, tree: &mut Node, model: Node, entry: &Node) {
    let (Kind::Map(mut model), Some(tree)) = (model.kind, tree.as_map_mut()) else { return };
    for section in SECTIONS {
        let Some(Kind::Map(imported)) = model.remove(section).map(|node| node.kind) else { continue };
        let target = tree.entry(section.to_owned()).or_insert_with(Node::empty_map);
        // Of sections only that of services must be there where it is named.
        if target.is_null() && section != "services" {
            *target = Node::empty_map();
        }
        let Some(target) = target.as_map_mut() else { continue };
        take_over(loader, section, target, imported, entry);
    }
}

fn take_over(loader: &mut Loader, section: &str, target: &mut Map, imported: Map, entry: &Node) {
    for (name, value) in imported {
        match target.get(&name) {
            None => {
                target.insert(name, value);
            }
            Some(own) if *own == value => {}
            Some(own) => loader.diags.push(
                Diagnostic::new(
                    Code::IncludeConflict,
                    format!("`{section}.{name}` stands both here and in an included file"),
                )
                .at(own.place(), "here")
                .at(value.place(), "and here")
                .at(entry.span, "included here")
                .help("change the included one in an override file: `include: [{path: [file, override]}]`"),
            ),
        }
    }
}
