//! The hash of a container's spec: a container whose hash differs from what is desired is made anew.
//!
//! Left out is what docker compose does not re-create for either: names and numbers, addresses that were chosen rather
//! than written, compose's own labels (they name files and dependencies), how it is stopped; and what other parts imply:
//! manifest and layers (by the image's id), the bytes of secrets (by their digest).

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{ContainerSpec, FileSource, StopSpec};

/// Changes when the meaning of a field changes, so that everything is made anew once; a new field with an empty default
/// does not need it.
const VERSION: &[u8] = b"windlass container 1\n";

/// What compose's own labels begin with.
pub const COMPOSE_LABELS: &str = "com.docker.compose.";

impl ContainerSpec {
    /// sha256, in hexadecimal, of what the container is made of.
    pub fn hash(&self) -> String {
        digest(VERSION, &serde_json::to_value(comparable(self)).unwrap_or_default())
    }
}

/// sha256, in hexadecimal, of a value's canonical JSON: keys sorted, empty values left out.
pub fn digest(version: &[u8], value: &Value) -> String {
    let hash = Sha256::new().chain_update(version).chain_update(canonical(value).to_string().as_bytes()).finalize();
    hex(&hash)
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The spec with only that left in it which makes a container be made anew.
pub(super) fn comparable(spec: &ContainerSpec) -> ContainerSpec {
    let mut spec = spec.clone();
    let name = std::mem::take(&mut spec.name);
    spec.number = 0;
    spec.labels.retain(|key, _| !key.starts_with(COMPOSE_LABELS));
    spec.image.manifest = Default::default();
    spec.image.layers.clear();
    spec.stop = StopSpec::default();
    for endpoint in &mut spec.endpoints {
        endpoint.aliases.retain(|alias| *alias != *name);
        if !endpoint.fixed {
            (endpoint.ipv4, endpoint.ipv6) = (None, None);
        }
    }
    for file in &mut spec.files {
        if let FileSource::Inline { value } = &mut file.source {
            value.0.clear();
        }
    }
    spec
}

/// Keys sorted (serde_json's maps are), and what is empty left out, so that a field added later changes no hash until it
/// is used.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| (key.clone(), canonical(value)));
            Value::Object(entries.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
