//! From a name to an image: the store's own where the policy allows, else what the registry says now.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};

use super::client::{Ask, Client, MANIFEST_LIMIT, bad_answer, read_bounded};
use super::config::Config;
use super::manifest::{self, Document, Manifest};
use super::platform::Platform;
use super::progress::{Phase, Progress, Watcher};
use super::reference::Reference;
use super::registries::Endpoint;
use super::store::{Ref, Store};
use super::{ImageError, digest};
use crate::desired::{ImageSpec, ResolvedImage};
use crate::name::Digest;

/// Indexes in indexes.
const DEPTH: usize = 4;

/// When a registry is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Every time; layers that are here are not fetched again.
    Always,
    /// Only if the image is not here.
    #[default]
    Missing,
    /// Not at all.
    Never,
    /// If the image is not here, or was last asked for so long ago (`daily`, `weekly`, `every_12h`).
    Every(Duration),
}

impl PullPolicy {
    /// Reads compose's `pull_policy`; `build` and `refresh` are not known here.
    ///
    /// # Errors
    /// [`ImageError::BadPolicy`].
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        const DAY: u64 = 24 * 3600;
        Ok(match text {
            "always" => Self::Always,
            "missing" | "if_not_present" => Self::Missing,
            "never" => Self::Never,
            "daily" => Self::Every(Duration::from_secs(DAY)),
            "weekly" => Self::Every(Duration::from_secs(7 * DAY)),
            other => other
                .strip_prefix("every_")
                .and_then(duration)
                .map(Self::Every)
                .ok_or_else(|| ImageError::BadPolicy { text: digest::printable(other) })?,
        })
    }
}

/// `1w2d3h4m5s`, any of them.
fn duration(text: &str) -> Option<Duration> {
    let (mut total, mut number) = (0u64, None::<u64>);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
            continue;
        }
        let unit = match c {
            'w' => 7 * 24 * 3600,
            'd' => 24 * 3600,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    (number.is_none() && total > 0).then(|| Duration::from_secs(total))
}

/// What a name means.
enum Meaning {
    /// An image of the store; nobody was asked.
    Local(ResolvedImage),
    /// The image of the store that it meant before: its registry says so still.
    Still(Ref, ResolvedImage),
    /// What a registry has now.
    Remote(Reference, Box<Found>),
}

/// What was found under a name.
struct Found {
    manifest: Manifest,
    /// Digest of the platform's manifest.
    digest: Digest,
    /// Digest of what the name itself means.
    source: Digest,
    config: Config,
}

impl Store {
    /// Finds out which image a name means. Its manifest and config are in the store afterwards; its layers come with
    /// [`Store::fetch`], and only then `list` and later calls see the image under that name.
    ///
    /// # Errors
    /// When the name can't be read, the policy forbids to ask, or no place gives a usable answer.
    pub async fn resolve(
        &self,
        client: &Arc<Client>,
        name: &str,
        platform: Option<&str>,
        policy: PullPolicy,
        progress: &Watcher,
    ) -> Result<ResolvedImage, ImageError> {
        match self.meaning(client, name, platform, policy, progress).await? {
            Meaning::Local(image) => Ok(image),
            Meaning::Still(entry, image) => {
                self.promote(&Ref { pulled_at: super::store::now(), ..entry })?;
                Ok(image)
            }
            Meaning::Remote(reference, found) => self.keep(name, &reference, &found),
        }
    }

    /// As [`Store::resolve`], but no name of the store changes its meaning, and nothing is noted down to be fetched.
    ///
    /// # Errors
    /// As there.
    pub async fn look_up(
        &self,
        client: &Arc<Client>,
        name: &str,
        platform: Option<&str>,
        policy: PullPolicy,
        progress: &Watcher,
    ) -> Result<ResolvedImage, ImageError> {
        Ok(match self.meaning(client, name, platform, policy, progress).await? {
            Meaning::Local(image) | Meaning::Still(_, image) => image,
            Meaning::Remote(_, found) => found.config.resolved(name, &found.manifest.config.digest, &found.digest),
        })
    }

