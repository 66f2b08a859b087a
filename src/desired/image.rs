//! An image as it was resolved: all that making a container needs to know of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ImageSpec;

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
