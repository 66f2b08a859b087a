//! The bytes of one blob over the network: goes on by Range where a connection broke off, from one place after the other.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::mpsc::Sender;

use super::intake::Chunk;
use crate::host::image::ImageError;
use crate::host::image::client::{Ask, Client, causes};
use crate::host::image::manifest::Descriptor;
use crate::host::image::registries::Endpoint;

/// Told how many bytes there are, and whether it is being tried again.
pub(super) type Tell<'a> = dyn Fn(u64, bool) + Send + Sync + 'a;

/// One blob on its way.
pub(super) struct Download<'a> {
    pub client: &'a Client,
    pub blob: &'a Descriptor,
    /// The image as people write it, for messages.
    pub image: &'a str,
    /// Where the bytes go. Closed: nobody wants more.
    pub to: Sender<Chunk>,
    /// Bytes that are there.
    pub at: u64,
    pub tell: &'a Tell<'a>,
}

/// How a transfer ended before its time.
enum End {
    /// Nobody wants more.
    Closed,
    /// It broke; it can go on where it stopped.
    Broke(String),
    /// For good, as far as this place is concerned.
    Failed(ImageError),
}

impl Download<'_> {
    /// Fetches the rest of the blob from the first place that gives all of it. `Ok` too if the receiver went away.
    pub(super) async fn run(mut self, endpoints: &[Endpoint]) -> Result<(), ImageError> {
        let mut last = None;
        for endpoint in endpoints {
            if self.at == self.blob.size {
                return Ok(());
            }
            match self.place(endpoint).await {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        last.map_or(Ok(()), Err)
    }

    async fn place(&mut self, endpoint: &Endpoint) -> Result<(), ImageError> {
        let pace = *self.client.pace();
        let (mut fruitless, mut attempts) = (0, 0);
        loop {
            let before = self.at;
            attempts += 1;
            let reason = match self.transfer(endpoint).await {
                Ok(()) | Err(End::Closed) => return Ok(()),
                Err(End::Failed(error)) => return Err(error),
                Err(End::Broke(reason)) => reason,
            };
            fruitless = if self.at > before { 0 } else { fruitless + 1 };
            if fruitless >= pace.attempts || attempts >= pace.restarts {
                return Err(ImageError::Broken {
                    what: self.what(),
                    registry: endpoint.login_name().to_owned(),
                    got: self.at,
                    size: self.blob.size,
                    reason,
                    attempts,
                });
            }
            (self.tell)(self.at, true);
            tokio::time::sleep(pace.delay(fruitless.max(1))).await;
        }
    }

    /// One request, and as much of its body as comes.
    async fn transfer(&mut self, endpoint: &Endpoint) -> Result<(), End> {
        let ask = Ask {
            method: Method::GET,
            path: format!("blobs/{}", self.blob.digest),
            what: self.what(),
            image: self.image.to_owned(),
            accept: "*/*",
            from: self.at,
        };
        let mut response = self.client.send(endpoint, &ask).await.map_err(End::Failed)?;
        let mut skip = self.begin(&response)?;
        let pace = *self.client.pace();
        let (mut waited, mut since) = (Duration::ZERO, 0u64);
        loop {
            let asked = Instant::now();
            let chunk = match tokio::time::timeout(pace.stall, response.chunk()).await {
                Err(_) => return Err(End::Broke(format!("nothing came for {} s", pace.stall.as_secs_f32()))),
                Ok(Err(error)) => return Err(End::Broke(causes(&error))),
                Ok(Ok(None)) if self.at == self.blob.size => return Ok(()),
                Ok(Ok(None)) => return Err(End::Broke("the connection was closed".into())),
                Ok(Ok(Some(chunk))) => chunk,
            };
            // Only the time spent waiting for the network counts, not that for our own disk.
            waited += asked.elapsed();
            since += chunk.len() as u64;
            if waited >= pace.stall {
                if since < pace.floor {
                    return Err(End::Broke(format!("only {since} bytes came in {} s", waited.as_secs())));
                }
                (waited, since) = (Duration::ZERO, 0);
            }
            self.pass(chunk, &mut skip).await?;
        }
    }

    /// Looks at the head of an answer; how many bytes of the body are not wanted, as they are there already.
    fn begin(&self, response: &Response) -> Result<u64, End> {
        let size = self.blob.size;
        let length: Option<u64> = header(response.headers(), CONTENT_LENGTH);
        let (skip, total) = match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = content_range(response.headers());
                if range.is_some_and(|(start, _)| start != self.at) {
                    return Err(End::Broke("the registry sent another range than asked for".into()));
                }
                (0, range.and_then(|(_, total)| total).or(length.map(|length| length.saturating_add(self.at))))
            }
            StatusCode::RANGE_NOT_SATISFIABLE => (0, Some(self.at)),
            // Ranges are not known there: it all comes again.
            _ => (self.at, length),
        };
        match total {
            Some(total) if total != size => {
                Err(End::Failed(ImageError::WrongSize { what: self.what(), expected: size, got: total }))
            }
            _ => Ok(skip),
        }
    }

    /// Hands a piece on; not one byte more than the blob may have.
    async fn pass(&mut self, mut chunk: Chunk, skip: &mut u64) -> Result<(), End> {
        let known = usize::try_from(*skip).unwrap_or(usize::MAX).min(chunk.len());
        *skip -= known as u64;
        let mut chunk = chunk.split_off(known);
        let room = self.blob.size - self.at;
        let too_long = chunk.len() as u64 > room;
        if too_long {
            chunk.truncate(usize::try_from(room).unwrap_or(usize::MAX));
        }
        if !chunk.is_empty() {
            let count = chunk.len() as u64;
            if self.to.send(chunk).await.is_err() {
                return Err(End::Closed);
            }
            self.at += count;
            (self.tell)(self.at, false);
        }
        if too_long {
            let got = self.blob.size + 1;
            return Err(End::Failed(ImageError::WrongSize { what: self.what(), expected: self.blob.size, got }));
        }
        Ok(())
    }

    fn what(&self) -> String {
        format!("layer {} of {}", self.blob.digest.hex().get(..12).unwrap_or_default(), self.image)
    }
}

fn header(headers: &HeaderMap, name: reqwest::header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `bytes 100-199/200`: the start, and the whole length where it is known.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}
