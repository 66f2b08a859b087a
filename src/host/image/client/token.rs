//! Who we are: basic authentication, or a token from the registry's token service (distribution's token flow).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::challenge::Challenge;
use super::{Client, bad_answer, http, read_bounded, unreachable};
use crate::host::image::auth::{Credentials, Secret};
use crate::host::image::registries::Endpoint;
use crate::host::image::{ImageError, digest};

/// The value of an `Authorization` header; marked so that it is never printed, and dropped on a change of host.
#[derive(Clone, Debug)]
pub(super) struct Header(HeaderValue);

impl Header {
    fn new(scheme: &str, secret: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(&format!("{scheme} {secret}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// What a registry wants to know, and of whom.
pub(super) struct Request<'a> {
    pub endpoint: &'a Endpoint,
    /// `https://host`.
    pub base: &'a str,
    pub challenges: &'a [Challenge],
    /// Credentials to try instead of the stored ones.
    pub given: Option<&'a Credentials>,
    pub what: &'a str,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Client {
    /// Answers a challenge.
    pub(super) async fn authorize(&self, request: &Request<'_>) -> Result<Header, ImageError> {
        let name = request.endpoint.login_name();
        let credentials = match request.given {
            Some(given) => Some(given.clone()),
            None => self.docker.find(name, &self.settings).await?,
        };
        if let Some(Credentials::Bearer(token)) = &credentials {
            return Header::new("Bearer", token.reveal()).ok_or_else(|| unusable(name));
        }
        let find = |scheme: &str| request.challenges.iter().find(|challenge| challenge.scheme == scheme);
        if let Some(challenge) = find("bearer") {
            let token = self.fetch_token(request, challenge, credentials.as_ref()).await?;
            return Header::new("Bearer", token.reveal())
                .ok_or_else(|| bad_answer(request.endpoint, request.what, "its token service sent no usable token".into()));
        }
        if find("basic").is_none() {
            let reason = "it answers 401 without a way to log in that is known here (Basic, Bearer)";
            return Err(bad_answer(request.endpoint, request.what, reason.into()));
        }
        match &credentials {
            Some(Credentials::Basic { user, password }) => basic(user, password).ok_or_else(|| unusable(name)),
            _ => Err(ImageError::Denied {
                registry: name.to_owned(),
                what: request.what.to_owned(),
                reason: format!("it needs a login: run `windlass login {name}`"),
            }),
        }
    }

    async fn fetch_token(
        &self,
        request: &Request<'_>,
        challenge: &Challenge,
        credentials: Option<&Credentials>,
    ) -> Result<Secret, ImageError> {
        let realm = realm(request, challenge)?;
        let response = match credentials {
            Some(Credentials::Identity(token)) => self.exchange(request, challenge, realm, token).await,
            other => self.get_token(request, challenge, realm, other).await,
        }?;
        match response.status() {
            status if status.is_success() => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
                let name = request.endpoint.login_name();
                let advice = match credentials {
                    Some(_) => "the user name or the password is wrong",
                    None => "it does not exist or needs a login",
                };
                let reason = format!("{advice}: run `windlass login {name}`");
                return Err(ImageError::Denied { registry: name.to_owned(), what: request.what.to_owned(), reason });
            }
            status => {
                return Err(ImageError::Status {
                    registry: request.endpoint.login_name().to_owned(),
                    what: "an access token".into(),
                    status: status.as_u16(),
                    detail: String::new(),
                });
            }
        }
        let bad = |reason: String| bad_answer(request.endpoint, "an access token", reason);
        let body = read_bounded(response, 1 << 20).await.map_err(bad)?;
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| bad("the token service sent no valid JSON".into()))?;
        let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty());
        token.map(Secret::new).ok_or_else(|| bad("the token service sent no token".into()))
    }

