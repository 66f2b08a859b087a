//! Compose files: text → Node tree → interpolate → merge → check → canonical → Project.
//!
//! A file per pass, in the order in which [`load`] runs them: `source` (which files), `syntax` (text → tree),
//! `interpolate`, `extends`, `reset`, `include`, `merge`, `unique`, `schema`, `forms` (short → long), `defaults`, `validate`,
//! `paths`, `normalize`, `out` (final types), `looks`, `bind` (profiles, env_files, selection, typed model), `check` (references).
//! What an attribute takes and how each pass treats it stands in one table, `attributes`. `pattern` is what `ignore`, `include`
//! and a `.dockerignore` are made of. `remote` is what lies elsewhere, in git or in a registry; others fetch it.

mod attributes;
mod bind;
mod check;
pub mod compare;
pub mod config;
mod date;
mod defaults;
mod disk;
mod dotenv;
mod env;
mod explain;
mod extends;
mod forms;
mod include;
mod interpolate;
mod load;
pub mod looks;
mod merge;
pub mod model;
mod node;
mod normalize;
mod out;
mod path;
mod paths;
pub mod pattern;
pub mod reads;
pub mod remote;
mod reset;
mod scalar;
mod schema;
mod source;
mod stages;
pub mod support;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod unique;
pub mod units;
mod validate;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use crate::diag::{Code, Diagnostic, Diagnostics, SourceMap, Span};
use attributes::PROJECT;
pub use attributes::{canonical_schema, json_schema};
pub use env::Environment;
use load::{Loader, Scope};
use model::Project;
use node::{Map, Node};
pub use paths::relative as relative_path;
use remote::{Checkouts, Remotes};
pub use source::{lock_folder, settings};

