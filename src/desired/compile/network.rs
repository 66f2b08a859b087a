//! The networks of a project: which are needed, what they are made of, and their subnets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;

use super::address::Pool;
use super::subnet::{self, Wanted, WantedRange};
use super::{Compiler, Problems, driver, label};
use crate::compose::model::{IpamPool, Network, Service, ServiceNetwork};
use crate::desired::hash::digest;
use crate::desired::{NetworkLease, NetworkSpec, Subnet};
use crate::name::NetworkName;

/// A network that a service is on, with the service's place in it.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Its key in the file; `bridge` for `network_mode: bridge`.
    pub key: String,
    /// Its name on this machine.
    pub network: NetworkName,
    /// What the service says.
    pub place: ServiceNetwork,
    /// The service is found by its name there; not so on `network_mode: bridge`, as in docker.
    pub named: bool,
}

/// `network_mode`; a service on an external network `host`, `none` or `bridge` has that mode.
pub fn mode<'a>(compiler: &Compiler<'a>, service: &'a Service) -> &'a str {
    if let Some(mode) = service.network_mode.as_deref().filter(|mode| !mode.is_empty()) {
        return mode;
    }
    let networks = service.networks.keys().filter_map(|key| compiler.project.networks.get(key));
    let special =
        |network: &&'a Network| network.external && matches!(network.name.as_str(), "host" | "none" | "bridge");
    networks.into_iter().find(special).map_or("", |network| network.name.as_str())
}

/// The networks of a service, the primary one first.
pub fn attachments(compiler: &Compiler<'_>, at: &str, service: &Service, problems: &mut Problems) -> Vec<Attachment> {
    let plain = |key: &str, network: NetworkName, named| {
        vec![Attachment { key: key.to_owned(), network, place: ServiceNetwork::default(), named }]
    };
    match mode(compiler, service) {
        "" => {}
        "bridge" | "default" => return plain("bridge", bridge_mode(compiler), false),
        "none" | "host" => return Vec::new(),
        mode if mode.starts_with("service:") || mode.starts_with("container:") => return Vec::new(),
        name => {
            let own = compiler.project.networks.iter().find(|(_, network)| network.name == name);
            let key = own.map_or(name, |(key, _)| key.as_str());
            if own.is_none() && !compiler.leases.networks.contains_key(name) {
                let message = format!("there is no network `{name}`, and it is none of none, host, bridge, service:…");
                problems.add(format!("{at}.network_mode"), message);
                return Vec::new();
            }
            return plain(key, NetworkName::from(name), true);
        }
    }
    let mut list = Vec::new();
    for (key, place) in &service.networks {
        match compiler.project.networks.get(key) {
            Some(network) => list.push(Attachment {
                key: key.clone(),
                network: network_name(key, network),
                place: place.clone(),
                named: true,
            }),
            None => problems.add(
                format!("{at}.networks.{key}"),
                format!("network `{key}` is not declared under the top-level `networks`"),
            ),
        }
    }
    list.sort_by(|one, other| (-one.place.priority, &one.key).cmp(&(-other.place.priority, &other.key)));
    list
}

fn network_name(key: &str, network: &Network) -> NetworkName {
    NetworkName::from(if network.name.is_empty() { key } else { &network.name })
}

/// Docker's default bridge joins the containers of a machine; ours only those of a project that ask for it.
fn bridge_mode(compiler: &Compiler<'_>) -> NetworkName {
    NetworkName::new(format!("{}_bridge", compiler.project.name))
}

/// The networks decided, with their pools of addresses.
#[derive(Debug, Default)]
pub struct Networks {
    /// What they are made of.
    pub specs: BTreeMap<NetworkName, NetworkSpec>,
    /// Their addresses.
    pub pools: BTreeMap<NetworkName, Pool>,
}