    async fn get_token(
        &self,
        request: &Request<'_>,
        challenge: &Challenge,
        mut realm: Url,
        credentials: Option<&Credentials>,
    ) -> Result<Response, ImageError> {
        {
            let mut query = realm.query_pairs_mut();
            if let Some(service) = challenge.parameters.get("service") {
                query.append_pair("service", service);
            }
            for scope in scopes(request, challenge) {
                query.append_pair("scope", &scope);
            }
        }
        let mut call = self.token_client(request)?.get(realm);
        if let Some(Credentials::Basic { user, password }) = credentials {
            call = call.basic_auth(user, Some(password.reveal()));
        }
        self.call(request, call).await
    }

    /// Turns an identity token into an access token (OAuth 2, as docker does).
    async fn exchange(
        &self,
        request: &Request<'_>,
        challenge: &Challenge,
        realm: Url,
        token: &Secret,
    ) -> Result<Response, ImageError> {
        let mut form = realm.clone();
        form.set_query(None);
        {
            let mut query = form.query_pairs_mut();
            query.append_pair("grant_type", "refresh_token");
            query.append_pair("client_id", "windlass");
            query.append_pair("refresh_token", token.reveal());
            if let Some(service) = challenge.parameters.get("service") {
                query.append_pair("service", service);
            }
            query.append_pair("scope", &scopes(request, challenge).join(" "));
        }
        let body = form.query().unwrap_or_default().to_owned();
        let call = self.token_client(request)?.post(realm);
        self.call(request, call.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)).await
    }

    async fn call(&self, request: &Request<'_>, call: reqwest::RequestBuilder) -> Result<Response, ImageError> {
        match tokio::time::timeout(self.pace.answer, call.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(unreachable(request.endpoint, "an access token", http::causes(&error))),
            Err(_) => Err(unreachable(request.endpoint, "an access token", "its token service does not answer".into())),
        }
    }

    /// A token service often has another host than the registry: certificates and proxies must be right for that one.
    fn token_client(&self, request: &Request<'_>) -> Result<reqwest::Client, ImageError> {
        self.http(request.endpoint).map_err(|failure| match failure {
            super::Failure::Final(error) | super::Failure::Later(error, _) => error,
        })
    }
}

/// Where the token service is. Credentials are sent there, so it must be HTTPS unless the registry itself is plain HTTP,
/// and a registry elsewhere may not name an address of this machine.
fn realm(request: &Request<'_>, challenge: &Challenge) -> Result<Url, ImageError> {
    let bad = |reason: &str| bad_answer(request.endpoint, request.what, reason.to_owned());
    let text = challenge.parameters.get("realm").ok_or_else(|| bad("its Bearer challenge names no realm"))?;
    let realm = Url::parse(text).map_err(|_| bad(&format!("its realm `{}` is no address", digest::printable(text))))?;
    let base = Url::parse(request.base).map_err(|_| bad("its own address can't be read"))?;
    match realm.scheme() {
        "https" => {}
        "http" if base.scheme() == "http" => {}
        _ => return Err(bad("its token service is not on https")),
    }
    if http::is_internal(&realm) && !http::is_internal(&base) {
        return Err(bad("its token service is an address of this machine or link"));
    }
    Ok(realm)
}

/// The scope that the challenge names, else what a pull needs; none for a mere login.
fn scopes(request: &Request<'_>, challenge: &Challenge) -> Vec<String> {
    match challenge.parameters.get("scope") {
        Some(scope) => vec![scope.clone()],
        None if request.endpoint.repository.is_empty() => Vec::new(),
        None => vec![format!("repository:{}:pull", request.endpoint.repository)],
    }
}

fn basic(user: &str, password: &Secret) -> Option<Header> {
    Header::new("Basic", &STANDARD.encode(format!("{user}:{}", password.reveal())))
}

fn unusable(registry: &str) -> ImageError {
    ImageError::Denied {
        registry: registry.to_owned(),
        what: "a login".into(),
        reason: format!("the stored token has characters that can't be sent: run `windlass login {registry}` again"),
    }
}
