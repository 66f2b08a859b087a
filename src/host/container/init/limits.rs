//! Resource limits of the process.

use std::collections::BTreeMap;
use std::io;

use super::problem::{Problem, Step};
use crate::desired::Ulimit;
use crate::host::process;

/// Open files: enough for servers, and not so many that programs which walk through all possible ones take seconds.
const FILES: u64 = 65_536;

const NAMES: [(&str, libc::__rlimit_resource_t); 16] = [
    ("as", libc::RLIMIT_AS),
    ("core", libc::RLIMIT_CORE),
    ("cpu", libc::RLIMIT_CPU),
    ("data", libc::RLIMIT_DATA),
    ("fsize", libc::RLIMIT_FSIZE),
    ("locks", libc::RLIMIT_LOCKS),
    ("memlock", libc::RLIMIT_MEMLOCK),
    ("msgqueue", libc::RLIMIT_MSGQUEUE),
    ("nice", libc::RLIMIT_NICE),
    ("nofile", libc::RLIMIT_NOFILE),
    ("nproc", libc::RLIMIT_NPROC),
    ("rss", libc::RLIMIT_RSS),
    ("rtprio", libc::RLIMIT_RTPRIO),
    ("rttime", libc::RLIMIT_RTTIME),
    ("sigpending", libc::RLIMIT_SIGPENDING),
    ("stack", libc::RLIMIT_STACK),
];

/// Sets the limits that are asked for, and open files to the default where they are not; none of the caller's is left.
pub(crate) fn set(limits: &BTreeMap<String, Ulimit>) -> Step {
    process::lift_limits();
    if !limits.contains_key("nofile") {
        let files = default_files();
        // Lowering is always allowed, so this can't fail; were it to, the inherited limit is as good.
        let _ = put(libc::RLIMIT_NOFILE, files.soft, files.hard);
    }
    for (name, limit) in limits {
        let (_, resource) = NAMES
            .iter()
            .find(|(known, _)| known == name)
            .ok_or_else(|| Problem::new(format!("there is no limit named `{name}`")))?;
        put(*resource, limit.soft, limit.hard).map_err(|cause| {
            let (soft, hard) = get(*resource);
            Problem::new(format!(
                "set the limit {name} to {}:{} (it is {}:{}; raising the second needs CAP_SYS_RESOURCE): {cause}",
                show(limit.soft),
                show(limit.hard),
                show(soft),
                show(hard),
            ))
        })?;
    }
    Ok(())
}

/// The limit of open files where none is asked for.
pub(crate) fn default_files() -> Ulimit {
    let (_, hard) = get(libc::RLIMIT_NOFILE);
    let hard = hard.min(1 << 20);
    Ulimit { soft: FILES.min(hard), hard }
}

fn show(value: u64) -> String {
    if value == libc::RLIM_INFINITY { "unlimited".into() } else { value.to_string() }
}

fn get(resource: libc::__rlimit_resource_t) -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure lives over the call; the resource is one of the table.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

fn put(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the structure lives over the call; the resource is one of the table.
    match unsafe { libc::setrlimit(resource, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
