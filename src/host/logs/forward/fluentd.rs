//! Lines for fluentd: its forward protocol, a message each, with docker's fields.

use super::{Forward, Line};
use crate::host::logs::Stream;

/// `[tag, time, record]` in MessagePack.
pub(super) fn message(forward: &Forward, line: &Line, nanoseconds: bool) -> Vec<u8> {
    let origin = &forward.origin;
    let mut out = Vec::with_capacity(line.text.len() + 256);
    out.push(0x93);
    text(&mut out, forward.tag.as_bytes());
    time(&mut out, line.time, nanoseconds);
    let name = format!("/{}", origin.name);
    let source = if line.stream == Stream::Stderr { "stderr" } else { "stdout" };
    let mut record: Vec<(&str, Vec<u8>)> = vec![
        ("container_id", origin.id.clone().into()),
        ("container_name", name.into()),
        ("source", source.into()),
        ("log", line.text.clone()),
    ];
    if let Some(part) = &line.part {
        record.push(("partial_message", "true".into()));
        record.push(("partial_id", part.id().into()));
        record.push(("partial_ordinal", part.ordinal.to_string().into()));
        record.push(("partial_last", part.last.to_string().into()));
    }
    // The user's own name for a field is the one that counts, and none comes twice.
    record.retain(|(name, _)| !forward.extra.contains_key(*name));
    record.extend(forward.extra.iter().map(|(name, value)| (name.as_str(), value.clone().into())));
    head(&mut out, record.len(), Kind::Map);
    for (name, value) in &record {
        text(&mut out, name.as_bytes());
        text(&mut out, value);
    }
    out
}

/// Whole seconds, or fluentd's own type with nanoseconds.
fn time(out: &mut Vec<u8>, time: u64, nanoseconds: bool) {
    let (seconds, nanos) = (time / 1_000_000_000, time % 1_000_000_000);
    // Until 2106 the number is right.
    let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
    if nanoseconds {
        out.extend_from_slice(&[0xd7, 0]);
        out.extend_from_slice(&seconds.to_be_bytes());
        out.extend_from_slice(&u32::try_from(nanos).unwrap_or(0).to_be_bytes());
    } else {
        out.push(0xce);
        out.extend_from_slice(&seconds.to_be_bytes());
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Map,
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    head(out, text.len(), Kind::Text);
    out.extend_from_slice(text);
}

/// The first bytes of a value of so many bytes or fields, in the shortest form.
fn head(out: &mut Vec<u8>, length: usize, kind: Kind) {
    let (short, limit, two, four) = match kind {
        Kind::Text => (0xa0, 32, 0xda, 0xdb),
        Kind::Map => (0x80, 16, 0xde, 0xdf),
    };
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < limit => out.push(short | length),
        (Ok(length), _) if matches!(kind, Kind::Text) => out.extend_from_slice(&[0xd9, length]),
        (_, Ok(length)) => {
            out.push(two);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(four);
            out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}