/// What to load, and how.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// `-f`, in order; `-` is standard input. Empty: `COMPOSE_FILE`, else what is found.
    pub files: Vec<String>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--project-directory`.
    pub project_directory: Option<PathBuf>,
    /// `--env-file`, in order.
    pub env_files: Vec<String>,
    /// `--profile`; none: those of `COMPOSE_PROFILES`.
    pub profiles: Vec<String>,
    /// The caller's variables.
    pub env: BTreeMap<String, String>,
    /// The caller's folder, absolute.
    pub cwd: PathBuf,
    /// The only services wanted, with what they depend on; empty: all.
    pub services: Vec<String>,
    /// The services wanted only switch their profiles on; nothing is left out.
    pub whole: bool,
    /// Standard input, for `-f -`.
    pub stdin: Option<String>,
    /// Keep what no service uses.
    pub all_resources: bool,
    /// Variables stay.
    pub no_interpolate: bool,
    /// Implied things are not written down.
    pub no_normalize: bool,
    /// Relative paths stay.
    pub no_path_resolution: bool,
    /// References are not checked.
    pub no_consistency: bool,
    /// Only names are wanted: no `env_file` is read, and equal names of containers are nobody's concern.
    pub listing: bool,
    /// What every file and step said is kept, for [`Loaded::origin`].
    pub history: bool,
    /// Who fetches files that are named by an address; nobody: such a file is an error.
    pub remotes: Option<Rc<dyn Remotes>>,
    /// Only the tree is wanted, for [`config`], which passes values that no type holds: the typed project stays empty.
    pub untyped: bool,
}

/// A project as it was loaded.
#[derive(Clone)]
pub struct Loaded {
    /// The typed project.
    pub project: Project,
    /// Things to tell that stop nothing.
    pub warnings: Vec<Diagnostic>,
    /// The texts, for diagnostics.
    pub sources: SourceMap,
    /// The finished tree, for [`config`].
    tree: Node,
    /// Services whose profiles are off.
    disabled: Map,
    /// The project's folder.
    pub working_dir: PathBuf,
    /// The files, absolute; `-` is standard input.
    pub config_files: Vec<PathBuf>,
    /// The env files that were read for variables.
    pub env_files: Vec<PathBuf>,
    /// Those that included projects have of their own.
    included_env_files: Vec<PathBuf>,
    /// Every file that the project is made of: compose files, included and extended ones, env files, label files.
    pub files: BTreeSet<PathBuf>,
    /// What was fetched from elsewhere.
    pub checkouts: Checkouts,
    /// All variables: the caller's and those of the env files.
    pub variables: env::Variables,
    /// The variables in values.
    traces: interpolate::Traces,
    /// What every file and step said, if that was asked for.
    history: Vec<explain::Step>,
}

impl std::fmt::Debug for Loaded {
    /// Only the name: the variables may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("name", &self.project.name).finish_non_exhaustive()
    }
}

impl Loaded {
    /// Where a path such as `services.web.ports[0]` stands in the files; the nearest thing around it that stands there.
    pub fn locate(&self, path: &str) -> Option<Span> {
        let node = self.tree.nearest(path);
        let inner = matches!(node.kind, node::Kind::Map(_) | node::Kind::List(_)) || !node.span.is_known();
        Some(if inner { node.place() } else { node.span }).filter(|span| span.is_known())
    }

    /// A message about a path, with its place: for what later stages find out about values.
    pub fn unusable(&self, path: &str, message: &str, help: Option<&str>) -> Diagnostic {
        let diag = Diagnostic::new(Code::Unusable, message).at(self.locate(path).unwrap_or_default(), "");
        let mut diag =
            if diag.labels.is_empty() { Diagnostic { message: format!("{path}: {message}"), ..diag } } else { diag };
        diag.help = help.map(str::to_owned);
        let [diag] = interpolate::show_variables([diag], &self.traces);
        diag
    }

    /// Names of the services whose profiles are off.
    pub fn disabled(&self) -> impl Iterator<Item = &str> {
        self.disabled.keys().map(String::as_str)
    }
}

/// A merged tree before its values get their final types.
struct Tree {
    root: Node,
    loader: Loader,
    found: source::Found,
    name: String,
}

/// Loads a project. All that is wrong comes back at once.
///
/// # Errors
/// All that is wrong, sorted by file and place.
pub fn load(options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let Tree { mut root, mut loader, found, name } = tree(options)?;
    let environment = &found.variables.values;
    if !options.no_normalize {
        normalize::normalize(&mut root, &name, environment);
    }
    loader.stages.ended("normalize");
    out::finish(&mut root, &PROJECT, &mut loader.diags);
    normalize::services(&mut root);
    if !options.no_consistency {
        normalize::scale(&mut root);
    }
    loader.stages.ended("types");
    let disabled = bind::profiles(&mut root, &profiles(options, environment), &options.services);
    if !options.no_consistency {
        check_all(options, &root, &disabled, &mut loader);
    }
    loader.stages.ended("check");
    let mut files = std::mem::take(&mut loader.read);
    files.extend(bind::files(&mut root, environment, !options.listing, &mut loader));
    files.extend(found.env_files.iter().cloned());
    if !options.whole {
        bind::select(&mut root, &options.services, &mut loader.diags);
    }
    if options.no_consistency {
        normalize::hide_extensions(&mut root);
    }
    if !options.all_resources {
        bind::drop_unused(&mut root);
    }
    let project =
        if options.untyped || loader.failed() { Ok(Project::default()) } else { bind::project(&root, environment) };
    loader.stages.ended("bind");
    loader.stages.tell();
    let project = project.map_err(|diag| loader.diags.push(diag)).unwrap_or_default();
    if loader.failed() {
        return Err(loader.failure(&root, options));
    }
    let (traces, history) = (std::mem::take(&mut loader.traces), std::mem::take(&mut loader.history));
    let included_env_files = std::mem::take(&mut loader.env_files);
    let checkouts = loader.checkouts.clone();
    let told = loader.diagnostics();
    Ok(Loaded {
        project,
        warnings: told.list,
        sources: told.sources,
        tree: root,
        disabled,
        working_dir: found.dir,
        config_files: found.inputs.into_iter().map(|input| input.path).collect(),
        env_files: found.env_files,
        checkouts,
        variables: found.variables,
        traces,
        history: history.unwrap_or_default(),
        included_env_files,
        files,
    })
}

/// What is wrong with the values of a finished tree, and with what they say of each other.
fn check_all(options: &LoadOptions, root: &Node, disabled: &Map, loader: &mut Loader) {
    looks::check(root, &PROJECT, &schema::Path::Root, &mut loader.diags);
    if !options.untyped {
        // Whoever uses the values refuses them, and needs no warning besides.
        loader.diags.retain(|diag| diag.code != Code::OnlyPrinted);
    }
    let wrong = check::Wrong { services: loader.bad_services(), sections: loader.unknown_sections(root) };
    check::check(root, disabled, &wrong, &mut loader.diags);
    if !options.listing {
        check::container_names(root, &mut loader.diags);
    }
}

/// The profiles that are on.
fn profiles(options: &LoadOptions, environment: &Environment) -> Vec<String> {
    if !options.profiles.is_empty() {
        return options.profiles.clone();
    }
    let listed = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    // Without any, the empty profile is on: a service may name it to run by default and with others.
    listed.split(',').map(|profile| profile.trim().to_owned()).collect()
}

/// The name a project has, without looking at the rest of its files.
///
/// # Errors
/// No files and no name; a name that cannot be one.
pub fn project_name(options: &LoadOptions) -> Result<String, Diagnostics> {
    if let Some(name) = options.project_name.as_ref().filter(|name| !name.is_empty()) {
        return source::given_name(name).map_err(only);
    }
    let mut found =
        match (source::find(options), options.env.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty())) {
            (Ok(found), _) => found,
            (Err(_), Some(name)) => return source::given_name(name).map_err(only),
            (Err(wrong), None) => return Err(wrong),
        };
    let mut loader = Loader::new(options, &mut found);
    name(options, &mut found, &mut loader).map_err(|diag| Diagnostics::new(vec![diag], loader.sources.clone()))
}

/// Runs the passes up to the merged, checked, long tree. What is wrong with attributes and values stays with the loader,
/// so that later passes can add to it; what makes the rest meaningless is an error here.
fn tree(options: &LoadOptions) -> Result<Tree, Diagnostics> {
    let mut found = source::find(options)?;
    let mut loader = Loader::new(options, &mut found);
    let name = match name(options, &mut found, &mut loader) {
        Ok(name) => name,
        Err(diag) => {
            // A file that cannot be read says more than the name that is missing because of it.
            if !loader.failed() {
                loader.diags.push(diag);
            }
            // What else is wrong is told too.
            let stand_in = "project".to_owned();
            found.set_name(&stand_in);
            stand_in
        }
    };
    let scope = Scope {
        dir: found.dir.clone(),
        base: (!options.no_path_resolution).then(|| found.dir.clone()),
        variables: found.variables.clone().into(),
        chain: Vec::new(),
    };
    let mut root = loader.model(&found.inputs, &scope);
    if !loader.failed() && root.get("services").is_none() && root.as_map().is_none_or(|map| map.is_empty()) {
        loader.diags.push(Diagnostic::new(Code::EmptyFile, "the compose file is empty").help("it needs `services`"));
    }
    if loader.broken() {
        return Err(loader.diagnostics());
    }
    if let Some(map) = root.as_map_mut().filter(|_| !(options.no_interpolate && options.no_normalize)) {
        map.insert("name".to_owned(), Node { kind: node::Kind::Str(name.clone()), ..Node::default() });
    }
    Ok(Tree { root, loader, found, name })
}

fn only(diag: Diagnostic) -> Diagnostics {
    Diagnostics::new(vec![diag], SourceMap::default())
}

/// The project's name: given, else in a file, else the folder's. It becomes a variable of its own.
fn name(options: &LoadOptions, found: &mut source::Found, loader: &mut Loader) -> Result<String, Diagnostic> {
    let given = options.project_name.clone().filter(|name| !name.is_empty());
    let given =
        given.or_else(|| found.variables.values.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty()).cloned());
    let name = match given {
        Some(name) => source::given_name(&name)?,
        None => match loader.name_in_files(&found.inputs, &found.variables.values)? {
            Some(name) if options.no_normalize => name,
            Some(name) => source::normal_name(&name),
            None => source::normal_name(&found.name_dir.file_name().unwrap_or_default().to_string_lossy()),
        },
    };
    if name.is_empty() {
        return Err(Diagnostic::new(Code::ProjectName, "the project has no name")
            .help("give one with -p NAME or with `name:` in the file"));
    }
    found.set_name(&name);
    Ok(name)
}
