//! Networks, volumes, secrets, configs and models of the top level.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

use super::{Sensitive, decode};

/// A network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Its name on this machine.
    pub name: String,
    /// Driver; `None`: bridge.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Addresses.
    pub ipam: Ipam,
    /// It exists already and is never changed nor removed.
    pub external: bool,
    /// No way out.
    pub internal: bool,
    /// Others may attach.
    pub attachable: bool,
    /// `false`: no IPv4.
    pub enable_ipv4: Option<bool>,
    /// `true`: IPv6 too.
    pub enable_ipv6: Option<bool>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Addresses of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ipam {
    /// Driver; `None`: default.
    pub driver: Option<String>,
    /// Its pools.
    pub config: Vec<IpamPool>,
}

/// A pool of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IpamPool {
    /// `10.1.0.0/16`, as written.
    pub subnet: Option<String>,
    /// Part of it that is handed out.
    pub ip_range: Option<String>,
    /// The bridge's own address.
    #[serde(deserialize_with = "decode::parsed_opt")]
    pub gateway: Option<IpAddr>,
    /// Addresses never handed out, by host name.
    pub aux_addresses: BTreeMap<String, String>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Its name on this machine.
    pub name: String,
    /// Driver; `None`: local.
    pub driver: Option<String>,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// It exists already and is never removed.
    pub external: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A secret or a config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FileObject {
    /// Its name on this machine.
    pub name: String,
    /// From a file, absolute path.
    pub file: Option<String>,
    /// From this variable of the caller's environment.
    pub environment: Option<String>,
    /// That variable's value, if it is set; filled in by `bind`, never printed.
    #[serde(skip)]
    pub value: Option<Sensitive>,
    /// The text itself; configs only.
    pub content: Option<String>,
    /// It exists already; not possible without a swarm.
    pub external: bool,
    /// Swarm only.
    pub driver: Option<String>,
    /// Swarm only.
    pub driver_opts: BTreeMap<String, String>,
    /// Swarm only.
    pub template_driver: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A language model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// OCI reference.
    pub model: String,
    /// Tokens.
    pub context_size: Option<i64>,
    /// Flags of the program that runs it.
    pub runtime_flags: Vec<String>,
}
