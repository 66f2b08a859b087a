//! Kernel parameters below /proc/sys/net, which belong to the network namespace of the thread that opens the file.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::error::{Context, Result};

/// Reads `/proc/sys/net/<key>`.
pub(crate) fn read(key: &str) -> Result<String> {
    let path = path(key);
    std::fs::read_to_string(&path).map(|text| text.trim().to_owned()).at("read", path)
}

/// Writes `/proc/sys/net/<key>`.
pub(crate) fn write(key: &str, value: &str) -> Result<()> {
    let path = path(key);
    std::fs::write(&path, value).at("write", path)
}

/// Writes it if the kernel has it: without IPv6 there is nothing to set for it.
pub(crate) fn write_if_there(key: &str, value: &str) -> Result<()> {
    let path = path(key);
    match std::fs::write(&path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at("write", path),
    }
}

/// Sets the IPv6 parameters of a link that is still down: router advertisements are believed from nobody (a neighbour could
/// send them, CVE-2020-13401), addresses are not probed for duplicates, and a network without IPv6 has none at all.
pub(crate) fn protect_link(link: &str, ipv6: bool) -> Result<()> {
    let settings: &[(&str, &str)] =
        if ipv6 { &[("accept_ra", "0"), ("accept_dad", "0")] } else { &[("disable_ipv6", "1")] };
    settings.iter().try_for_each(|(key, value)| write_if_there(&format!("ipv6/conf/{link}/{key}"), value))
}

/// Makes a link inside another network namespace that is protected as by [`protect_link`].
///
/// To switch IPv6 off for a link that is there spins for the lock of all links, which other containers' links hold. The
/// default that a new link takes over needs no lock (Linux 6.9).
pub(crate) fn protected<T: Send>(
    netns: BorrowedFd<'_>,
    link: &str,
    ipv6: bool,
    make: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    const DEFAULT: &str = "ipv6/conf/default/disable_ipv6";
    inside(netns, || {
        if ipv6 {
            let made = make()?;
            protect_link(link, true)?;
            return Ok(made);
        }
        // Without IPv6 in the kernel there is none.
        let before = read(DEFAULT).ok();
        write_if_there(DEFAULT, "1")?;
        let made = make();
        before.map_or(Ok(()), |value| write_if_there(DEFAULT, &value))?;
        made
    })
}

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys/net").join(key)
}

/// Runs something inside another network namespace, on a thread of its own that ends with it: a thread that has been there
/// must not go back to a pool.
pub(crate) fn inside<T: Send>(netns: BorrowedFd<'_>, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let entered = || {
        setns(netns, CloneFlags::CLONE_NEWNET).map_err(io::Error::from).context("enter", "the network namespace")?;
        work()
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, entered).context("start", "a thread")?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
