//! What is wrong in a project once images, files and addresses are known; all of it at once.

use std::fmt::Display;

/// One thing that is wrong, with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct CompileError {
    /// The attribute, as `services.web.ports[0]`; the command line finds file, line and column by it.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do, where there is something to say.
    pub help: Option<String>,
}

/// Collects what is wrong, so that all of it is told at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<CompileError>);

impl Problems {
    /// Adds one.
    pub fn add(&mut self, path: impl Into<String>, message: impl Display) {
        self.0.push(CompileError { path: path.into(), message: message.to_string(), help: None });
    }

    /// Adds one with what to do.
    pub fn add_with_help(&mut self, path: impl Into<String>, message: impl Display, help: impl Display) {
        let help = Some(help.to_string());
        self.0.push(CompileError { path: path.into(), message: message.to_string(), help });
    }

    /// The value of a result; its error is added.
    pub fn take<T, E: Display>(&mut self, path: impl Into<String>, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(path, error)).ok()
    }

    /// All of them, sorted by place; `Ok` if there are none.
    pub fn result<T>(mut self, value: T) -> Result<T, Vec<CompileError>> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort_by(|one, other| (&one.path, &one.message).cmp(&(&other.path, &other.message)));
        self.0.dedup();
        Err(self.0)
    }
}
