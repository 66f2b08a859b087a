//! What a tag means now, without anything being fetched.

use reqwest::Method;

use super::super::reference::Reference;
use super::super::{ImageError, digest, manifest};
use super::{Ask, Client, MANIFEST_LIMIT, bad_answer, read_bounded};
use crate::name::Digest;

impl Client {
    /// The digest of the manifest or index that a name stands for now. A HEAD request, which costs nothing of a pull
    /// quota; a registry that gives no digest with it is asked for the document itself.
    ///
    /// # Errors
    /// No registry knows it, or none can be reached.
    pub async fn digest(&self, reference: &Reference) -> Result<Digest, ImageError> {
        let mut last = None;
        for endpoint in self.endpoints(reference)? {
            match self.digest_at(&endpoint, reference).await {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| ImageError::NotLocal { name: reference.familiar() }))
    }

    async fn digest_at(&self, endpoint: &super::Endpoint, reference: &Reference) -> Result<Digest, ImageError> {
        let image = reference.familiar();
        let ask = |method| Ask {
            method,
            path: format!("manifests/{}", reference.selector()),
            what: format!("the manifest of {image}"),
            image: image.clone(),
            accept: manifest::ACCEPT,
            from: 0,
        };
        let head = self.send(endpoint, &ask(Method::HEAD)).await?;
        let told = head.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        if let Some(told) = told.and_then(|told| digest::parse(told).ok()) {
            return Ok(told);
        }
        let ask = ask(Method::GET);
        let response = self.send(endpoint, &ask).await?;
        let bytes =
            read_bounded(response, MANIFEST_LIMIT).await.map_err(|reason| bad_answer(endpoint, &ask.what, reason))?;
        Ok(digest::of(&bytes))
    }
}
