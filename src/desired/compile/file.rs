//! Secrets and configs of a container.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::process::clean;
use super::{Compiler, Problems};
use crate::compose::model::{FileGrant, FileObject, Service};
use crate::desired::{FileSource, FileSpec, Secret};

/// What else there is.
const ELSE: &str = "use `file:` or `environment:`";

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
            let source = match source(compiler, kind, object) {
                Ok(source) => source,
                Err(Bad { message, help }) => {
                    problems.add_with_help(declared, message, help);
                    continue;
                }
            };
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

/// Why the bytes can't be had, and what to do.
struct Bad {
    message: String,
    help: String,
}

impl Bad {
    fn new(message: String, help: &str) -> Self {
        Self { message, help: help.to_owned() }
    }
}

/// Where the bytes come from, and their digest.
fn source(compiler: &Compiler<'_>, kind: &str, object: &FileObject) -> Result<(FileSource, String), Bad> {
    let inline = |text: &str| {
        let source = FileSource::Inline { value: Secret(text.to_owned()) };
        (source, super::sha256(text))
    };
    if object.external {
        return Err(Bad::new(format!("external {kind} need a swarm"), ELSE));
    }
    if object.driver.is_some() || object.template_driver.is_some() {
        return Err(Bad::new(format!("drivers of {kind} need a swarm"), ELSE));
    }
    if let Some(file) = &object.file {
        let path = PathBuf::from(file);
        let content = digest(compiler, &path)?;
        return Ok((FileSource::Host { path }, content));
    }
    if let Some(variable) = &object.environment {
        let value = object.value.as_ref().ok_or_else(|| {
            let help = format!("export `{variable}`, or set it in `.env`");
            Bad { message: format!("the environment variable `{variable}` is not set"), help }
        })?;
        return Ok(inline(value.reveal()));
    }
    match &object.content {
        Some(text) => Ok(inline(text)),
        None => Err(Bad::new("says not where its content comes from".to_owned(), ELSE)),
    }
}

fn digest(compiler: &Compiler<'_>, path: &Path) -> Result<String, Bad> {
    let bad = |why: &str| {
        let help = "make the file, or correct its path: a relative one is looked for beside the compose file";
        Bad::new(format!("cannot read {}{why}", path.display()), help)
    };
    match compiler.request.files.get(path) {
        Some(Ok(bytes)) => Ok(super::sha256(bytes)),
        Some(Err(error)) => Err(bad(&format!(": {error}"))),
        None => Err(bad("")),
    }
}
