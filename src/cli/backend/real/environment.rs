//! Environments to compare: of files, and of what runs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::super::super::error::CliError;
use super::super::super::settings::ProjectFiles;
use super::super::{Environment, LockUse, Side};
use super::{Real, context, failed, locking};
use crate::compose::config;
use crate::compose::model::Project;
use crate::host::image::Platform;
use crate::lock::Lock;
use crate::name::ProjectName;
use crate::observed::ObservedContainer;

impl Real {
    pub(super) fn environment_of(
        &self,
        side: &Side,
        common: &ProjectFiles,
        lock: LockUse,
    ) -> Result<Environment, CliError> {
        match side {
            Side::Files(files) => self.declared(files, lock),
            Side::Running => {
                let project = self.name_of(common)?.name;
                Ok(Environment { model: self.running(&project)?, warnings: Vec::new() })
            }
        }
    }

    fn declared(&self, files: &ProjectFiles, lock: LockUse) -> Result<Environment, CliError> {
        let loaded = self.load_files(files, &[], lock)?;
        let lock = self.used_lock(lock)?;
        let remembered = self.loaded.borrow().clone();
        let Some(whole) = remembered else { return Ok(Environment::default()) };
        let mut model = config::value(&whole);
        if let Some(lock) = &lock {
            add_locked(&mut model, lock)?;
        }
        add_contents(&mut model, &whole.project, &self.lock_path());
        near(&mut model, &whole.working_dir);
        Ok(Environment { model, warnings: loaded.warnings })
    }

    /// The files' canonical form as it was applied, with what is seen of it: the services that have containers, how many,
    /// and of which images.
    fn running(&self, project: &ProjectName) -> Result<Value, CliError> {
        let applied = self.held(project)?.ok_or_else(|| super::apply::nothing_up(project))?;
        let mut model = config::value_of(&applied.source.model);
        if model.is_null() {
            return Err(CliError::with_help(
                format!("project `{project}` was brought up by a windlass that did not note what it declares"),
                "`windlass up` once more, then compare",
            ));
        }
        let observed = self.observed(project)?;
        let mut services: BTreeMap<&str, Vec<&ObservedContainer>> = BTreeMap::new();
        for container in observed.containers.values().filter(|container| !container.spec.oneoff) {
            services.entry(container.spec.service.as_str()).or_default().push(container);
        }
        add_started_with(&mut model, &services);
        if let Some(declared) = model.get_mut("services").and_then(Value::as_object_mut) {
            declared.retain(|name, _| services.contains_key(name.as_str()));
            for (name, service) in declared {
                as_seen(service, &services[name.as_str()]);
            }
        }
        near(&mut model, &applied.source.working_dir);
        Ok(model)
    }
}

/// Number and image of a service's containers.
fn as_seen(service: &mut Value, containers: &[&ObservedContainer]) {
    let declared = service.get("scale").or_else(|| service.pointer("/deploy/replicas")).and_then(Value::as_u64);
    if declared.unwrap_or(1) != containers.len() as u64 {
        match service.pointer_mut("/deploy/replicas") {
            Some(replicas) => *replicas = containers.len().into(),
            None => service["scale"] = containers.len().into(),
        }
    }
    if let Some(first) = containers.first() {
        service["digest"] = first.spec.image.manifest.as_str().into();
    }
}

/// The digests of the configs and secrets that containers were made with, of the first that has one.
fn add_started_with(model: &mut Value, services: &BTreeMap<&str, Vec<&ObservedContainer>>) {
    let mut found = Vec::new();
    for (name, containers) in services {
        for (section, below) in [("configs", "/"), ("secrets", "/run/secrets/")] {
            let grants = model["services"][name][section].as_array().into_iter().flatten();
            for (source, grant) in grants.filter_map(|grant| Some((grant["source"].as_str()?, grant))) {
                let target = grant["target"].as_str().unwrap_or(source);
                let target = if target.starts_with('/') { target.to_owned() } else { format!("{below}{target}") };
                let files = containers.iter().flat_map(|container| &container.spec.files);
                let file = files.into_iter().find(|file| file.name == source && file.target == target);
                found.extend(file.map(|file| (section, source.to_owned(), format!("sha256:{}", file.content))));
            }
        }
    }
    for (section, name, digest) in found {
        if let Some(shown) = model[section].get_mut(&name) {
            shown["digest"] = digest.into();
        }
    }
}

/// The digests that the lock file has for this machine's platform, or that of the service.
fn add_locked(model: &mut Value, lock: &Lock) -> Result<(), CliError> {
    let services = model.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(serde_json::Map::values_mut) {
        let Some(image) = service["image"].as_str().and_then(|name| lock.images.get(name)) else { continue };
        let platform = match service["platform"].as_str() {
            Some(platform) => Platform::parse(platform).map_err(|e| failed(&e))?,
            None => Platform::host(),
        };
        if let Some(pin) = image.platforms.get(&platform.to_string()) {
            service["digest"] = pin.as_str().into();
        }
    }
    Ok(())
}

/// The digests of what configs and secrets hold, and of what is built from. What can't be read is not compared: it may be
/// elsewhere.
fn add_contents(model: &mut Value, project: &Project, lock_file: &Path) {
    for (section, objects) in [("configs", &project.configs), ("secrets", &project.secrets)] {
        // The text of an inline config is in the model itself.
        for (name, object) in objects.iter().filter(|(_, object)| object.content.is_none()) {
            if let (Some(shown), Ok(digest)) = (model[section].get_mut(name), locking::config_digest(name, object)) {
                shown["digest"] = digest.as_str().into();
            }
        }
    }
    for (name, service) in &project.services {
        let digest = service.build.as_ref().and_then(|build| context::digest(build, lock_file).ok()?);
        let shown = model["services"].get_mut(name.as_str()).and_then(|service| service.get_mut("build"));
        if let (Some(shown), Some(digest)) = (shown, digest) {
            shown["digest"] = digest.as_str().into();
        }
    }
}

/// Writes the project's folder as `.`: the same project in two places is the same.
fn near(value: &mut Value, folder: &Path) {
    match value {
        Value::String(text) => {
            if let Ok(rest) = Path::new(text.as_str()).strip_prefix(folder) {
                let rest = rest.display().to_string();
                *text = if rest.is_empty() { ".".to_owned() } else { format!("./{rest}") };
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| near(item, folder)),
        Value::Object(map) => map.values_mut().for_each(|item| near(item, folder)),
        _ => {}
    }
}
