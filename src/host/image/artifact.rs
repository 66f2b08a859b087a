//! Artifacts: small files that a registry keeps beside images, with the same logins, mirrors and checks. Nothing of them comes
//! into the store.

use std::collections::BTreeMap;

use reqwest::Method;

use super::client::{Ask, Client, bad_answer, read_bounded};
use super::manifest::{self, Descriptor, RawDescriptor};
use super::reference::Reference;
use super::registries::Endpoint;
use super::{ImageError, digest};

/// Parts of an artifact.
const PARTS: usize = 100;

/// Which artifacts are wanted, and which of their parts.
#[derive(Clone, Copy, Debug)]
pub struct ArtifactKind {
    /// `artifactType` of its manifest.
    pub artifact: &'static str,
    /// Media type of its config, where it was made before manifests had an `artifactType`.
    pub config: &'static str,
    /// Media types of the parts that are fetched; others are left out.
    pub parts: &'static [&'static str],
    /// Bytes of all parts together, at most.
    pub limit: u64,
}

/// A part of an artifact, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactPart {
    /// Its media type, one of those that were wanted.
    pub media_type: String,
    /// What its maker says of it. Not to be trusted.
    pub annotations: BTreeMap<String, String>,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Client {
    /// The parts of an artifact, in its order.
    ///
    /// # Errors
    /// No registry has it, it is of another kind or too large, or a part is not what its digest says.
    pub async fn artifact(&self, reference: &Reference, kind: &ArtifactKind) -> Result<Vec<ArtifactPart>, ImageError> {
        let mut last = None;
        for endpoint in self.endpoints(reference)? {
            match self.artifact_at(&endpoint, reference, kind).await {
                Ok(parts) => return Ok(parts),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ImageError::NotLocal { name: reference.familiar() }))
    }

    async fn artifact_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        kind: &ArtifactKind,
    ) -> Result<Vec<ArtifactPart>, ImageError> {
        let bad = |reason: String| ImageError::BadManifest { what: reference.familiar(), reason };
        let (bytes, sent_as) = self.document_at(endpoint, reference).await?;
        let (mut raw, is_index) = manifest::read(&bytes, sent_as.as_deref(), &reference.familiar())?;
        if is_index {
            let entries = raw.manifests.unwrap_or_default();
            let entry = entries.iter().find(|entry| entry.artifact_type.as_deref() == Some(kind.artifact));
            let entry =
                entry.ok_or_else(|| bad(format!("it is an index without an artifact of type `{}`", kind.artifact)))?;
            let one = Reference { digest: Some(digest::parse(&entry.digest)?), ..reference.clone() };
            let (bytes, sent_as) = self.document_at(endpoint, &one).await?;
            let (inner, is_index) = manifest::read(&bytes, sent_as.as_deref(), &one.familiar())?;
            if is_index {
                return Err(bad("it is an index in an index".to_owned()));
            }
            raw = inner;
        }
        let config = raw.config.map(|config| config.media_type).unwrap_or_default();
        match raw.artifact_type.as_deref().filter(|kind| !kind.is_empty()) {
            Some(found) if found != kind.artifact => {
                return Err(bad(format!(
                    "it is an artifact of type `{}`, not `{}`",
                    digest::printable(found),
                    kind.artifact
                )));
            }
            None if config != kind.config => {
                return Err(bad(format!(
                    "it is of type `{}`, and no artifact `{}`",
                    digest::printable(&config),
                    kind.artifact
                )));
            }
            _ => {}
        }
        let wanted = wanted(raw.layers.unwrap_or_default(), kind, reference)?;
        let mut parts = Vec::new();
        for (blob, layer) in wanted {
            let what = format!("a part of {}", reference.familiar());
            let bytes = self.blob_at(endpoint, reference, &blob, &what).await?;
            let annotations = layer.annotations.unwrap_or_default();
            parts.push(ArtifactPart { media_type: layer.media_type, annotations, bytes });
        }
        Ok(parts)
    }

    /// A small blob, verified; no more than its size is read, and no longer is waited for it than a transfer may stall.
    pub(super) async fn blob_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        blob: &Descriptor,
        what: &str,
    ) -> Result<Vec<u8>, ImageError> {
        let path = format!("blobs/{}", blob.digest);
        let image = reference.familiar();
        let ask = Ask { method: Method::GET, path, what: what.to_owned(), image, accept: "*/*", from: 0 };
        let response = self.send(endpoint, &ask).await?;
        let bytes = tokio::time::timeout(self.pace().stall, read_bounded(response, blob.size)).await;
        let bytes = bytes.unwrap_or_else(|_| Err("it did not come in time".to_owned()));
        let bytes = bytes.map_err(|reason| bad_answer(endpoint, what, reason))?;
        let got = digest::of(&bytes);
        if got != blob.digest {
            return Err(ImageError::WrongDigest { what: what.to_owned(), expected: blob.digest.clone(), got });
        }
        Ok(bytes)
    }
}

fn wanted(
    layers: Vec<RawDescriptor>,
    kind: &ArtifactKind,
    reference: &Reference,
) -> Result<Vec<(Descriptor, RawDescriptor)>, ImageError> {
    let bad = |reason: String| ImageError::BadManifest { what: reference.familiar(), reason };
    let layers = layers.into_iter().filter(|layer| kind.parts.contains(&layer.media_type.as_str()));
    let wanted = layers.map(|layer| Ok((manifest::descriptor(&layer, &reference.familiar())?, layer)));
    let wanted: Vec<(Descriptor, RawDescriptor)> = wanted.collect::<Result<_, ImageError>>()?;
    if wanted.is_empty() || wanted.len() > PARTS {
        return Err(bad(format!("it has {} files: must be 1 to {PARTS}", wanted.len())));
    }
    let total = wanted.iter().fold(0u64, |total, (blob, _)| total.saturating_add(blob.size));
    if total > kind.limit {
        return Err(bad(format!("its files have {total} bytes, more than {}", kind.limit)));
    }
    Ok(wanted)
}
