//! What a project asks of this machine that it has not, told before anything is made: sources of bind mounts, devices,
//! processors.

use std::collections::BTreeSet;
use std::path::Path;

use crate::compose::looks::processors;
use crate::compose::model::{Mount, MountKind, Project, Service};
use crate::desired::compile::CompileError;
use crate::name::ServiceName;

/// What is lacking of these services, each at its place in the files.
pub fn of(project: &Project, touched: &BTreeSet<ServiceName>) -> Vec<CompileError> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    let services = project.services.iter().filter(|(name, _)| touched.contains(*name));
    services.flat_map(|(name, service)| of_service(&format!("services.{name}"), service, online.trim())).collect()
}

fn of_service(at: &str, service: &Service, online: &str) -> Vec<CompileError> {
    let mut found = Vec::new();
    let mut tell = |path: String, message: String, help: &str| {
        found.push(CompileError { path: format!("{at}.{path}"), message, help: Some(help.to_owned()) });
    };
    for (index, source) in service.volumes.iter().enumerate().filter_map(|(index, one)| Some((index, bound(one)?))) {
        if is_missing(source) {
            let help = "make it, or let it be made with `bind: {create_host_path: true}`";
            tell(format!("volumes[{index}]"), format!("there is no `{source}` on this machine to mount"), help);
        }
    }
    for (index, device) in service.devices.iter().enumerate() {
        if device.source.starts_with('/') && is_missing(&device.source) {
            let help = "`ls /dev` shows what there is; a module may have to be loaded first";
            tell(format!("devices[{index}]"), format!("there is no device `{}` on this machine", device.source), help);
        }
    }
    if let Some(wanted) = service.cpuset.as_deref().filter(|wanted| lacks(wanted, online)) {
        let message = format!("cpuset `{wanted}` names processors that this machine has not");
        tell("cpuset".into(), message, &format!("it has {online}"));
    }
    found
}

/// The source of a bind mount that nobody makes.
fn bound(mount: &Mount) -> Option<&str> {
    let makes = mount.makes_source();
    let source = mount.source.as_deref().filter(|source| source.starts_with('/'))?;
    (mount.kind == MountKind::Bind && !makes).then_some(source)
}

/// What can't be looked at is somebody else's to tell.
fn is_missing(path: &str) -> bool {
    Path::new(path).try_exists().is_ok_and(|there| !there)
}

/// Whether a list like `0-3,8` has a processor that another has not.
fn lacks(wanted: &str, online: &str) -> bool {
    match (processors(wanted), processors(online)) {
        (Some(wanted), Some(online)) => {
            wanted.iter().any(|(first, last)| !online.iter().any(|(low, high)| low <= first && last <= high))
        }
        // What is no list was told when the file was loaded.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::model::BindOptions;

    #[test]
    fn all_that_is_lacking_is_told_at_once() {
        let service = Service {
            cpuset: Some("0,99999".into()),
            volumes: vec![
                Mount {
                    kind: MountKind::Bind,
                    source: Some("/no/such".into()),
                    target: "/a".into(),
                    bind: Some(BindOptions::default()),
                    ..Mount::default()
                },
                Mount { kind: MountKind::Bind, source: Some("/proc".into()), target: "/b".into(), ..Mount::default() },
            ],
            ..Service::default()
        };
        let told: Vec<String> = of_service("services.web", &service, "0-3").iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "services.web.volumes[0]: there is no `/no/such` on this machine to mount",
                "services.web.cpuset: cpuset `0,99999` names processors that this machine has not",
            ]
        );
    }

    #[test]
    fn lists_of_processors_are_compared() {
        assert!(!lacks("0-3", "0-7") && !lacks("1,5-6", "0-3,5-7") && !lacks("odd", "0-3") && !lacks("0", ""));
        assert!(lacks("99", "0-3") && lacks("2-4", "0-3"));
    }
}
