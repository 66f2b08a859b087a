//! resolv.conf: the host's own name servers.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// What a resolv.conf says (resolv.conf(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// `nameserver`, in order.
    pub servers: Vec<SocketAddr>,
    /// The last `search` or `domain`.
    pub search: Vec<String>,
    /// All `options`.
    pub options: Vec<String>,
}

impl ResolvConf {
    /// Reads the text of a resolv.conf; lines that mean nothing are passed over, as the C library does. `interface` finds
    /// the number of a link by its name, for `fe80::1%eth0`.
    pub fn parse(text: &str, interface: impl Fn(&str) -> Option<u32>) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(|word| server(word, &interface))),
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                Some("options") => conf.options.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        conf
    }
}

fn server(word: &str, interface: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    const DNS: u16 = 53;
    match word.split_once('%') {
        Some((address, link)) => {
            let scope = link.parse().ok().or_else(|| interface(link))?;
            Some(SocketAddr::V6(SocketAddrV6::new(address.parse().ok()?, DNS, 0, scope)))
        }
        None => Some(SocketAddr::new(word.parse().ok()?, DNS)),
    }
}

/// The host's servers, read again when the file has changed.
#[derive(Debug)]
pub struct HostResolvers {
    path: PathBuf,
    known: Mutex<(Option<Version>, Vec<SocketAddr>)>,
}

/// Tells one state of a file from another: device, inode, size, time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version(u64, u64, u64, i64, i64);

impl HostResolvers {
    /// The servers of this file, usually /etc/resolv.conf.
    pub fn new(path: PathBuf) -> Self {
        Self { path, known: Mutex::new((None, Vec::new())) }
    }

    /// The servers as the file has them now. One that can't be read leaves the last known ones; without any, a server on
    /// this host is asked, as the C library does.
    pub fn servers(&self) -> Vec<SocketAddr> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked only when a query leaves the machine: a stat is nothing beside that, and no watch has to be kept.
        if let Ok(version) = self.version()
            && known.0 != Some(version)
            && let Ok(text) = fs::read_to_string(&self.path)
        {
            let link = |name: &str| nix::net::if_::if_nametoindex(name).ok();
            *known = (Some(version), ResolvConf::parse(&text, link).servers);
        }
        if known.1.is_empty() {
            return vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53)];
        }
        known.1.clone()
    }

    fn version(&self) -> io::Result<Version> {
        let meta = fs::metadata(&self.path)?;
        Ok(Version(meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
    }
}
