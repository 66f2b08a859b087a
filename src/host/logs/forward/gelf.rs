//! Lines for Graylog: GELF 1.1 with docker's fields.

use std::io::{self, Write};

use flate2::Compression as Level;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Map, Value, json};

use super::{Forward, Line, Target};
use crate::desired::Compression;
use crate::host::logs::Stream;

/// Bytes of a datagram that pass everywhere.
const DATAGRAM: usize = 1420;

/// Bytes that stand before each part of a message: magic, its id, which part of how many.
const HEAD: usize = 12;

/// More parts no receiver takes.
const PARTS: usize = 128;

/// The datagrams of a line, or its text on a connection; `None`: it is too long for any.
pub(super) fn messages(
    forward: &Forward,
    line: &Line,
    compression: Compression,
    level: u32,
    number: u64,
) -> Option<Vec<Vec<u8>>> {
    let mut text = serde_json::to_vec(&document(forward, line)).ok()?;
    if matches!(forward.targets.first(), Some(Target::Tcp(_))) {
        text.push(0);
        return Some(vec![text]);
    }
    chunks(compressed(text, compression, level).ok()?, number)
}

fn document(forward: &Forward, line: &Line) -> Map<String, Value> {
    let origin = &forward.origin;
    let seconds = (line.time / 1_000_000) as f64 / 1000.0;
    let fields = [
        ("version", json!("1.1")),
        ("host", json!(forward.host)),
        ("short_message", json!(String::from_utf8_lossy(&line.text))),
        ("timestamp", json!(seconds)),
        ("level", json!(if line.stream == Stream::Stderr { 3 } else { 6 })),
        ("_container_id", json!(origin.id)),
        ("_container_name", json!(origin.name)),
        ("_image_id", json!(origin.image_id)),
        ("_image_name", json!(origin.image)),
        ("_command", json!(origin.command)),
        ("_tag", json!(forward.tag)),
        ("_created", json!(origin.created)),
    ];
    let mut all: Map<_, _> = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in &forward.extra {
        let name = if name.starts_with('_') { name.clone() } else { format!("_{name}") };
        all.insert(name, json!(value));
    }
    all
}

fn compressed(text: Vec<u8>, compression: Compression, level: u32) -> io::Result<Vec<u8>> {
    let level = Level::new(level);
    match compression {
        Compression::None => Ok(text),
        Compression::Gzip => {
            let mut out = GzEncoder::new(Vec::new(), level);
            out.write_all(&text)?;
            out.finish()
        }
        Compression::Zlib => {
            let mut out = ZlibEncoder::new(Vec::new(), level);
            out.write_all(&text)?;
            out.finish()
        }
    }
}

fn chunks(message: Vec<u8>, number: u64) -> Option<Vec<Vec<u8>>> {
    if message.len() <= DATAGRAM {
        return Some(vec![message]);
    }
    let parts = message.chunks(DATAGRAM - HEAD);
    let count = u8::try_from(parts.len()).ok().filter(|count| usize::from(*count) <= PARTS)?;
    let chunk = |(sequence, part): (u8, &[u8])| {
        let mut chunk = vec![0x1e, 0x0f];
        chunk.extend_from_slice(&number.to_be_bytes());
        chunk.extend_from_slice(&[sequence, count]);
        chunk.extend_from_slice(part);
        chunk
    };
    Some((0..count).zip(parts).map(chunk).collect())
}
