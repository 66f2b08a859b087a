//! A network's `driver` and `driver_opts`: what joins its containers, in docker's words.

use crate::compose::model::Network;
use crate::desired::{Driver, IpvlanFlag, IpvlanMode, MacvlanMode, NetworkSpec, Parent};

use super::Problems;

/// A link's name has room for this many bytes.
const LINK_NAME: usize = 15;

/// Decides what `spec`, whose bridge has a name already, is made of. `endpoints` containers will be on it.
pub fn decide(at: &str, network: &Network, endpoints: usize, spec: &mut NetworkSpec, problems: &mut Problems) {
    let driver = network.driver.as_deref().unwrap_or_default();
    match driver {
        "" | "bridge" | "default" => {}
        "macvlan" | "ipvlan" => {
            let parent = problems.take(format!("{at}.driver_opts.parent"), parent(network, &spec.bridge));
            let parent = parent.unwrap_or_else(|| Parent::Own(std::mem::take(&mut spec.bridge)));
            spec.bridge = String::new();
            // Where nothing leads out there is no way out.
            spec.internal |= matches!(parent, Parent::Own(_));
            spec.driver = if driver == "macvlan" {
                Driver::Macvlan { parent, mode: MacvlanMode::default() }
            } else {
                Driver::Ipvlan { parent, mode: IpvlanMode::default(), flag: IpvlanFlag::default() }
            };
        }
        other => problems.add(format!("{at}.driver"), refusal(other)),
    }
    for (option, value) in &network.driver_opts {
        let result = match &mut spec.driver {
            Driver::Bridge => bridge_option(spec, option, value),
            Driver::Macvlan { .. } | Driver::Ipvlan { .. } => vlan_option(spec, option, value),
        };
        problems.take(format!("{at}.driver_opts.{option}"), result);
    }
    if endpoints > 1 && matches!(spec.driver, Driver::Macvlan { mode: MacvlanMode::Passthru, .. }) {
        let message = format!("`passthru` gives the link to one container, but {endpoints} are on this network");
        problems.add(format!("{at}.driver_opts.macvlan_mode"), message);
    }
}

fn refusal(driver: &str) -> String {
    match driver {
        "host" | "none" => format!("there is one network `{driver}`: take it by `network_mode: {driver}`"),
        "overlay" => "driver `overlay` joins the hosts of a swarm; on one host `bridge` does".to_owned(),
        _ => format!("there is no network driver `{driver}` here: use `bridge`, `macvlan` or `ipvlan`"),
    }
}

/// The link of the machine that `parent` names; without one there will be a link of this name, made for it.
fn parent(network: &Network, own: &str) -> Result<Parent, String> {
    let Some(name) = network.driver_opts.get("parent").filter(|name| !name.is_empty()) else {
        return Ok(Parent::Own(own.to_owned()));
    };
    let name = link(name)?.to_owned();
    if name == "lo" {
        return Err("nothing can stand on `lo`: name a link that leads to others, as `eth0`".to_owned());
    }
    match name.rsplit_once('.') {
        Some((of, id)) if !of.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => {
            let id = id.parse().ok().filter(|id| (1..=4094).contains(id));
            let id = id.ok_or_else(|| format!("`{name}` has no VLAN from 1 to 4094 after its dot"))?;
            Ok(Parent::Vlan { of: of.to_owned(), id, name })
        }
        _ => Ok(Parent::Link(name)),
    }
}

fn link(name: &str) -> Result<&str, String> {
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    if name.is_empty() || name.len() > LINK_NAME || !name.chars().all(good) || matches!(name, "." | "..") {
        return Err(format!("`{name}` is no name for a link: 1 to {LINK_NAME} characters"));
    }
    Ok(name)
}

fn bridge_option(spec: &mut NetworkSpec, option: &str, value: &str) -> Result<(), String> {
    match option {
        "com.docker.network.bridge.name" => link(value)?.clone_into(&mut spec.bridge),
        "com.docker.network.bridge.enable_icc" => spec.icc = boolean(value)?,
        "com.docker.network.bridge.enable_ip_masquerade" => spec.masquerade = boolean(value)?,
        "com.docker.network.bridge.host_binding_ipv4" | "com.docker.network.bridge.host_binding" => {
            spec.host_binding = Some(value.parse().map_err(|_| format!("`{value}` is no address"))?);
        }
        "com.docker.network.driver.mtu" => spec.mtu = Some(mtu(value)?),
        _ => return Err(format!("network option `{option}` is not done yet")),
    }
    Ok(())
}

fn vlan_option(spec: &mut NetworkSpec, option: &str, value: &str) -> Result<(), String> {
    match (option, &mut spec.driver) {
        // It was read with the driver.
        ("parent", _) => {}
        ("macvlan_mode", Driver::Macvlan { mode, .. }) => {
            *mode = word(value, MACVLAN_MODES)?;
        }
        ("ipvlan_mode", Driver::Ipvlan { mode, .. }) => {
            *mode = word(value, IPVLAN_MODES)?;
        }
        ("ipvlan_flag", Driver::Ipvlan { flag, .. }) => {
            *flag = word(value, IPVLAN_FLAGS)?;
        }
        ("com.docker.network.driver.mtu", _) => spec.mtu = Some(mtu(value)?),
        (option, driver) => return Err(format!("a network with driver `{driver}` has no option `{option}`")),
    }
    Ok(())
}

const MACVLAN_MODES: &[(&str, MacvlanMode)] = &[
    ("bridge", MacvlanMode::Bridge),
    ("private", MacvlanMode::Private),
    ("vepa", MacvlanMode::Vepa),
    ("passthru", MacvlanMode::Passthru),
];
const IPVLAN_MODES: &[(&str, IpvlanMode)] = &[("l2", IpvlanMode::L2), ("l3", IpvlanMode::L3), ("l3s", IpvlanMode::L3s)];
const IPVLAN_FLAGS: &[(&str, IpvlanFlag)] =
    &[("bridge", IpvlanFlag::Bridge), ("private", IpvlanFlag::Private), ("vepa", IpvlanFlag::Vepa)];

/// What a word stands for; the first is that of an empty one.
fn word<T: Copy + Default>(value: &str, known: &[(&str, T)]) -> Result<T, String> {
    if value.is_empty() {
        return Ok(T::default());
    }
    known.iter().find(|(name, _)| *name == value).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("`{value}` is none of {}", names.join(", "))
    })
}

fn mtu(value: &str) -> Result<u32, String> {
    let mtu = value.parse::<u32>().ok().filter(|mtu| (68..=65_535).contains(mtu));
    mtu.ok_or_else(|| format!("`{value}` is no MTU: 68 to 65535"))
}

/// As docker's options are read: Go's strconv.ParseBool.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}
