//! The structured parts of a service.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::Deserialize;

use super::decode;

/// When a dependency counts as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It was started.
    #[default]
    ServiceStarted,
    /// Every replica is healthy.
    ServiceHealthy,
    /// It ended with exit code 0.
    ServiceCompletedSuccessfully,
}

/// One entry of `depends_on`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Dependency {
    /// What to wait for.
    pub condition: Condition,
    /// Restarted when the dependency is re-created or restarted.
    pub restart: bool,
    /// `false`: go on with a warning when it is not there.
    pub required: bool,
}

/// A secret or config that a service may read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FileGrant {
    /// Key of the secret or config.
    pub source: String,
    /// Where it appears; configs without one: `/<source>`. Relative ones: below `/run/secrets` or `/`.
    pub target: Option<String>,
    /// Owner.
    pub uid: Option<String>,
    /// Group.
    pub gid: Option<String>,
    /// Permission bits.
    #[serde(deserialize_with = "decode::mode_opt")]
    pub mode: Option<u32>,
}

/// A health check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// `CMD …`, `CMD-SHELL text` or `NONE`; empty: the image's.
    pub test: Vec<String>,
    /// Between two probes; default 30 s.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub interval: Option<Duration>,
    /// Of one probe; default 30 s.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub timeout: Option<Duration>,
    /// Failures in a row until it is unhealthy; default 3.
    pub retries: Option<u64>,
    /// Failures do not count so long.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub start_period: Option<Duration>,
    /// Between two probes during the start period; default 5 s.
    #[serde(deserialize_with = "decode::duration_opt")]
    pub start_interval: Option<Duration>,
    /// No check, not even the image's.
    pub disable: bool,
}

/// A service's place in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ServiceNetwork {
    /// Further names.
    pub aliases: Vec<String>,
    /// Name of the interface inside.
    pub interface_name: Option<String>,
    /// Fixed address.
    #[serde(deserialize_with = "decode::parsed_opt")]
    pub ipv4_address: Option<Ipv4Addr>,
    /// Fixed address.
    #[serde(deserialize_with = "decode::parsed_opt")]
    pub ipv6_address: Option<Ipv6Addr>,
    /// Link-local addresses.
    pub link_local_ips: Vec<String>,
    /// MAC address.
    pub mac_address: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Highest: the primary network, attached first.
    pub priority: i64,
    /// Highest: the default gateway.
    pub gw_priority: i64,
}

/// A published port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Port {
    /// A name for people.
    pub name: Option<String>,
    /// `ingress` or `host`; the same on one host.
    pub mode: Option<String>,
    /// Host address; `None`: all, IPv4 and IPv6.
    #[serde(deserialize_with = "decode::parsed_opt")]
    pub host_ip: Option<IpAddr>,
    /// Port in the container.
    pub target: u16,
    /// Port of the host, or a range to pick a free one from; `None`: any free one.
    #[serde(deserialize_with = "decode::parsed_opt")]
    pub published: Option<PortRange>,
    /// `tcp`, `udp`, `sctp`.
    pub protocol: String,
    /// What is spoken there, for people.
    pub app_protocol: Option<String>,
}

/// First and last port, both in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortRange {
    /// First.
    pub first: u16,
    /// Last.
    pub last: u16,
}

impl std::str::FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |t: &str| t.trim().parse::<u16>().map_err(|_| format!("`{t}` is not a port (0 to 65535)"));
        let range = PortRange { first: port(first)?, last: port(last)? };
        if range.first > range.last {
            return Err(format!("the range `{text}` ends before it begins"));
        }
        Ok(range)
    }
}

/// What a [`Mount`] mounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume, named or anonymous.
    #[default]
    Volume,
    /// Memory.
    Tmpfs,
    /// The root of an image.
    Image,
    /// Windows only.
    Npipe,
    /// Swarm only.
    Cluster,
}

/// One entry of `volumes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Mount {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: MountKind,
    /// Absolute path, volume key or image; `None` for an anonymous volume and for tmpfs.
    pub source: Option<String>,
    /// Path inside, cleaned.
    pub target: String,
    /// Not writable.
    pub read_only: bool,
    /// macOS only; no effect.
    pub consistency: Option<String>,
    /// Of a bind.
    pub bind: Option<BindOptions>,
    /// Of a volume.
    pub volume: Option<VolumeOptions>,
    /// Of tmpfs.
    pub tmpfs: Option<TmpfsOptions>,
    /// Of an image.
    pub image: Option<ImageOptions>,
}

impl Mount {
    /// Whether a missing source of a bind mount is made: the short form says so, and docker makes it also for a long form
    /// without any option of a bind.
    pub fn makes_source(&self) -> bool {
        self.bind.as_ref().is_none_or(|bind| bind.create_host_path.unwrap_or(false))
    }
}

