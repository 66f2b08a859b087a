//! Talking to registries (OCI distribution 1.1): which scheme, who we are, retries.

mod challenge;
mod http;
mod token;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode};

use super::auth::{Credentials, DockerConfig};
use super::reference::Reference;
use super::registries::{Endpoint, Registries};
use super::settings::Pace;
use super::{ImageError, Settings, digest};

/// The largest manifest that is read (the bound that registries themselves use).
pub(super) const MANIFEST_LIMIT: u64 = 4 << 20;

/// A client for all registries; shares connections, tokens and what was found out about hosts.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    pace: Pace,
    registries: Registries,
    docker: DockerConfig,
    /// Per host and `insecure`.
    clients: Mutex<HashMap<(String, bool), reqwest::Client>>,
    /// Per host: the scheme that works.
    schemes: Mutex<HashMap<String, &'static str>>,
    /// Per host and repository: the `Authorization` that was accepted last.
    tokens: Mutex<HashMap<(String, String), token::Header>>,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// `GET`, `HEAD`.
    pub method: Method,
    /// Below `/v2/<repository>/`: `manifests/latest`.
    pub path: String,
    /// For messages: `manifest redis:7`.
    pub what: String,
    /// The image as people write it, for messages.
    pub image: String,
    /// Media types.
    pub accept: &'static str,
    /// Go on at this byte.
    pub from: u64,
}

/// How one attempt failed.
enum Failure {
    /// For good.
    Final(ImageError),
    /// It may work later, at once or after the time that the registry names.
    Later(ImageError, Option<Duration>),
}

impl Client {
    /// Reads registries.conf and docker's config.json.
    ///
    /// # Errors
    /// When one of them is broken.
    pub fn new(settings: Settings) -> Result<Self, ImageError> {
        let pace = Pace::of(&settings)?;
        Self::with_pace(settings, pace)
    }

    /// With another patience.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with_pace(settings: Settings, pace: Pace) -> Result<Self, ImageError> {
        Ok(Self {
            registries: Registries::load(&settings)?,
            docker: DockerConfig::load(&settings)?,
            settings,
            pace,
            clients: Mutex::default(),
            schemes: Mutex::default(),
            tokens: Mutex::default(),
        })
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    pub(super) fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, ImageError> {
        self.registries.endpoints(reference)
    }