/// Decides the networks named in `needed`, each with the number of containers that will be on it. Those in `kept` stay as
/// they are.
pub fn networks(
    compiler: &Compiler<'_>,
    needed: &BTreeMap<(String, NetworkName), usize>,
    kept: &BTreeSet<NetworkName>,
    problems: &mut Problems,
) -> Networks {
    let names: BTreeSet<NetworkName> = needed.keys().map(|(_, name)| name.clone()).collect();
    let mut drafts: Vec<Draft> = Vec::new();
    let mut all = Networks::default();
    for ((key, name), endpoints) in needed {
        match compiler.project.networks.get(key) {
            Some(network) if !network.external => {
                drafts.push(draft(compiler, key, name, network, *endpoints, problems));
            }
            None if key == "bridge" && *name == bridge_mode(compiler) => {
                drafts.push(draft(compiler, key, name, &Network::default(), *endpoints, problems));
            }
            _ => external(compiler, key, name, &mut all, problems),
        }
    }
    // What is written comes before what exists, and that before what is new: nobody is chased out by a later one.
    drafts.sort_by_key(|draft| {
        let exists = compiler.leases.networks.contains_key(&draft.spec.name);
        (draft.wanted.ranges.is_empty(), !exists)
    });
    let mut decided: Vec<(IpNet, String)> = Vec::new();
    for draft in drafts {
        let taken = taken(compiler, &draft, &names, kept, &decided);
        place(compiler, draft, &taken, &mut all, problems);
        let done = all.specs.values().flat_map(|spec| spec.subnets.iter().map(move |subnet| (spec, subnet)));
        decided = done.filter_map(|(spec, subnet)| decided_range(spec, subnet)).collect();
    }
    all
}

fn external(compiler: &Compiler<'_>, key: &str, name: &NetworkName, all: &mut Networks, problems: &mut Problems) {
    let Some(lease) = compiler.leases.networks.get(name) else {
        let path = format!("networks.{key}");
        let message = format!("network `{name}` is declared as external, but there is no such network on this machine");
        problems.add_with_help(path, message, "bring up the project that makes it first, or leave `external` out");
        return;
    };
    let spec = NetworkSpec { key: key.to_owned(), project: None, ..lease.spec.clone() };
    let pool = Pool::new(name.clone(), spec.subnets.clone(), BTreeSet::new(), Some(lease));
    all.pools.insert(name.clone(), pool);
    all.specs.insert(name.clone(), spec);
}

/// A network before its subnets are decided.
struct Draft {
    spec: NetworkSpec,
    wanted: Wanted,
    aside: BTreeSet<IpAddr>,
}

/// What a network must keep clear of.
fn taken(
    compiler: &Compiler<'_>,
    draft: &Draft,
    names: &BTreeSet<NetworkName>,
    kept: &BTreeSet<NetworkName>,
    decided: &[(IpNet, String)],
) -> Vec<(IpNet, String)> {
    let leases = compiler.leases;
    let mut except = names.clone();
    if !draft.wanted.ranges.is_empty() {
        // A network of this project that nobody needs any more goes before this one comes, so what is written may take
        // its range; what is chosen keeps clear of it.
        let own = |lease: &NetworkLease| lease.spec.project.as_ref() == Some(&compiler.project.name);
        let leaving = leases.networks.iter().filter(|(name, lease)| own(lease) && !kept.contains(*name));
        except.extend(leaving.map(|(name, _)| name.clone()));
    }
    let mut taken = leases.taken(&except);
    if draft.spec.driver.parent().is_some() && !draft.wanted.ranges.is_empty() {
        // It stands on a link of the machine, and is meant to share the range that is routed there.
        taken.retain(|(_, what)| !what.starts_with("route"));
    }
    taken.extend(decided.iter().cloned());
    taken
}

fn place(
    compiler: &Compiler<'_>,
    draft: Draft,
    taken: &[(IpNet, String)],
    all: &mut Networks,
    problems: &mut Problems,
) {
    let Draft { mut spec, wanted, aside } = draft;
    match subnet::subnets(&spec.name, &wanted, compiler.leases, taken) {
        Ok(subnets) => spec.subnets = subnets,
        Err(error) => {
            problems.add(error_path(&spec.key, &error), error);
            return;
        }
    }
    let lease = compiler.leases.networks.get(&spec.name);
    all.pools.insert(spec.name.clone(), Pool::new(spec.name.clone(), spec.subnets.clone(), aside, lease));
    all.specs.insert(spec.name.clone(), spec);
}

fn decided_range(spec: &NetworkSpec, subnet: &Subnet) -> Option<(IpNet, String)> {
    let net = IpNet::new(subnet.address, subnet.prefix).ok()?;
    Some((net, format!("network `{}` ({net})", spec.name)))
}

