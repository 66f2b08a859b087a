//! config.json: a container in the words of the OCI runtime specification, from the same specification that our own init
//! works from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use serde_json::{Map, Value, json};

use super::super::bundle::Bundle;
use super::super::init::devices::Node;
use super::super::init::problem::{Problem, Step, doing};
use super::super::init::user::Identity;
use super::super::init::{label, limits, masks, sysctls};
use super::mounts::root_propagation;
use crate::desired::{ContainerSpec, NetMode, NsMode, SecuritySpec, Ulimit};
use crate::host::capability::{self, Set};
use crate::host::cgroup::{Controller, Devices};
use crate::host::seccomp;

/// The version that is written: what every runtime of today reads.
const VERSION: &str = "1.0.2";

/// A program that is to run, the container's first or one that joins it.
pub(crate) struct Process<'a> {
    /// The program and its arguments.
    pub argv: &'a [String],
    /// Its whole environment.
    pub env: &'a [String],
    /// Working directory.
    pub cwd: &'a str,
    /// Who it is.
    pub identity: &'a Identity,
    /// It has a terminal.
    pub tty: bool,
    /// What it may do.
    pub security: &'a SecuritySpec,
    /// Resource limits.
    pub ulimits: &'a BTreeMap<String, Ulimit>,
}

/// A namespace that is entered (with the path of one that exists) or made.
pub(super) type Namespace = (&'static str, Option<PathBuf>);

/// All that a bundle is written from.
pub(super) struct Parts<'a> {
    pub bundle: &'a Bundle,
    pub root: &'a Path,
    pub process: Process<'a>,
    pub mounts: Vec<Value>,
    pub nodes: &'a [Node],
    pub namespaces: Vec<Namespace>,
}

/// The whole of config.json.
pub(super) fn whole(parts: &Parts<'_>) -> Step<Value> {
    let (spec, host) = (&parts.bundle.spec, &parts.bundle.host);
    let mut config = json!({
        "ociVersion": VERSION,
        "process": process(&parts.process)?,
        "root": { "path": parts.root, "readonly": spec.read_only },
        "mounts": parts.mounts,
        "annotations": spec.annotations,
        "linux": linux(parts)?,
    });
    if spec.namespaces.uts == NsMode::Private {
        config["hostname"] = host.hostname.as_str().into();
    }
    if !host.hooks.is_empty() {
        let hook = |hook: &super::super::bundle::OciHook| {
            let mut entry = json!({ "path": hook.path, "args": hook.args, "env": hook.env });
            if let Some(seconds) = hook.timeout {
                entry["timeout"] = seconds.into();
            }
            entry
        };
        config["hooks"] = json!({ "createContainer": host.hooks.iter().map(hook).collect::<Vec<_>>() });
    }
    Ok(config)
}

/// The part `process`, which is also what `exec` takes.
pub(crate) fn process(process: &Process<'_>) -> Step<Value> {
    let (identity, security) = (process.identity, process.security);
    let wanted = if security.privileged {
        Set::all()
    } else {
        Set::from_names(&security.capabilities).map_err(|unknown| Problem::new(unknown.to_string()))?
    };
    // What this process lacks itself it can't give.
    let bounding = capabilities(wanted.and(Set::bounding()));
    // Another user than root has none, as docker has it.
    let own: &[String] = if identity.uid == 0 { &bounding } else { &[] };
    let user = json!({
        "uid": identity.uid, "gid": identity.gid, "additionalGids": identity.groups, "umask": 0o022,
    });
    let mut all = json!({
        "terminal": process.tty,
        "user": user,
        "args": process.argv,
        "env": process.env,
        "cwd": if process.cwd.is_empty() { "/" } else { process.cwd },
        "capabilities": { "bounding": bounding, "permitted": own, "effective": own },
        "rlimits": rlimits(process.ulimits),
        "noNewPrivileges": security.no_new_privileges,
    });
    if let Some(profile) = security.apparmor.as_deref().filter(|profile| *profile != "unconfined") {
        all["apparmorProfile"] = profile.into();
    }
    if let Some(label) = label::selinux(security) {
        all["selinuxLabel"] = label.into();
    }
    Ok(all)
}

fn capabilities(set: Set) -> Vec<String> {
    let names = (0..64).filter(|number| set.has(*number)).filter_map(capability::name);
    names.map(|name| format!("CAP_{name}")).collect()
}