/// Options of a bind mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BindOptions {
    /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`.
    pub propagation: Option<String>,
    /// Make a missing source; the short form says `true`, absent among other options means `false` (spec.md 4.4).
    pub create_host_path: Option<bool>,
    /// `enabled`, `disabled`, `writable`, `readonly`.
    pub recursive: Option<String>,
    /// `z` or `Z`.
    pub selinux: Option<String>,
}

/// Options of a volume mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeOptions {
    /// Do not take over what the image has at the target.
    pub nocopy: bool,
    /// A path in the volume.
    pub subpath: Option<String>,
    /// Labels of an anonymous volume.
    pub labels: BTreeMap<String, String>,
}

/// Options of a tmpfs mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TmpfsOptions {
    /// Bytes.
    #[serde(deserialize_with = "decode::bytes_opt")]
    pub size: Option<i64>,
    /// Permission bits.
    #[serde(deserialize_with = "decode::mode_opt")]
    pub mode: Option<u32>,
}

/// Options of an image mount.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ImageOptions {
    /// A path in the image.
    pub subpath: Option<String>,
}

/// A device node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Device {
    /// Path on the host, or `vendor/class=name` (CDI).
    pub source: String,
    /// Path inside.
    pub target: String,
    /// Of `r`, `w`, `m`.
    pub permissions: String,
}

/// Where output goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Logging {
    /// `json-file`, `local`, `none`, `journald`, …
    pub driver: Option<String>,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// Soft and hard limit; -1: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Ulimit {
    /// In force.
    pub soft: i64,
    /// How far it may be raised.
    pub hard: i64,
}

/// A command run inside a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Hook {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `user[:group]`.
    pub user: Option<String>,
    /// All capabilities.
    pub privileged: bool,
    /// Working directory.
    pub working_dir: Option<String>,
    /// Added to the container's environment.
    pub environment: BTreeMap<String, Option<String>>,
}

/// A program run to its end in a container of its own before a service is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Preparation {
    /// Arguments; `None`: the service's, or the image's where that is another.
    pub command: Option<Vec<String>>,
    /// Image; `None`: the service's.
    pub image: Option<String>,
    /// `user[:group]`; `None`: the service's.
    pub user: Option<String>,
    /// All capabilities.
    pub privileged: bool,
    /// Working directory; `None`: the service's.
    pub working_dir: Option<String>,
    /// Added to the service's environment.
    pub environment: BTreeMap<String, Option<String>>,
    /// Once for each replica, not once for the service.
    pub per_replica: bool,
}

/// Block device limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct BlkioConfig {
    /// 10–1000.
    pub weight: Option<u16>,
    /// Per device.
    pub weight_device: Vec<WeightDevice>,
    /// Bytes a second.
    pub device_read_bps: Vec<ThrottleDevice>,
    /// Bytes a second.
    pub device_write_bps: Vec<ThrottleDevice>,
    /// Operations a second.
    pub device_read_iops: Vec<ThrottleDevice>,
    /// Operations a second.
    pub device_write_iops: Vec<ThrottleDevice>,
}

/// A weight for one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WeightDevice {
    /// Path of the device.
    pub path: String,
    /// 10–1000.
    pub weight: u16,
}

/// A rate for one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ThrottleDevice {
    /// Path of the device.
    pub path: String,
    /// A second.
    #[serde(deserialize_with = "decode::bytes_opt")]
    pub rate: Option<i64>,
}

/// Windows only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CredentialSpec {
    /// Key of a config.
    pub config: Option<String>,
    /// A file.
    pub file: Option<String>,
    /// A registry value.
    pub registry: Option<String>,
}

/// A program that provides a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Provider {
    /// The program.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its options.
    pub options: BTreeMap<String, Vec<String>>,
}

/// What `watch` does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Develop {
    /// Its rules.
    pub watch: Vec<WatchRule>,
}

/// One rule of `develop.watch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WatchRule {
    /// Watched path.
    pub path: String,
    /// `rebuild`, `sync`, `restart`, `sync+restart`, `sync+exec`.
    pub action: String,
    /// Where files go.
    pub target: Option<String>,
    /// Patterns left out.
    pub ignore: Vec<String>,
    /// Patterns taken.
    pub include: Vec<String>,
    /// Sync at the start.
    pub initial_sync: bool,
    /// Its old name.
    #[serde(rename = "x-initialSync")]
    pub x_initial_sync: bool,
    /// For `sync+exec`.
    pub exec: Option<Hook>,
}

/// How a service learns of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ModelGrant {
    /// Variable that gets the address.
    pub endpoint_var: Option<String>,
    /// Variable that gets the name.
    pub model_var: Option<String>,
}
