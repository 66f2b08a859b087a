//! Forwarding: a network needs it, the kernel starts without.

use std::fs;

use super::error::Result;
use super::sysctl;

/// Switches forwarding on where it is off, and says so.
pub(crate) fn ensure(ipv6: bool) -> Result<Vec<String>> {
    let mut told = Vec::new();
    if sysctl::read("ipv4/ip_forward")? == "0" {
        sysctl::write("ipv4/ip_forward", "1")?;
        told.push("net.ipv4.ip_forward was 0 and is 1 now: containers need it to reach other machines".to_owned());
    }
    if ipv6 && sysctl::read("ipv6/conf/all/forwarding")? == "0" {
        keep_advertisements()?;
        sysctl::write("ipv6/conf/all/forwarding", "1")?;
        told.push("net.ipv6.conf.all.forwarding was 0 and is 1 now: a network with IPv6 needs it".to_owned());
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
