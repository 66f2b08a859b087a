//! Variables: of the caller, of `.env`, of `--env-file` (spec.md 10.4).

use std::path::{Path, PathBuf};

use super::interpolate::Environment;
use super::{disk, dotenv};
use crate::diag::Diagnostic;

/// The values of some env files; later files win, `environment` wins inside their values.
pub fn read_files(files: &[PathBuf], environment: &Environment) -> Result<Environment, Diagnostic> {
    let mut all = Environment::new();
    for file in files {
        let text = disk::read(file).map_err(|problem| {
            Diagnostic::error(format!("cannot read the env file `{}`: {problem}", file.display()))
        })?;
        let lookup = |name: &str| environment.get(name).or_else(|| all.get(name)).cloned();
        let values = dotenv::parse(&text, &lookup).map_err(|error| describe(file, &error))?;
        all.extend(values.values);
    }
    Ok(all)
}

/// What is wrong with an env file. Its text is not shown: it may hold secrets.
pub fn describe(file: &Path, error: &dotenv::DotenvError) -> Diagnostic {
    Diagnostic::error(format!("in the env file `{}`: {error}", file.display()))
}
