//! Complete specifications of containers, networks and volumes, in the kernel's words.

mod log;
mod network;
mod slice;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::StopSpec;
use crate::name::{ContainerName, Digest, ProjectName, ServiceName, VolumeName};

pub use log::{Compression, ForwardSpec, LogFormat, LogReceiver, LogSpec, SyslogFormat, Tag};
pub use network::{
    DnsSpec, Driver, EndpointSpec, IpvlanFlag, IpvlanMode, MacvlanMode, NetworkSpec, Parent, PortSpec, Protocol, Subnet,
};
pub use slice::Slice;

/// All that a container is made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Its name.
    pub name: ContainerName,
    /// Its project.
    pub project: ProjectName,
    /// Its service.
    pub service: ServiceName,
    /// Which replica it is, from 1.
    pub number: u32,
    /// Made by `run`.
    pub oneoff: bool,
    /// Labels, compose's own among them.
    pub labels: BTreeMap<String, String>,
    /// OCI annotations.
    pub annotations: BTreeMap<String, String>,
    /// The image.
    pub image: ImageSpec,
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// `KEY=value`, sorted; secrets may be among them, so it is never logged.
    pub env: Vec<String>,
    /// Working directory inside; made if missing.
    pub cwd: String,
    /// `user[:group]`, names or numbers, looked up inside the container's root; empty: root.
    pub user: String,
    /// Supplementary groups, names or numbers.
    pub groups: Vec<String>,
    /// Host name; `None`: the first 12 digits of the id.
    pub hostname: Option<String>,
    /// Domain name.
    pub domainname: Option<String>,
    /// A terminal.
    pub tty: bool,
    /// Standard input stays open.
    pub stdin_open: bool,
    /// A small init is PID 1.
    pub init: bool,
    /// The OCI runtime that makes and drives it; `None`: windlass itself.
    #[serde(default)]
    pub runtime: Option<RuntimeSpec>,
    /// The root file system is read-only.
    pub read_only: bool,
    /// All mounts but the standard ones, outermost first.
    pub mounts: Vec<MountSpec>,
    /// Secrets and configs.
    pub files: Vec<FileSpec>,
    /// Size of /dev/shm in bytes.
    pub shm_size: u64,
    /// Device nodes.
    pub devices: Vec<DeviceSpec>,
    /// Devices by qualified name (`vendor.com/class=name`): what they need is described on the machine (CDI).
    #[serde(default)]
    pub cdi: Vec<String>,
    /// `c 1:3 rwm` and the like, beside the standard ones.
    pub device_rules: Vec<String>,
    /// What it may do.
    pub security: SecuritySpec,
    /// Resource limits per process: name (`nofile`) → soft, hard.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Kernel parameters of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Limits of the whole container.
    pub resources: Resources,
    /// Which namespaces it has for itself.
    pub namespaces: Namespaces,
    /// Its links to networks; the first is the primary one.
    pub endpoints: Vec<EndpointSpec>,
    /// Published ports.
    pub ports: Vec<PortSpec>,
    /// Ports that are told of and not published, by the service: `99/tcp`, `100-110/udp`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed: BTreeSet<String>,
    /// The same, by its image. No part of the hash.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub image_exposed: BTreeSet<String>,
    /// How it resolves names.
    pub dns: DnsSpec,
    /// Lines of /etc/hosts beside the standard ones: name, address (`host-gateway` is resolved by the host).
    pub extra_hosts: Vec<(String, String)>,
    /// Where its output goes.
    pub log: LogSpec,
    /// Run in it after each start, one after the other.
    #[serde(default)]
    pub post_start: Vec<HookSpec>,
    /// Run in it before it is stopped, one after the other; not before an end of its own.
    #[serde(default)]
    pub pre_stop: Vec<HookSpec>,
    /// How it is stopped unless a verb says otherwise; what a container that is no longer desired is stopped by. No part
    /// of the hash.
    #[serde(default)]
    pub stop: StopSpec,
}

/// An OCI runtime: a program with the command line that runc has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeSpec {
    /// As the user wrote it.
    pub name: String,
    /// The program, absolute.
    pub program: PathBuf,
}

/// A program that is run inside a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookSpec {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// `user[:group]`; empty: the container's own.
    pub user: String,
    /// With all capabilities.
    pub privileged: bool,
    /// Working directory; empty: the container's own.
    pub cwd: String,
    /// `KEY=value`, on top of the container's own environment.
    pub env: Vec<String>,
}

impl ContainerSpec {
    /// The images that it is made of: its own, and those that it mounts.
    pub fn images(&self) -> impl Iterator<Item = &ImageSpec> {
        let mounted = self.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Image { image, .. } => Some(image),
            _ => None,
        });
        std::iter::once(&self.image).chain(mounted)
    }
}

/// The image of a container, as it was resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSpec {
    /// As the user wrote it.
    pub name: String,
    /// Digest of the image's config: its id.
    pub id: Digest,
    /// Digest of the manifest.
    pub manifest: Digest,
    /// Chain ids of the layers, lowest first; each is a folder of the store.
    pub layers: Vec<Digest>,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute path inside, cleaned.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
    /// Not writable.
    pub read_only: bool,
}

impl MountSpec {
    /// Whether it mounts this volume.
    pub fn is_of(&self, volume: &VolumeName) -> bool {
        matches!(&self.source, MountSource::Volume { name, .. } if name == volume)
    }
}

