//! How a container is reached and how it reaches others: endpoints, published ports, name resolution.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::network::Attachment;
use super::{Compiler, Problems};
use crate::compose::looks;
use crate::compose::model::{Port, Service, ServiceNetwork};
use crate::desired::{DnsSpec, EndpointSpec, Namespaces, NetMode, NsMode, PortSpec, Protocol};
use crate::name::{ContainerName, ServiceName};

/// Which namespaces a container has for itself.
pub fn namespaces(compiler: &Compiler<'_>, at: &str, service: &Service, problems: &mut Problems) -> Namespaces {
    let mut other = |key: &str, text: &str| {
        let found = another(compiler, text);
        problems.take(format!("{at}.{key}"), found)
    };
    let net = match super::network::mode(compiler, service) {
        "host" => NetMode::Host,
        "none" => NetMode::None,
        mode if mode.starts_with("service:") || mode.starts_with("container:") => {
            other("network_mode", mode).map_or(NetMode::None, NetMode::Container)
        }
        _ => NetMode::Bridge,
    };
    let mut ns = |key: &str, text: &Option<String>| match text.as_deref().unwrap_or_default() {
        "" | "private" => NsMode::Private,
        "shareable" | "none" if key == "ipc" => NsMode::Private,
        "host" => NsMode::Host,
        text => other(key, text).map_or(NsMode::Private, NsMode::Container),
    };
    let (pid, ipc, uts) = (ns("pid", &service.pid), ns("ipc", &service.ipc), ns("uts", &service.uts));
    if uts != NsMode::Private && (service.hostname.is_some() || service.domainname.is_some()) {
        problems.add(format!("{at}.uts"), "a container with another's host name cannot have its own `hostname`");
    }
    let host_cgroup = match service.cgroup.as_deref().unwrap_or_default() {
        "" | "private" => false,
        "host" => true,
        text => {
            problems.add(format!("{at}.cgroup"), format!("`{text}` is neither `host` nor `private`"));
            false
        }
    };
    let without_shm = |service: &Service| service.ipc.as_deref() == Some("none");
    let lender = service.ipc.as_deref().and_then(|text| text.strip_prefix("service:"));
    if let Some((name, _)) =
        lender.and_then(|name| compiler.project.services.get_key_value(name)).filter(|(_, one)| without_shm(one))
    {
        let message = format!("service `{name}` has no shared memory for others: it says `ipc: none`");
        problems.add_with_help(format!("{at}.ipc"), message, format!("give `{name}` the word `shareable`"));
    }
    Namespaces { net, pid, ipc, uts, host_cgroup, without_shm: without_shm(service) }
}

/// The container that `service:x` (its first replica) or `container:x` names.
fn another(compiler: &Compiler<'_>, text: &str) -> Result<ContainerName, String> {
    match text.split_once(':') {
        Some(("container", name)) if !name.is_empty() => Ok(ContainerName::from(name)),
        Some(("service", name)) => match compiler.project.services.get_key_value(name) {
            Some((name, service)) => Ok(compiler.container_name(name, service, 1)),
            None => Err(format!("there is no service `{name}`")),
        },
        _ => Err(format!("`{text}` is not done yet: host, private, service:…, container:…")),
    }
}

