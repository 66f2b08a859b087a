//! A service.

use std::collections::BTreeMap;

use std::time::Duration;

use serde::Deserialize;

use super::{
    BlkioConfig, Build, CredentialSpec, Dependency, Deploy, Develop, Device, DeviceRequest, FileGrant, HealthCheck,
    Hook, Logging, ModelGrant, Mount, Port, Preparation, Provider, ServiceNetwork, Ulimit, decode,
};
use crate::name::ServiceName;

/// One service; its attributes have the names they have in the file (spec.md section 3).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Profiles that switch it on; none: always on.
    pub profiles: Vec<String>,
    /// OCI annotations.
    pub annotations: BTreeMap<String, String>,
    /// `false`: an attached `up` does not show its output.
    pub attach: Option<bool>,
    /// How its image is built.
    pub build: Option<Build>,
    /// What `watch` does.
    pub develop: Option<Develop>,
    /// Block device limits.
    pub blkio_config: Option<BlkioConfig>,
    /// Capabilities beside the default ones, with or without `CAP_`; `ALL`.
    pub cap_add: Vec<String>,
    /// Capabilities taken away.
    pub cap_drop: Vec<String>,
    /// `host` or `private`.
    pub cgroup: Option<String>,
    /// Parent cgroup.
    pub cgroup_parent: Option<String>,
    /// Number of processors (Windows).
    pub cpu_count: Option<i64>,
    /// Percent of the processors (Windows).
    pub cpu_percent: Option<f64>,
    /// CFS period in µs.
    pub cpu_period: Option<i64>,
    /// CFS quota in µs.
    pub cpu_quota: Option<i64>,
    /// Real-time period in µs.
    pub cpu_rt_period: Option<i64>,
    /// Real-time run time in µs.
    pub cpu_rt_runtime: Option<i64>,
    /// Relative weight, 2–262144.
    pub cpu_shares: Option<i64>,
    /// Processors, as a fraction.
    pub cpus: Option<f64>,
    /// List of processors (`0-3,5`).
    pub cpuset: Option<String>,
    /// Arguments; `Some([])` clears the image's, `None` keeps them.
    pub command: Option<Vec<String>>,
    /// Program; clears the image's arguments too. `Some([])` clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Configs that it may read.
    pub configs: Vec<FileGrant>,
    /// Secrets that it may read.
    pub secrets: Vec<FileGrant>,
    /// The container's exact name.
    pub container_name: Option<String>,
    /// Windows only.
    pub credential_spec: Option<CredentialSpec>,
    /// What it waits for; what `links`, `network_mode: service:x` and the like imply is in it.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Replicas, resources, restart policy.
    pub deploy: Option<Deploy>,
    /// Rules of the device cgroup, `c 1:3 rwm`.
    pub device_cgroup_rules: Vec<String>,
    /// Device nodes.
    pub devices: Vec<Device>,
    /// DNS servers.
    pub dns: Vec<String>,
    /// Resolver options.
    pub dns_opt: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Domain name.
    pub domainname: Option<String>,
    /// Environment, env_files applied; `None`: asked for and not set, so not set in the container.
    pub environment: BTreeMap<String, Option<String>>,
    /// Ports told to others but not published, as written.
    pub expose: Vec<String>,
    /// Containers of others that it gets names for.
    pub external_links: Vec<String>,
    /// Lines of /etc/hosts, `name=address`.
    pub extra_hosts: Vec<String>,
    /// Graphics processors.
    pub gpus: Vec<DeviceRequest>,
    /// Supplementary groups, names or numbers.
    pub group_add: Vec<String>,
    /// Health check.
    pub healthcheck: Option<HealthCheck>,
    /// Host name.
    pub hostname: Option<String>,
    /// Image; `<project>-<service>` when it is only built.
    pub image: Option<String>,
    /// A small init as PID 1.
    pub init: Option<bool>,
    /// `shareable`, `private`, `host`, `none`, `service:x`, `container:x`.
    pub ipc: Option<String>,
    /// Windows only.
    pub isolation: Option<String>,
    /// Labels; label_files applied.
    pub labels: BTreeMap<String, String>,
    /// Further names of other services, `service[:alias]`.
    pub links: Vec<String>,
    /// Where its output goes.
    pub logging: Option<Logging>,
    /// MAC address on the primary network.
    pub mac_address: Option<String>,
    /// Bytes.
    #[serde(deserialize_with = "decode::bytes_opt")]
    pub mem_limit: Option<i64>,
    /// Bytes.
    #[serde(deserialize_with = "decode::bytes_opt")]
    pub mem_reservation: Option<i64>,
    /// 0–100, cgroup v1.
    #[serde(deserialize_with = "decode::int_opt")]
    pub mem_swappiness: Option<i64>,
    /// Bytes of memory and swap together; -1: no limit.
    #[serde(deserialize_with = "decode::bytes_opt")]
    pub memswap_limit: Option<i64>,
    /// Models that it uses, by key.
    #[serde(deserialize_with = "decode::null_is_default_map")]
    pub models: BTreeMap<String, ModelGrant>,
    /// `none`, `host`, `bridge`, `service:x`, `container:x` or a network's name.
    pub network_mode: Option<String>,
    /// Its networks, by key.
    #[serde(deserialize_with = "decode::null_is_default_map")]
    pub networks: BTreeMap<String, ServiceNetwork>,
    /// cgroup v1 only.
    pub oom_kill_disable: bool,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i64>,
    /// `host`, `service:x`, `container:x`.
    pub pid: Option<String>,
    /// -1: no limit.
    pub pids_limit: Option<i64>,
    /// `os[/arch[/variant]]`.
    pub platform: Option<String>,
    /// Published ports, one entry a port (or a range to pick one from).
    pub ports: Vec<Port>,
    /// Programs run to their end before its start, in containers of their own.
    pub pre_start: Vec<Preparation>,
    /// Commands run in the container after its start.
    pub post_start: Vec<Hook>,
    /// Commands run in the container before it is stopped.
    pub pre_stop: Vec<Hook>,
    /// All capabilities, all devices, no masks.
    pub privileged: bool,
    /// A program that provides the service in place of a container.
    pub provider: Option<Provider>,
    /// `always`, `never`, `missing`, `build`, `daily`, `weekly`, `every_<duration>`, `refresh`.
    pub pull_policy: Option<String>,
    /// How old an image may get under `pull_policy: refresh`, as written.
    pub pull_refresh_after: Option<String>,
    /// The root file system is read-only.
    pub read_only: bool,
    /// `no`, `always`, `on-failure[:n]`, `unless-stopped`; not checked here (`check::runtime` does).
    pub restart: Option<String>,
    /// Name of an OCI runtime.
    pub runtime: Option<String>,
    /// Replicas.
    pub scale: Option<i64>,
    /// `no-new-privileges`, `seccomp=…`, `apparmor=…`, `label=…`, `systempaths=unconfined`.
    pub security_opt: Vec<String>,
    /// Bytes of /dev/shm.
    #[serde(deserialize_with = "decode::bytes_opt")]
    pub shm_size: Option<i64>,
    /// Standard input stays open.
    pub stdin_open: bool,
    /// From the stop signal to SIGKILL.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub stop_grace_period: Option<Duration>,
    /// Signal that asks it to end.
    pub stop_signal: Option<String>,
    /// Options of the storage driver.
    pub storage_opt: BTreeMap<String, String>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// `path[:options]`.
    pub tmpfs: Vec<String>,
    /// A terminal.
    pub tty: bool,
    /// Limits per process, by name.
    #[serde(deserialize_with = "decode::ulimits")]
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Mount the API socket.
    pub use_api_socket: bool,
    /// `user[:group]`.
    pub user: Option<String>,
    /// `host`.
    pub userns_mode: Option<String>,
    /// `host`.
    pub uts: Option<String>,
    /// Mounts.
    pub volumes: Vec<Mount>,
    /// `service[:mode]` or `container:name[:mode]`.
    pub volumes_from: Vec<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// `x-*`.
    pub extensions: BTreeMap<String, serde_yaml::Value>,
}
