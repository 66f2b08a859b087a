#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::net::IpAddr;
use std::time::Duration;

use super::*;
use crate::desired::*;

mod addresses;
mod containers;
mod logs;
mod requests;

/// A canonical project, as the passes before leave it.
fn project(yaml: &str) -> Project {
    let mut project: Project = serde_yaml::from_str(yaml).unwrap();
    project.name = "shop".into();
    let bare = |service: &Service| service.networks.is_empty() && service.network_mode.is_none();
    for service in project.services.values_mut().filter(|service| bare(service)) {
        service.networks.insert("default".into(), Default::default());
        project.networks.entry("default".into()).or_default();
    }
    for (key, network) in &mut project.networks {
        if network.name.is_empty() {
            network.name = format!("shop_{key}");
        }
    }
    for (key, volume) in &mut project.volumes {
        if volume.name.is_empty() {
            volume.name = format!("shop_{key}");
        }
    }
    project
}

fn image() -> ResolvedImage {
    ResolvedImage {
        spec: ImageSpec { name: "app:1".into(), id: "sha256:aa".into(), ..ImageSpec::default() },
        entrypoint: vec!["/entry".into()],
        cmd: vec!["serve".into()],
        env: vec!["PATH=/bin".into(), "A=image".into(), "B=image".into()],
        user: "app".into(),
        working_dir: "/srv".into(),
        ..ResolvedImage::default()
    }
}

fn images(project: &Project) -> BTreeMap<ServiceName, ResolvedImage> {
    project.services.keys().map(|name| (name.clone(), image())).collect()
}

fn request() -> Request {
    Request { now: stamp(100), nonce: "n0".repeat(16), ..Request::default() }
}

fn stamp(nanos: u64) -> Stamp {
    Stamp { boot: "boot".into(), nanos, wall: nanos }
}

fn up(yaml: &str) -> Desired {
    let project = project(yaml);
    compile(&project, &images(&project), &Leases::default(), &request()).unwrap()
}

/// The containers of one service, with `image()` changed by `change`.
fn one(yaml: &str, change: impl Fn(&mut ResolvedImage)) -> DesiredContainer {
    let project = project(&format!("services:\n  web:\n{yaml}"));
    let mut image = image();
    change(&mut image);
    let images = BTreeMap::from([(ServiceName::from("web"), image)]);
    let desired = compile(&project, &images, &Leases::default(), &request()).unwrap();
    desired.containers.into_values().next().unwrap()
}

fn errors(yaml: &str) -> Vec<String> {
    let project = project(yaml);
    match compile(&project, &images(&project), &Leases::default(), &request()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

/// The one error of a service with these lines; its path below `services.web`.
fn error(yaml: &str) -> String {
    let errors = errors(&format!("services:\n  web:\n{yaml}"));
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].strip_prefix("services.web.").unwrap_or(&errors[0]).to_owned()
}