fn rlimits(limits: &BTreeMap<String, Ulimit>) -> Vec<Value> {
    let mut all = limits.clone();
    all.entry("nofile".to_owned()).or_insert_with(limits::default_files);
    let one = |(name, limit): (&String, &Ulimit)| json!({ "type": format!("RLIMIT_{}", name.to_ascii_uppercase()), "soft": limit.soft, "hard": limit.hard });
    all.iter().map(one).collect()
}

fn linux(parts: &Parts<'_>) -> Step<Value> {
    let (spec, host) = (&parts.bundle.spec, &parts.bundle.host);
    let mut linux = Map::new();
    let namespace = |(kind, path): &Namespace| match path {
        Some(path) => json!({ "type": kind, "path": path }),
        None => json!({ "type": kind }),
    };
    linux.insert("namespaces".into(), parts.namespaces.iter().map(namespace).collect());
    linux.insert("cgroupsPath".into(), json!(host.cgroup_path));
    linux.insert("resources".into(), resources(parts)?);
    linux.insert("devices".into(), parts.nodes.iter().map(node).collect());
    linux.insert("sysctl".into(), json!(sysctl(spec)));
    if let Some(propagation) = root_propagation(spec) {
        linux.insert("rootfsPropagation".into(), propagation.into());
    }
    if !spec.security.privileged && !spec.security.unmasked {
        let paths = |top: &str, names: &[&str]| names.iter().map(|name| format!("{top}/{name}")).collect::<Vec<_>>();
        let hidden = [paths("/proc", &masks::PROC), paths("/sys", &masks::SYS)].concat();
        linux.insert("maskedPaths".into(), json!(hidden));
        linux.insert("readonlyPaths".into(), json!(paths("/proc", &masks::READ_ONLY)));
    }
    if let Some(filter) = seccomp::oci(&spec.security).map_err(doing("make the system call filter"))? {
        linux.insert("seccomp".into(), filter);
    }
    Ok(Value::Object(linux))
}

fn sysctl(spec: &ContainerSpec) -> BTreeMap<String, String> {
    let mut all = spec.sysctls.clone();
    if matches!(spec.namespaces.net, NetMode::Bridge | NetMode::None) {
        for (key, value) in sysctls::DEFAULTS {
            all.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    all
}

/// The devices, and once more those limits by which a runtime decides how large a machine it makes. All limits stand on the
/// group already, which windlass has made; one that this kernel lacks would be an error of the runtime's and is a warning
/// of ours.
fn resources(parts: &Parts<'_>) -> Step<Value> {
    let (spec, cgroup) = (&parts.bundle.spec, &parts.bundle.host.cgroup);
    let limits = &spec.resources;
    let mut all = json!({ "devices": devices(spec)? });
    if let (Some(bytes), true) = (limits.memory, cgroup.has(Controller::Memory)) {
        all["memory"] = json!({ "limit": bytes });
    }
    if cgroup.has(Controller::Cpu) {
        let mut cpu = Map::new();
        if let Some(period) = limits.cpu_period.filter(|period| *period > 0) {
            cpu.insert("period".into(), period.into());
        }
        if let Some(quota) = limits.cpu_quota.filter(|quota| *quota > 0) {
            cpu.insert("quota".into(), quota.into());
        }
        if !cpu.is_empty() {
            all["cpu"] = Value::Object(cpu);
        }
    }
    Ok(all)
}

fn devices(spec: &ContainerSpec) -> Step<Vec<Value>> {
    let rules = match Devices::of(spec).map_err(doing("look at the devices"))? {
        Devices::All => return Ok(vec![json!({ "allow": true, "access": "rwm" })]),
        rules @ Devices::Rules(_) => rules.with_standard(),
    };
    let mut list = vec![json!({ "allow": false, "access": "rwm" })];
    for rule in rules {
        let letters = [(rule.read, 'r'), (rule.write, 'w'), (rule.mknod, 'm')];
        let access: String = letters.into_iter().filter_map(|(has, letter)| has.then_some(letter)).collect();
        let mut entry = json!({ "allow": true, "type": rule.kind, "access": access });
        for (key, number) in [("major", rule.major), ("minor", rule.minor)] {
            if let Some(number) = number {
                entry[key] = number.into();
            }
        }
        list.push(entry);
    }
    Ok(list)
}

fn node(node: &Node) -> Value {
    json!({
        "path": node.target,
        "type": if node.kind == FileType::BlockDevice { "b" } else { "c" },
        "major": rustix::fs::major(node.device),
        "minor": rustix::fs::minor(node.device),
        "fileMode": node.mode,
        "uid": node.uid,
        "gid": node.gid,
    })
}
