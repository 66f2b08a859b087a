//! Labels, byte for byte as docker compose 2.40 makes them, so that tools written for it find their containers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Compiler, Run};
use crate::compose::model::{Condition, Service};
use crate::desired::hash::COMPOSE_LABELS;
use crate::name::{ProjectName, ServiceName};

/// What `com.docker.compose.version` says: tools compare it with versions of docker compose.
pub const COMPOSE_VERSION: &str = "2.40.3";

/// Labels of a container but for its number and hash ([`numbered`], [`hashed`]): the image's, then the file's, then compose's own.
pub fn container(compiler: &Compiler<'_>, name: &ServiceName, service: &Service) -> BTreeMap<String, String> {
    let image = compiler.images.get(name);
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in image.into_iter().flat_map(|image| &image.labels) {
        // No image may pass its container off as one of a project (CVE-2026-53488).
        if !key.starts_with(COMPOSE_LABELS) {
            labels.insert(key.clone(), value.clone());
        }
    }
    labels.extend(service.labels.clone());
    let source = &compiler.request.source;
    let mut own = |key: &str, value: String| labels.insert(format!("{COMPOSE_LABELS}{key}"), value);
    own("project", compiler.project.name.to_string());
    own("service", name.to_string());
    own("version", COMPOSE_VERSION.to_owned());
    own("project.working_dir", source.working_dir.display().to_string());
    own("project.config_files", paths(&source.config_files));
    own("oneoff", "False".to_owned());
    own("depends_on", dependencies(service));
    if let Some(image) = image {
        own("image", image.spec.id.to_string());
    }
    if !source.environment_files.is_empty() {
        own("project.environment_file", paths(&source.environment_files));
    }
    labels
}

/// Adds what only one replica has.
pub fn numbered(labels: &mut BTreeMap<String, String>, number: u32) {
    labels.insert(format!("{COMPOSE_LABELS}container-number"), number.to_string());
}

/// Adds the hash of what it is made of.
pub fn hashed(labels: &mut BTreeMap<String, String>, hash: &str) {
    labels.insert(format!("{COMPOSE_LABELS}config-hash"), hash.to_owned());
}

/// Adds what a container of `run` has in place of a number.
pub fn oneoff(labels: &mut BTreeMap<String, String>, run: &Run) {
    labels.insert(format!("{COMPOSE_LABELS}oneoff"), "True".to_owned());
    labels.insert(format!("{COMPOSE_LABELS}slug"), run.slug.clone());
}

/// Adds what a container has that prepares others, in place of a number.
pub fn preparing(labels: &mut BTreeMap<String, String>, index: usize) {
    labels.insert(format!("{COMPOSE_LABELS}hook"), "pre_start".to_owned());
    labels.insert(format!("{COMPOSE_LABELS}hook.index"), index.to_string());
    labels.insert(format!("{COMPOSE_LABELS}oneoff"), "True".to_owned());
}

/// Labels of a network or a volume: the file's, then compose's own. `kind` is `network` or `volume`.
pub fn resource(
    project: &ProjectName,
    kind: &str,
    key: &str,
    written: &BTreeMap<String, String>,
    hash: &str,
) -> BTreeMap<String, String> {
    let mut labels = written.clone();
    labels.insert(format!("{COMPOSE_LABELS}{kind}"), key.to_owned());
    labels.insert(format!("{COMPOSE_LABELS}project"), project.to_string());
    labels.insert(format!("{COMPOSE_LABELS}version"), COMPOSE_VERSION.to_owned());
    labels.insert(format!("{COMPOSE_LABELS}config-hash"), hash.to_owned());
    labels
}

/// `db:service_healthy:false,redis:service_started:true`.
fn dependencies(service: &Service) -> String {
    let one = |(name, dependency): (&ServiceName, &crate::compose::model::Dependency)| {
        let condition = match dependency.condition {
            Condition::ServiceStarted => "service_started",
            Condition::ServiceHealthy => "service_healthy",
            Condition::ServiceCompletedSuccessfully => "service_completed_successfully",
        };
        format!("{name}:{condition}:{}", dependency.restart)
    };
    service.depends_on.iter().map(one).collect::<Vec<_>>().join(",")
}

fn paths(list: &[PathBuf]) -> String {
    list.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(",")
}
