//! A registry for tests: plain HTTP on 127.0.0.1, images made in memory, and it can misbehave.
//!
//! ```ignore
//! let registry = Registry::start().await;
//! let image = Image::new().layer(vec![file("etc/motd", b"hello")]).config(json!({ "Cmd": ["sh"] }));
//! registry.push("team/app", "1", &image);
//! registry.fault(&image.blob(0), Fault::CutAfter(100), 2);      // the next two answers for that blob
//! let name = format!("{}/team/app:1", registry.host());
//! ```

// Each test program uses its own part of this.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

mod image;
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use image::{Image, Packing, TarFile, digest, file, folder, gzip, hardlink, named, symlink, tar};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// How an answer goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with `Retry-After` in seconds if given.
    Status(u16, Option<u64>),
    /// The connection is cut after so many bytes of the body.
    CutAfter(usize),
    /// Nothing more comes after so many bytes of the body.
    StallAfter(usize),
    /// Another body, with its own length.
    Body(Vec<u8>),
    /// The right body, then zeros without end, without a length.
    Endless,
    /// Sent elsewhere.
    Redirect(String),
}

/// Who is let in.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// Everybody.
    #[default]
    Open,
    /// Basic authentication.
    Basic(&'static str, &'static str),
    /// A token from `/token`, for which user and password are needed if given. A token is good for so many requests.
    Bearer(Option<(&'static str, &'static str)>, usize),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// With the query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
struct State {
    /// Digest → bytes.
    blobs: BTreeMap<String, Vec<u8>>,
    /// `repository:tag` or `repository@digest` → media type, bytes.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Part of a path, fault, times.
    faults: Vec<(String, Fault, usize)>,
    requests: Vec<Request>,
    auth: Auth,
    ranges: bool,
    /// Token → requests it is still good for.
    tokens: BTreeMap<String, usize>,
}

/// The registry; gone when dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Registry {
    /// Starts one on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { ranges: true, ..State::default() }));
        let server = tokio::spawn(server::serve(listener, state.clone()));
        Self { address, state, server }
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Takes an image in under a tag; its digest.
    pub fn push(&self, repository: &str, tag: &str, image: &Image) -> String {
        let (digest, manifest) = self.store(repository, image);
        self.put_manifest(repository, tag, MANIFEST, manifest);
        digest
    }

    /// Takes images for several platforms (`os`, `architecture`, `variant`) in under one tag; the index's digest.
    pub fn push_index(&self, repository: &str, tag: &str, images: &[(&str, &str, &str, &Image)]) -> String {
        let entries: Vec<serde_json::Value> = images
            .iter()
            .map(|(os, arch, variant, image)| {
                let (digest, manifest) = self.store(repository, image);
                let platform = json!({ "os": os, "architecture": arch, "variant": variant });
                json!({ "mediaType": MANIFEST, "digest": digest, "size": manifest.len(), "platform": platform })
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries });
        let bytes = index.to_string().into_bytes();
        let digest = digest(&bytes);
        self.put_manifest(repository, tag, INDEX, bytes);
        digest
    }

    fn store(&self, repository: &str, image: &Image) -> (String, Vec<u8>) {
        let manifest = image.manifest();
        for bytes in image.blobs() {
            self.put_blob(&digest(&bytes), bytes);
        }
        let digest = digest(&manifest);
        self.lock().manifests.insert(format!("{repository}@{digest}"), (MANIFEST.into(), manifest.clone()));
        (digest, manifest)
    }

    /// Any bytes as a manifest, under a tag and under their digest.
    pub fn put_manifest(&self, repository: &str, tag: &str, kind: &str, bytes: Vec<u8>) {
        let mut state = self.lock();
        state.manifests.insert(format!("{repository}@{}", digest(&bytes)), (kind.into(), bytes.clone()));
        state.manifests.insert(format!("{repository}:{tag}"), (kind.into(), bytes));
    }

    /// Any bytes under any digest.
    pub fn put_blob(&self, digest: &str, bytes: Vec<u8>) {
        self.lock().blobs.insert(digest.to_owned(), bytes);
    }

    /// Takes a blob away.
    pub fn lose_blob(&self, digest: &str) {
        self.lock().blobs.remove(digest);
    }

    /// Lets the next `times` answers to paths that contain `part` go wrong.
    pub fn fault(&self, part: &str, fault: Fault, times: usize) {
        self.lock().faults.push((part.to_owned(), fault, times));
    }

    /// Asks for a login from now on.
    pub fn auth(&self, auth: Auth) {
        self.lock().auth = auth;
    }

    /// Whether `Range` is understood.
    pub fn ranges(&self, on: bool) {
        self.lock().ranges = on;
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    /// How many requests of this method had a path that contains `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.lock().requests.iter().filter(|request| request.method == method && request.path.contains(part)).count()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}
