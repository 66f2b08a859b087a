//! The hash of a container's spec: a container whose hash differs from what is desired is made anew.
//!
//! Left out is what docker compose does not re-create for either: names and numbers, addresses that were chosen rather
//! than written, compose's own labels (they name files and dependencies), how it is stopped; and what other parts imply:
//! manifest, layers and exposed ports (by the image's id), the bytes of secrets (by their digest).

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
    let mut text = Vec::with_capacity(4 << 10);
    canonical(value, &mut text);
    hex(&Sha256::new().chain_update(version).chain_update(text).finalize())
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The spec with only that left in it which makes a container be made anew.
pub(super) fn comparable(spec: &ContainerSpec) -> ContainerSpec {
    let mut spec = spec.clone();
    let name = std::mem::take(&mut spec.name);
    spec.number = 0;
    spec.labels.retain(|key, _| !key.starts_with(COMPOSE_LABELS));
    spec.image.manifest = Default::default();
    spec.image.layers.clear();
    spec.image_exposed.clear();
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

/// Writes keys sorted (serde_json's maps are), and leaves out what is empty, so that a field added later changes no hash until
/// it is used.
fn canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            out.push(b'{');
            for (key, value) in map.iter().filter(|(_, value)| !is_empty(value)) {
                let before = out.len();
                if out.last() != Some(&b'{') {
                    out.push(b',');
                }
                text(key, out);
                out.push(b':');
                let start = out.len();
                canonical(value, out);
                if out.get(start..) == Some(b"{}") {
                    // Nothing was left of it.
                    out.truncate(before);
                }
            }
            out.push(b'}');
        }
        Value::Array(list) => {
            out.push(b'[');
            for (number, value) in list.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                canonical(value, out);
            }
            out.push(b']');
        }
        Value::String(string) => text(string, out),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.extend_from_slice(value.to_string().as_bytes()),
    }
}

/// A JSON string.
fn text(string: &str, out: &mut Vec<u8>) {
    // Writing into memory fails for no text.
    let _ = serde_json::to_writer(out, string);
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
