//! What every verb gets.

use crate::name::ProjectName;

use super::backend::{Backend, ProjectView};
use super::error::CliError;
use super::output::Output;
use super::progress::Progress;
use super::settings::Settings;

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
    /// Loads the compose files, and tells their warnings.
    ///
    /// # Errors
    /// All that is wrong in them.
    pub fn load(&self) -> Result<B::Project, CliError> {
        let project = self.backend.load(&self.settings.project)?;
        for warning in project.warnings() {
            self.output.note(warning.trim_end())?;
        }
        Ok(project)
    }

    /// The project's name, without a model.
    ///
    /// # Errors
    /// When there is neither a name nor a file.
    pub fn project(&self) -> Result<ProjectName, CliError> {
        self.backend.project_name(&self.settings.project)
    }

    /// A progress display as the flags ask for.
    pub fn progress(&self) -> Progress<'_> {
        Progress::new(self.output, self.settings.progress)
    }
}