/// What a [`MountSpec`] mounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum MountSource {
    /// A path of the host.
    Bind {
        /// The path.
        path: PathBuf,
        /// Make it a folder if it is missing.
        create: bool,
        /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`; `rprivate` if empty.
        propagation: String,
        /// Take the mounts below it along.
        recursive: bool,
        /// `read_only` covers the mounts below it too.
        recursive_read_only: bool,
    },
    /// A volume.
    Volume {
        /// Its name.
        name: VolumeName,
        /// A path in it.
        subpath: String,
        /// Take over what the image has at the target, when the volume is new.
        copy: bool,
    },
    /// Memory.
    Tmpfs {
        /// Bytes; 0: the kernel's own limit.
        size: u64,
        /// Permission bits; `None`: 1777.
        mode: Option<u32>,
        /// Further options of the mount, as written (`uid=1000`, `noexec`).
        options: Vec<String>,
    },
    /// The root of another image.
    Image {
        /// That image.
        image: ImageSpec,
        /// A path in it.
        subpath: String,
    },
}

/// A secret or a config: a file of its own inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Absolute path inside.
    pub target: String,
    /// The key in the compose file, for messages.
    pub name: String,
    /// Where its content comes from.
    pub source: FileSource,
    /// sha256 of the content, so that a change shows; hexadecimal.
    pub content: String,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Permission bits; `None`: 0444, and for a `file:` source the file's own.
    pub mode: Option<u32>,
}

/// Where the content of a [`FileSpec`] comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum FileSource {
    /// A file of the host, mounted read-only where no owner or mode is asked for, else copied.
    Host {
        /// Its path.
        path: PathBuf,
    },
    /// The bytes themselves.
    Inline {
        /// Never shown.
        value: Secret,
    },
}

/// Bytes that never reach output or logs: `Debug` hides them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One device node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// On the host.
    pub source: PathBuf,
    /// Inside.
    pub target: String,
    /// Of `rwm`.
    pub permissions: String,
    /// What it is, where that does not follow from the one on the host.
    #[serde(default)]
    pub node: Option<DeviceNode>,
}

/// What a device node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNode {
    /// A block device, else a character device.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What the processes of a container may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecuritySpec {
    /// All capabilities, all devices, nothing masked, no seccomp.
    pub privileged: bool,
    /// The capabilities, names without `CAP_`, sorted (docker's default set, `cap_add`, `cap_drop` applied).
    pub capabilities: Vec<String>,
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// AppArmor profile; `None`: the default.
    pub apparmor: Option<String>,
    /// SELinux label options.
    pub label: Vec<String>,
    /// `systempaths=unconfined`: nothing masked or read-only below /proc and /sys.
    pub unmasked: bool,
}

/// The system call filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Seccomp {
    /// Docker's default, with AF_ALG refused.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A profile in docker's JSON form.
    Profile {
        /// Its text.
        json: String,
    },
}

/// A resource limit of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `u64::MAX`: none.
    pub soft: u64,
    /// `u64::MAX`: none.
    pub hard: u64,
}

/// Limits of a container's cgroup; `None`: the kernel's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Bytes.
    pub memory: Option<i64>,
    /// Memory and swap together, bytes; -1: no limit of swap.
    pub memory_swap: Option<i64>,
    /// Bytes that are spared under pressure.
    pub memory_reservation: Option<i64>,
    /// 0 to 100; cgroup v1 only.
    pub swappiness: Option<u64>,
    /// cgroup v1 only.
    pub oom_kill_disable: bool,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Processor time per period, microseconds.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Relative weight, 2 to 262144 (v1 units).
    pub cpu_shares: Option<u64>,
    /// Real-time budget, microseconds.
    pub cpu_rt_runtime: Option<i64>,
    /// Microseconds.
    pub cpu_rt_period: Option<u64>,
    /// Processors.
    pub cpuset: Option<String>,
    /// Processes; -1: no limit. The default is 8192.
    pub pids: Option<i64>,
    /// Relative weight of input and output, 10 to 1000.
    pub io_weight: Option<u16>,
    /// Weight per device: path, weight.
    pub io_weight_devices: Vec<(PathBuf, u16)>,
    /// `rbps`, `wbps`, `riops`, `wiops` per device: path, which, rate.
    pub io_limits: Vec<(PathBuf, String, u64)>,
    /// Parent cgroup, if another than the project's: a path, or where systemd runs the machine the name of a slice.
    pub parent: Option<String>,
}

/// Which namespaces a container has for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// Network.
    pub net: NetMode,
    /// Processes.
    pub pid: NsMode,
    /// System V and POSIX message queues, /dev/shm.
    pub ipc: NsMode,
    /// Host name.
    pub uts: NsMode,
    /// Its own IPC namespace has no /dev/shm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_shm: bool,
    /// `true`: the host's cgroup namespace.
    pub host_cgroup: bool,
}

/// The network namespace of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "container", rename_all = "kebab-case")]
pub enum NetMode {
    /// Its own, with links to its endpoints' networks.
    #[default]
    Bridge,
    /// The host's.
    Host,
    /// Its own, with nothing but loopback.
    None,
    /// Another container's.
    Container(ContainerName),
}

/// Any other namespace of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "container", rename_all = "kebab-case")]
pub enum NsMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's.
    Container(ContainerName),
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Its name on this machine.
    pub name: VolumeName,
    /// Its key in the file; empty for an anonymous one.
    pub key: String,
    /// The project that made it; `None`: external, must be there already.
    pub project: Option<ProjectName>,
    /// `local`; others are refused.
    pub driver: String,
    /// Options: `type`, `o`, `device` (a mount of its own).
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Nobody named it: it belongs to one container.
    pub anonymous: bool,
}
