//! What a device changes of a container.

use std::path::PathBuf;

use serde::Deserialize;

use super::CdiError;
use crate::desired::{ContainerSpec, DeviceNode, DeviceSpec, MountSource, MountSpec};
use crate::host::container::bundle::OciHook;

/// `containerEdits` of CDI.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
    additional_gids: Vec<u32>,
    net_devices: Vec<serde_yaml::Value>,
    intel_rdt: Option<serde_yaml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    path: String,
    host_path: Option<PathBuf>,
    #[serde(rename = "type")]
    kind: Option<String>,
    major: Option<u32>,
    minor: Option<u32>,
    file_mode: Option<u32>,
    permissions: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mount {
    host_path: PathBuf,
    container_path: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    options: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hook {
    hook_name: String,
    path: PathBuf,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    timeout: Option<u64>,
}

/// Changes `spec`; hooks are added to `hooks`.
pub fn edit(spec: &mut ContainerSpec, name: &str, edits: &Edits, hooks: &mut Vec<OciHook>) -> Result<(), CdiError> {
    let impossible = |what: String| CdiError::Impossible { name: name.to_owned(), what };
    if !edits.net_devices.is_empty() {
        return Err(impossible("network devices".to_owned()));
    }
    if edits.intel_rdt.is_some() {
        return Err(impossible("Intel RDT".to_owned()));
    }
    for entry in &edits.env {
        let key = entry.split_inclusive('=').next().unwrap_or_default();
        spec.env.retain(|known| !known.starts_with(key));
        spec.env.push(entry.clone());
    }
    for node in &edits.device_nodes {
        spec.devices.retain(|known| known.target != node.path);
        spec.devices.push(device(node));
    }
    for mount in &edits.mounts {
        let made = bind(mount).map_err(impossible)?;
        spec.mounts.retain(|known| known.target != made.target);
        spec.mounts.push(made);
    }
    spec.mounts.sort_by_key(|mount| mount.target.matches('/').count());
    spec.groups.extend(edits.additional_gids.iter().filter(|gid| **gid != 0).map(ToString::to_string));
    for Hook { hook_name, path, args, env, timeout } in &edits.hooks {
        if !matches!(hook_name.as_str(), "prestart" | "createRuntime" | "createContainer") {
            return Err(impossible(format!("a hook `{hook_name}`")));
        }
        let (path, args, env) = (path.clone(), args.clone(), env.clone());
        hooks.push(OciHook { path, args, env, timeout: *timeout });
    }
    Ok(())
}

fn device(node: &Node) -> DeviceSpec {
    let numbers = node.kind.as_deref().zip(node.major).zip(node.minor);
    let known = numbers.filter(|((kind, _), _)| matches!(*kind, "b" | "c" | "u"));
    DeviceSpec {
        source: node.host_path.clone().unwrap_or_else(|| PathBuf::from(&node.path)),
        target: node.path.clone(),
        permissions: node.permissions.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "rwm".to_owned()),
        node: known.map(|((kind, major), minor)| DeviceNode {
            block: kind == "b",
            major,
            minor,
            mode: node.file_mode.unwrap_or(0o666),
            uid: node.uid.unwrap_or(0),
            gid: node.gid.unwrap_or(0),
        }),
    }
}

fn bind(mount: &Mount) -> Result<MountSpec, String> {
    if !matches!(mount.kind.as_str(), "" | "bind" | "none") {
        return Err(format!("a mount of type `{}`", mount.kind));
    }
    let has = |option: &str| mount.options.iter().any(|one| one == option);
    let propagation = ["shared", "rshared", "slave", "rslave", "private", "rprivate"];
    let source = MountSource::Bind {
        path: mount.host_path.clone(),
        create: false,
        propagation: propagation.into_iter().find(|one| has(one)).unwrap_or_default().to_owned(),
        recursive: has("rbind"),
        recursive_read_only: has("rro"),
    };
    Ok(MountSpec { target: mount.container_path.clone(), source, read_only: has("ro") || has("rro") })
}
