//! Ports as docker lists them, published and exposed ones: `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 99/udp`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::desired::{NetMode, PortSpec, Protocol};
use crate::observed::ObservedContainer;

/// One address on the host that leads to a port inside, or a port that is only exposed. The keys are those of docker compose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Publisher {
    /// Address on the host; empty where the port is not published.
    #[serde(rename = "URL")]
    pub url: String,
    /// Port inside.
    #[serde(rename = "TargetPort")]
    pub target: u16,
    /// Port on the host; 0 where it is not published.
    #[serde(rename = "PublishedPort")]
    pub published: u16,
    /// `tcp`, `udp`; of an exposed one `sctp` too.
    #[serde(rename = "Protocol")]
    pub protocol: String,
}

/// The ports of a container: every address on the host that one is reached by, and, where there is none, that it is exposed.
pub fn of(container: &ObservedContainer) -> Vec<Publisher> {
    let mut list = publishers(&container.ports);
    let spec = &container.spec;
    // As in docker: not of one that has no network of its own, or does not run.
    if !container.is_running() || spec.namespaces.net != NetMode::Bridge {
        return list;
    }
    for (target, protocol) in spec.exposed.iter().chain(&spec.image_exposed).flat_map(|text| numbers(text)) {
        if !list.iter().any(|port| port.target == target && port.protocol == protocol) {
            list.push(Publisher { url: String::new(), target, published: 0, protocol: protocol.to_owned() });
        }
    }
    sort(&mut list);
    list
}

/// The ports of `99/tcp` or `100-110/udp`.
fn numbers(text: &str) -> impl Iterator<Item = (u16, &str)> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let range = first.parse().ok().zip(last.parse().ok()).map(|(first, last): (u16, u16)| first..=last);
    range.into_iter().flatten().map(move |number| (number, protocol))
}

/// Every address on the host that the ports are reached by.
pub fn publishers(ports: &[PortSpec]) -> Vec<Publisher> {
    let mut list: Vec<Publisher> = ports.iter().flat_map(|port| addresses(port).map(move |ip| one(port, ip))).collect();
    sort(&mut list);
    list.dedup();
    list
}

fn sort(list: &mut [Publisher]) {
    list.sort_by(|a, b| {
        (a.target, &a.url, a.published, &a.protocol).cmp(&(b.target, &b.url, b.published, &b.protocol))
    });
}

fn addresses(port: &PortSpec) -> impl Iterator<Item = IpAddr> + use<> {
    let (first, second) = match port.host_ip {
        Some(ip) => (ip, None),
        None => (IpAddr::V4(Ipv4Addr::UNSPECIFIED), Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED))),
    };
    std::iter::once(first).chain(second)
}

fn one(port: &PortSpec, ip: IpAddr) -> Publisher {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    Publisher { url: ip.to_string(), target: port.target, published: port.published, protocol: protocol.into() }
}

/// The list for people. Neighbours that have the same number inside and outside become one range; the others follow.
pub fn list(ports: &[Publisher]) -> String {
    let mut ranges: Vec<(Publisher, u16)> = Vec::new();
    let mut others = Vec::new();
    for port in ports {
        if !port.url.is_empty() && port.published != port.target {
            others.push(format!("{}->{}/{}", host(&port.url, &port.published), port.target, port.protocol));
            continue;
        }
        let open = ranges.iter_mut().find(|(first, last)| {
            first.url == port.url && first.protocol == port.protocol && last.checked_add(1) == Some(port.target)
        });
        match open {
            Some((_, last)) => *last = port.target,
            None => ranges.push((port.clone(), port.target)),
        }
    }
    let ranges = ranges.into_iter().map(|(first, last)| {
        let span = if first.target == last { last.to_string() } else { format!("{}-{last}", first.target) };
        let way = if first.url.is_empty() { String::new() } else { format!("{}->", host(&first.url, &span)) };
        format!("{way}{span}/{}", first.protocol)
    });
    ranges.chain(others).collect::<Vec<_>>().join(", ")
}

/// `address:port`, an IPv6 address in brackets.
pub fn host(address: &str, port: &impl std::fmt::Display) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: Option<&str>, published: u16, target: u16, protocol: Protocol) -> PortSpec {
        let host_ip = ip.map(|ip| ip.parse().expect("an address"));
        PortSpec { host_ip, published, published_end: published, target, protocol }
    }

    #[test]
    fn all_addresses_means_both_families() {
        let ports = [port(None, 8080, 80, Protocol::Tcp)];
        assert_eq!(list(&publishers(&ports)), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
    }

    #[test]
    fn neighbours_become_a_range_and_others_follow() {
        let local = Some("127.0.0.1");
        let ports = [
            port(local, 9000, 90, Protocol::Tcp),
            port(local, 8001, 8001, Protocol::Tcp),
            port(local, 8000, 8000, Protocol::Tcp),
            port(local, 8003, 8003, Protocol::Tcp),
            port(local, 53, 53, Protocol::Udp),
        ];
        assert_eq!(
            list(&publishers(&ports)),
            "127.0.0.1:53->53/udp, 127.0.0.1:8000-8001->8000-8001/tcp, 127.0.0.1:8003->8003/tcp, 127.0.0.1:9000->90/tcp"
        );
    }
}
