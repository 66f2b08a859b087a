//! Which files make the project, where it lives, what it is called (spec.md section 1, steps 1 to 4).

use std::path::{Path, PathBuf};

use super::LoadOptions;
use super::disk;
use super::env::{Environment, Origin, Variables};
use super::load::Input;
use super::paths;
use super::remote::{Address, Checkouts, masked};
use crate::diag::{Code, Diagnostic, Diagnostics, SourceMap};

/// The names that are looked for, the first one found counts.
pub const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// What was found.
pub struct Found {
    /// The files, in the order of their merge.
    pub inputs: Vec<Input>,
    /// The project's folder.
    pub dir: PathBuf,
    /// The folder whose name the project has where nothing names it: a remote file's own says nothing to anybody.
    pub name_dir: PathBuf,
    /// What was fetched to find the files.
    pub checkouts: Checkouts,
    /// All variables: the caller's win over those of env files.
    pub variables: Variables,
    /// The env files that were read.
    pub env_files: Vec<PathBuf>,
    /// Things to tell.
    pub warnings: Vec<Diagnostic>,
}

impl Found {
    /// The project's name is a variable of its own.
    pub fn set_name(&mut self, name: &str) {
        self.variables.values.insert("COMPOSE_PROJECT_NAME".to_owned(), name.to_owned());
        self.variables.origins.insert("COMPOSE_PROJECT_NAME".to_owned(), Origin::Project);
    }
}

/// What is known before the files of a project are looked for: which ones may depend on it.
struct Start {
    /// The folder that was named.
    given: Option<PathBuf>,
    /// The folder whose `.env` comes first.
    first: PathBuf,
    variables: Variables,
    env_files: Vec<PathBuf>,
    /// `.env` of the project's own folder is read too.
    more: bool,
}

fn start(options: &LoadOptions, sources: &mut SourceMap) -> Result<Start, Diagnostic> {
    let mut variables = Variables { values: options.env.clone(), ..Variables::default() };
    variables.values.entry("PWD".to_owned()).or_insert_with(|| options.cwd.display().to_string());
    let abs = |text: &str| PathBuf::from(paths::clean(&options.cwd.join(text)));
    let given = options.project_directory.as_ref().map(|dir| PathBuf::from(paths::clean(&options.cwd.join(dir))));
    let first = given.clone().or_else(|| options.files.first().and_then(|file| folder(&abs(file), file)));
    let first = first.unwrap_or_else(|| options.cwd.clone());

    let mut env_files: Vec<PathBuf> =
        named_env_files(options, &variables.values).iter().map(|file| abs(file)).collect();
    let named = !env_files.is_empty();
    let disabled = !named && dot_env_is_off(&variables.values)?;
    if !named && !disabled {
        env_files.extend(dot_env(&first));
    }
    variables.add(variables.read(&env_files, sources)?);
    Ok(Start { given, first, variables, env_files, more: !named && !disabled })
}

/// The settings of the command line that env files hold, `COMPOSE_*`: for it they are as good as the caller's, which come before
/// them. What can't be read is told when the project is.
pub fn settings(options: &LoadOptions) -> Environment {
    let mut sources = SourceMap::default();
    let found = find(options).map(|found| found.variables);
    let found = found.or_else(|_| start(options, &mut sources).map(|start| start.variables));
    let Variables { mut values, origins } = found.unwrap_or_default();
    values.retain(|name, _| name.starts_with("COMPOSE_") && matches!(origins.get(name), Some(Origin::File(..))));
    values
}

/// Looks for the files of a project.
pub fn find(options: &LoadOptions) -> Result<Found, Diagnostics> {
    let mut sources = SourceMap::default();
    look(options, &mut sources).map_err(|diag| Diagnostics::new(vec![diag], sources))
}

fn look(options: &LoadOptions, sources: &mut SourceMap) -> Result<Found, Diagnostic> {
    let mut warnings = Vec::new();
    let Start { given, first, mut variables, mut env_files, more } = start(options, sources)?;
    let abs = |text: &str| PathBuf::from(paths::clean(&options.cwd.join(text)));
    let files = files(options, &variables.values, &mut warnings)?;
    let mut checkouts = Checkouts::new(options.remotes.clone());
    let mut inputs = Vec::new();
    for shown in files {
        inputs.push(input(shown, &abs, &variables.values, &mut checkouts)?);
    }
    let elsewhere = given.is_none();
    let named = given.or_else(|| inputs.first().and_then(|input| folder(&input.path, &input.shown)));
    let name_dir = named.unwrap_or_else(|| options.cwd.clone());
    // As docker compose: paths of a remote file begin where it lies, and the project is called after the caller's folder.
    let fetched = inputs.first().filter(|input| elsewhere && checkouts.source_of(&input.path).is_some());
    let dir = fetched.and_then(|input| input.path.parent()).map_or_else(|| name_dir.clone(), Path::to_owned);
    if more && dir != first {
        let own: Vec<PathBuf> = dot_env(&dir).into_iter().collect();
        own.iter().try_for_each(|file| checkouts.confine(file))?;
        variables.add(variables.read(&own, sources)?);
        env_files.extend(own);
    }
    Ok(Found { inputs, dir, name_dir, checkouts, variables, env_files, warnings })
}

