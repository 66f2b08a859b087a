//! `build` and `deploy`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::decode;
use super::{FileGrant, Ulimit};

/// How an image is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Build {
    /// Absolute path or address.
    pub context: String,
    /// Path relative to the context.
    pub dockerfile: Option<String>,
    /// The Dockerfile's text.
    pub dockerfile_inline: Option<String>,
    /// Further contexts by name.
    pub additional_contexts: BTreeMap<String, String>,
    /// Build arguments; those without a value were dropped.
    pub args: BTreeMap<String, Option<String>>,
    /// Cache sources.
    pub cache_from: Vec<String>,
    /// Cache destinations.
    pub cache_to: Vec<String>,
    /// Privileges asked for.
    pub entitlements: Vec<String>,
    /// `name=address`.
    pub extra_hosts: Vec<String>,
    /// Windows only.
    pub isolation: Option<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Network of its RUN steps.
    pub network: Option<String>,
    /// Without cache.
    pub no_cache: bool,
    /// Stages built without cache.
    pub no_cache_filter: Vec<String>,
    /// Platforms.
    pub platforms: Vec<String>,
    /// With all privileges.
    pub privileged: bool,
    /// Provenance attestation: `true`, `false` or settings.
    pub provenance: Option<String>,
    /// Pull base images.
    pub pull: bool,
    /// Bill of materials: `true`, `false` or settings.
    pub sbom: Option<String>,
    /// Secrets of its RUN steps.
    pub secrets: Vec<FileGrant>,
    /// Bytes of /dev/shm.
    #[serde(deserialize_with = "decode::bytes_opt")]
    pub shm_size: Option<i64>,
    /// SSH agents: `default` or `id: path`.
    pub ssh: Vec<String>,
    /// Further names of the image.
    pub tags: Vec<String>,
    /// Stage.
    pub target: Option<String>,
    /// Limits by name.
    #[serde(deserialize_with = "decode::ulimits")]
    pub ulimits: BTreeMap<String, Ulimit>,
}

/// `deploy`, as far as one host goes (spec.md section 6).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Deploy {
    /// `replicated`, `global`, `replicated-job`, `global-job`.
    pub mode: Option<String>,
    /// Replicas.
    pub replicas: Option<i64>,
    /// Labels of the service, not of its containers.
    pub labels: BTreeMap<String, String>,
    /// How an update goes.
    pub update_config: Option<UpdateConfig>,
    /// How a roll back goes.
    pub rollback_config: Option<UpdateConfig>,
    /// Limits and reservations.
    pub resources: Resources,
    /// Takes the place of `restart`.
    pub restart_policy: Option<RestartPolicy>,
    /// Swarm only.
    pub placement: Placement,
    /// `vip` or `dnsrr`.
    pub endpoint_mode: Option<String>,
}

/// How an update goes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct UpdateConfig {
    /// Containers at a time; 0: all.
    pub parallelism: Option<u64>,
    /// Between two groups.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub delay: Option<Duration>,
    /// `continue`, `rollback`, `pause`.
    pub failure_action: Option<String>,
    /// How long a new one is watched.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub monitor: Option<Duration>,
    /// Part that may fail.
    pub max_failure_ratio: Option<f64>,
    /// `stop-first` or `start-first`.
    pub order: Option<String>,
}

/// Limits and reservations.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// At most.
    pub limits: Option<ResourceLimits>,
    /// At least.
    pub reservations: Option<ResourceLimits>,
}

/// One side of [`Resources`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ResourceLimits {
    /// Processors, as a fraction.
    #[serde(deserialize_with = "decode::float_opt")]
    pub cpus: Option<f64>,
    /// Bytes.
    #[serde(deserialize_with = "decode::bytes_opt")]
    pub memory: Option<i64>,
    /// Processes and threads; limits only.
    pub pids: Option<i64>,
    /// Devices; reservations only.
    pub devices: Vec<DeviceRequest>,
}

/// Devices asked for by what they can do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// What they can do.
    pub capabilities: Vec<String>,
    /// Driver.
    pub driver: Option<String>,
    /// How many; -1: all.
    pub count: Option<i64>,
    /// Which.
    pub device_ids: Vec<String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// When a container is started again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RestartPolicy {
    /// `none`, `on-failure`, `any`.
    pub condition: Option<String>,
    /// Before each attempt.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub delay: Option<Duration>,
    /// Attempts until it is given up.
    pub max_attempts: Option<u64>,
    /// Within which attempts count.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub window: Option<Duration>,
}

/// Swarm only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// `node.labels.x == y`.
    pub constraints: Vec<String>,
    /// Replicas on one node at most.
    pub max_replicas_per_node: Option<u64>,
}
