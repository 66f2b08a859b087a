//! `ports`: `[[IP:]HOST:]CONTAINER[/PROTOCOL]` and ranges → one mapping a port (spec.md 4.3).

use std::net::{IpAddr, Ipv6Addr};

use crate::compose::node::{Kind, Map, Node};
use crate::compose::scalar;
use crate::diag::{Code, Diagnostic};

/// Writes every port of the list long. Lists that cannot be read stay as they are when `lenient`.
pub fn expand(node: &mut Node, lenient: bool, diags: &mut Vec<Diagnostic>) {
    let Kind::List(list) = &node.kind else { return };
    let mut long = Vec::with_capacity(list.len());
    for item in list {
        if item.as_map().is_some() {
            long.push(item.clone());
            continue;
        }
        let Some(text) = scalar::text(&item.kind) else { continue };
        match parse(&text) {
            // Nobody would know which port is meant: to the peer it is missing.
            Ok(ports) if ports.iter().any(|port| port.target == 0) => {
                diags.push(wrong(item, &text, "the container's port cannot be 0"));
            }
            Ok(ports) => long.extend(ports.into_iter().map(|port| port.node(item))),
            Err(_) if lenient => return,
            Err(problem) => diags.push(wrong(item, &text, &problem)),
        }
    }
    node.kind = Kind::List(long);
}

fn wrong(item: &Node, text: &str, problem: &str) -> Diagnostic {
    Diagnostic::new(Code::BadPort, format!("`{text}` is no port: {problem}"))
        .at(item.span, "")
        .help("write [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL], as `127.0.0.1:8080:80/tcp`")
}

struct Port {
    host_ip: String,
    published: String,
    target: u16,
    protocol: String,
}

impl Port {
    fn node(self, place: &Node) -> Node {
        let mut map = Map::new();
        let mut text = |key: &str, value: String| {
            if !value.is_empty() {
                map.insert(key.to_owned(), Node::text_like(place, value));
            }
        };
        text("mode", "ingress".to_owned());
        text("host_ip", self.host_ip);
        text("published", self.published);
        text("protocol", self.protocol);
        map.insert("target".to_owned(), Node::like(place, Kind::Int(i64::from(self.target))));
        Node::like(place, Kind::Map(map))
    }
}

fn parse(text: &str) -> Result<Vec<Port>, String> {
    let (rest, protocol) = text.split_once('/').map_or((text, "tcp"), |(rest, protocol)| (rest, protocol));
    // A slash with nothing behind it is as good as none.
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_ascii_lowercase() };
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(format!("`{protocol}` is no protocol (tcp, udp, sctp)"));
    }
    let mut parts = rest.rsplitn(3, ':');
    let container = parts.next().unwrap_or_default();
    let host = parts.next().unwrap_or_default();
    let address = address(parts.next().unwrap_or_default())?;
    if container.is_empty() {
        return Err("the container's port is missing".to_owned());
    }
    let (first, last) = range(container)?;
    if host.is_empty() {
        return Ok(sorted((first..=last).map(|target| (target, String::new())), &address, &protocol));
    }
    let (host_first, host_last) = range(host)?;
    if first == last && host_first != host_last {
        let published = format!("{host_first}-{host_last}");
        return Ok(sorted(std::iter::once((first, published)), &address, &protocol));
    }
    if host_last - host_first != last - first {
        return Err(format!("the ranges {host} and {container} differ in length"));
    }
    let pairs = (first..=last).zip(host_first..=host_last).map(|(target, host)| (target, host.to_string()));
    Ok(sorted(pairs, &address, &protocol))
}

/// In the order of the ports' text, as docker compose prints them.
fn sorted(ports: impl Iterator<Item = (u16, String)>, host_ip: &str, protocol: &str) -> Vec<Port> {
    let make =
        |(target, published)| Port { host_ip: host_ip.to_owned(), published, target, protocol: protocol.to_owned() };
    let mut ports: Vec<Port> = ports.map(make).collect();
    ports.sort_by_cached_key(|port| port.target.to_string());
    ports
}

fn address(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let inner = match text.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').ok_or("a bracket is not closed")?,
        None if text.parse::<Ipv6Addr>().is_ok() => return Err(format!("an IPv6 address needs brackets: [{text}]")),
        None => text,
    };
    inner.parse::<IpAddr>().map(|_| inner.to_owned()).map_err(|_| format!("`{inner}` is no address"))
}

fn range(text: &str) -> Result<(u16, u16), String> {
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("a port of the host belongs between the address {text} and the port inside"));
    }
    // `+80` is a number elsewhere, and no port.
    let digits = |t: &str| t.bytes().all(|byte| byte.is_ascii_digit()).then(|| t.parse::<u16>().ok()).flatten();
    let port = |t: &str| digits(t).ok_or_else(|| format!("`{t}` is no port (0 to 65535)"));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if last < first {
        return Err(format!("the range {text} ends before it begins"));
    }
    Ok((first, last))
}
