//! An image as it was resolved: all that making a container needs to know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ImageSpec, hash};
use crate::name::Digest;

/// A resolved image: its identity, and the defaults that its config gives a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// Its identity and layers.
    pub spec: ImageSpec,
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`, `KEY=value`; entries without `=` or name, or with a NUL, are already dropped.
    pub env: Vec<String>,
    /// `User`.
    pub user: String,
    /// `WorkingDir`.
    pub working_dir: String,
    /// `ExposedPorts`: `80/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// `Volumes`: paths inside that get an anonymous volume unless something is mounted there.
    pub volumes: BTreeSet<String>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
    /// `StopSignal`.
    pub stop_signal: Option<String>,
    /// `Healthcheck`.
    pub healthcheck: Option<ImageHealthcheck>,
}

impl ResolvedImage {
    /// What stands in a rehearsal for an image that is still to be built. Nothing is known of it but its name; a command and
    /// a health check are taken to come with it, since a service may rely on either.
    pub fn unbuilt(name: &str) -> Self {
        let unknown = || vec!["CMD".to_owned(), "unknown".to_owned()];
        Self {
            spec: ImageSpec { name: name.to_owned(), id: unbuilt_id(name), ..ImageSpec::default() },
            cmd: unknown(),
            healthcheck: Some(ImageHealthcheck { test: unknown(), ..ImageHealthcheck::default() }),
            ..Self::default()
        }
    }
}

impl ImageSpec {
    /// Whether it is still to be built.
    pub fn is_unbuilt(&self) -> bool {
        self.id == unbuilt_id(&self.name)
    }
}

/// An id that no image has.
fn unbuilt_id(name: &str) -> Digest {
    Digest::new(format!("sha256:{}", hash::digest(b"windlass unbuilt image\n", &Value::from(name))))
}

/// An image's health check (Docker's extension of the OCI config).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageHealthcheck {
    /// `NONE`; `CMD` and arguments; `CMD-SHELL` and a text.
    pub test: Vec<String>,
    /// `None`: the default.
    pub interval: Option<Duration>,
    /// `None`: the default.
    pub timeout: Option<Duration>,
    /// `None`: the default.
    pub start_period: Option<Duration>,
    /// `None`: the default.
    pub start_interval: Option<Duration>,
    /// `None`: the default.
    pub retries: Option<u32>,
}
