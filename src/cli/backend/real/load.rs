//! Compose files, and errors that point into them.

use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use super::super::super::error::CliError;
use super::super::super::settings::ProjectFiles;
use super::super::config::Digests;
use super::super::{ConfigOutput, ConfigPart, ConfigWish, Loaded, LockUse, Named};
use super::{Real, digests, failed};
use crate::compose::model::Project;
use crate::compose::{self, LoadOptions, config};
use crate::desired::compile::{CompileError, wanted_files};
use crate::diag::{Code, Diagnostic, Diagnostics, render};
use crate::host::record::RecordError;
use crate::name::ProjectName;

impl Real {
    pub(super) fn load_files(
        &self,
        files: &ProjectFiles,
        services: &[String],
        lock: LockUse,
    ) -> Result<Loaded, CliError> {
        // The others stay known, so that they are not taken for orphans.
        let options = LoadOptions { whole: true, ..self.load_options(files, services, lock)? };
        let mut loaded = compose::load(&options).map_err(|wrong| self.wrong(&options, lock, wrong))?;
        let idle = compose::support::without_effect(&loaded);
        loaded.warnings.extend(idle);
        let mut project = loaded.project.clone();
        on_platform(&mut project, &loaded);
        let mut named = loaded.files.clone();
        let rendered = loaded.warnings.iter().map(|warning| (warning.once, render(warning, &loaded.sources)));
        let mut rendered: Vec<(bool, String)> = rendered.collect();
        if rendered.iter().any(|(once, _)| *once) {
            match self.cache.desired(&self.paths, &project.name) {
                Ok(applied) => {
                    let told = applied.map_or_else(Vec::new, |applied| applied.source.told.clone());
                    rendered.retain(|(once, text)| !once || !told.contains(text));
                }
                Err(error @ RecordError::Damaged { .. }) => rendered.push((false, failed(&error).to_string())),
                // Who can't read the state has not brought the project up either.
                Err(_) => {}
            }
        }
        let warnings = rendered.into_iter().map(|(_, text)| text).collect();
        *self.loaded.borrow_mut() = Some(Rc::new(loaded));
        self.held.set(None);
        named.extend(wanted_files(&project, &self.source()));
        *self.options.borrow_mut() = options;
        Ok(Loaded { project, warnings, files: named })
    }

    /// What `config` prints.
    pub(super) async fn config_of(&self, files: &ProjectFiles, wish: &ConfigWish) -> Result<ConfigOutput, CliError> {
        // As with docker compose, the services named choose nothing of these.
        let whole =
            matches!(wish.what, ConfigPart::Services | ConfigPart::Volumes | ConfigPart::Networks | ConfigPart::Models);
        let mut options = self.load_options(files, if whole { &[] } else { &wish.services }, LockUse::IfThere)?;
        options.no_interpolate = wish.no_interpolate;
        options.no_normalize = wish.no_normalize;
        options.no_path_resolution = wish.no_path_resolution;
        options.no_consistency = wish.no_consistency;
        options.untyped = true;
        let named = matches!(wish.what, ConfigPart::Images | ConfigPart::Profiles | ConfigPart::Hash(_));
        options.listing = whole || named;
        options.history = matches!(wish.what, ConfigPart::Explain(_));
        let wrong = |found| self.wrong(&options, LockUse::IfThere, found);
        let format = if wish.json { config::Format::Json } else { config::Format::Yaml };
        if wish.no_interpolate && wish.what == ConfigPart::All && wish.digests == Digests::No {
            let text = config::print_raw(&options, format).map_err(wrong)?;
            return Ok(ConfigOutput { text, warnings: Diagnostics::default() });
        }
        if wish.what == ConfigPart::Variables {
            let found = config::variables(&options).map_err(wrong)?;
            let text = if wish.json { variables_json(&found)? } else { variables(&found) };
            return Ok(ConfigOutput { text, warnings: Diagnostics::default() });
        }
        let mut loaded = compose::load(&options).map_err(wrong)?;
        if wish.digests != Digests::No {
            let lock = self.lock_beside(&options)?;
            let pinned = digests::of(config::named_images(&loaded), lock.as_ref()).await?;
            config::pin(&mut loaded, &pinned);
        }
        if wish.digests == Digests::Only {
            config::only_images(&mut loaded);
        }
        let text = if wish.quiet { String::new() } else { part(&loaded, &wish.what, format)? };
        let warnings = Diagnostics::new(loaded.warnings, loaded.sources);
        Ok(ConfigOutput { text, warnings })
    }

