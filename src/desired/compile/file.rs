//! Secrets and configs of a container.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::process::clean;
use super::{Compiler, Problems};
use crate::compose::model::{FileGrant, FileObject, Service};
use crate::desired::{FileSource, FileSpec, Secret};

/// The secrets and configs of a service, sorted by target.
pub fn files(compiler: &Compiler<'_>, at: &str, service: &Service, problems: &mut Problems) -> Vec<FileSpec> {
    let project = compiler.project;
    let lists = [
        ("secrets", "/run/secrets/", &service.secrets, &project.secrets),
        ("configs", "/", &service.configs, &project.configs),
    ];
    let mut files: BTreeMap<String, FileSpec> = BTreeMap::new();
    for (kind, below, grants, objects) in lists {
        for (index, grant) in grants.iter().enumerate() {
            let path = format!("{at}.{kind}[{index}]");
            let Some(object) = objects.get(&grant.source) else {
                problems.add(path, format!("`{}` is not declared under the top-level `{kind}`", grant.source));
                continue;
            };
            let declared = format!("{kind}.{}", grant.source);
            let Some(source) = problems.take(declared, source(compiler, kind, object)) else { continue };
            let file = one(&path, below, grant, source, problems);
            if let Some(other) = files.insert(file.target.clone(), file) {
                problems.add(path, format!("`{}` is there twice: `{}` goes there too", other.target, other.name));
            }
        }
    }
    files.into_values().collect()
}

fn one(
    path: &str,
    below: &str,
    grant: &FileGrant,
    (source, content): (FileSource, String),
    problems: &mut Problems,
) -> FileSpec {
    let target = grant.target.as_deref().filter(|target| !target.is_empty()).unwrap_or(&grant.source);
    let target = if target.starts_with('/') { clean(target) } else { clean(&format!("{below}{target}")) };
    if target == "/" {
        problems.add(format!("{path}.target"), "a file cannot be the root of a container");
    }
    let mut id = |key: &str, text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty())?;
        let number = text.parse::<u32>().map_err(|_| format!("`{text}` is no number; names are not possible here"));
        problems.take(format!("{path}.{key}"), number)
    };
    let (uid, gid) = (id("uid", &grant.uid), id("gid", &grant.gid));
    FileSpec { target, name: grant.source.clone(), source, content, uid, gid, mode: grant.mode }
}

/// Where the bytes come from, and their digest.
fn source(compiler: &Compiler<'_>, kind: &str, object: &FileObject) -> Result<(FileSource, String), String> {
    let inline = |text: &str| {
        let source = FileSource::Inline { value: Secret(text.to_owned()) };
        (source, super::sha256(text))
    };
    if object.external {
        return Err(format!("external {kind} need a swarm; use `file:` or `environment:`"));
    }
    if object.driver.is_some() || object.template_driver.is_some() {
        return Err(format!("drivers of {kind} need a swarm; use `file:` or `environment:`"));
    }
    if let Some(file) = &object.file {
        let path = PathBuf::from(file);
        let content = digest(compiler, &path)?;
        return Ok((FileSource::Host { path }, content));
    }
    if let Some(variable) = &object.environment {
        let value = object.value.as_ref().ok_or_else(|| format!("the environment variable `{variable}` is not set"))?;
        return Ok(inline(value.reveal()));
    }
    match &object.content {
        Some(text) => Ok(inline(text)),
        None => Err("says not where its content comes from: `file:` or `environment:`".to_owned()),
    }
}

fn digest(compiler: &Compiler<'_>, path: &Path) -> Result<String, String> {
    match compiler.request.files.get(path) {
        Some(Ok(bytes)) => Ok(super::sha256(bytes)),
        Some(Err(error)) => Err(format!("cannot read {}: {error}", path.display())),
        None => Err(format!("cannot read {}", path.display())),
    }
}