/// The endpoints of a container, still without the addresses that are chosen.
pub fn endpoints(
    compiler: &Compiler<'_>,
    name: &ServiceName,
    service: &Service,
    container: &ContainerName,
    attachments: &[Attachment],
    problems: &mut Problems,
) -> Vec<EndpointSpec> {
    let at = format!("services.{name}");
    let links = links(compiler, &at, service, problems);
    let answers = compiler.run().is_none_or(|run| run.use_aliases || run.service != *name);
    let taken: Vec<&str> =
        attachments.iter().filter_map(|attachment| named(&attachment.place)).map(|(_, name)| name).collect();
    // The kernel's way, and docker's: the first number that is free.
    let mut free = (0..).map(|number| format!("eth{number}")).filter(|name| !taken.contains(&name.as_str()));
    let mut list = Vec::new();
    for (index, attachment) in attachments.iter().enumerate() {
        let (place, path) = (&attachment.place, format!("{at}.networks.{}", attachment.key));
        let mut aliases = vec![container.to_string()];
        if attachment.named && answers {
            aliases.push(name.to_string());
            aliases.extend(place.aliases.iter().cloned());
        }
        let mut seen = BTreeSet::new();
        aliases.retain(|alias| seen.insert(alias.clone()));
        let interface = interface(&path, place, &mut free, problems);
        let sysctls = options(&path, place, &interface, problems);
        let primary = service.mac_address.as_ref().filter(|_| index == 0);
        if let (Some(own), Some(other)) = (primary, &place.mac_address)
            && own != other
        {
            let text = format!("`{own}` is not what the primary network says (`{other}`): keep one of them");
            problems.add(format!("{at}.mac_address"), text);
        }
        let mac = place.mac_address.as_ref().or(primary).filter(|mac| !mac.is_empty());
        list.push(EndpointSpec {
            network: attachment.network.clone(),
            interface,
            aliases,
            links: links.clone(),
            ipv4: place.ipv4_address,
            ipv6: place.ipv6_address,
            fixed: place.ipv4_address.is_some() || place.ipv6_address.is_some(),
            mac: mac.and_then(|mac| problems.take(format!("{path}.mac_address"), hardware(mac))),
            link_local: link_local(&path, &place.link_local_ips, problems),
            gateway_priority: i32::try_from(place.gw_priority).unwrap_or(i32::MAX),
            sysctls,
        });
    }
    list
}

/// Docker's names for what `interface_name` says, and for kernel parameters of the link.
const IFNAME: &str = "com.docker.network.endpoint.ifname";
const SYSCTLS: &str = "com.docker.network.endpoint.sysctls";

/// The name that a link is given in the file, and by which key.
fn named(place: &ServiceNetwork) -> Option<(&'static str, &str)> {
    let written = place.interface_name.as_deref().filter(|name| !name.is_empty()).map(|name| ("interface_name", name));
    written.or(place.driver_opts.get(IFNAME).map(|name| (IFNAME, name.as_str())))
}

fn interface(
    path: &str,
    place: &ServiceNetwork,
    free: &mut impl Iterator<Item = String>,
    problems: &mut Problems,
) -> String {
    let Some((key, name)) = named(place) else { return free.next().unwrap_or_default() };
    if let Some(other) = place.driver_opts.get(IFNAME).filter(|other| *other != name) {
        problems.add(format!("{path}.driver_opts.{IFNAME}"), format!("is `{other}`, but `interface_name` is `{name}`"));
    }
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    if name.is_empty() || name.len() > 15 || !name.chars().all(good) || matches!(name, "." | ".." | "lo") {
        let key = if key == IFNAME { format!("driver_opts.{key}") } else { key.to_owned() };
        problems.add(format!("{path}.{key}"), format!("`{name}` is no name for a link: 1 to 15 characters"));
    }
    name.to_owned()
}

/// `driver_opts` of one endpoint: the kernel parameters of its link. What nobody here knows is refused.
fn options(path: &str, place: &ServiceNetwork, interface: &str, problems: &mut Problems) -> Vec<(String, String)> {
    let mut sysctls = Vec::new();
    for (option, value) in &place.driver_opts {
        let path = format!("{path}.driver_opts.{option}");
        match option.as_str() {
            IFNAME => {}
            SYSCTLS => {
                let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
                sysctls.extend(words.filter_map(|word| problems.take(&path, sysctl(word, interface))));
            }
            _ => {
                let help = format!("a service's place in a network has the options `{SYSCTLS}` and `{IFNAME}`");
                problems.add_with_help(path, format!("there is no option `{option}` of an endpoint"), help);
            }
        }
    }
    sysctls
}

/// `net.ipv4.conf.IFNAME.log_martians=1`: only what belongs to this one link, as in docker.
fn sysctl(text: &str, interface: &str) -> Result<(String, String), String> {
    let wrong = || format!("`{text}` is no parameter of a link (as `net.ipv4.conf.IFNAME.log_martians=1`)");
    let (key, value) = text.split_once('=').ok_or_else(wrong)?;
    let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match key.split('.').collect::<Vec<_>>().as_slice() {
        ["net", family @ ("ipv4" | "ipv6" | "mpls"), kind, "IFNAME", name] if word(kind) && word(name) => {
            Ok((format!("{family}/{kind}/{interface}/{name}"), value.to_owned()))
        }
        _ => Err(wrong()),
    }
}

/// A MAC address in lower case with colons.
fn hardware(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is no hardware address of one link (as `02:42:ac:11:00:02`)");
    looks::hardware(text).ok_or_else(wrong)
}