    /// What need not be told again once the loaded files are applied.
    pub(super) fn told(&self) -> Vec<String> {
        let loaded = self.loaded.borrow();
        let Some(loaded) = loaded.as_ref() else { return Vec::new() };
        let once = loaded.warnings.iter().filter(|warning| warning.once);
        once.map(|warning| render(warning, &loaded.sources)).collect()
    }

    /// The name alone would be another where a file can't be read: it is that of the folder then. So all is loaded.
    pub(super) fn name_of(&self, files: &ProjectFiles) -> Result<Named, CliError> {
        if let Some(named) = self.named.get() {
            // What there is to warn of has been told.
            return Ok(Named { warning: None, ..named.clone() });
        }
        // A name is no reason to ask anybody: what was up was loaded here.
        let options = self.load_options(files, &[], LockUse::Frozen)?;
        let named = match compose::load(&options) {
            Ok(loaded) => {
                let project = loaded.project;
                // As with docker compose: who only names a project means all of it.
                let by_files = files.name.is_none() || !files.files.is_empty();
                let services = by_files.then(|| project.services.into_keys().collect());
                Named { name: project.name, services, warning: None }
            }
            Err(found) => {
                let name = compose::project_name(&options).map(ProjectName::from).map_err(diagnostics)?;
                let warning = match found {
                    found if found.list.iter().any(|one| one.code == Code::NoFile) => None,
                    found if is_named(&options) => Some(format!(
                        "the files can't be loaded, so project `{name}` goes on by its name:\n{}",
                        found.to_string().trim_end()
                    )),
                    found => return Err(diagnostics(found)),
                };
                Named { name, services: None, warning }
            }
        };
        Ok(self.named.get_or_init(|| named).clone())
    }

    /// How files are loaded from now on.
    fn load_options(&self, files: &ProjectFiles, services: &[String], lock: LockUse) -> Result<LoadOptions, CliError> {
        let options = options(files, services)?;
        self.hold_remotes(&options, lock);
        Ok(LoadOptions { remotes: Some(self.remotes.clone()), ..options })
    }

    /// What is wrong only now that images and addresses are known, at its place in the files.
    pub(super) fn point(&self, errors: &[CompileError]) -> CliError {
        let loaded = self.loaded.borrow();
        let told = errors.iter().map(|error| match loaded.as_ref() {
            Some(loaded) => loaded.unusable(&error.path, &error.message, error.help.as_deref()),
            None => Diagnostic::new(Code::Unusable, error.to_string()),
        });
        let sources = loaded.as_ref().map(|loaded| loaded.sources.clone()).unwrap_or_default();
        diagnostics(Diagnostics::new(told.collect(), sources))
    }
}

/// Whether `-p` or the variable of this process names the project.
fn is_named(options: &LoadOptions) -> bool {
    let variable = options.env.get("COMPOSE_PROJECT_NAME");
    [options.project_name.as_ref(), variable].into_iter().flatten().any(|name| !name.is_empty())
}

/// `DOCKER_DEFAULT_PLATFORM` is the platform of services that name none.
fn on_platform(project: &mut Project, loaded: &compose::Loaded) {
    let platform = loaded.variables.values.get("DOCKER_DEFAULT_PLATFORM").filter(|platform| !platform.is_empty());
    let Some(platform) = platform else { return };
    for service in project.services.values_mut() {
        service.platform.get_or_insert_with(|| platform.clone());
    }
}

