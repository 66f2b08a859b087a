//! Forwarding: a network needs it, the kernel starts without.

use std::fs;

use super::error::Result;
use super::sysctl;

const IPV4: &str = "ipv4/ip_forward";
const IPV6: &str = "ipv6/conf/all/forwarding";

/// Switches forwarding on where it is off, and says so.
pub(crate) fn ensure(ipv6: bool) -> Result<Vec<String>> {
    let told = pending(ipv6)?;
    if sysctl::read(IPV4)? == "0" {
        sysctl::write(IPV4, "1")?;
    }
    if ipv6 && sysctl::read(IPV6)? == "0" {
        keep_advertisements()?;
        sysctl::write(IPV6, "1")?;
    }
    Ok(told)
}

/// Whether it is on.
pub(crate) fn is_on(ipv6: bool) -> Result<bool> {
    Ok(pending(ipv6)?.is_empty())
}

/// What [`ensure`] would change, for the user.
pub(crate) fn pending(ipv6: bool) -> Result<Vec<String>> {
    let mut told = Vec::new();
    if sysctl::read(IPV4)? == "0" {
        told.push("net.ipv4.ip_forward is 0 and gets set to 1: containers need it to reach other machines".to_owned());
    }
    if ipv6 && sysctl::read(IPV6)? == "0" {
        told.push("net.ipv6.conf.all.forwarding is 0 and gets set to 1: a network with IPv6 needs it".to_owned());
    }
    Ok(told)
}

/// A link that gets its IPv6 route from a router would lose it with forwarding on, unless it says that it still wants it.
fn keep_advertisements() -> Result<()> {
    let Ok(links) = fs::read_dir("/proc/sys/net/ipv6/conf") else { return Ok(()) };
    for link in links.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let key = format!("ipv6/conf/{link}/accept_ra");
        if !matches!(link.as_str(), "all" | "default") && sysctl::read(&key).is_ok_and(|value| value == "1") {
            sysctl::write(&key, "2")?;
        }
    }
    Ok(())
}

/// Lets 127.0.0.1 be routed over a bridge, for ports that are published there, or no longer. The guard of
/// [`super::rules`] must be in place while it is on.
pub(crate) fn set_route_localnet(bridge: &str, on: bool) -> Result<()> {
    sysctl::write_if_there(&format!("ipv4/conf/{bridge}/route_localnet"), if on { "1" } else { "0" })
}
