//! `login` and `logout`: docker's `config.json`, or the credential helper that it names.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::auth::{Credentials, DockerConfig, HUB_KEY, Secret, keys, run_helper};
use super::client::Client;
use super::reference::is_host;
use super::registries::{Endpoint, HUB_HOST};
use super::{ImageError, Settings, digest};

/// Where a login was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptIn {
    /// This file; it is readable by its owner only, but not encrypted.
    File(PathBuf),
    /// The helper `docker-credential-<name>`.
    Helper(String),
}

/// Logs in: asks the registry whether it takes user and password, then keeps them.
///
/// # Errors
/// [`ImageError::WrongLogin`] if it does not; else when they can't be kept.
pub async fn login(settings: &Settings, registry: &str, user: &str, password: Secret) -> Result<KeptIn, ImageError> {
    let registry = registry_name(registry)?;
    let client = Client::new(settings.clone())?;
    let host = if registry == "docker.io" { HUB_HOST } else { &registry };
    let endpoint =
        Endpoint { host: host.to_owned(), repository: String::new(), insecure: client.is_insecure(&registry) };
    let credentials = Credentials::Basic { user: user.to_owned(), password: password.clone() };
    client.check(&endpoint, &credentials).await.map_err(|error| match error {
        ImageError::Denied { .. } => ImageError::WrongLogin { registry: registry.clone(), user: user.to_owned() },
        other => other,
    })?;
    let config = DockerConfig::load(settings)?;
    let key = config_key(&registry);
    if let Some(helper) = config.helper(&registry) {
        let input = json!({ "ServerURL": key, "Username": user, "Secret": password.reveal() }).to_string();
        let (good, _) = run_helper(helper, "store", input.as_bytes(), settings).await?;
        let name = format!("docker-credential-{helper}");
        return if good {
            Ok(KeptIn::Helper(name))
        } else {
            Err(ImageError::Helper { helper: name, reason: "did not keep the login".into() })
        };
    }
    let auth = STANDARD.encode(format!("{user}:{}", password.reveal()));
    let path = change(settings, |config| {
        let auths = config.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths[&key] = json!({ "auth": auth });
    })?;
    Ok(KeptIn::File(path))
}

/// Forgets a login; whether there was one.
///
/// # Errors
/// When the file or the helper can't be changed.
pub async fn logout(settings: &Settings, registry: &str) -> Result<bool, ImageError> {
    let registry = registry_name(registry)?;
    let config = DockerConfig::load(settings)?;
    let mut found = false;
    if let Some(helper) = config.helper(&registry) {
        found |= run_helper(helper, "erase", config_key(&registry).as_bytes(), settings).await?.0;
    }
    if !config.has_entry(&registry) {
        return Ok(found);
    }
    change(settings, |config| {
        if let Some(auths) = config.get_mut("auths").and_then(Value::as_object_mut) {
            for key in keys(&registry) {
                auths.remove(&key);
            }
        }
    })?;
    Ok(true)
}

fn config_key(registry: &str) -> String {
    if registry == "docker.io" { HUB_KEY.to_owned() } else { registry.to_owned() }
}

/// A registry as people write it: with or without `https://`, empty for Docker Hub.
fn registry_name(text: &str) -> Result<String, ImageError> {
    let host = text.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or_default();
    match host {
        "" | "docker.io" | "index.docker.io" | "registry-1.docker.io" => Ok("docker.io".to_owned()),
        host if is_host(host) => Ok(host.to_owned()),
        _ => Err(ImageError::BadReference { text: digest::printable(text), reason: "it is no host name".into() }),
    }
}

/// Changes config.json and keeps everything else in it; whole or not at all, mode 0600.
fn change(settings: &Settings, change: impl FnOnce(&mut Map<String, Value>)) -> Result<PathBuf, ImageError> {
    let path = settings.docker_config().ok_or_else(|| ImageError::BadSettings {
        path: "config.json".into(),
        reason: "neither HOME nor DOCKER_CONFIG says where it is".into(),
    })?;
    // A config.json that is a symlink (dotfiles in a repository) stays one.
    let path = std::fs::canonicalize(&path).unwrap_or(path);
    let mut config: Map<String, Value> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| ImageError::BadSettings {
            path: path.clone(),
            reason: format!("it is no JSON object (line {})", error.line()),
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Map::new(),
        Err(error) => return Err(ImageError::io("read", &path)(error)),
    };
    change(&mut config);
    write(&path, &config).map_err(ImageError::io("write", &path))?;
    Ok(path)
}

fn write(path: &Path, config: &Map<String, Value>) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = folder.join(format!(".config.json.{}", std::process::id()));
    // One that a crash left would have its own mode.
    let _ = std::fs::remove_file(&temporary);
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(serde_json::to_string_pretty(config)?.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        // The error at hand is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    })
}