    async fn meaning(
        &self,
        client: &Arc<Client>,
        name: &str,
        platform: Option<&str>,
        policy: PullPolicy,
        progress: &Watcher,
    ) -> Result<Meaning, ImageError> {
        let local = self.local_ref(name, platform)?;
        match (&local, policy) {
            (Some((_, image)), PullPolicy::Never | PullPolicy::Missing) => return Ok(Meaning::Local(image.clone())),
            (Some((entry, image)), PullPolicy::Every(time))
                if super::store::now().saturating_sub(entry.pulled_at) < time.as_secs() =>
            {
                return Ok(Meaning::Local(image.clone()));
            }
            (None, PullPolicy::Never) => return Err(ImageError::NotLocal { name: name.to_owned() }),
            _ => {}
        }
        if digest::parse(name).is_ok() {
            return match local {
                // An id is no name that a registry knows, and means the same image for ever.
                Some((_, image)) => Ok(Meaning::Local(image)),
                None => Err(ImageError::NoSuchImage { name: name.to_owned() }),
            };
        }
        let reference = Reference::parse(name)?;
        let wanted = platform.map_or_else(|| Ok(Platform::host()), Platform::parse)?;
        progress.progress(Progress {
            reference: name.to_owned(),
            layer: None,
            done: 0,
            total: 0,
            phase: Phase::Resolving,
        });
        let search =
            Search { store: self, client, reference: &reference, wanted: &wanted, explicit: platform.is_some() };
        if let Some((entry, image)) = local
            && search.unchanged(&entry).await
        {
            return Ok(Meaning::Still(entry, image));
        }
        let found = search.everywhere().await?;
        Ok(Meaning::Remote(reference, Box::new(found)))
    }

    /// Writes down what a name was resolved to.
    fn keep(&self, name: &str, reference: &Reference, found: &Found) -> Result<ResolvedImage, ImageError> {
        let id = found.manifest.config.digest.clone();
        let entry = Ref {
            name: Some(reference.to_string()),
            platform: found.config.platform.as_ref().map(ToString::to_string).unwrap_or_default(),
            id: id.clone(),
            manifest: found.digest.clone(),
            source: found.source.clone(),
            pulled_at: super::store::now(),
        };
        let image = found.config.resolved(name, &id, &found.digest);
        if self.layers_present(&image.spec) {
            self.promote(&entry)?
        } else {
            self.remember(&entry)?
        }
        Ok(image)
    }

    /// Gets manifest and config of a resolved image again, where the store has lost them.
    pub(super) async fn refetch_manifest(
        &self,
        client: &Arc<Client>,
        image: &ImageSpec,
        reference: Option<&Reference>,
    ) -> Result<(Manifest, Config), ImageError> {
        let reference = reference.ok_or_else(|| ImageError::NotLocal { name: image.name.clone() })?;
        let exact = Reference { digest: Some(image.manifest.clone()), ..reference.clone() };
        let wanted = Platform::host();
        // The digest names one platform's manifest already.
        let search = Search { store: self, client, reference: &exact, wanted: &wanted, explicit: false };
        search.any_platform().await.map(|found| (found.manifest, found.config))
    }
}

/// The search for an image.
struct Search<'a> {
    store: &'a Store,
    client: &'a Client,
    reference: &'a Reference,
    wanted: &'a Platform,
    /// The user named the platform.
    explicit: bool,
}

