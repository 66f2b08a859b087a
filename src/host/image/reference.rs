//! Image references: `redis`, `redis:7`, `quay.io/coreos/etcd:v3@sha256:…`, by docker's rules.
//!
//! A first part with a dot, a colon or the name `localhost` is a registry; else the registry is `docker.io`, and a single
//! part is below `library/`. Without tag and digest the tag is `latest`. `index.docker.io` is another name of `docker.io`.
//! Short-name aliases and search registries of registries.conf are not used: compose files mean Docker Hub.

use std::fmt;

use super::{ImageError, digest};
use crate::name::Digest;

const HUB: &str = "docker.io";

/// A full reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// Host, with the port where there is one.
    pub registry: String,
    /// Path on the registry: `library/redis`.
    pub repository: String,
    /// The tag; `None` only where there is a digest.
    pub tag: Option<String>,
    /// The digest that the manifest or index must have.
    pub digest: Option<Digest>,
}

impl Reference {
    /// Reads what a user wrote.
    ///
    /// # Errors
    /// [`ImageError::BadReference`] with what is wrong.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let bad = |reason: &str| ImageError::BadReference { text: digest::printable(text), reason: reason.to_owned() };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        let (rest, wanted) = match text.split_once('@') {
            Some((rest, wanted)) => (rest, Some(digest::parse(wanted)?)),
            None => (text, None),
        };
        let (path, tag) = split_tag(rest);
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(bad("a tag is at most 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two"));
        }
        let (registry, repository) = split_registry(path);
        if !is_host(&registry) {
            return Err(bad("the registry is no host name"));
        }
        if repository.len() > 255 {
            return Err(bad("the name is longer than 255 characters"));
        }
        if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(bad("a repository name must be lower case"));
        }
        if !repository.split('/').all(is_path_part) {
            return Err(bad("a repository name is parts of `a-z`, `0-9` with single `.`, `_`, `__` or `-` between, joined by `/`"));
        }
        let tag = match (tag, &wanted) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { registry, repository, tag, digest: wanted })
    }

    /// Registry and repository, `docker.io/library/redis`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What is asked of the registry: the digest, or else the tag.
    pub fn selector(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, tag) => tag.as_deref().unwrap_or("latest"),
        }
    }

    /// As people write it: `redis:7`, without what goes without saying.
    pub fn familiar(&self) -> String {
        let name = if self.registry == HUB {
            self.repository.strip_prefix("library/").unwrap_or(&self.repository).to_owned()
        } else {
            self.name()
        };
        name + &self.suffix()
    }

    fn suffix(&self) -> String {
        let mut text = String::new();
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(digest);
        }
        text
    }
}

impl fmt::Display for Reference {
    /// The canonical form, `docker.io/library/redis:7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&(self.name() + &self.suffix()))
    }
}

/// A colon after the last slash begins a tag; one before it belongs to the registry's port.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    match text.rfind(':') {
        Some(at) if !text[at..].contains('/') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    }
}

fn split_registry(path: &str) -> (String, String) {
    let (registry, repository) = match path.split_once('/') {
        Some((first, rest))
            if first.contains('.')
                || first.contains(':')
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (HUB, path),
    };
    let registry = match registry {
        "index.docker.io" | "registry-1.docker.io" => HUB,
        other => other,
    };
    if registry == HUB && !repository.contains('/') {
        (registry.to_owned(), format!("library/{repository}"))
    } else {
        (registry.to_owned(), repository.to_owned())
    }
}

/// `host`, `host:port`, `[v6]:port`.
pub(super) fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, after)) => {
            if v6.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            return after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let label = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

fn is_tag(text: &str) -> bool {
    text.len() <= 128
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` (distribution/reference).
fn is_path_part(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    if !bytes.first().is_some_and(|byte| word(*byte)) || !bytes.last().is_some_and(|byte| word(*byte)) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'))
}
