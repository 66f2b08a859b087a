//! `build:` by a builder that is installed: its command line, pure; it writes an OCI archive, which the image store takes
//! in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::compose::model::{Build, FileGrant, FileObject};

use super::error::CliError;

/// A builder that windlass can hand `build:` to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit's client, with a buildkitd that it reaches.
    Buildctl,
    /// buildah.
    Buildah,
}

/// What is built, beside what the file says.
#[derive(Clone, Debug, Default)]
pub struct Wish<'a> {
    /// The image's name.
    pub image: &'a str,
    /// `--build-arg`.
    pub args: &'a [String],
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--pull`.
    pub pull: bool,
    /// `--ssh`.
    pub ssh: Option<&'a str>,
    /// The service's platform.
    pub platform: Option<&'a str>,
    /// The secrets of the project.
    pub secrets: BTreeMap<String, FileObject>,
    /// A folder for what must be a file.
    pub scratch: PathBuf,
}

/// Finds a builder in the folders of `PATH`.
pub fn find(path: &str) -> Option<Builder> {
    let there = |name: &str| path.split(':').any(|folder| !folder.is_empty() && Path::new(folder).join(name).is_file());
    if there("buildctl") {
        Some(Builder::Buildctl)
    } else if there("buildah") {
        Some(Builder::Buildah)
    } else {
        None
    }
}

/// The step that failed, as the last lines of a builder name it: of buildah `STEP "RUN make"`, of BuildKit `> [2/3] RUN make:`.
pub fn failed_step(lines: &[String]) -> Option<&str> {
    lines.iter().rev().find_map(|line| {
        let buildah = line.split_once("building at STEP \"").and_then(|(_, rest)| rest.split_once("\":"));
        let buildkit = line.trim_start().strip_prefix("> [").and_then(|rest| rest.split_once("] "));
        buildah.map(|(step, _)| step).or(buildkit.map(|(_, step)| step.trim_end_matches(':')))
    })
}

/// The commands to run, one after the other; the last of them writes `archive`.
///
/// # Errors
/// What neither builder is told of here: it is named, not left out.
pub fn commands(
    builder: Builder,
    build: &Build,
    wish: &Wish<'_>,
    archive: &Path,
) -> Result<Vec<Vec<String>>, CliError> {
    refuse(build)?;
    match builder {
        Builder::Buildctl => Ok(vec![buildctl(build, wish, archive)?]),
        Builder::Buildah => buildah(build, wish, archive),
    }
}

fn refuse(build: &Build) -> Result<(), CliError> {
    let undone = [
        ("privileged", build.privileged),
        ("entitlements", !build.entitlements.is_empty()),
        ("provenance", build.provenance.is_some()),
        ("sbom", build.sbom.is_some()),
        ("isolation", build.isolation.is_some()),
        ("platforms with more than one", build.platforms.len() > 1),
    ];
    match undone.into_iter().find(|(_, set)| *set) {
        Some((what, _)) => Err(CliError::NotDone { what: format!("`build.{what}`") }),
        None => Ok(()),
    }
}

/// The Dockerfile: a path, absolute or below the context.
fn dockerfile(build: &Build, wish: &Wish<'_>) -> Result<PathBuf, CliError> {
    if let Some(text) = &build.dockerfile_inline {
        let path = wish.scratch.join("Dockerfile");
        std::fs::write(&path, text).map_err(|e| CliError::failed(format!("can't write {}: {e}", path.display())))?;
        return Ok(path);
    }
    Ok(Path::new(&build.context).join(build.dockerfile.as_deref().unwrap_or("Dockerfile")))
}

fn is_local(context: &str) -> bool {
    context.starts_with('/')
}

/// The arguments, those of the command line over those of the file.
fn arguments(build: &Build, wish: &Wish<'_>) -> BTreeMap<String, String> {
    let mut arguments: BTreeMap<String, String> =
        build.args.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect();
    for word in wish.args {
        match word.split_once('=') {
            Some((key, value)) => {
                arguments.insert(key.to_owned(), value.to_owned());
            }
            None => {
                arguments.extend(std::env::var(word).ok().map(|value| (word.clone(), value)));
            }
        }
    }
    arguments
}

/// The secrets of its RUN steps, `id=…,src=FILE`. A variable's value goes into a file of the scratch folder, which only
/// we may read: it may come from `.env`, where the builder does not look.
fn secrets(build: &Build, wish: &Wish<'_>) -> Result<Vec<String>, CliError> {
    build.secrets.iter().map(|grant| secret(grant, wish)).collect()
}

fn secret(grant: &FileGrant, wish: &Wish<'_>) -> Result<String, CliError> {
    let id = grant.target.as_deref().unwrap_or(&grant.source);
    let object = wish.secrets.get(&grant.source);
    if let Some(file) = object.and_then(|object| object.file.as_ref()) {
        return Ok(format!("id={id},src={file}"));
    }
    let Some(value) = object.and_then(|object| object.value.as_ref()) else {
        return Err(CliError::failed(format!(
            "build secret `{}` has neither a file nor a variable that is set",
            grant.source
        )));
    };
    let file = wish.scratch.join(format!("secret-{}", grant.source));
    std::fs::write(&file, value.reveal())
        .map_err(|e| CliError::failed(format!("can't write {}: {e}", file.display())))?;
    Ok(format!("id={id},src={}", file.display()))
}

fn buildctl(build: &Build, wish: &Wish<'_>, archive: &Path) -> Result<Vec<String>, CliError> {
    let mut words: Vec<String> = ["buildctl", "build", "--frontend", "dockerfile.v0"].map(Into::into).into();
    let mut opt = |key: &str, value: &str| words.extend(["--opt".to_owned(), format!("{key}={value}")]);
    if is_local(&build.context) {
        let file = dockerfile(build, wish)?;
        let folder = file.parent().unwrap_or(Path::new("/")).display().to_string();
        opt("filename", &file.file_name().unwrap_or_default().to_string_lossy());
        words.extend(["--local".into(), format!("context={}", build.context)]);
        words.extend(["--local".into(), format!("dockerfile={folder}")]);
    } else {
        opt("context", &build.context);
        if let Some(file) = &build.dockerfile {
            opt("filename", file);
        }
    }
    let mut opt = |key: &str, value: &str| words.extend(["--opt".to_owned(), format!("{key}={value}")]);
    arguments(build, wish).iter().for_each(|(key, value)| opt(&format!("build-arg:{key}"), value));
    build.labels.iter().for_each(|(key, value)| opt(&format!("label:{key}"), value));
    build.target.iter().for_each(|target| opt("target", target));
    build.extra_hosts.iter().for_each(|host| opt("add-hosts", host));
    build.network.iter().for_each(|network| opt("force-network-mode", network));
    build.shm_size.iter().for_each(|size| opt("shm-size", &size.to_string()));
    build.platforms.first().map(String::as_str).or(wish.platform).iter().for_each(|platform| opt("platform", platform));
    if build.pull || wish.pull {
        opt("image-resolve-mode", "pull");
    }
    if !build.no_cache_filter.is_empty() {
        opt("no-cache", &build.no_cache_filter.join(","));
    }
    for (name, address) in &build.additional_contexts {
        if is_local(address) {
            words.extend(["--local".into(), format!("{name}={address}")]);
            words.extend(["--opt".into(), format!("context:{name}=local:{name}")]);
        } else {
            words.extend(["--opt".into(), format!("context:{name}={address}")]);
        }
    }
    if build.no_cache || wish.no_cache {
        words.push("--no-cache".into());
    }
    build.cache_from.iter().for_each(|from| words.extend(["--import-cache".into(), cache(from)]));
    build.cache_to.iter().for_each(|to| words.extend(["--export-cache".into(), cache(to)]));
    secrets(build, wish)?.into_iter().for_each(|secret| words.extend(["--secret".into(), secret]));
    build.ssh.iter().map(String::as_str).chain(wish.ssh).for_each(|ssh| words.extend(["--ssh".into(), ssh.into()]));
    words.extend(["--output".into(), format!("type=oci,name={},dest={}", wish.image, archive.display())]);
    Ok(words)
}

/// `type=…` as it is; a bare name is a registry's.
fn cache(text: &str) -> String {
    if text.contains('=') { text.to_owned() } else { format!("type=registry,ref={text}") }
}

fn buildah(build: &Build, wish: &Wish<'_>, archive: &Path) -> Result<Vec<Vec<String>>, CliError> {
    let mut words: Vec<String> = ["buildah", "build", "--format", "oci", "--tag", wish.image].map(Into::into).into();
    let mut add = |flag: &str, value: &str| words.extend([flag.to_owned(), value.to_owned()]);
    if is_local(&build.context) {
        add("--file", &dockerfile(build, wish)?.display().to_string());
    } else if let Some(file) = &build.dockerfile {
        add("--file", file);
    }
    arguments(build, wish).iter().for_each(|(key, value)| add("--build-arg", &format!("{key}={value}")));
    build.labels.iter().for_each(|(key, value)| add("--label", &format!("{key}={value}")));
    build.target.iter().for_each(|target| add("--target", target));
    build.extra_hosts.iter().for_each(|host| add("--add-host", &host.replacen('=', ":", 1)));
    build.network.iter().for_each(|network| add("--network", network));
    build.shm_size.iter().for_each(|size| add("--shm-size", &size.to_string()));
    build
        .platforms
        .first()
        .map(String::as_str)
        .or(wish.platform)
        .iter()
        .for_each(|platform| add("--platform", platform));
    build.additional_contexts.iter().for_each(|(name, address)| add("--build-context", &format!("{name}={address}")));
    build.cache_from.iter().for_each(|from| add("--cache-from", from));
    build.cache_to.iter().for_each(|to| add("--cache-to", to));
    secrets(build, wish)?.iter().for_each(|secret| add("--secret", secret));
    build.ssh.iter().map(String::as_str).chain(wish.ssh).for_each(|ssh| add("--ssh", ssh));
    if build.no_cache || wish.no_cache || !build.no_cache_filter.is_empty() {
        words.push("--no-cache".into());
    } else {
        words.push("--layers".into());
    }
    if build.pull || wish.pull {
        words.push("--pull-always".into());
    }
    words.push(build.context.clone());
    let push = [
        "buildah".into(),
        "push".into(),
        wish.image.to_owned(),
        format!("oci-archive:{}:{}", archive.display(), wish.image),
    ];
    Ok(vec![words, push.into()])
}

#[cfg(test)]
mod tests;
