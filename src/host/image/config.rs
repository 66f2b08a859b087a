//! The config of an image: its platform, its layers' diff ids, and the defaults that it gives a container.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::platform::Platform;
use super::{ImageError, digest};
use crate::desired::{ImageHealthcheck, ImageSpec, ResolvedImage};
use crate::name::Digest;

/// A config, checked.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// `None`: it does not say.
    pub platform: Option<Platform>,
    pub created: Option<String>,
    pub diffs: Vec<Digest>,
    defaults: Defaults,
}

/// Every field may be missing or null.
#[derive(Deserialize)]
struct Raw {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    created: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    rootfs: RawRoot,
    #[serde(default, deserialize_with = "nullable")]
    config: Defaults,
}

#[derive(Default, Deserialize)]
struct RawRoot {
    #[serde(default, deserialize_with = "nullable")]
    diff_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Defaults {
    #[serde(default, deserialize_with = "nullable")]
    user: String,
    #[serde(default, deserialize_with = "nullable")]
    env: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    entrypoint: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    cmd: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    working_dir: String,
    #[serde(default, deserialize_with = "nullable")]
    exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "nullable")]
    volumes: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "nullable")]
    labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "nullable")]
    stop_signal: String,
    healthcheck: Option<RawHealth>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawHealth {
    #[serde(default, deserialize_with = "nullable")]
    test: Vec<String>,
    /// Nanoseconds, as all that follow.
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    start_interval: Option<i64>,
    retries: Option<i64>,
}

fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Config {
    /// Reads a config; `what` names it in messages, `layers` is how many layers the manifest has.
    pub(super) fn parse(bytes: &[u8], layers: usize, what: &str) -> Result<Self, ImageError> {
        let bad = |reason: String| ImageError::BadManifest { what: what.to_owned(), reason };
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| bad(format!("it is no valid image config: {error}")))?;
        let diffs: Vec<Digest> = raw.rootfs.diff_ids.iter().map(|text| digest::parse(text)).collect::<Result<_, _>>()?;
        if diffs.len() != layers {
            return Err(bad(format!("it names {} layers, the manifest {layers}", diffs.len())));
        }
        let platform = match (raw.os.unwrap_or_default(), raw.architecture.unwrap_or_default()) {
            (os, arch) if os.is_empty() || arch.is_empty() => None,
            (os, arch) => Some(Platform::new(&os, &arch, raw.variant.as_deref().unwrap_or_default())),
        };
        Ok(Self { platform, created: raw.created, diffs, defaults: raw.config })
    }

    /// What making a container needs to know.
    pub(super) fn resolved(&self, name: &str, id: &Digest, manifest: &Digest) -> ResolvedImage {
        let spec = ImageSpec {
            name: name.to_owned(),
            id: id.clone(),
            manifest: manifest.clone(),
            layers: digest::chains(&self.diffs),
        };
        let defaults = self.defaults.clone();
        ResolvedImage {
            spec,
            entrypoint: defaults.entrypoint,
            cmd: defaults.cmd,
            env: defaults.env.into_iter().filter(|entry| is_variable(entry)).collect(),
            user: defaults.user,
            working_dir: defaults.working_dir,
            exposed_ports: defaults.exposed_ports.into_keys().collect::<BTreeSet<_>>(),
            volumes: defaults.volumes.into_keys().collect(),
            labels: defaults.labels,
            stop_signal: Some(defaults.stop_signal).filter(|signal| !signal.is_empty()),
            healthcheck: defaults.healthcheck.map(RawHealth::resolved),
        }
    }
}

/// `KEY=value` that execve can hand on.
fn is_variable(entry: &str) -> bool {
    entry.split_once('=').is_some_and(|(key, _)| !key.is_empty()) && !entry.contains('\0')
}

impl RawHealth {
    fn resolved(self) -> ImageHealthcheck {
        // Zero means "inherit"; negative values are nonsense and mean the default, too.
        let time = |nanos: Option<i64>| {
            nanos.and_then(|nanos| u64::try_from(nanos).ok()).filter(|nanos| *nanos > 0).map(Duration::from_nanos)
        };
        ImageHealthcheck {
            test: self.test,
            interval: time(self.interval),
            timeout: time(self.timeout),
            start_period: time(self.start_period),
            start_interval: time(self.start_interval),
            retries: self.retries.and_then(|retries| u32::try_from(retries).ok()).filter(|retries| *retries > 0),
        }
    }
}
