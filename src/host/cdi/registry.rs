//! The files that describe devices. A device of a later folder takes the place of one of an earlier folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::CdiError;
use super::edit::Edits;

/// A file, JSON or YAML, as CDI has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    kind: String,
    #[serde(default)]
    devices: Vec<Device>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    name: Name,
    #[serde(default)]
    container_edits: Edits,
}

/// `"0"`, or `0` where somebody forgot the quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Number(u64),
}

/// A file that describes devices.
#[derive(Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// What all of its devices need.
    pub common: Edits,
    devices: BTreeMap<String, Edits>,
}

/// A device that was found.
#[derive(Debug)]
pub struct Found<'a> {
    /// Where it is described.
    pub file: &'a File,
    /// What it needs by itself.
    pub edits: &'a Edits,
}

/// All devices that are described on this machine.
#[derive(Debug, Default)]
pub struct Registry {
    files: Vec<File>,
    /// By qualified name: the file.
    devices: BTreeMap<String, usize>,
}

impl Registry {
    /// Reads the folders; one that is not there describes nothing.
    ///
    /// # Errors
    /// When a file can't be read or is no description, or when two of one folder describe the same device.
    pub fn read(folders: &[&Path]) -> Result<Self, CdiError> {
        let mut registry = Self::default();
        for folder in folders {
            let first = registry.files.len();
            for path in files(folder)? {
                registry.add(&path, first)?;
            }
        }
        Ok(registry)
    }

    fn add(&mut self, path: &Path, first: usize) -> Result<(), CdiError> {
        let file = parse(path)?;
        let index = self.files.len();
        for name in file.devices.keys() {
            match self.devices.get(name).filter(|other| **other >= first) {
                Some(other) => {
                    let one = self.files[*other].path.clone();
                    return Err(CdiError::Twice { name: name.clone(), one, other: path.to_owned() });
                }
                None => self.devices.insert(name.clone(), index),
            };
        }
        self.files.push(file);
        Ok(())
    }

    /// The device of a qualified name (`vendor.com/class=name`).
    ///
    /// # Errors
    /// When no file describes it.
    pub fn device(&self, name: &str) -> Result<Found<'_>, CdiError> {
        let found = self.devices.get(name).and_then(|index| {
            let file = &self.files[*index];
            Some(Found { file, edits: file.devices.get(name)? })
        });
        found.ok_or_else(|| CdiError::Unknown {
            name: name.to_owned(),
            known: self.devices.keys().cloned().collect::<Vec<_>>().join(", "),
            help: if name.starts_with("nvidia.com/") {
                "; `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml` describes those of NVIDIA's driver"
                    .to_owned()
            } else {
                String::new()
            },
        })
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, CdiError> {
    let failed = |source| CdiError::Read { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|end| end == "json" || end == "yaml" || end == "yml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn parse(path: &Path) -> Result<File, CdiError> {
    let text = fs::read_to_string(path).map_err(|source| CdiError::Read { path: path.to_owned(), source })?;
    let form = |reason: String| CdiError::Form { path: path.to_owned(), reason };
    // JSON is YAML.
    let Description { kind, devices, container_edits } =
        serde_yaml::from_str(&text).map_err(|error| form(error.to_string()))?;
    if !kind.split_once('/').is_some_and(|(vendor, class)| !vendor.is_empty() && !class.is_empty()) {
        return Err(form(format!("its kind `{kind}` is not of the form vendor.com/class")));
    }
    let mut all = BTreeMap::new();
    for Device { name, container_edits } in devices {
        let name = match name {
            Name::Text(name) => name,
            Name::Number(number) => number.to_string(),
        };
        let name = format!("{kind}={name}");
        if all.insert(name.clone(), container_edits).is_some() {
            return Err(form(format!("`{name}` stands twice in it")));
        }
    }
    Ok(File { path: path.to_owned(), common: container_edits, devices: all })
}
