//! registries.conf as podman and skopeo read it (containers-registries.conf(5), version 2): which hosts to ask for an image.
//!
//! Used: `prefix`, `location`, `insecure`, `blocked`, `mirror` with `location`, `insecure`, `pull-from-mirror`, and
//! `mirror-by-digest-only`. Files: `CONTAINERS_REGISTRIES_CONF`, else `~/.config/containers/registries.conf`, else
//! `/etc/containers/registries.conf`; then the `*.conf` of `/etc/containers/registries.conf.d` and of
//! `~/.config/containers/registries.conf.d` in the order of their names, where a later entry of the same prefix replaces an
//! earlier one.
//!
//! Without any file: loopback hosts are asked by plain HTTP first, then by HTTPS; all others by HTTPS only. `insecure`
//! hosts are asked by HTTPS without looking at the certificate, then by plain HTTP.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::reference::{Reference, is_host};
use super::{ImageError, Settings};

/// A place where an image may be had.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Host, with the port where there is one; for Docker Hub that of its registry.
    pub host: String,
    /// Path on that host.
    pub repository: String,
    /// Plain HTTP and bad certificates are allowed.
    pub insecure: bool,
}

impl Endpoint {
    /// Whether the host is this machine itself.
    pub fn is_loopback(&self) -> bool {
        is_loopback(host_name(&self.host))
    }

    /// The name under which people log in.
    pub fn login_name(&self) -> &str {
        if self.host == HUB_HOST { "docker.io" } else { &self.host }
    }
}

/// Where Docker Hub's registry answers.
pub(super) const HUB_HOST: &str = "registry-1.docker.io";

/// The host part of `host:port`, `[v6]:port`.
pub(super) fn host_name(host: &str) -> &str {
    if let Some((v6, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return v6;
    }
    host.split_once(':').map_or(host, |(name, _)| name)
}

pub(super) fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// All entries, by prefix.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default)]
    mirror_by_digest_only: bool,
    #[serde(default)]
    mirror: Vec<Mirror>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    pull_from_mirror: Option<PullFrom>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PullFrom {
    All,
    DigestOnly,
    TagOnly,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    registry: Vec<Entry>,
    /// Version 1 of the form.
    registries: Option<toml::Value>,
}

impl Registries {
    /// Reads the files that `settings` point to; that there are none is no error.
    ///
    /// # Errors
    /// [`ImageError::BadSettings`] names the file that is broken.
    pub fn load(settings: &Settings) -> Result<Self, ImageError> {
        let mut all = Self::default();
        let system = Path::new("/etc/containers");
        let user = settings.user_containers();
        match settings.get("CONTAINERS_REGISTRIES_CONF") {
            // A file that is named must be there.
            Some(path) => all.read(Path::new(path))?,
            None => {
                let main = user.iter().map(PathBuf::as_path).chain([system]).map(|folder| folder.join("registries.conf"));
                if let Some(path) = main.into_iter().find(|path| path.exists()) {
                    all.read(&path)?;
                }
            }
        }
        for folder in [Some(system.to_owned()), user].into_iter().flatten() {
            for path in drop_ins(&folder.join("registries.conf.d")) {
                all.read(&path)?;
            }
        }
        Ok(all)
    }

    fn read(&mut self, path: &Path) -> Result<(), ImageError> {
        let text = std::fs::read_to_string(path).map_err(ImageError::io("read", path))?;
        self.take(&text).map_err(|reason| ImageError::BadSettings { path: path.to_owned(), reason })
    }

    /// Takes one file's text in.
    fn take(&mut self, text: &str) -> Result<(), String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.registries.is_some() {
            return Err("it has the old form ([registries.…]); write [[registry]] tables".into());
        }
        for mut entry in file.registry {
            if entry.prefix.is_empty() {
                entry.prefix.clone_from(&entry.location);
            }
            if entry.prefix.is_empty() {
                return Err("a [[registry]] needs a prefix or a location".into());
            }
            if entry.location.is_empty() && entry.prefix.starts_with("*.") {
                // The location of a wildcard without one is the name itself.
            } else if entry.location.is_empty() {
                entry.location.clone_from(&entry.prefix);
            }
            for location in entry.mirror.iter().map(|mirror| &mirror.location).chain([&entry.location]) {
                let host = location.split('/').next().unwrap_or_default();
                if !location.is_empty() && !is_host(host) {
                    return Err(format!("`{location}` is no location: it must begin with a host, without http://"));
                }
            }
            self.entries.insert(entry.prefix.clone(), entry);
        }
        Ok(())
    }

    /// Where to ask for an image, in order: the mirrors, then the place itself.
    ///
    /// # Errors
    /// [`ImageError::Denied`] if a file blocks the place.
    pub fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, ImageError> {
        let name = reference.name();
        let Some((entry, rest)) = self.find(&name) else { return Ok(vec![endpoint(&name, false)]) };
        if entry.blocked {
            return Err(ImageError::Denied {
                registry: reference.registry.clone(),
                what: reference.familiar(),
                reason: format!("registries.conf blocks `{}`", entry.prefix),
            });
        }
        let mut all: Vec<Endpoint> = entry
            .mirror
            .iter()
            .filter(|mirror| serves(entry, mirror, reference))
            .map(|mirror| endpoint(&format!("{}{rest}", mirror.location), mirror.insecure))
            .collect();
        let own = if entry.location.is_empty() { name.clone() } else { format!("{}{rest}", entry.location) };
        all.push(endpoint(&own, entry.insecure));
        Ok(all)
    }

    /// Whether an entry for a whole registry says `insecure`.
    pub(super) fn is_insecure(&self, registry: &str) -> bool {
        self.find(registry).is_some_and(|(entry, _)| entry.insecure)
    }

    /// The entry with the longest prefix that fits, and what comes after it.
    fn find<'a>(&self, name: &'a str) -> Option<(&Entry, &'a str)> {
        let fitting = self.entries.values().filter_map(|entry| fits(&entry.prefix, name).map(|rest| (entry, rest)));
        fitting.max_by_key(|(entry, _)| entry.prefix.len())
    }
}

fn serves(entry: &Entry, mirror: &Mirror, reference: &Reference) -> bool {
    let from = match mirror.pull_from_mirror {
        Some(from) => from,
        None if entry.mirror_by_digest_only => PullFrom::DigestOnly,
        None => PullFrom::All,
    };
    match from {
        PullFrom::All => true,
        PullFrom::DigestOnly => reference.digest.is_some(),
        PullFrom::TagOnly => reference.digest.is_none(),
    }
}

/// What of `name` comes after `prefix`: a prefix ends where a part of the name ends.
fn fits<'a>(prefix: &str, name: &'a str) -> Option<&'a str> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let end = name.find('/').unwrap_or(name.len());
        let (host, _) = name.split_at(end);
        return (host_name(host).ends_with(domain) && host_name(host).len() > domain.len()).then(|| &name[end..]);
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn endpoint(name: &str, insecure: bool) -> Endpoint {
    let (host, repository) = name.split_once('/').unwrap_or((name, ""));
    let host = if host == "docker.io" { HUB_HOST } else { host };
    Endpoint { host: host.to_owned(), repository: repository.to_owned(), insecure }
}

fn drop_ins(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    paths.sort();
    paths
}
