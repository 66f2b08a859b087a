//! Devices by name (Container Device Interface): vendors describe in files what a container needs so that it can use a
//! device, and a name such as `nvidia.com/gpu=0` stands for all of it: nodes, mounts, variables, hooks.
//!
//! | file | what |
//! | --- | --- |
//! | [`registry`] | the files, and what they describe |
//! | [`edit`] | what a device changes of a container |

pub mod edit;
pub mod registry;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::desired::ContainerSpec;
use crate::host::container::bundle::OciHook;

/// The folders with the files, the one that counts most last.
pub const FOLDERS: [&str; 2] = ["/etc/cdi", "/var/run/cdi"];

/// Why a device can't be had by its name.
#[derive(Debug, thiserror::Error)]
pub enum CdiError {
    /// No file describes it.
    #[error("there is no device `{name}`: {}{help}", if .known.is_empty() { "no file in /etc/cdi or /var/run/cdi describes any".to_owned() } else { format!("those that are described are {known}") })]
    Unknown {
        /// The name.
        name: String,
        /// All names that there are.
        known: String,
        /// What to do.
        help: String,
    },
    /// Two files of one folder describe it.
    #[error("device `{name}` is described twice: in {} and in {}", one.display(), other.display())]
    Twice {
        /// The name.
        name: String,
        /// A file.
        one: PathBuf,
        /// Another.
        other: PathBuf,
    },
    /// A file can't be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is no description.
    #[error("{} describes no devices: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A description asks for what is not possible here.
    #[error("device `{name}` asks for {what}, which windlass can't do")]
    Impossible {
        /// The device.
        name: String,
        /// What.
        what: String,
    },
}

/// Gives `spec` all that the devices it names need; returns the hooks that are to be run while it is set up.
///
/// # Errors
/// When a name is described nowhere, or a description can't be followed.
pub fn apply(spec: &mut ContainerSpec, folders: &[&Path]) -> Result<Vec<OciHook>, CdiError> {
    let names = std::mem::take(&mut spec.cdi);
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let registry = registry::Registry::read(folders)?;
    let mut hooks = Vec::new();
    let mut common: Vec<&Path> = Vec::new();
    for name in &names {
        let found = registry.device(name)?;
        // What a file asks for whatever device of it is used, is done once.
        if !common.contains(&found.file.path.as_path()) {
            common.push(&found.file.path);
            edit::edit(spec, name, &found.file.common, &mut hooks)?;
        }
        edit::edit(spec, name, found.edits, &mut hooks)?;
    }
    Ok(hooks)
}
