//! Artifacts as `docker compose publish` makes them, from registries.

use std::collections::BTreeMap;
use std::path::Path;

use crate::compose::remote::RemoteError;
use crate::host::image::{ArtifactKind, ArtifactPart, Client, ImageError, Reference, Settings};
use crate::host::paths::is_plain_component;
use crate::name::Digest;

const COMPOSE_FILE: &str = "application/vnd.docker.compose.file+yaml";
const ENV_FILE: &str = "application/vnd.docker.compose.envfile";

/// Compose files are small: whoever sends more means no good.
const KIND: ArtifactKind = ArtifactKind {
    artifact: "application/vnd.docker.compose.project",
    config: "application/vnd.docker.compose.config.empty.v1+json",
    parts: &[COMPOSE_FILE, ENV_FILE],
    limit: 10 << 20,
};

/// The file that the project's own parts become, documents in their order, which are merged as files are.
const MAIN: &str = "compose.yaml";

/// The digest that a name stands for now.
///
/// # Errors
/// What the registry said.
pub async fn resolve(name: &str) -> Result<String, RemoteError> {
    let reference = parse(name)?;
    match &reference.digest {
        // It means the same for ever: there is nothing to ask.
        Some(digest) => Ok(digest.to_string()),
        None => Ok(client()?.digest_of(&reference).await.map_err(|error| told(&error))?.to_string()),
    }
}

/// Fills an empty folder with the files of an artifact.
///
/// # Errors
/// What the registry said, and what is wrong with the artifact.
pub async fn fetch(name: &str, revision: &str, into: &Path) -> Result<(), RemoteError> {
    let reference = Reference { digest: Some(Digest::new(revision)), ..parse(name)? };
    let parts = client()?.artifact(&reference, &KIND).await.map_err(|error| told(&error))?;
    for (name, bytes) in files(parts)? {
        let path = into.join(name);
        std::fs::write(&path, bytes).map_err(|e| RemoteError::new(format!("can't write {}: {e}", path.display())))?;
    }
    Ok(())
}

fn parse(name: &str) -> Result<Reference, RemoteError> {
    Reference::parse(name).map_err(|error| told(&error))
}

fn told(error: &ImageError) -> RemoteError {
    RemoteError::new(error.to_string())
}

fn client() -> Result<Client, RemoteError> {
    Client::new(Settings::from_env()).map_err(|error| told(&error))
}

/// The files of an artifact by name. Its annotations name them, and are never more than a name (CVE-2025-62725).
fn files(parts: Vec<ArtifactPart>) -> Result<BTreeMap<String, Vec<u8>>, RemoteError> {
    let mut files: BTreeMap<String, (bool, Vec<u8>)> = BTreeMap::new();
    for ArtifactPart { media_type, annotations, bytes } in parts {
        let is_compose = media_type == COMPOSE_FILE;
        // A file that services extend has a name of its own; the project's own parts are one file.
        let key = match (is_compose, annotations.contains_key("com.docker.compose.extends")) {
            (true, false) => None,
            (true, true) => Some("com.docker.compose.file"),
            (false, _) => Some("com.docker.compose.envfile"),
        };
        let name = match key {
            None => MAIN,
            Some(key) => annotations.get(key).map(String::as_str).unwrap_or_default(),
        };
        if !is_plain_component(name) || name.contains('\\') || name.chars().any(char::is_control) {
            let name = name.escape_debug();
            return Err(RemoteError::new(format!("it is hostile or broken: `{name}` is no name for one of its files")));
        }
        match files.get_mut(name) {
            None => {
                files.insert(name.to_owned(), (is_compose, bytes));
            }
            Some((true, text)) if is_compose => {
                text.extend(b"\n---\n");
                text.extend(bytes);
            }
            Some(_) => return Err(RemoteError::new(format!("it has two files `{name}`"))),
        }
    }
    Ok(files.into_iter().map(|(name, (_, bytes))| (name, bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(media_type: &str, annotations: &[(&str, &str)], text: &str) -> ArtifactPart {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        ArtifactPart { media_type: media_type.to_owned(), annotations, bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn parts_become_files_and_the_projects_own_are_one() {
        let made = files(vec![
            part(COMPOSE_FILE, &[("com.docker.compose.file", "compose.yaml")], "a: 1"),
            part(
                COMPOSE_FILE,
                &[("com.docker.compose.extends", "true"), ("com.docker.compose.file", "f00.yaml")],
                "b: 1",
            ),
            part(ENV_FILE, &[("com.docker.compose.envfile", "f00.env")], "C=1"),
            part(COMPOSE_FILE, &[("com.docker.compose.file", "/home/me/over.yaml")], "a: 2"),
        ]);
        let made = made.expect("plain names");
        assert_eq!(made.keys().collect::<Vec<_>>(), ["compose.yaml", "f00.env", "f00.yaml"]);
        assert_eq!(made["compose.yaml"], b"a: 1\n---\na: 2");
    }

    #[test]
    fn an_annotation_is_a_plain_name_or_nothing() {
        for name in ["../../x", "/etc/cron.d/x", "a/b", "..", ".", "", "a\\b", "a\nb", "a\0b"] {
            let env = files(vec![part(ENV_FILE, &[("com.docker.compose.envfile", name)], "")]);
            assert!(env.is_err(), "{name:?}");
            let extends = [("com.docker.compose.extends", "true"), ("com.docker.compose.file", name)];
            assert!(files(vec![part(COMPOSE_FILE, &extends, "")]).is_err(), "{name:?}");
        }
        assert!(files(vec![part(ENV_FILE, &[], "")]).is_err());
        let twice = part(ENV_FILE, &[("com.docker.compose.envfile", "compose.yaml")], "");
        assert!(files(vec![part(COMPOSE_FILE, &[], ""), twice]).is_err());
    }
}
