//! Credentials for a registry: docker's `config.json` and credential helpers.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{ImageError, Settings};

/// A helper that hangs is killed after this time.
const HELPER_TIME: Duration = Duration::from_secs(10);
/// What Docker Hub is called in config.json.
pub(super) const HUB_KEY: &str = "https://index.docker.io/v1/";

/// A password or token: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a registry is told about who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A user and a password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token, to be exchanged at the registry's token service.
    Identity(Secret),
    /// A token that is sent as it is.
    Bearer(Secret),
}

/// The parts of docker's `config.json` that speak of registries.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, AuthEntry>,
    #[serde(default)]
    creds_store: Option<String>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct AuthEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl fmt::Debug for AuthEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl DockerConfig {
    /// Reads the file; that there is none is no error.
    pub(super) fn load(settings: &Settings) -> Result<Self, ImageError> {
        let Some(path) = settings.docker_config() else { return Ok(Self::default()) };
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                // serde's own message could quote a secret: only the place is told.
                .map_err(|error| ImageError::BadSettings {
                    path,
                    reason: format!("it is no valid JSON of docker's form (line {}, column {})", error.line(), error.column()),
                }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(ImageError::io("read", &path)(error)),
        }
    }

    /// The helper that keeps a registry's credentials, if one does.
    pub(super) fn helper(&self, registry: &str) -> Option<&str> {
        keys(registry)
            .iter()
            .find_map(|key| self.cred_helpers.get(key))
            .or(self.creds_store.as_ref())
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// Whether the file itself has an entry for a registry.
    pub(super) fn has_entry(&self, registry: &str) -> bool {
        keys(registry).iter().any(|key| self.auths.contains_key(key))
    }

    /// The credentials for a registry (`docker.io`, `host:port`), if there are any.
    pub(super) async fn find(&self, registry: &str, settings: &Settings) -> Result<Option<Credentials>, ImageError> {
        if let Some(helper) = self.helper(registry) {
            let key = if registry == "docker.io" { HUB_KEY } else { registry };
            if let Some(found) = helper_get(helper, key, settings).await? {
                return Ok(Some(found));
            }
        }
        Ok(keys(registry).iter().find_map(|key| self.auths.get(key)).and_then(AuthEntry::credentials))
    }
}

impl AuthEntry {
    fn credentials(&self) -> Option<Credentials> {
        let full = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = full(&self.registrytoken) {
            return Some(Credentials::Bearer(Secret::new(token)));
        }
        if let Some(token) = full(&self.identitytoken) {
            return Some(Credentials::Identity(Secret::new(token)));
        }
        let (user, password) = match full(&self.auth) {
            Some(coded) => {
                let text = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
                let (user, password) = text.split_once(':')?;
                // docker pads old entries with NULs.
                (user.to_owned(), password.trim_end_matches('\0').to_owned())
            }
            None => (full(&self.username)?, full(&self.password)?),
        };
        Some(Credentials::Basic { user, password: Secret::new(password) })
    }
}

/// The keys under which config.json may have a registry.
pub(super) fn keys(registry: &str) -> Vec<String> {
    if registry == "docker.io" {
        return [HUB_KEY, "docker.io", "index.docker.io", "https://index.docker.io", "registry-1.docker.io"]
            .map(str::to_owned)
            .to_vec();
    }
    ["", "https://", "http://"]
        .iter()
        .flat_map(|scheme| ["", "/", "/v1/", "/v2/"].iter().map(move |path| format!("{scheme}{registry}{path}")))
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

async fn helper_get(helper: &str, key: &str, settings: &Settings) -> Result<Option<Credentials>, ImageError> {
    let (good, output) = run_helper(helper, "get", key.as_bytes(), settings).await?;
    if !good {
        // The protocol's own sentence for "none"; whatever else fails is told, without the output, which may hold secrets.
        if String::from_utf8_lossy(&output).contains("credentials not found") {
            return Ok(None);
        }
        return Err(bad_helper(helper, "failed at `get`: run it by hand, or take it out of docker's config.json"));
    }
    let answer: HelperAnswer = serde_json::from_slice(&output).map_err(|_| bad_helper(helper, "answered no valid JSON"))?;
    let secret = Secret::new(answer.secret);
    Ok(match answer.username.as_str() {
        "" if secret.reveal().is_empty() => None,
        "<token>" => Some(Credentials::Identity(secret)),
        user => Some(Credentials::Basic { user: user.to_owned(), password: secret }),
    })
}

fn bad_helper(helper: &str, reason: &str) -> ImageError {
    ImageError::Helper { helper: format!("docker-credential-{helper}"), reason: reason.to_owned() }
}

/// Runs `docker-credential-<helper> <verb>` with `input`; whether it succeeded, and what it printed.
pub(super) async fn run_helper(
    helper: &str,
    verb: &str,
    input: &[u8],
    settings: &Settings,
) -> Result<(bool, Vec<u8>), ImageError> {
    if helper.contains('/') {
        return Err(bad_helper(helper, "has a `/` in its name"));
    }
    let program = format!("docker-credential-{helper}");
    let path = settings.get("PATH").unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let found = std::env::split_paths(path).map(|folder| folder.join(&program)).find(|path| path.is_file());
    let Some(found) = found else {
        return Err(bad_helper(helper, "is named in docker's config.json, but is not in PATH: install it"));
    };
    let work = talk(&found, verb, input, settings);
    match tokio::time::timeout(HELPER_TIME, work).await {
        Err(_) => Err(bad_helper(helper, &format!("did not answer within {} s and was killed", HELPER_TIME.as_secs()))),
        Ok(Err(error)) => Err(bad_helper(helper, &format!("can't be run: {error}"))),
        Ok(Ok(answer)) => Ok(answer),
    }
}

async fn talk(program: &Path, verb: &str, input: &[u8], settings: &Settings) -> std::io::Result<(bool, Vec<u8>)> {
    let mut command = tokio::process::Command::new(program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    for key in ["HOME", "PATH", "DOCKER_CONFIG"] {
        if let Some(value) = settings.get(key) {
            command.env(key, value);
        }
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input is judged by its answer.
        let _ = stdin.write_all(input).await;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(1 << 20).read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?.success(), output))
}
