//! Content digests: strict parsing, hashing, and the chain id of a stack of layers.

use sha2::{Digest as _, Sha256};

use super::ImageError;
use crate::name::Digest;

/// Accepts `sha256:` and 64 lower-case hexadecimal digits, and nothing else: a digest becomes a file name and a part of
/// an address, so nobody may smuggle `../` or another algorithm into it.
///
/// # Errors
/// [`ImageError::BadDigest`].
pub fn parse(text: &str) -> Result<Digest, ImageError> {
    let good = text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    });
    if good { Ok(Digest::new(text)) } else { Err(ImageError::BadDigest { text: printable(text) }) }
}

/// The digest of `bytes`.
pub fn of(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::default();
    hasher.update(bytes);
    hasher.finish()
}

/// The chain id of a layer: of the bottom one it is its diff id, else the digest of `parent diff` (OCI image config,
/// "Layer ChainID").
pub fn chain(parent: Option<&Digest>, diff: &Digest) -> Digest {
    match parent {
        None => diff.clone(),
        Some(parent) => of(format!("{parent} {diff}").as_bytes()),
    }
}

/// The chain ids of all layers, lowest first.
pub fn chains(diffs: &[Digest]) -> Vec<Digest> {
    let mut all: Vec<Digest> = Vec::with_capacity(diffs.len());
    for diff in diffs {
        all.push(chain(all.last(), diff));
    }
    all
}

/// A running SHA-256.
#[derive(Clone, Debug, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Takes more bytes in.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes taken in.
    pub fn finish(self) -> Digest {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in self.0.finalize() {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Digest::new(text)
    }
}

/// A text from outside in a form that can't hurt a terminal: control characters replaced, cut at 120 characters.
pub fn printable(text: &str) -> String {
    text.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
