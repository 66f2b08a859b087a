//! Devices of a container: nodes, devices by name, devices by what they can do.

use std::path::PathBuf;

use super::Problems;
use super::process::clean;
use crate::compose::model::{DeviceRequest, Service};
use crate::desired::DeviceSpec;

/// Device nodes, and the qualified names of what is described on the machine.
pub fn devices(at: &str, service: &Service, problems: &mut Problems) -> (Vec<DeviceSpec>, Vec<String>) {
    let (mut nodes, mut names) = (Vec::new(), Vec::new());
    for (index, device) in service.devices.iter().enumerate() {
        let path = format!("{at}.devices[{index}]");
        let permissions = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
        if is_qualified(&device.source) {
            names.push(device.source.clone());
        } else if !device.source.starts_with('/') {
            let message =
                format!("`{}` is neither a path nor a device's name (`vendor.com/class=name`)", device.source);
            problems.add(path, message);
        } else if !permissions.chars().all(|letter| "rwm".contains(letter)) {
            problems.add(path, format!("`{permissions}` are no permissions: letters of `rwm`"));
        } else {
            let target = if device.target.is_empty() { &device.source } else { &device.target };
            nodes.push(DeviceSpec {
                source: PathBuf::from(&device.source),
                target: clean(target),
                permissions: permissions.to_owned(),
                node: None,
            });
        }
    }
    let reserved = service.deploy.as_ref().and_then(|deploy| deploy.resources.reservations.as_ref());
    let reserved = reserved.map(|reserved| reserved.devices.as_slice()).unwrap_or_default();
    let places = [("gpus", service.gpus.as_slice()), ("deploy.resources.reservations.devices", reserved)];
    for (key, requests) in places {
        for (index, request) in requests.iter().enumerate() {
            let wanted = named(request, key == "gpus");
            for name in problems.take(format!("{at}.{key}[{index}]"), wanted).unwrap_or_default() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
    }
    (nodes, names)
}

/// `vendor.com/class=name`.
fn is_qualified(text: &str) -> bool {
    let Some((kind, name)) = text.split_once('=') else { return false };
    let word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c))
    };
    kind.split_once('/').is_some_and(|(vendor, class)| word(vendor) && word(class)) && word(name)
}

/// The kinds of devices that drivers stand for, by what they can do.
const DRIVERS: [(&str, &str, &str); 2] = [("nvidia", "gpu", "nvidia.com/gpu"), ("amd", "gpu", "amd.com/gpu")];

/// The names of the devices that are asked for by what they can do; `graphics`: `gpu` is implied.
fn named(request: &DeviceRequest, graphics: bool) -> Result<Vec<String>, String> {
    let driver = request.driver.as_deref().unwrap_or_default();
    if driver == "cdi" {
        return match request.device_ids.iter().find(|id| !is_qualified(id)) {
            Some(id) => Err(format!("`{id}` is no device's name (`vendor.com/class=name`)")),
            None if request.device_ids.is_empty() => {
                Err("driver `cdi` needs the devices' names as `device_ids`".into())
            }
            None => Ok(request.device_ids.clone()),
        };
    }
    let can = |what: &str| (graphics && what == "gpu") || request.capabilities.iter().any(|one| one == what);
    let found = DRIVERS.iter().find(|(name, what, _)| (driver.is_empty() || driver == *name) && can(what));
    let Some((.., kind)) = found else {
        return Err(format!(
            "no driver has devices with [{}]{}: `nvidia` and `amd` have `gpu`, and `cdi` has those that are named",
            request.capabilities.join(", "),
            if driver.is_empty() { String::new() } else { format!(" under the name `{driver}`") },
        ));
    };
    if !request.device_ids.is_empty() {
        return Ok(request.device_ids.iter().map(|id| format!("{kind}={id}")).collect());
    }
    match request.count.unwrap_or(-1) {
        count if count < 0 => Ok(vec![format!("{kind}=all")]),
        count => Ok((0..count).map(|number| format!("{kind}={number}")).collect()),
    }
}

/// Rules of the device cgroup: `c 1:3 rwm`.
pub fn device_rules(at: &str, service: &Service, problems: &mut Problems) -> Vec<String> {
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let good = |rule: &str| {
        let words: Vec<&str> = rule.split(' ').collect();
        let [kind, device, access] = words.as_slice() else { return false };
        let numbers = device.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor));
        matches!(*kind, "a" | "b" | "c") && numbers && !access.is_empty() && access.chars().all(|c| "rwm".contains(c))
    };
    for (index, rule) in service.device_cgroup_rules.iter().enumerate().filter(|(_, rule)| !good(rule)) {
        let message = format!("`{rule}` is no rule: it has the form `c 1:3 rwm`");
        problems.add(format!("{at}.device_cgroup_rules[{index}]"), message);
    }
    service.device_cgroup_rules.clone()
}
