//! Pax extended headers (POSIX.1-2017, pax): records `<length> <key>=<value>\n`.

use super::Fault;
use crate::host::image::digest::printable;

/// Records in their order; a later one of the same key wins, but for those of sparse files (0.0), which repeat.
#[derive(Clone, Debug, Default)]
pub(super) struct Pax(Vec<(Vec<u8>, Vec<u8>)>);

impl Pax {
    /// Reads all records.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, Fault> {
        let mut records = Vec::new();
        while !bytes.is_empty() {
            // Old programs pad with NULs.
            if bytes.iter().all(|byte| *byte == 0) {
                break;
            }
            let (record, rest) = record(bytes).ok_or_else(|| Fault::Bad("it has a malformed pax header".into()))?;
            records.push(record);
            bytes = rest;
        }
        Ok(Self(records))
    }

    /// The value of a key; an empty value deletes it.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let last = self.0.iter().rev().find(|(name, _)| name == key.as_bytes());
        last.map(|(_, value)| value.as_slice()).filter(|value| !value.is_empty())
    }

    /// The value of a key as a number.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Fault> {
        self.get(key).map(|value| decimal(value).ok_or_else(|| bad_value(key, value))).transpose()
    }

    /// `mtime`: seconds and nanoseconds.
    pub(super) fn mtime(&self) -> Result<Option<(i64, i64)>, Fault> {
        self.get("mtime").map(|value| time(value).ok_or_else(|| bad_value("mtime", value))).transpose()
    }

    /// Extended attributes (star's and GNU tar's keys).
    pub(super) fn xattrs(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (key, value) in &self.0 {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                all.retain(|(known, _)| known != name);
                all.push((name.to_vec(), value.clone()));
            }
        }
        all
    }

    /// All values of the two keys of a sparse map in form 0.0, in their order: whether it is the offset, and the number.
    pub(super) fn sparse_pairs(&self) -> Result<Vec<(bool, u64)>, Fault> {
        let wanted = |key: &[u8]| match key {
            b"GNU.sparse.offset" => Some(true),
            b"GNU.sparse.numbytes" => Some(false),
            _ => None,
        };
        self.0
            .iter()
            .filter_map(|(key, value)| wanted(key).map(|offset| (offset, value)))
            .map(|(offset, value)| Ok((offset, decimal(value).ok_or_else(|| bad_value("GNU.sparse", value))?)))
            .collect()
    }
}

type Record = (Vec<u8>, Vec<u8>);

fn record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
        return None;
    }
    let text = &bytes[space + 1..length - 1];
    let equals = text.iter().position(|byte| *byte == b'=')?;
    Some(((text[..equals].to_vec(), text[equals + 1..].to_vec()), &bytes[length..]))
}

/// A number of digits only.
pub(super) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn time(bytes: &[u8]) -> Option<(i64, i64)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanos: i64 = digits.parse().ok().filter(|nanos| *nanos >= 0)?;
    // -1.25 is 0.75 after -2.
    match (whole.starts_with('-'), nanos) {
        (true, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
        _ => Some((seconds, nanos)),
    }
}

fn bad_value(key: &str, value: &[u8]) -> Fault {
    Fault::Bad(format!("its pax header has `{}` for {key}", printable(&String::from_utf8_lossy(value))))
}