impl Search<'_> {
    /// Whether the name still means what it meant: a HEAD request, which costs nothing of a pull quota.
    async fn unchanged(&self, entry: &Ref) -> bool {
        let Ok(endpoints) = self.client.endpoints(self.reference) else { return false };
        let Some(endpoint) = endpoints.first() else { return false };
        let ask = self.ask(Method::HEAD, self.reference.selector());
        let Ok(response) = self.client.send(endpoint, &ask).await else { return false };
        let now = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        now == Some(entry.source.as_str())
    }

    async fn everywhere(&self) -> Result<Found, ImageError> {
        let found = self.any_platform().await?;
        let offered = found.config.platform.as_ref();
        match offered {
            Some(offered) if self.wanted.fit(offered).is_none() => Err(self.no_platform(vec![offered.to_string()])),
            _ => Ok(found),
        }
    }

    /// Asks one place after the other; the last one is the image's own.
    async fn any_platform(&self) -> Result<Found, ImageError> {
        let mut last = None;
        for endpoint in self.client.endpoints(self.reference)? {
            match self.at(&endpoint).await {
                Ok(found) => return Ok(found),
                Err(error) => last = Some(self.in_place(error)),
            }
        }
        Err(last.unwrap_or_else(|| ImageError::NotLocal { name: self.reference.familiar() }))
    }

    /// Says of a mirror whose place it has: the user has written that one's name.
    fn in_place(&self, error: ImageError) -> ImageError {
        let own = &self.reference.registry;
        match error {
            ImageError::NotFound { name, registry } if registry != *own => {
                ImageError::NotFound { name, registry: format!("{registry} (in place of {own}, by registries.conf)") }
            }
            other => other,
        }
    }

    async fn at(&self, endpoint: &Endpoint) -> Result<Found, ImageError> {
        let mut selector = self.reference.selector().to_owned();
        let mut expected = self.reference.digest.clone();
        let mut source = None;
        for _ in 0..=DEPTH {
            let (bytes, kind) = self.document(endpoint, &selector, expected.as_ref()).await?;
            let digest = digest::of(&bytes);
            let top = source.get_or_insert_with(|| digest.clone()).clone();
            match manifest::parse(&bytes, kind.as_deref(), &self.reference.familiar())? {
                Document::Manifest(manifest) => {
                    self.store.write_blob(&digest, &bytes)?;
                    let config = self.config(endpoint, &manifest).await?;
                    return Ok(Found { manifest, digest, source: top, config });
                }
                Document::Index(entries) => {
                    let entry = manifest::choose(&entries, self.wanted)
                        .ok_or_else(|| self.no_platform(manifest::offered(&entries)))?;
                    selector = entry.target.digest.to_string();
                    expected = Some(entry.target.digest.clone());
                }
            }
        }
        let reason = format!("indexes in indexes, more than {DEPTH} deep");
        Err(ImageError::BadManifest { what: self.reference.familiar(), reason })
    }

    fn ask(&self, method: Method, selector: &str) -> Ask {
        let image = self.reference.familiar();
        Ask {
            method,
            path: format!("manifests/{selector}"),
            what: format!("the manifest of {image}"),
            image,
            accept: manifest::ACCEPT,
            from: 0,
        }
    }

    /// A manifest or an index, with its Content-Type, verified.
    async fn document(
        &self,
        endpoint: &Endpoint,
        selector: &str,
        expected: Option<&Digest>,
    ) -> Result<(Vec<u8>, Option<String>), ImageError> {
        if let Some(stored) = expected.and_then(|digest| self.store.read_blob(digest)) {
            return Ok((stored, None));
        }
        let ask = self.ask(Method::GET, selector);
        let response = self.client.send(endpoint, &ask).await?;
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let kind = text(CONTENT_TYPE.as_str());
        let claimed = text("docker-content-digest").and_then(|claimed| digest::parse(&claimed).ok());
        let bytes =
            read_bounded(response, MANIFEST_LIMIT).await.map_err(|reason| bad_answer(endpoint, &ask.what, reason))?;
        let got = digest::of(&bytes);
        match expected.cloned().or(claimed) {
            Some(expected) if expected != got => Err(ImageError::WrongDigest { what: ask.what, expected, got }),
            _ => Ok((bytes, kind)),
        }
    }

    async fn config(&self, endpoint: &Endpoint, manifest: &Manifest) -> Result<Config, ImageError> {
        let what = format!("the config of {}", self.reference.familiar());
        let wanted = &manifest.config;
        if let Some(stored) = self.store.read_blob(&wanted.digest) {
            return Config::parse(&stored, manifest.layers.len(), &what);
        }
        let ask = Ask {
            method: Method::GET,
            path: format!("blobs/{}", wanted.digest),
            what: what.clone(),
            image: self.reference.familiar(),
            accept: "*/*",
            from: 0,
        };
        let response = self.client.send(endpoint, &ask).await?;
        if response.status() != StatusCode::OK {
            return Err(bad_answer(endpoint, &what, format!("status {}", response.status())));
        }
        let bytes = read_bounded(response, wanted.size).await.map_err(|reason| bad_answer(endpoint, &what, reason))?;
        let got = digest::of(&bytes);
        if got != wanted.digest {
            return Err(ImageError::WrongDigest { what, expected: wanted.digest.clone(), got });
        }
        if bytes.len() as u64 != wanted.size {
            return Err(ImageError::WrongSize { what, expected: wanted.size, got: bytes.len() as u64 });
        }
        let config = Config::parse(&bytes, manifest.layers.len(), &what)?;
        self.store.write_blob(&wanted.digest, &bytes)?;
        Ok(config)
    }

    fn no_platform(&self, offered: Vec<String>) -> ImageError {
        let hint = match (offered.first(), self.explicit) {
            (Some(other), false) => format!("; with emulation set up (binfmt), `platform: {other}` runs it"),
            _ => String::new(),
        };
        let offered = if offered.is_empty() { vec!["no platform at all".to_owned()] } else { offered };
        ImageError::NoPlatform { name: self.reference.familiar(), wanted: self.wanted.to_string(), offered, hint }
    }
}
