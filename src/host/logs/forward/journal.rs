//! Lines for systemd's journal: its own protocol, with docker's fields.

use super::{Forward, Line};
use crate::host::logs::{Stream, time};

/// One datagram: fields and their values.
pub(super) fn message(forward: &Forward, line: &Line) -> Vec<u8> {
    let origin = &forward.origin;
    let mut out = Vec::with_capacity(line.text.len() + 512);
    let mut add = |key: &str, value: &[u8]| field(&mut out, key, value);
    add("MESSAGE", &line.text);
    add("PRIORITY", if line.stream == Stream::Stderr { b"3" } else { b"6" });
    add("CONTAINER_ID", origin.id.get(..12).unwrap_or(&origin.id).as_bytes());
    add("CONTAINER_ID_FULL", origin.id.as_bytes());
    add("CONTAINER_NAME", origin.name.as_bytes());
    add("CONTAINER_TAG", forward.tag.as_bytes());
    add("IMAGE_NAME", origin.image.as_bytes());
    add("SYSLOG_IDENTIFIER", forward.tag.as_bytes());
    add("SYSLOG_TIMESTAMP", time::format(line.time).as_bytes());
    if let Some(part) = &line.part {
        add("CONTAINER_PARTIAL_ID", part.id().as_bytes());
        add("CONTAINER_PARTIAL_ORDINAL", part.ordinal.to_string().as_bytes());
        add("CONTAINER_PARTIAL_LAST", part.last.to_string().as_bytes());
        if !part.last {
            add("CONTAINER_PARTIAL_MESSAGE", b"true");
        }
    }
    for (name, value) in &forward.extra {
        let key = key(name);
        if !key.is_empty() {
            add(&key, value.as_bytes());
        }
    }
    out
}

/// A value with a line end in it has its length before it.
fn field(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A name as the journal allows it: capital letters, digits and `_`, which is not the first.
fn key(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(plain).collect::<String>().trim_start_matches('_').to_owned()
}