fn link_local(path: &str, list: &[String], problems: &mut Problems) -> Vec<IpAddr> {
    let one = |(index, text): (usize, &String)| {
        let address = text.parse::<IpAddr>().map_err(|_| format!("`{text}` is no address"));
        problems.take(format!("{path}.link_local_ips[{index}]"), address)
    };
    list.iter().enumerate().filter_map(one).collect()
}

/// `links` and `external_links`: name inside this container → the service or container it stands for.
fn links(compiler: &Compiler<'_>, at: &str, service: &Service, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut links = BTreeMap::new();
    for (index, text) in service.links.iter().enumerate() {
        let (target, alias) = text.split_once(':').unwrap_or((text, text));
        if !compiler.project.services.contains_key(target) {
            problems.add(format!("{at}.links[{index}]"), format!("there is no service `{target}`"));
        }
        links.insert(alias.to_ascii_lowercase(), target.to_owned());
    }
    for text in &service.external_links {
        let (target, alias) = text.split_once(':').unwrap_or((text, text));
        links.insert(alias.to_ascii_lowercase(), target.to_owned());
    }
    links
}

/// Published ports. On the host's network they mean nothing, as in docker; in another container's they are an error.
pub fn ports(at: &str, service: &Service, net: &NetMode, problems: &mut Problems) -> Vec<PortSpec> {
    match net {
        NetMode::Host | NetMode::None => return Vec::new(),
        NetMode::Container(_) if !service.ports.is_empty() => {
            let message = "a service in another's network cannot publish ports: publish them there";
            problems.add(format!("{at}.ports"), message);
            return Vec::new();
        }
        NetMode::Container(_) | NetMode::Bridge => {}
    }
    let one = |(index, port): (usize, &Port)| problems.take(format!("{at}.ports[{index}]"), self::port(port));
    service.ports.iter().enumerate().filter_map(one).collect()
}

/// Exposed ports in one form: `99` is `99/tcp`, and of `99:100`, which docker compose takes, the port inside counts.
pub fn exposed<'a>(ports: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    let one = |text: &String| {
        let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let inside = numbers.rsplit(':').next().unwrap_or(numbers);
        format!("{inside}/{}", protocol.to_ascii_lowercase())
    };
    ports.into_iter().map(one).collect()
}

fn port(port: &Port) -> Result<PortSpec, String> {
    let protocol = match port.protocol.as_str() {
        "" | "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        other => return Err(format!("protocol `{other}` is not done yet: tcp and udp are")),
    };
    if port.target == 0 {
        return Err("port 0 inside a container is none".to_owned());
    }
    let (published, published_end) = port.published.map_or((0, 0), |range| (range.first, range.last));
    if published == 0 && published_end != 0 {
        return Err("a range of ports begins at 1".to_owned());
    }
    // 0.0.0.0 is kept apart from "all": it means IPv4 only.
    Ok(PortSpec { host_ip: port.host_ip, published, published_end, target: port.target, protocol })
}

/// How a container resolves names.
pub fn dns(at: &str, service: &Service, problems: &mut Problems) -> DnsSpec {
    for (index, server) in service.dns.iter().enumerate().filter(|(_, server)| server.parse::<IpAddr>().is_err()) {
        problems.add(format!("{at}.dns[{index}]"), format!("`{server}` is no address"));
    }
    DnsSpec { servers: service.dns.clone(), search: service.dns_search.clone(), options: service.dns_opt.clone() }
}

/// Lines of /etc/hosts: name, address.
pub fn extra_hosts(at: &str, service: &Service, problems: &mut Problems) -> Vec<(String, String)> {
    let one = |(index, text): (usize, &String)| {
        let pair = text.split_once('=').or_else(|| text.split_once(':'));
        let result = match pair.map(|(name, address)| (name.trim(), address.trim_matches(['[', ']', ' ']))) {
            Some((name, address))
                if !name.is_empty() && (address == "host-gateway" || address.parse::<IpAddr>().is_ok()) =>
            {
                Ok((name.to_owned(), address.to_owned()))
            }
            _ => Err(format!("`{text}` is not `name=address`")),
        };
        let help = "write a name and its address, as `db=10.0.0.5`; the address `host-gateway` is this machine";
        result.map_err(|message| problems.add_with_help(format!("{at}.extra_hosts[{index}]"), message, help)).ok()
    };
    service.extra_hosts.iter().enumerate().filter_map(one).collect()
}
