//! What every verb gets.

use std::collections::BTreeSet;

use crate::compose::model::Project;
use crate::name::{ProjectName, ServiceName};

use super::backend::{Backend, Loaded, LockUse};
use super::error::CliError;
use super::output::Output;
use super::progress::Progress;
use super::settings::{ProgressMode, Settings};

/// Settings, output and the back end.
pub struct Context<'a, B> {
    /// The global flags.
    pub settings: Settings,
    /// Where to print.
    pub output: &'a Output,
    /// The rest of windlass.
    pub backend: B,
}

impl<B: Backend> Context<'_, B> {
    /// Loads the compose files for some services (none named: all), and tells their warnings.
    ///
    /// # Errors
    /// All that is wrong in them.
    pub fn load(&self, services: &[String], lock: LockUse) -> Result<Project, CliError> {
        Ok(self.load_with_files(services, lock)?.project)
    }

    /// As [`Context::load`], with the files that the project is made of.
    ///
    /// # Errors
    /// As there.
    pub fn load_with_files(&self, services: &[String], lock: LockUse) -> Result<Loaded, CliError> {
        let loaded = self.backend.load(&self.settings.project, services, lock)?;
        for warning in &loaded.warnings {
            self.output.note(warning.trim_end())?;
        }
        Ok(loaded)
    }

    /// The project's name, without a model.
    ///
    /// # Errors
    /// When there is neither a name nor a file; files that are wrong, unless `-p` names the project.
    pub fn project(&self) -> Result<ProjectName, CliError> {
        let named = self.backend.project_name(&self.settings.project)?;
        if let Some(warning) = &named.warning {
            self.output.warn(warning)?;
        }
        Ok(named.name)
    }

    /// The services that the files at hand declare; `None`: whatever the project has.
    ///
    /// # Errors
    /// As [`Context::project`].
    pub fn declared(&self) -> Result<Option<BTreeSet<ServiceName>>, CliError> {
        Ok(self.backend.project_name(&self.settings.project)?.services)
    }

    /// A progress display as the flags ask for.
    pub fn progress(&self) -> Progress<'_> {
        Progress::new(self.output, self.settings.progress)
    }

    /// A progress display that shows failures only.
    pub fn silent(&self) -> Progress<'_> {
        Progress::new(self.output, ProgressMode::Quiet)
    }
}
