//! The text of /etc/hosts and /etc/resolv.conf of a container. Pure: the host's own files come in as text.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::desired::{ContainerSpec, NetMode};

/// What the texts depend on besides the container's specification.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The container's host name.
    pub hostname: String,
    /// Its addresses, the primary network's first.
    pub addresses: Vec<IpAddr>,
    /// What `host-gateway` stands for.
    pub gateway: Option<IpAddr>,
    /// The host's /etc/hosts.
    pub host_hosts: String,
    /// The host's /etc/resolv.conf.
    pub host_resolv: String,
}

const STANDARD: &str = "127.0.0.1\tlocalhost\n\
                        ::1\tlocalhost ip6-localhost ip6-loopback\n\
                        fe00::\tip6-localnet\n\
                        ff00::\tip6-mcastprefix\n\
                        ff02::1\tip6-allnodes\n\
                        ff02::2\tip6-allrouters\n";

/// /etc/hosts: the standard names, `extra_hosts`, and the container's own. A container in the host's network has the host's.
pub fn hosts(spec: &ContainerSpec, around: &Surroundings) -> String {
    let host_net = spec.namespaces.net == NetMode::Host;
    let mut text = if host_net { around.host_hosts.clone() } else { STANDARD.to_owned() };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, address) in &spec.extra_hosts {
        let gateway = around.gateway.map(|g| g.to_string());
        let address = if address == "host-gateway" { gateway.unwrap_or_default() } else { address.clone() };
        if !address.is_empty() {
            line(&mut text, &address, name);
        }
    }
    let own = match &spec.domainname {
        Some(domain) if !domain.is_empty() => format!("{0}.{domain} {0}", around.hostname),
        _ => match around.hostname.split_once('.') {
            Some((short, _)) => format!("{} {short}", around.hostname),
            None => around.hostname.clone(),
        },
    };
    for address in &around.addresses {
        line(&mut text, &address.to_string(), &own);
    }
    text
}

fn line(text: &mut String, address: &str, names: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{address}\t{names}");
}

/// /etc/resolv.conf: the embedded resolver where the container is on a network of ours, else the host's servers, with
/// `dns`, `dns_search` and `dns_opt` in their place.
pub fn resolv_conf(spec: &ContainerSpec, around: &Surroundings) -> String {
    let embedded = spec.namespaces.net == NetMode::Bridge && !spec.endpoints.is_empty();
    let host = Resolv::parse(&around.host_resolv);
    let servers = match (embedded, spec.dns.servers.is_empty()) {
        (true, _) => vec!["127.0.0.11".to_owned()],
        (false, false) => spec.dns.servers.clone(),
        (false, true) => host.servers,
    };
    let search = if spec.dns.search.is_empty() { host.search } else { spec.dns.search.clone() };
    let mut options = if spec.dns.options.is_empty() { host.options } else { spec.dns.options.clone() };
    if embedded && !options.iter().any(|o| o.starts_with("ndots:")) {
        // A service's name has no dot and must not go through the search list first.
        options.push("ndots:0".to_owned());
    }
    let mut text = String::new();
    for server in servers {
        let _ = writeln!(text, "nameserver {server}");
    }
    let search: Vec<String> = search.into_iter().filter(|s| s != ".").collect();
    if !search.is_empty() {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// The specification that the texts of a container in another's network are made from: the other's, with its own additions.
pub fn joined(spec: &ContainerSpec, owner: &ContainerSpec) -> ContainerSpec {
    let mut joined = owner.clone();
    joined.extra_hosts.extend(spec.extra_hosts.iter().cloned());
    for (own, theirs) in [(&spec.dns.search, &mut joined.dns.search), (&spec.dns.options, &mut joined.dns.options)] {
        if !own.is_empty() {
            theirs.clone_from(own);
        }
    }
    joined
}

/// What resolv.conf(5) says, as far as it is handed on.
#[derive(Default)]
struct Resolv {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolv {
    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => found.servers.extend(words.next()),
                // The last one counts, and `domain` is a search list of one.
                Some("search" | "domain") => found.search = words.collect(),
                Some("options") => found.options.extend(words),
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::EndpointSpec;

    fn around() -> Surroundings {
        Surroundings {
            hostname: "web".into(),
            addresses: vec!["172.18.0.2".parse().expect("an address")],
            gateway: Some("172.18.0.1".parse().expect("an address")),
            host_hosts: "127.0.0.1 host".into(),
            host_resolv: "# ours\nnameserver 127.0.0.53\nsearch lan\noptions edns0\n".into(),
        }
    }

    fn on_a_network() -> ContainerSpec {
        ContainerSpec { endpoints: vec![EndpointSpec::default()], ..ContainerSpec::default() }
    }

    #[test]
    fn hosts_has_the_own_name_and_the_extra_ones() {
        let mut spec = on_a_network();
        spec.extra_hosts = vec![("db".into(), "10.0.0.9".into()), ("up".into(), "host-gateway".into())];
        spec.domainname = Some("example.org".into());
        let text = hosts(&spec, &around());
        let end = "10.0.0.9\tdb\n172.18.0.1\tup\n172.18.0.2\tweb.example.org web\n";
        assert!(text.starts_with("127.0.0.1\tlocalhost\n") && text.ends_with(end), "{text}");
        let dotted = Surroundings { hostname: "my.host".into(), ..around() };
        assert!(hosts(&on_a_network(), &dotted).ends_with("172.18.0.2\tmy.host my\n"), "its first part alone, too");
    }

    #[test]
    fn the_hosts_network_brings_the_hosts_names() {
        let mut spec = ContainerSpec::default();
        spec.namespaces.net = NetMode::Host;
        let around = Surroundings { addresses: Vec::new(), ..around() };
        assert_eq!(hosts(&spec, &around), "127.0.0.1 host\n");
        assert_eq!(resolv_conf(&spec, &around), "nameserver 127.0.0.53\nsearch lan\noptions edns0\n");
    }

    #[test]
    fn one_in_the_network_of_another_has_its_name_server_and_names() {
        let mut owner = on_a_network();
        owner.extra_hosts = vec![("db".into(), "10.0.0.9".into())];
        let mut spec = ContainerSpec { extra_hosts: vec![("x".into(), "10.0.0.8".into())], ..ContainerSpec::default() };
        spec.namespaces.net = NetMode::Container("owner".into());
        spec.dns.search = vec!["own".into()];
        let joined = joined(&spec, &owner);
        assert_eq!(resolv_conf(&joined, &around()), "nameserver 127.0.0.11\nsearch own\noptions edns0 ndots:0\n");
        assert!(hosts(&joined, &around()).ends_with("10.0.0.9\tdb\n10.0.0.8\tx\n172.18.0.2\tweb\n"));
    }

    #[test]
    fn a_network_of_ours_has_the_embedded_resolver() {
        let mut spec = on_a_network();
        assert_eq!(resolv_conf(&spec, &around()), "nameserver 127.0.0.11\nsearch lan\noptions edns0 ndots:0\n");
        spec.dns.search = vec![".".into()];
        spec.dns.options = vec!["ndots:2".into()];
        spec.dns.servers = vec!["9.9.9.9".into()];
        assert_eq!(resolv_conf(&spec, &around()), "nameserver 127.0.0.11\noptions ndots:2\n");
    }
}
