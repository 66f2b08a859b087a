//! The typed project: what the files say once everything short is long, every default is set and every path is
//! absolute. It is decoded from the canonical tree by [`Project::decode`]'s caller (`bind`), so what is wrong in a file has
//! been told before a value of these types exists.

pub mod decode;
mod deploy;
mod parts;
mod resource;
mod service;

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

pub use deploy::*;
pub use parts::*;
pub use resource::*;
pub use service::*;

use crate::name::{ProjectName, ServiceName};

/// A whole project.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Project {
    /// Its name, normal as spec.md 10.7 has it.
    pub name: ProjectName,
    /// The services that are to run: profiles and the selection of the command line are applied.
    pub services: BTreeMap<ServiceName, Service>,
    /// The networks that these services use, by key.
    pub networks: BTreeMap<String, Network>,
    /// The volumes that these services use, by key.
    pub volumes: BTreeMap<String, Volume>,
    /// The secrets that these services use, by key.
    pub secrets: BTreeMap<String, FileObject>,
    /// The configs that these services use, by key.
    pub configs: BTreeMap<String, FileObject>,
    /// The models that these services use, by key.
    pub models: BTreeMap<String, Model>,
    /// `x-*` of the top level.
    pub extensions: BTreeMap<String, serde_yaml::Value>,
}

/// A text that must never reach an output, an error or a log.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Sensitive(String);

impl Sensitive {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that writes it where it belongs.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