fn error_path(key: &str, error: &subnet::SubnetError) -> String {
    use subnet::SubnetError::{Exhausted, Outside, Overlap, TooSmall};
    match error {
        Overlap { index, .. } | TooSmall { index, .. } => format!("networks.{key}.ipam.config[{index}].subnet"),
        Outside { index, what, .. } => format!("networks.{key}.ipam.config[{index}].{what}"),
        Exhausted { .. } => format!("networks.{key}"),
    }
}

fn draft(
    compiler: &Compiler<'_>,
    key: &str,
    name: &NetworkName,
    network: &Network,
    endpoints: usize,
    problems: &mut Problems,
) -> Draft {
    let at = format!("networks.{key}");
    let hash = json!({
        "driver": network.driver, "options": network.driver_opts, "internal": network.internal,
        "ipv4": network.enable_ipv4, "ipv6": network.enable_ipv6, "labels": network.labels,
        "pools": format!("{:?}", network.ipam.config),
    });
    let hash = digest(b"windlass network 1\n", &hash);
    let mut spec = NetworkSpec {
        name: name.clone(),
        key: key.to_owned(),
        project: Some(compiler.project.name.clone()),
        bridge: format!("wl-{}", super::sha256(name.as_bytes()).get(..10).unwrap_or_default()),
        internal: network.internal,
        icc: true,
        masquerade: true,
        labels: label::resource(&compiler.project.name, "network", key, &network.labels, &hash),
        driver_opts: network.driver_opts.clone(),
        ..NetworkSpec::default()
    };
    driver::decide(&at, network, endpoints, &mut spec, problems);
    let (wanted, aside) = wanted(&at, network, endpoints, problems);
    Draft { spec, wanted, aside }
}

fn wanted(at: &str, network: &Network, endpoints: usize, problems: &mut Problems) -> (Wanted, BTreeSet<IpAddr>) {
    if let Some(driver) = network.ipam.driver.as_deref().filter(|driver| !matches!(*driver, "" | "default")) {
        problems
            .add(format!("{at}.ipam.driver"), format!("address driver `{driver}` is not done yet: only `default` is"));
    }
    let mut ranges = Vec::new();
    let mut aside = BTreeSet::new();
    for (index, pool) in network.ipam.config.iter().enumerate() {
        let path = format!("{at}.ipam.config[{index}]");
        ranges.extend(range(&path, index, pool, problems));
        for (host, address) in &pool.aux_addresses {
            let address = address.parse::<IpAddr>().map_err(|_| format!("`{address}` is no address"));
            aside.extend(problems.take(format!("{path}.aux_addresses.{host}"), address));
        }
    }
    let written6 = ranges.iter().any(|range| range.subnet.addr().is_ipv6());
    if written6 && network.enable_ipv6 == Some(false) {
        problems.add(format!("{at}.enable_ipv6"), "the network has an IPv6 subnet, but IPv6 is switched off");
    }
    let ipv4 = network.enable_ipv4.unwrap_or(true);
    let ipv6 = network.enable_ipv6.unwrap_or(written6);
    if !ipv4 && ranges.iter().any(|range| range.subnet.addr().is_ipv4()) {
        problems.add(format!("{at}.enable_ipv4"), "the network has an IPv4 subnet, but IPv4 is switched off");
    } else if !ipv4 && !ipv6 {
        problems.add(format!("{at}.enable_ipv4"), "a network without IPv4 needs `enable_ipv6: true`");
    }
    (Wanted { ranges, ipv4, ipv6, endpoints }, aside)
}

fn range(path: &str, index: usize, pool: &IpamPool, problems: &mut Problems) -> Option<WantedRange> {
    let mut parse = |key: &str, text: &str| {
        let net = text.parse::<IpNet>().map_err(|_| format!("`{text}` is no range of addresses (as `10.5.0.0/16`)"));
        problems.take(format!("{path}.{key}"), net)
    };
    let inner = pool.ip_range.as_deref().filter(|text| !text.is_empty()).and_then(|text| parse("ip_range", text));
    match pool.subnet.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => {
            let subnet = parse("subnet", text)?;
            Some(WantedRange { index, subnet, range: inner, gateway: pool.gateway })
        }
        None => {
            if pool.gateway.is_some() || inner.is_some() || !pool.aux_addresses.is_empty() {
                problems.add(path, "needs a `subnet`");
            }
            None
        }
    }
}
