//! What was fetched while one project is loaded, and where its files may lead.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::super::disk;
use super::super::env::Environment;
use super::super::source::FILES;
use super::{Address, Fetched, RemoteError, Remotes, Source};
use crate::diag::{Code, Diagnostic};

/// The remote files of one project.
#[derive(Clone, Default)]
pub struct Checkouts {
    remotes: Option<Rc<dyn Remotes>>,
    fetched: BTreeMap<Source, Fetched>,
}

impl Checkouts {
    /// None yet.
    pub fn new(remotes: Option<Rc<dyn Remotes>>) -> Self {
        Self { remotes, fetched: BTreeMap::new() }
    }

    /// Does anybody fetch?
    pub fn can_fetch(&self) -> bool {
        self.remotes.is_some()
    }

    /// The compose file that an address leads to, on this machine, and whether it was not here before.
    ///
    /// # Errors
    /// What is wrong with the address, why it can't be fetched, or what it lacks.
    pub fn open(
        &mut self,
        address: Result<Address, String>,
        environment: &Environment,
    ) -> Result<(PathBuf, bool), Diagnostic> {
        let wrong = |text: String| Diagnostic::new(Code::RemoteFile, text);
        let Address { source, path } = address.map_err(wrong)?;
        allowed(&source, environment)?;
        let Fetched { folder, new, .. } = self.fetch(&source)?;
        let place = folder.join(&path);
        if !is_within(&place, &folder) {
            return Err(escapes(format!("`{}` leads out of what was fetched", source.label(&path))));
        }
        let file = if place.is_dir() {
            FILES.iter().map(|name| place.join(name)).find(|file| disk::is_file(file))
        } else {
            Some(place)
        };
        match file.filter(|file| disk::is_file(file)) {
            Some(file) => Ok((file, new)),
            None => Err(lacks(&source, &path, folder.join(&path).is_dir())),
        }
    }

    fn fetch(&mut self, source: &Source) -> Result<Fetched, Diagnostic> {
        if let Some(fetched) = self.fetched.get(source) {
            return Ok(Fetched { new: false, ..fetched.clone() });
        }
        let remotes = self.remotes.as_ref().ok_or_else(|| {
            Diagnostic::new(Code::RemoteFile, format!("`{source}` is not on this machine"))
                .help("fetch it first, then name the file")
        })?;
        let fetched = remotes.fetch(source).map_err(|RemoteError { message, help }| {
            let diag = Diagnostic::new(Code::RemoteFile, format!("cannot fetch `{source}`: {message}"));
            Diagnostic { help, ..diag }
        })?;
        self.fetched.insert(source.clone(), fetched.clone());
        Ok(fetched)
    }

    /// All that was fetched, and which content it was.
    pub fn revisions(&self) -> BTreeMap<Source, String> {
        self.fetched.iter().map(|(source, fetched)| (source.clone(), fetched.revision.clone())).collect()
    }

    /// Where a file was fetched from.
    pub fn source_of(&self, path: &Path) -> Option<&Source> {
        self.holding(path).map(|(source, _)| source)
    }

    /// The address of a file that was fetched.
    pub fn label(&self, path: &Path) -> Option<String> {
        let (source, fetched) = self.holding(path)?;
        Some(source.label(&path.strip_prefix(&fetched.folder).ok()?.to_string_lossy()))
    }

    fn holding(&self, path: &Path) -> Option<(&Source, &Fetched)> {
        self.fetched.iter().find(|(_, fetched)| path.starts_with(&fetched.folder))
    }

    /// Whether `by`, a file, may name the file `path`: what was fetched names nothing of this machine, neither by its path nor
    /// through a symbolic link.
    ///
    /// # Errors
    /// Where it leads out.
    pub fn check(&self, by: &Path, path: &Path) -> Result<(), Diagnostic> {
        match self.holding(by) {
            Some((source, fetched)) if !path.starts_with(&fetched.folder) => {
                let text = format!("a file of `{source}` names `{}`, which lies outside of it", path.display());
                Err(escapes(text))
            }
            _ => self.confine(path),
        }
    }

    /// A path inside what was fetched must not leave it by a symbolic link.
    ///
    /// # Errors
    /// Where it does.
    pub fn confine(&self, path: &Path) -> Result<(), Diagnostic> {
        match self.holding(path) {
            Some((source, fetched)) if !is_within(path, &fetched.folder) => {
                let shown = self.label(path).unwrap_or_default();
                Err(escapes(format!("`{shown}` is a link that leads out of `{source}`")))
            }
            _ => Ok(()),
        }
    }
}

fn escapes(text: String) -> Diagnostic {
    Diagnostic::new(Code::RemoteEscape, text)
        .help("a remote file may name files of its own repository or artifact, and addresses")
}

fn lacks(source: &Source, path: &str, is_folder: bool) -> Diagnostic {
    let shown = if path.is_empty() { source.to_string() } else { source.label(path) };
    let names = FILES.join(", ");
    let text = if is_folder { format!("`{shown}` has no {names}") } else { format!("there is no `{shown}`") };
    Diagnostic::new(Code::RemoteFile, text).help("name the folder or the file in it: `ADDRESS#REF:FOLDER`")
}

/// As docker compose: on, unless a variable says otherwise.
fn allowed(source: &Source, environment: &Environment) -> Result<(), Diagnostic> {
    let switch = source.switch();
    let text = match environment.get(switch).map(String::as_str) {
        None | Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True") => return Ok(()),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => {
            format!("`{source}` is not fetched: {switch} forbids it")
        }
        Some(_) => format!("{switch} must be true or false"),
    };
    Err(Diagnostic::new(Code::RemoteFile, text))
}

/// Does a path stay in a folder when all symbolic links are followed? What is not there leads nowhere.
fn is_within(path: &Path, folder: &Path) -> bool {
    disk::real_path(&path.to_string_lossy()).is_none_or(|real| real.starts_with(folder))
}
