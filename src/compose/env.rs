//! Variables: of the caller, of `.env`, of `--env-file` (spec.md 10.4).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{disk, dotenv};
use crate::diag::{Code, Diagnostic, FileId, SourceMap, Span};

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
    pub fn read(&self, files: &[PathBuf], sources: &mut SourceMap) -> Result<Variables, Diagnostic> {
        let mut all = Variables::default();
        for file in files {
            let text = disk::read(file).map_err(|problem| {
                let text = format!("cannot read the env file `{}`: {problem}", file.display());
                Diagnostic::new(Code::Unreadable, text)
            })?;
            let lookup = |name: &str| self.values.get(name).cloned();
            let earlier = |name: &str| all.values.get(name).cloned();
            let found = dotenv::parse(&text, &lookup, &earlier)
                .map_err(|errors| describe(file, add(sources, file, &text), &errors))?;
            let path: Arc<Path> = file.as_path().into();
            all.values.extend(found.values);
            let origins = found.lines.into_iter().map(|(key, line)| (key, Origin::File(path.clone(), line)));
            all.origins.extend(origins);
        }
        Ok(all)
    }
}

/// What is wrong with an env file that was added under this id: the first error says it, each has its place.
pub fn describe(file: &Path, id: FileId, errors: &[dotenv::DotenvError]) -> Diagnostic {
    let mut text = format!("in the env file `{}`", file.display());
    if let Some(first) = errors.first() {
        text = format!("{text}: {first}");
    }
    let place = |error: &dotenv::DotenvError| Span::new(id, error.place.start, error.place.end);
    errors.iter().enumerate().fold(Diagnostic::new(Code::EnvFile, text), |diag, (index, error)| {
        diag.at(place(error), if index == 0 { String::new() } else { error.problem.clone() })
    })
}

/// Adds an env file to the texts that diagnostics point into. Its values are not shown, as they may be secrets: letters and
/// digits behind the names are replaced, each by a sign of as many bytes, so that places stay what they are.
pub fn add(sources: &mut SourceMap, file: &Path, text: &str) -> FileId {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let value = line.find(['=', ':']).unwrap_or(line.len());
        shown.push_str(&line[..value]);
        shown.extend(line[value..].chars().map(hidden));
    }
    sources.add(file.display().to_string(), shown)
}

/// A sign of as many bytes in the place of a letter or digit.
pub fn hidden(c: char) -> char {
    match c.len_utf8() {
        _ if !c.is_alphanumeric() => c,
        1 => '*',
        2 => '·',
        3 => '•',
        _ => '\u{1f784}',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown_and_stay_where_they_are() {
        let text = "A=1 # é\nPASSWORD=\"hüsh 世🎉${X\nB: c\n";
        let mut sources = SourceMap::default();
        let id = add(&mut sources, Path::new(".env"), text);
        let shown = sources.text(id).unwrap_or_default();
        assert_eq!(shown, "A=* # ·\nPASSWORD=\"*·** •🎉${*\nB: *\n");
        assert_eq!(shown.len(), text.len());
    }
}
