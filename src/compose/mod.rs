//! Compose files: text → Node tree → interpolate → merge → check → canonical → Project.
//!
//! A file per pass, in the order in which [`load`] runs them: `source` (which files), `syntax` (text → tree),
//! `interpolate`, `extends`, `reset`, `include`, `merge`, `unique`, `schema`, `forms` (short → long), `defaults`, `validate`,
//! `paths`, `normalize`, `out` (final types), `bind` (profiles, env_files, selection, typed model), `check` (references).
//! What an attribute takes and how each pass treats it stands in one table, `attributes`.

mod attributes;
mod bind;
mod check;
pub mod compare;
pub mod config;
mod defaults;
mod disk;
mod dotenv;
mod env;
mod extends;
mod forms;
mod include;
mod interpolate;
mod load;
mod merge;
pub mod model;
mod node;
mod normalize;
mod out;
mod paths;
pub mod reads;
mod reset;
mod scalar;
mod schema;
mod source;
pub mod support;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod unique;
pub mod units;
mod validate;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::diag::{Diagnostic, Diagnostics, SourceMap, Span};
use attributes::PROJECT;
pub use interpolate::Environment;
use load::{Loader, Scope};
use model::Project;
use node::{Map, Node};
pub use paths::relative as relative_path;

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
    /// All variables: the caller's and those of the env files.
    pub environment: Environment,
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
    pub fn explain(&self, path: &str, message: &str, help: Option<&str>) -> Diagnostic {
        let diag = Diagnostic::error(format!("`{path}`: {message}")).at(self.locate(path).unwrap_or_default(), "");
        match help {
            Some(help) => diag.help(help),
            None => diag,
        }
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
pub fn load(options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let Tree { mut root, mut loader, found, name } = tree(options)?;
    if !options.no_normalize {
        normalize::normalize(&mut root, &name, &found.environment);
    }
    out::finish(&mut root, &PROJECT, &mut loader.diags);
    normalize::scale(&mut root);
    let mut profiles = options.profiles.clone();
    if profiles.is_empty() {
        let listed = found.environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
        // Without any, the empty profile is on: a service may name it to run by default and with others.
        profiles.extend(listed.split(',').map(|profile| profile.trim().to_owned()));
    }
    let disabled = bind::profiles(&mut root, &profiles, &options.services);
    if !options.no_consistency {
        check::check(&root, &disabled, &mut loader.diags);
    }
    bind::files(&mut root, &found.environment, &mut loader.diags);
    if !options.whole {
        bind::select(&mut root, &options.services, &mut loader.diags);
    }
    if !options.all_resources {
        bind::drop_unused(&mut root);
    }
    if loader.failed() {
        return Err(Diagnostics::new(loader.diags, loader.sources));
    }
    let project = match if options.untyped { Ok(Project::default()) } else { bind::project(&root, &found.environment) }
    {
        Ok(project) => project,
        Err(diag) => {
            loader.diags.push(diag);
            return Err(Diagnostics::new(loader.diags, loader.sources));
        }
    };
    Ok(Loaded {
        project,
        warnings: Diagnostics::new(loader.diags, SourceMap::default()).list,
        sources: loader.sources,
        tree: root,
        disabled,
        working_dir: found.dir,
        config_files: found.inputs.into_iter().map(|input| input.path).collect(),
        env_files: found.env_files,
        included_env_files: loader.env_files,
        environment: found.environment,
    })
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
            (Err(diag), None) => return Err(only(diag)),
        };
    let mut loader = Loader::new(options, &mut found);
    name(options, &mut found, &mut loader).map_err(|diag| Diagnostics::new(vec![diag], loader.sources))
}

/// Runs the passes up to the merged, checked, long tree.
fn tree(options: &LoadOptions) -> Result<Tree, Diagnostics> {
    let mut found = source::find(options).map_err(only)?;
    let mut loader = Loader::new(options, &mut found);
    let name = name(options, &mut found, &mut loader).map_err(|diag| {
        // A file that cannot be read says more than the name that is missing because of it.
        let mut diags = loader.diags.clone();
        if !loader.failed() {
            diags.push(diag);
        }
        Diagnostics::new(diags, loader.sources.clone())
    })?;
    let scope = Scope {
        dir: found.dir.clone(),
        base: (!options.no_path_resolution).then(|| found.dir.clone()),
        environment: found.environment.clone(),
        chain: Vec::new(),
    };
    let mut root = loader.model(&found.inputs, &scope);
    if !loader.failed() && root.get("services").is_none() && root.as_map().is_none_or(|map| map.is_empty()) {
        loader.diags.push(Diagnostic::error("the compose file is empty").help("it needs `services`"));
    }
    if loader.failed() {
        return Err(Diagnostics::new(loader.diags, loader.sources));
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
        given.or_else(|| found.environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty()).cloned());
    let name = match given {
        Some(name) => source::given_name(&name)?,
        None => match loader.name_in_files(&found.inputs, &found.environment)? {
            Some(name) => source::normal_name(&name),
            None => source::normal_name(&found.dir.file_name().unwrap_or_default().to_string_lossy()),
        },
    };
    if name.is_empty() {
        return Err(
            Diagnostic::error("the project has no name").help("give one with -p NAME or with `name:` in the file")
        );
    }
    found.environment.insert("COMPOSE_PROJECT_NAME".to_owned(), name.clone());
    Ok(name)
}
