//! What the processes of a container may do: capabilities, `security_opt`, kernel parameters, limits per process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{Problems, Request};
use crate::compose::model::{self, Service};
use crate::desired::{Namespaces, NetMode, NsMode, Seccomp, SecuritySpec, Source, Ulimit};

/// What a container may do unless the file says otherwise: docker's list.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// All capabilities that Linux has (capabilities(7)); the host leaves out those that its kernel does not know.
const ALL: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// What a service may do.
pub fn security(at: &str, service: &Service, request: &Request, problems: &mut Problems) -> SecuritySpec {
    let mut spec = SecuritySpec {
        privileged: service.privileged,
        capabilities: capabilities(at, service, problems),
        unmasked: service.privileged,
        seccomp: if service.privileged { Seccomp::Unconfined } else { Seccomp::Default },
        ..SecuritySpec::default()
    };
    for (index, option) in service.security_opt.iter().enumerate() {
        let result = apply(&mut spec, option, request);
        problems.take(format!("{at}.security_opt[{index}]"), result);
    }
    spec
}

/// The default set with `cap_drop` and `cap_add` applied as docker does: `ALL` added leaves what is not dropped, `ALL`
/// dropped leaves what is added, and what is in both lists is there.
fn capabilities(at: &str, service: &Service, problems: &mut Problems) -> Vec<String> {
    if service.privileged {
        return ALL.iter().map(|name| (*name).to_owned()).collect();
    }
    let mut named = |list: &[String], what: &str| -> BTreeSet<String> {
        let names = list.iter().enumerate();
        names.filter_map(|(index, name)| problems.take(format!("{at}.{what}[{index}]"), capability(name))).collect()
    };
    let (add, drop) = (named(&service.cap_add, "cap_add"), named(&service.cap_drop, "cap_drop"));
    let left = |base: &[&str]| -> BTreeSet<String> {
        base.iter().filter(|name| !drop.contains(**name)).map(|name| (*name).to_owned()).collect()
    };
    let set = if add.contains("ALL") {
        left(&ALL)
    } else if drop.contains("ALL") {
        add
    } else {
        left(&DEFAULT).union(&add).cloned().collect()
    };
    set.into_iter().filter(|name| name != "ALL").collect()
}

fn capability(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name == "ALL" || ALL.contains(&name) { Ok(name.to_owned()) } else { Err(format!("`{text}` is no capability")) }
}

fn apply(spec: &mut SecuritySpec, option: &str, request: &Request) -> Result<(), String> {
    let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
    match (key, value) {
        ("no-new-privileges", "" | "true") => spec.no_new_privileges = true,
        ("no-new-privileges", "false") => spec.no_new_privileges = false,
        ("seccomp", "unconfined") => spec.seccomp = Seccomp::Unconfined,
        ("seccomp", "builtin" | "default") => spec.seccomp = Seccomp::Default,
        ("seccomp", _) => spec.seccomp = profile(option, request)?,
        ("apparmor", name) if !name.is_empty() => spec.apparmor = Some(name.to_owned()),
        ("label", label) if !label.is_empty() => spec.label.push(label.to_owned()),
        ("systempaths", "unconfined") => spec.unmasked = true,
        _ => {
            return Err(format!(
                "`{option}` is unknown: `no-new-privileges`, `seccomp=`, `apparmor=`, `label=`, `systempaths=unconfined`"
            ));
        }
    }
    Ok(())
}

/// The file that a `security_opt` names as its seccomp profile.
pub fn profile_path(option: &str, source: &Source) -> Option<PathBuf> {
    let (key, value) = option.split_once(['=', ':'])?;
    let named = key == "seccomp" && !matches!(value, "" | "unconfined" | "builtin" | "default");
    named.then(|| source.working_dir.join(value))
}

fn profile(option: &str, request: &Request) -> Result<Seccomp, String> {
    let path = profile_path(option, &request.source).ok_or("a seccomp profile needs a path")?;
    let bytes = match request.files.get(&path) {
        Some(Ok(bytes)) => bytes,
        Some(Err(error)) => return Err(format!("cannot read seccomp profile {}: {error}", path.display())),
        None => return Err(format!("cannot read seccomp profile {}", path.display())),
    };
    let value: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|error| format!("seccomp profile {} is no JSON: {error}", path.display()))?;
    Ok(Seccomp::Profile { json: value.to_string() })
}

/// Kernel parameters of the container's own namespaces, docker's two defaults among them.
pub fn sysctls(
    at: &str,
    service: &Service,
    namespaces: &Namespaces,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if matches!(namespaces.net, NetMode::Bridge | NetMode::None) {
        // So that a program without privileges may listen on port 80 and send pings, as in docker.
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
        all.insert("net.ipv4.ping_group_range".to_owned(), "0 2147483647".to_owned());
    }
    for (key, value) in &service.sysctls {
        let dotted = if key.starts_with("net/") { key.replace('/', ".") } else { key.clone() };
        if problems.take(format!("{at}.sysctls.{key}"), own(&dotted, namespaces)).is_some() {
            all.insert(dotted, value.clone());
        }
    }
    all
}

/// Parameters of the IPC namespace (ipc_namespaces(7)).
const IPC: [&str; 10] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
    "kernel.auto_msgmni",
    "kernel.msg_next_id",
];

/// Whether a parameter belongs to a namespace that the container has for itself.
fn own(key: &str, namespaces: &Namespaces) -> Result<(), String> {
    // The key becomes a path below /proc/sys: it must not lead out of the folder that its beginning names.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if !key.chars().all(plain) || ["..", "//", "/.", "./"].iter().any(|trick| key.contains(trick)) {
        return Err(format!("`{key}` is no name of a kernel parameter"));
    }
    let (what, private) = if key.starts_with("net.") {
        ("network", matches!(namespaces.net, NetMode::Bridge | NetMode::None))
    } else if IPC.contains(&key) || key.starts_with("fs.mqueue.") {
        ("IPC", namespaces.ipc == NsMode::Private)
    } else if key == "kernel.domainname" {
        ("UTS", namespaces.uts == NsMode::Private)
    } else {
        return Err(format!("`{key}` is not a parameter of a namespace: it would change the whole machine"));
    };
    if private { Ok(()) } else { Err(format!("`{key}` needs a {what} namespace of the container's own")) }
}

/// Names that setrlimit(2) knows.
const LIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Limits per process.
pub fn ulimits(
    at: &str,
    limits: &BTreeMap<String, model::Ulimit>,
    problems: &mut Problems,
) -> BTreeMap<String, Ulimit> {
    let one = |name: &str, limit: &model::Ulimit| {
        let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        let (soft, hard) = (number(limit.soft), number(limit.hard));
        if !LIMITS.contains(&name) {
            Err(format!("`{name}` is no limit: {}", LIMITS.join(", ")))
        } else if soft > hard {
            Err(format!("the soft limit {} is above the hard limit {}", limit.soft, limit.hard))
        } else {
            Ok(Ulimit { soft, hard })
        }
    };
    let limits = limits.iter();
    limits
        .filter_map(|(name, limit)| {
            let path = format!("{at}.ulimits.{name}");
            Some((name.clone(), problems.take(path, one(name, limit))?))
        })
        .collect()
}