/// The environment and folder of this process, and the flags.
fn options(files: &ProjectFiles, services: &[String]) -> Result<LoadOptions, CliError> {
    let text = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    let stdin = if files.files.iter().any(|file| file.as_os_str() == "-") { Some(standard_input()?) } else { None };
    let cwd = std::env::current_dir().map_err(|e| CliError::failed(format!("can't tell the current folder: {e}")))?;
    Ok(LoadOptions {
        files: files.files.iter().map(text).collect(),
        project_name: files.name.clone(),
        project_directory: files.directory.clone(),
        env_files: files.env_files.iter().map(text).collect(),
        profiles: files.profiles.clone(),
        env: std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect::<BTreeMap<_, _>>(),
        cwd,
        services: services.to_vec(),
        all_resources: files.all_resources,
        stdin,
        ..LoadOptions::default()
    })
}

/// What came by standard input, which is read once: a command may load its files more than once.
fn standard_input() -> Result<String, CliError> {
    static TEXT: Mutex<Option<String>> = Mutex::new(None);
    let mut known = TEXT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(text) = &*known {
        return Ok(text.clone());
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| CliError::failed(format!("can't read the compose file from standard input: {e}")))?;
    Ok(known.insert(text).clone())
}

fn diagnostics(found: Diagnostics) -> CliError {
    CliError::Diagnostics(Box::new(found))
}

fn one(diagnostic: Diagnostic, loaded: &compose::Loaded) -> CliError {
    diagnostics(Diagnostics::new(vec![diagnostic], loaded.sources.clone()))
}

/// A part of a project as text.
fn part(loaded: &compose::Loaded, what: &ConfigPart, format: config::Format) -> Result<String, CliError> {
    let lines = |list: Vec<String>| list.into_iter().map(|line| line + "\n").collect();
    Ok(match what {
        ConfigPart::All => config::print(loaded, format),
        ConfigPart::Services => lines(config::services(loaded)),
        ConfigPart::Volumes => lines(config::section(loaded, "volumes")),
        ConfigPart::Networks => lines(config::section(loaded, "networks")),
        ConfigPart::Models => lines(config::models(loaded)),
        ConfigPart::Images => lines(config::images(loaded)),
        ConfigPart::Profiles => lines(config::profiles(loaded)),
        ConfigPart::Environment => {
            lines(loaded.variables.values.iter().map(|(key, value)| format!("{key}={value}")).collect())
        }
        ConfigPart::Hash(wanted) => {
            let names: Vec<String> = wanted.split(',').filter(|name| *name != "*").map(str::to_owned).collect();
            let hashes = config::hashes(loaded, &names).map_err(|d| one(d, loaded))?;
            lines(hashes.into_iter().map(|(name, hash)| format!("{name} {hash}")).collect())
        }
        ConfigPart::Explain(path) => loaded.origin(path).map_err(|d| one(d, loaded))?,
        ConfigPart::Variables => String::new(),
    })
}

/// A variable that the files use, in docker compose's words.
#[derive(serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "PascalCase")]
pub struct Variable<'a> {
    name: &'a str,
    /// Behind `-` or `:-`.
    default_value: &'a str,
    /// Behind `+` or `:+`.
    presence_value: &'a str,
    required: bool,
}

/// The variables that the files use, by name.
fn variables_json<'a>(found: &'a BTreeMap<String, config::Use>) -> Result<String, CliError> {
    let one = |(name, usage): (&'a String, &'a config::Use)| {
        let (default_value, presence_value) = (usage.default.as_str(), usage.alternate.as_str());
        (name.as_str(), Variable { name, default_value, presence_value, required: usage.required })
    };
    let all: BTreeMap<&str, Variable<'_>> = found.iter().map(one).collect();
    let text = serde_json::to_string_pretty(&all).map_err(|e| failed(&e))?;
    Ok(text + "\n")
}

/// The variables that the files use, as a table.
fn variables(found: &BTreeMap<String, config::Use>) -> String {
    let mut rows = vec![["NAME".to_owned(), "REQUIRED".into(), "DEFAULT VALUE".into(), "ALTERNATE VALUE".into()]];
    rows.extend(found.iter().map(|(name, usage)| {
        [name.clone(), usage.required.to_string(), usage.default.clone(), usage.alternate.clone()]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default() + 3;
    let widths: Vec<usize> = (0..3).map(width).collect();
    let line = |row: &[String; 4]| {
        let cells = row[..3].iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect::<String>();
        format!("{cells}{}\n", row[3])
    };
    rows.iter().map(line).collect()
}