fn input(
    shown: String,
    abs: &impl Fn(&str) -> PathBuf,
    environment: &Environment,
    checkouts: &mut Checkouts,
) -> Result<Input, Diagnostic> {
    Ok(match Address::parse(&shown) {
        _ if shown == "-" => Input { path: PathBuf::from("-"), shown },
        None => Input { path: abs(&shown), shown },
        // Who fetches nothing only wants to know which files there are.
        Some(_) if !checkouts.can_fetch() => Input { path: PathBuf::from(&shown), shown: masked(&shown) },
        Some(address) => {
            let (path, _) = checkouts.open(address, environment)?;
            let shown = checkouts.label(&path).unwrap_or(shown);
            Input { path, shown }
        }
    })
}

/// The folder that a lock file lies in: that of the first compose file, or the caller's where that one lies elsewhere.
pub fn lock_folder(options: &LoadOptions) -> PathBuf {
    let options = LoadOptions { remotes: None, ..options.clone() };
    let first = find(&options).ok().and_then(|found| match found.inputs.first() {
        Some(input) if input.shown != "-" => folder(&input.path, &input.shown),
        _ => Some(found.name_dir),
    });
    first.unwrap_or(options.cwd)
}

/// The folder of a file; standard input and addresses have none here.
fn folder(path: &Path, shown: &str) -> Option<PathBuf> {
    if shown == "-" || Address::parse(shown).is_some() { None } else { path.parent().map(Path::to_owned) }
}

fn named_env_files(options: &LoadOptions, environment: &Environment) -> Vec<String> {
    if !options.env_files.is_empty() {
        return options.env_files.clone();
    }
    let listed = environment.get("COMPOSE_ENV_FILES").map(String::as_str).unwrap_or_default();
    listed.split(',').filter(|file| !file.is_empty()).map(str::to_owned).collect()
}

fn dot_env(dir: &Path) -> Option<PathBuf> {
    Some(dir.join(".env")).filter(|file| disk::is_file(file))
}

/// Does the caller want no `.env`? What is neither a yes nor a no is an error.
fn dot_env_is_off(environment: &Environment) -> Result<bool, Diagnostic> {
    let Some(value) = environment.get("COMPOSE_DISABLE_ENV_FILE") else { return Ok(false) };
    match value.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => Err(Diagnostic::new(Code::Setting, format!("`COMPOSE_DISABLE_ENV_FILE` cannot be `{other}`"))
            .help("write 1 or 0, or unset it")),
    }
}

fn files(
    options: &LoadOptions,
    environment: &Environment,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Vec<String>, Diagnostic> {
    if !options.files.is_empty() {
        return Ok(options.files.clone());
    }
    if let Some(listed) = environment.get("COMPOSE_FILE") {
        let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|s| !s.is_empty());
        // An address has colons of its own.
        if separator.is_none() && Address::parse(listed).is_some() {
            return Ok(vec![listed.clone()]);
        }
        let separator = separator.map_or(":", String::as_str);
        let files: Vec<String> = listed.split(separator).map(str::to_owned).collect();
        if files.iter().any(String::is_empty) {
            let text = match listed.is_empty() {
                true => "`COMPOSE_FILE` is set and names no file".to_owned(),
                false => format!("an entry of `COMPOSE_FILE` is empty: `{listed}`"),
            };
            let help = format!("unset it, or write files with `{separator}` between them only");
            return Err(Diagnostic::new(Code::Setting, text).help(help));
        }
        return Ok(files);
    }
    let start = options.project_directory.as_ref().map_or_else(|| options.cwd.clone(), |dir| options.cwd.join(dir));
    for dir in start.ancestors() {
        let present = |names: &[&str]| -> Vec<PathBuf> {
            names.iter().map(|name| dir.join(name)).filter(|file| disk::is_file(file)).collect()
        };
        let here = present(&FILES);
        let Some(first) = here.first() else { continue };
        let overrides = present(&OVERRIDES);
        for (all, what) in [(&here, "compose files"), (&overrides, "override files")] {
            if all.len() > 1 {
                warnings.push(Diagnostic::new(
                    Code::SeveralFiles,
                    format!("several {what} here; only `{}` is used", all[0].display()),
                ));
            }
        }
        // Beside the caller a file is known by its name.
        let shown = |file: &PathBuf| file.strip_prefix(&options.cwd).unwrap_or(file).display().to_string();
        return Ok([Some(first), overrides.first()].into_iter().flatten().map(shown).collect());
    }
    Err(Diagnostic::new(Code::NoFile, format!("no compose file in `{}` or any folder above it", start.display()))
        .help("make a `compose.yaml`, or name a file with -f"))
}

/// A text as a project's name: lower case, nothing but letters, digits, `_` and `-`.
pub fn normal_name(text: &str) -> String {
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(*c);
    let name: String = text.to_lowercase().chars().filter(allowed).collect();
    name.trim_start_matches(['_', '-']).to_owned()
}

/// Checks a name that was given with `-p` or `COMPOSE_PROJECT_NAME`, which must be normal already.
pub fn given_name(name: &str) -> Result<String, Diagnostic> {
    if normal_name(name) == name {
        return Ok(name.to_owned());
    }
    Err(Diagnostic::new(Code::ProjectName, format!("`{name}` is no name for a project")).help(format!(
        "a name has lower-case letters, digits, `_` and `-`, and begins with a letter or digit, as `{}`",
        normal_name(name)
    )))
}
