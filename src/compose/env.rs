//! Variables: of the caller, of `.env`, of `--env-file` (spec.md 10.4).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{disk, dotenv};
use crate::diag::{Code, Diagnostic};

/// Names of variables → values.
pub type Environment = BTreeMap<String, String>;

/// Where variables came from that are not the caller's.
pub type Origins = BTreeMap<String, Origin>;

/// Where a variable's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The caller's environment.
    Caller,
    /// A line of an env file.
    File(Arc<Path>, usize),
    /// The project's own name.
    Project,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller => f.write_str("the environment"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Project => f.write_str("the project's name"),
        }
    }
}

/// Variables, and where they came from.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    /// Their values.
    pub values: Environment,
    /// Their origins, where that is not the caller.
    pub origins: Origins,
}

impl Variables {
    /// Where a variable came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Caller)
    }

    /// Adds those that are not there yet.
    pub fn add(&mut self, more: Variables) {
        let Variables { values, mut origins } = more;
        for (key, value) in values {
            if let std::collections::btree_map::Entry::Vacant(entry) = self.values.entry(key) {
                if let Some((key, origin)) = origins.remove_entry(entry.key()) {
                    self.origins.insert(key, origin);
                }
                entry.insert(value);
            }
        }
    }

    /// The values of some env files; later files win, those that are here already win inside their values.
    ///
    /// # Errors
    /// A file that can't be read or understood.
    pub fn read(&self, files: &[PathBuf]) -> Result<Variables, Diagnostic> {
        let mut all = Variables::default();
        for file in files {
            let text = disk::read(file).map_err(|problem| {
                let text = format!("cannot read the env file `{}`: {problem}", file.display());
                Diagnostic::new(Code::Unreadable, text)
            })?;
            let lookup = |name: &str| self.values.get(name).or_else(|| all.values.get(name)).cloned();
            let found = dotenv::parse(&text, &lookup).map_err(|error| describe(file, &error))?;
            let path: Arc<Path> = file.as_path().into();
            all.values.extend(found.values);
            let origins = found.lines.into_iter().map(|(key, line)| (key, Origin::File(path.clone(), line)));
            all.origins.extend(origins);
        }
        Ok(all)
    }
}

/// What is wrong with an env file. Its text is not shown: it may hold secrets.
pub fn describe(file: &Path, error: &dotenv::DotenvError) -> Diagnostic {
    Diagnostic::new(Code::EnvFile, format!("in the env file `{}`: {error}", file.display()))
}
