//! What a pull takes from its caller's environment: a supervisor has none of its own, so the caller records these for it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::ImageError;

/// Seconds that a registry may be silent for before it is asked again.
const PATIENCE: &str = "WINDLASS_PULL_TIMEOUT";

/// The variables that matter to a pull. Proxies count in upper and lower case.
const KEYS: [&str; 15] = [
    "HOME",
    "PATH",
    "XDG_CONFIG_HOME",
    "DOCKER_CONFIG",
    "CONTAINERS_REGISTRIES_CONF",
    "SSL_CERT_FILE",
    PATIENCE,
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// Settings of the registry client. Serializable, to be handed on to a supervisor; holds no password but one that stands
/// in a proxy's address, so a file with it must be 0600.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    env: BTreeMap<String, String>,
}

impl Settings {
    /// Of this process.
    pub fn from_env() -> Self {
        Self::from_lookup(|key| std::env::var(key).ok())
    }

    /// From any environment.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let env = KEYS
            .iter()
            .filter_map(|key| lookup(key).filter(|value| !value.is_empty()).map(|value| ((*key).to_owned(), value)));
        Self { env: env.collect() }
    }

    /// What a supervisor is left with, to fetch layers that went missing: which registries and mirrors there are and how
    /// they are reached, with paths that hold in any folder; but no way to anybody's logins, which stay the caller's.
    pub fn without_logins(&self) -> Self {
        let absolute = |text: &str| std::path::absolute(text).unwrap_or_else(|_| text.into());
        let mut env = self.env.clone();
        for login in ["HOME", "PATH", "DOCKER_CONFIG"] {
            env.remove(login);
        }
        if let Some(config) = self.user_containers().as_deref().and_then(Path::parent) {
            env.insert("XDG_CONFIG_HOME".into(), config.to_string_lossy().into_owned());
        }
        for path in ["XDG_CONFIG_HOME", "CONTAINERS_REGISTRIES_CONF", "SSL_CERT_FILE"] {
            if let Some(value) = env.get_mut(path) {
                *value = absolute(value).to_string_lossy().into_owned();
            }
        }
        Self { env }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.env.get(key).map(String::as_str)
    }

    /// A proxy variable; the lower-case form wins, as curl has it.
    pub(super) fn proxy(&self, lower: &str) -> Option<&str> {
        self.get(lower).or_else(|| self.get(&lower.to_ascii_uppercase()))
    }

    /// Docker's `config.json`.
    pub(super) fn docker_config(&self) -> Option<PathBuf> {
        let folder = match self.get("DOCKER_CONFIG") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(self.get("HOME")?).join(".docker"),
        };
        Some(folder.join("config.json"))
    }

    /// `~/.config/containers`.
    pub(super) fn user_containers(&self) -> Option<PathBuf> {
        let config = match self.get("XDG_CONFIG_HOME") {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(self.get("HOME")?).join(".config"),
        };
        Some(config.join("containers"))
    }
}

impl fmt::Debug for Settings {
    /// Names only: a proxy's address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.env.keys()).finish()
    }
}

/// How patient a pull is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A connection must be made within this time.
    pub connect: Duration,
    /// The head of an answer must come within this time.
    pub answer: Duration,
    /// A transfer that brings less than `floor` bytes in this time is cut and begun again where it stopped.
    pub stall: Duration,
    /// See `stall`.
    pub floor: u64,
    /// So often a request is tried, and a transfer that brings nothing new.
    pub attempts: u32,
    /// So often a transfer is begun again, however much each attempt brought.
    pub restarts: u32,
    /// The first delay between two attempts; doubles.
    pub backoff: Duration,
    /// The longest wait that a registry's Retry-After is granted.
    pub retry_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            floor: 1024,
            attempts: 5,
            restarts: 100,
            backoff: Duration::from_millis(250),
            retry_after: Duration::from_secs(60),
        }
    }
}

impl Pace {
    /// The usual one, but for what a caller has set.
    ///
    /// # Errors
    /// A value that is no number of seconds.
    pub fn of(settings: &Settings) -> Result<Self, ImageError> {
        let Some(text) = settings.get(PATIENCE) else { return Ok(Self::default()) };
        let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
        let silent = seconds.map(Duration::from_secs).ok_or_else(|| ImageError::BadSettings {
            path: PATIENCE.into(),
            reason: format!("`{text}` is no number of seconds from 1 to 86400"),
        })?;
        Ok(Self { answer: silent, stall: silent, ..Self::default() })
    }

    /// The delay before attempt `n` (from 1), between half and the whole of the doubled base: jitter, so that many clients
    /// of one registry do not come back at the same moment.
    pub fn delay(&self, n: u32) -> Duration {
        let whole = self.backoff.saturating_mul(1 << n.saturating_sub(1).min(6));
        whole.mul_f64(0.5 + random() / 2.0)
    }
}

/// 0 to 1, from the random keys that every hash map gets.
fn random() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bits = u32::try_from(RandomState::new().build_hasher().finish() & 0xffff_ffff).unwrap_or(0);
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_knows_the_registries_and_nobodys_logins() {
        let caller = |key: &str| match key {
            "HOME" => Some("/home/ann".to_owned()),
            "PATH" => Some("/bin".to_owned()),
            "DOCKER_CONFIG" => Some("/home/ann/docker".to_owned()),
            "CONTAINERS_REGISTRIES_CONF" => Some("mirrors.conf".to_owned()),
            "https_proxy" => Some("http://proxy:3128".to_owned()),
            _ => None,
        };
        let caller = Settings::from_lookup(caller);
        assert!(caller.docker_config().is_some());
        let left = caller.without_logins();
        assert_eq!(left.docker_config(), None);
        assert_eq!(left.get("PATH"), None);
        assert_eq!(left.user_containers(), caller.user_containers());
        assert_eq!(left.proxy("https_proxy"), Some("http://proxy:3128"));
        assert!(Path::new(left.get("CONTAINERS_REGISTRIES_CONF").expect("kept")).is_absolute());
    }
}