    /// Sends a request, as often as its failures allow. The answer's status is 200 or 206.
    pub(super) async fn send(&self, endpoint: &Endpoint, ask: &Ask) -> Result<Response, ImageError> {
        let mut attempt = 1;
        loop {
            let (error, wait) = match self.attempt(endpoint, ask, None).await {
                Ok(response) => return Ok(response),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Later(error, wait)) => (error, wait),
            };
            if attempt >= self.pace.attempts || wait.is_some_and(|wait| wait > self.pace.retry_after) {
                return Err(error);
            }
            tokio::time::sleep(wait.unwrap_or_default().max(self.pace.delay(attempt))).await;
            attempt += 1;
        }
    }

    /// Whether registries.conf allows plain HTTP and bad certificates for a whole registry.
    pub(super) fn is_insecure(&self, registry: &str) -> bool {
        self.registries.is_insecure(registry)
    }

    /// Asks whether a registry lets `credentials` in (`login`).
    pub(super) async fn check(&self, endpoint: &Endpoint, credentials: &Credentials) -> Result<(), ImageError> {
        let ask = Ask {
            method: Method::GET,
            path: String::new(),
            what: "a login".into(),
            image: String::new(),
            accept: "*/*",
            from: 0,
        };
        match self.attempt(endpoint, &ask, Some(credentials)).await {
            Ok(_) => Ok(()),
            Err(Failure::Final(error) | Failure::Later(error, _)) => Err(error),
        }
    }

    /// One attempt, with one more where the registry first wants to know who asks.
    async fn attempt(&self, endpoint: &Endpoint, ask: &Ask, given: Option<&Credentials>) -> Result<Response, Failure> {
        let base = self.base(endpoint).await?;
        let url = match ask.path.as_str() {
            "" => format!("{base}/v2/"),
            path => format!("{base}/v2/{}/{path}", endpoint.repository),
        };
        let key = (endpoint.host.clone(), endpoint.repository.clone());
        let cached = if given.is_some() { None } else { lock(&self.tokens).get(&key).cloned() };
        let response = self.once(endpoint, ask, &url, cached.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return self.judge(endpoint, ask, response).await;
        }
        let challenges = challenges(response.headers());
        drop(response);
        let request = token::Request { endpoint, base: &base, challenges: &challenges, given, what: &ask.what };
        let header = self.authorize(&request).await.map_err(|error| match error.transient() {
            true => Failure::Later(error, None),
            false => Failure::Final(error),
        })?;
        let response = self.once(endpoint, ask, &url, Some(&header)).await?;
        if response.status().is_success() && given.is_none() {
            lock(&self.tokens).insert(key, header);
        }
        self.judge(endpoint, ask, response).await
    }

    async fn once(
        &self,
        endpoint: &Endpoint,
        ask: &Ask,
        url: &str,
        authorization: Option<&token::Header>,
    ) -> Result<Response, Failure> {
        let mut request = self.http(endpoint)?.request(ask.method.clone(), url).header(ACCEPT, ask.accept);
        if ask.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", ask.from));
        }
        if let Some(header) = authorization {
            request = request.header(AUTHORIZATION, header.value());
        }
        match tokio::time::timeout(self.pace.answer, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_redirect() => {
                Err(Failure::Final(bad_answer(endpoint, &ask.what, http::causes(&error))))
            }
            Ok(Err(error)) => Err(Failure::Later(unreachable(endpoint, &ask.what, http::causes(&error)), None)),
            Err(_) => {
                let reason = format!("no answer within {} s", self.pace.answer.as_secs_f32());
                Err(Failure::Later(unreachable(endpoint, &ask.what, reason), None))
            }
        }
    }

    /// Sorts an answer into good, final and later.
    async fn judge(&self, endpoint: &Endpoint, ask: &Ask, response: Response) -> Result<Response, Failure> {
        let status = response.status();
        if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
            return Ok(response);
        }
        let wait = retry_after(response.headers());
        let detail = detail(response).await;
        let registry = endpoint.login_name().to_owned();
        match status.as_u16() {
            401 | 403 => Err(Failure::Final(self.denied(endpoint, ask, &detail).await)),
            404 => Err(Failure::Final(if ask.path.starts_with("manifests/") {
                ImageError::NotFound { name: ask.image.clone(), registry }
            } else {
                ImageError::Status { registry, what: ask.what.clone(), status: 404, detail }
            })),
            code => {
                let error = ImageError::Status { registry, what: ask.what.clone(), status: code, detail };
                match code {
                    408 | 425 | 429 | 500..=599 => Err(Failure::Later(error, wait)),
                    _ => Err(Failure::Final(error)),
                }
            }
        }
    }

    async fn denied(&self, endpoint: &Endpoint, ask: &Ask, detail: &str) -> ImageError {
        let name = endpoint.login_name();
        let known = matches!(self.docker.find(name, &self.settings).await, Ok(Some(_)));
        let advice = if known {
            format!("the credentials for {name} were not enough: check them with `windlass login {name}`")
        } else {
            format!("it does not exist or needs a login: check the name, or run `windlass login {name}`")
        };
        ImageError::Denied {
            registry: name.to_owned(),
            what: if ask.image.is_empty() { ask.what.clone() } else { ask.image.clone() },
            reason: format!("{advice}{detail}"),
        }
    }

    fn http(&self, endpoint: &Endpoint) -> Result<reqwest::Client, Failure> {
        let key = (endpoint.host.clone(), endpoint.insecure);
        if let Some(client) = lock(&self.clients).get(&key) {
            return Ok(client.clone());
        }
        let client =
            http::build(&endpoint.host, endpoint.insecure, &self.settings, &self.pace).map_err(Failure::Final)?;
        lock(&self.clients).insert(key, client.clone());
        Ok(client)
    }

    /// `https://host`, or `http://host` where that is allowed and answers.
    async fn base(&self, endpoint: &Endpoint) -> Result<String, Failure> {
        let candidates: &[&'static str] = match (endpoint.is_loopback(), endpoint.insecure) {
            (true, _) => &["http", "https"],
            (false, true) => &["https", "http"],
            (false, false) => return Ok(format!("https://{}", endpoint.host)),
        };
        if let Some(scheme) = lock(&self.schemes).get(&endpoint.host) {
            return Ok(format!("{scheme}://{}", endpoint.host));
        }
        let mut failure = None;
        for scheme in candidates {
            match self.speaks(endpoint, scheme).await {
                Ok(true) => {
                    lock(&self.schemes).insert(endpoint.host.clone(), scheme);
                    return Ok(format!("{scheme}://{}", endpoint.host));
                }
                Ok(false) => {}
                Err(error) => failure = Some(failure.unwrap_or(error)),
            }
        }
        Err(failure.unwrap_or_else(|| {
            Failure::Final(bad_answer(
                endpoint,
                "/v2/",
                "it speaks neither the registry's protocol over HTTP nor over HTTPS".into(),
            ))
        }))
    }

    /// Whether a host answers as a registry by this scheme; asked without credentials. A TLS server answers a plain
    /// request with 400 or not at all.
    async fn speaks(&self, endpoint: &Endpoint, scheme: &str) -> Result<bool, Failure> {
        let request = self.http(endpoint)?.get(format!("{scheme}://{}/v2/", endpoint.host)).send();
        match tokio::time::timeout(self.pace.answer, request).await {
            Ok(Ok(response)) => Ok(response.status() != StatusCode::BAD_REQUEST),
            Ok(Err(error)) => Err(Failure::Later(unreachable(endpoint, "/v2/", http::causes(&error)), None)),
            Err(_) => Err(Failure::Later(unreachable(endpoint, "/v2/", "it does not answer".into()), None)),
        }
    }
}

fn challenges(headers: &HeaderMap) -> Vec<challenge::Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(challenge::parse).collect()
}

/// `Retry-After` in seconds; a date is not waited for, the own delay is used.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The registry's own words: `errors[0].message` of the distribution specification.
async fn detail(response: Response) -> String {
    let Ok(body) = read_bounded(response, 16 << 10).await else { return String::new() };
    let message = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|value| value.pointer("/errors/0/message").and_then(|text| text.as_str().map(digest::printable)));
    message.filter(|text| !text.is_empty()).map(|text| format!(": {text}")).unwrap_or_default()
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read_bounded(mut response: Response, limit: u64) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| http::causes(&error))? {
        if body.len() as u64 + chunk.len() as u64 > limit {
            return Err(format!("it is longer than {limit} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(super) fn causes(error: &reqwest::Error) -> String {
    http::causes(error)
}

pub(super) fn unreachable(endpoint: &Endpoint, what: &str, reason: String) -> ImageError {
    ImageError::Unreachable { registry: endpoint.login_name().to_owned(), what: what.to_owned(), reason }
}

pub(super) fn bad_answer(endpoint: &Endpoint, what: &str, reason: String) -> ImageError {
    ImageError::BadAnswer { registry: endpoint.login_name().to_owned(), what: what.to_owned(), reason }
}

/// A panic elsewhere can't have left a map half written.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
