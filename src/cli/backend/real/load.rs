//! Compose files, and errors that point into them.

use std::collections::BTreeMap;
use std::io::Read;
use std::rc::Rc;

use super::super::super::error::CliError;
use super::super::super::settings::ProjectFiles;
use super::super::{ConfigOutput, ConfigPart, ConfigWish, Loaded};
use super::{Real, failed, ledger};
use crate::compose::{self, LoadOptions, config};
use crate::desired::compile::CompileError;
use crate::diag::{Diagnostic, Diagnostics, SourceMap, render};
use crate::host::record::RecordError;
use crate::name::ProjectName;

impl Real {
    pub(super) fn load_files(&self, files: &ProjectFiles, services: &[String]) -> Result<Loaded, CliError> {
        // The others stay known, so that they are not taken for orphans.
        let options = LoadOptions { whole: true, ..options(files, services)? };
        let loaded = compose::load(&options).map_err(|d| diagnostics(&d))?;
        let project = loaded.project.clone();
        let rendered = loaded.warnings.iter().map(|warning| (warning.once, render(warning, &loaded.sources)));
        let mut rendered: Vec<(bool, String)> = rendered.collect();
        if rendered.iter().any(|(once, _)| *once) {
            match ledger::desired(&self.paths, &project.name) {
                Ok(applied) => {
                    let told = applied.map_or_else(Vec::new, |applied| applied.source.told);
                    rendered.retain(|(once, text)| !once || !told.contains(text));
                }
                Err(error @ RecordError::Damaged { .. }) => rendered.push((false, failed(&error).to_string())),
                // Who can't read the state has not brought the project up either.
                Err(_) => {}
            }
        }
        let warnings = rendered.into_iter().map(|(_, text)| text).collect();
        *self.loaded.borrow_mut() = Some(Rc::new(loaded));
        *self.options.borrow_mut() = options;
        Ok(Loaded { project, warnings })
    }

    /// What need not be told again once the loaded files are applied.
    pub(super) fn told(&self) -> Vec<String> {
        let loaded = self.loaded.borrow();
        let Some(loaded) = loaded.as_ref() else { return Vec::new() };
        let once = loaded.warnings.iter().filter(|warning| warning.once);
        once.map(|warning| render(warning, &loaded.sources)).collect()
    }

    pub(super) fn name_of(&self, files: &ProjectFiles) -> Result<ProjectName, CliError> {
        compose::project_name(&options(files, &[])?).map(ProjectName::from).map_err(|d| diagnostics(&d))
    }

    /// What is wrong only now that images and addresses are known, at its place in the files.
    pub(super) fn point(&self, errors: &[CompileError]) -> CliError {
        let loaded = self.loaded.borrow();
        let nothing = SourceMap::default();
        let sources = loaded.as_ref().map_or(&nothing, |loaded| &loaded.sources);
        let texts = errors.iter().map(|error| {
            let span = loaded.as_ref().and_then(|loaded| loaded.locate(&error.path));
            let mut diagnostic = match span {
                Some(span) => Diagnostic::error(&error.message).at(span, ""),
                None => Diagnostic::error(error.to_string()),
            };
            diagnostic.help = error.help.clone();
            render(&diagnostic, sources)
        });
        CliError::Diagnostics(texts.collect::<Vec<_>>().join("\n"))
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

fn standard_input() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| CliError::failed(format!("can't read the compose file from standard input: {e}")))?;
    Ok(text)
}

fn diagnostics(found: &Diagnostics) -> CliError {
    CliError::Diagnostics(found.to_string())
}

fn one(diagnostic: &Diagnostic) -> CliError {
    CliError::Diagnostics(render(diagnostic, &SourceMap::default()))
}

/// What `config` prints.
pub fn config(files: &ProjectFiles, wish: &ConfigWish) -> Result<ConfigOutput, CliError> {
    let mut options = options(files, &wish.services)?;
    options.no_interpolate = wish.no_interpolate;
    options.no_normalize = wish.no_normalize;
    options.no_path_resolution = wish.no_path_resolution;
    options.no_consistency = wish.no_consistency;
    options.untyped = true;
    let format = if wish.json { config::Format::Json } else { config::Format::Yaml };
    if wish.no_interpolate && wish.what == ConfigPart::All {
        let text = config::print_raw(&options, format).map_err(|d| diagnostics(&d))?;
        return Ok(ConfigOutput { text, warnings: Vec::new() });
    }
    if wish.what == ConfigPart::Variables {
        let text = variables(&config::variables(&options).map_err(|d| diagnostics(&d))?);
        return Ok(ConfigOutput { text, warnings: Vec::new() });
    }
    let loaded = compose::load(&options).map_err(|d| diagnostics(&d))?;
    let lines = |list: Vec<String>| list.into_iter().map(|line| line + "\n").collect();
    let text = match &wish.what {
        ConfigPart::All => config::print(&loaded, format),
        ConfigPart::Services => lines(config::services(&loaded)),
        ConfigPart::Volumes => lines(config::section(&loaded, "volumes")),
        ConfigPart::Networks => lines(config::section(&loaded, "networks")),
        ConfigPart::Images => lines(config::images(&loaded)),
        ConfigPart::Profiles => lines(config::profiles(&loaded)),
        ConfigPart::Environment => {
            lines(loaded.environment.iter().map(|(key, value)| format!("{key}={value}")).collect())
        }
        ConfigPart::Hash(wanted) => {
            let names: Vec<String> = wanted.split(',').filter(|name| *name != "*").map(str::to_owned).collect();
            let hashes = config::hashes(&loaded, &names).map_err(|d| one(&d))?;
            lines(hashes.into_iter().map(|(name, hash)| format!("{name} {hash}")).collect())
        }
        ConfigPart::Variables => String::new(),
    };
    let warnings = loaded.warnings.iter().map(|warning| render(warning, &loaded.sources)).collect();
    Ok(ConfigOutput { text, warnings })
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
