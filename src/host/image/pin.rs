//! What a reference stands for in its registry now, for lock files: nothing of it comes into the store.

use std::collections::BTreeMap;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response};

use super::client::{Ask, Client, MANIFEST_LIMIT, bad_answer, read_bounded};
use super::config::Config;
use super::manifest::{self, Document, Entry, Manifest};
use super::reference::Reference;
use super::registries::Endpoint;
use super::{ImageError, digest};
use crate::lock::{LockedImage, Pin, Registry, RegistryError};
use crate::name::Digest;

impl Registry for Client {
    async fn pin(&self, name: &str) -> Result<LockedImage, RegistryError> {
        let found = async {
            let reference = Reference::parse(name)?;
            let mut last = None;
            for endpoint in self.endpoints(&reference)? {
                match self.pin_at(&endpoint, &reference).await {
                    Ok(image) => return Ok(image),
                    Err(error) => last = Some(error),
                }
            }
            Err(last.unwrap_or_else(|| ImageError::NotLocal { name: reference.familiar() }))
        };
        found.await.map_err(|error| told(name, &error))
    }

    async fn digest(&self, name: &str) -> Result<Pin, RegistryError> {
        let found = async {
            let reference = Reference::parse(name)?;
            // A digest means the same for ever: there is nothing to ask.
            match &reference.digest {
                Some(digest) => checked(digest),
                None => checked(&self.digest_of(&reference).await?),
            }
        };
        found.await.map_err(|error| told(name, &error))
    }
}

fn told(reference: &str, error: &ImageError) -> RegistryError {
    RegistryError { reference: reference.to_owned(), message: error.to_string() }
}

fn checked(digest: &Digest) -> Result<Pin, ImageError> {
    Pin::try_from(digest.to_string()).map_err(|_| ImageError::BadDigest { text: digest::printable(digest) })
}

impl Client {
    /// The digest of the manifest or index that a name stands for now.
    ///
    /// # Errors
    /// No registry knows it, or none can be reached.
    pub async fn digest_of(&self, reference: &Reference) -> Result<Digest, ImageError> {
        let mut last = None;
        for endpoint in self.endpoints(reference)? {
            match self.digest_at(&endpoint, reference).await {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ImageError::NotLocal { name: reference.familiar() }))
    }

    /// A HEAD request costs nothing of a pull quota; a registry that answers it without the digest is asked in full.
    async fn digest_at(&self, endpoint: &Endpoint, reference: &Reference) -> Result<Digest, ImageError> {
        let response = self.send(endpoint, &ask(Method::HEAD, reference)).await?;
        if let Some(digest) = header(&response, "docker-content-digest").and_then(|text| digest::parse(&text).ok()) {
            return Ok(digest);
        }
        let (bytes, _) = self.document_at(endpoint, reference).await?;
        Ok(digest::of(&bytes))
    }

    async fn pin_at(&self, endpoint: &Endpoint, reference: &Reference) -> Result<LockedImage, ImageError> {
        let (bytes, kind) = self.document_at(endpoint, reference).await?;
        let top = digest::of(&bytes);
        let platforms = match manifest::parse(&bytes, kind.as_deref(), &reference.familiar())? {
            Document::Index(entries) => entries.iter().filter_map(platform).collect(),
            Document::Manifest(manifest) => {
                let platform = self.platform_of(endpoint, reference, &manifest).await?;
                platform.into_iter().map(|platform| (platform, top.clone())).collect::<BTreeMap<_, _>>()
            }
        };
        let checked_one = |(platform, digest): (String, Digest)| Ok((platform, checked(&digest)?));
        let platforms = platforms.into_iter().map(checked_one).collect::<Result<_, ImageError>>()?;
        Ok(LockedImage { digest: checked(&top)?, platforms })
    }

    /// A manifest or an index and its Content-Type; verified where the reference has a digest.
    pub(super) async fn document_at(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
    ) -> Result<(Vec<u8>, Option<String>), ImageError> {
        let ask = ask(Method::GET, reference);
        let response = self.send(endpoint, &ask).await?;
        let kind = header(&response, CONTENT_TYPE.as_str());
        let claimed = header(&response, "docker-content-digest").and_then(|text| digest::parse(&text).ok());
        let bytes =
            read_bounded(response, MANIFEST_LIMIT).await.map_err(|reason| bad_answer(endpoint, &ask.what, reason))?;
        let got = digest::of(&bytes);
        match reference.digest.clone().or(claimed) {
            Some(expected) if expected != got => Err(ImageError::WrongDigest { what: ask.what, expected, got }),
            _ => Ok((bytes, kind)),
        }
    }

    /// The platform of an image that has no index: its config says it.
    async fn platform_of(
        &self,
        endpoint: &Endpoint,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<Option<String>, ImageError> {
        let what = format!("the config of {}", reference.familiar());
        let bytes = self.blob_at(endpoint, reference, &manifest.config, &what).await?;
        let config = Config::parse(&bytes, manifest.layers.len(), &what)?;
        Ok(config.platform.map(|platform| platform.to_string()))
    }
}

/// Attestations go by an unknown platform; what names none is held by the index's own digest.
fn platform(entry: &Entry) -> Option<(String, Digest)> {
    let platform = entry.platform.as_ref().filter(|platform| platform.os != "unknown")?;
    Some((platform.to_string(), entry.target.digest.clone()))
}

fn header(response: &Response, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn ask(method: Method, reference: &Reference) -> Ask {
    let image = reference.familiar();
    Ask {
        method,
        path: format!("manifests/{}", reference.selector()),
        what: format!("the manifest of {image}"),
        image,
        accept: manifest::ACCEPT,
        from: 0,
    }
}
