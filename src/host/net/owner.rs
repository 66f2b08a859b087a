//! Who has a port: found in /proc, for the message that names the process.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::desired::Protocol;
use crate::name::{ContainerId, ProjectName};

/// A TCP socket that listens, in /proc/…/net/tcp.
const LISTEN: &str = "0A";

/// Who has a port: a process, and if it is one of ours, the container that publishes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Its id.
    pub pid: u32,
    /// Its program, without arguments: those may hold secrets.
    pub command: String,
    /// The project for which it works, with the state folder, if it is a process of windlass.
    pub project: Option<(ProjectName, PathBuf)>,
    /// The container that publishes the port, and its project.
    pub container: Option<(ProjectName, ContainerId)>,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.container {
            Some((project, container)) => write!(f, "container {} of project `{project}`", container.short()),
            None => write!(f, "process {} ({})", self.pid, self.command),
        }
    }
}

/// The sockets of this network namespace that take ports.
pub(crate) struct Sockets(Vec<(Protocol, Socket)>);

impl Sockets {
    /// Reads them.
    pub fn read() -> Self {
        let mut found = Vec::new();
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for (suffix, ipv4) in [("", true), ("6", false)] {
                // Without IPv6 there is no such file, and no socket.
                let text = fs::read_to_string(format!("/proc/thread-self/net/{protocol}{suffix}")).unwrap_or_default();
                let sockets = text.lines().skip(1).filter_map(|line| parse(line, ipv4));
                let takes = |socket: &Socket| protocol == Protocol::Udp || socket.state == LISTEN;
                found.extend(sockets.filter(takes).map(|socket| (protocol, socket)));
            }
        }
        Self(found)
    }

    /// Whether a socket stands in the way of a port, and who has it.
    ///
    /// `None`: the port is free. `Some(None)`: it is taken, by a process that can't be seen from here.
    pub fn owner_of(&self, address: Option<IpAddr>, port: u16, protocol: Protocol) -> Option<Option<Owner>> {
        let in_the_way = |(of, socket): &&(Protocol, Socket)| {
            *of == protocol && socket.port == port && clash(address, socket.address)
        };
        let inodes: Vec<u64> = self.0.iter().filter(in_the_way).map(|(_, socket)| socket.inode).collect();
        if inodes.is_empty() { None } else { Some(holder(&inodes)) }
    }
}

struct Socket {
    address: IpAddr,
    port: u16,
    state: String,
    inode: u64,
}

fn parse(line: &str, ipv4: bool) -> Option<Socket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (address, port) = fields.get(1)?.split_once(':')?;
    let address = if ipv4 {
        // Words of four bytes in the machine's order.
        IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes()))
    } else {
        let mut bytes = [0; 16];
        for (index, part) in bytes.chunks_mut(4).enumerate() {
            let word = u32::from_str_radix(address.get(index * 8..index * 8 + 8)?, 16).ok()?;
            part.copy_from_slice(&word.to_ne_bytes());
        }
        IpAddr::V6(Ipv6Addr::from(bytes))
    };
    Some(Socket {
        address,
        port: u16::from_str_radix(port, 16).ok()?,
        state: (*fields.get(3)?).to_owned(),
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Whether a socket bound to `other` keeps one from being bound to `wanted`.
fn clash(wanted: Option<IpAddr>, other: IpAddr) -> bool {
    let Some(wanted) = wanted else { return true };
    let other = other.to_canonical();
    let both_ways = other == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let same_family = wanted.is_ipv4() == other.is_ipv4();
    both_ways || same_family && (wanted == other || wanted.is_unspecified() || other.is_unspecified())
}

fn holder(inodes: &[u64]) -> Option<Owner> {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The process that opened a socket is older than those that inherited it.
    pids.sort_unstable();
    let pid = pids.into_iter().find(|pid| holds(*pid, &wanted))?;
    Some(Owner { pid, command: command(pid), project: works_for(pid), container: None })
}

fn holds(pid: u32, wanted: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
}

fn command(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().chars().filter(|letter| !letter.is_control()).collect()
}

/// The project, and its state folder, for which a process of windlass works: a supervisor, or a shim.
fn works_for(pid: u32) -> Option<(ProjectName, PathBuf)> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<&str> =
        line.split(|byte| *byte == 0).map(|word| std::str::from_utf8(word).unwrap_or_default()).collect();
    let value = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
    let (project, root) = match *words.get(1)? {
        "__supervisor" => (value("--project")?, value("--root")?),
        // Run folder, state folder, project, the world's state folder.
        "__shim" => (*words.get(4)?, *words.get(5)?),
        _ => return None,
    };
    let root = PathBuf::from(root);
    Some((ProjectName::from(project), root.canonicalize().unwrap_or(root)))
}
