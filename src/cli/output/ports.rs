//! Published ports as docker lists them: `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use crate::desired::{PortSpec, Protocol};

/// One address on the host that leads to a port inside. The keys are those of docker compose.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Publisher {
    /// Address on the host.
    #[serde(rename = "URL")]
    pub url: String,
    /// Port inside.
    #[serde(rename = "TargetPort")]
    pub target: u16,
    /// Port on the host.
    #[serde(rename = "PublishedPort")]
    pub published: u16,
    /// `tcp` or `udp`.
    #[serde(rename = "Protocol")]
    pub protocol: String,
}

/// Every address on the host that the ports are reached by.
pub fn publishers(ports: &[PortSpec]) -> Vec<Publisher> {
    let mut list: Vec<Publisher> = ports.iter().flat_map(|port| addresses(port).map(move |ip| one(port, ip))).collect();
    list.sort_by(|a, b| {
        (a.target, &a.url, a.published, &a.protocol).cmp(&(b.target, &b.url, b.published, &b.protocol))
    });
    list.dedup();
    list
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
pub fn list(ports: &[PortSpec]) -> String {
    let mut ranges: Vec<(Publisher, u16)> = Vec::new();
    let mut others = Vec::new();
    for port in publishers(ports) {
        if port.published != port.target {
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
        format!("{}->{span}/{}", host(&first.url, &span), first.protocol)
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
        assert_eq!(list(&ports), "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp");
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
            list(&ports),
            "127.0.0.1:53->53/udp, 127.0.0.1:8000-8001->8000-8001/tcp, 127.0.0.1:8003->8003/tcp, 127.0.0.1:9000->90/tcp"
        );
    }
}
