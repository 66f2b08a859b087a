//! A store, a client and their settings in a folder of their own.

#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use windlass::desired::ResolvedImage;
use windlass::host::image::{Client, ImageError, Pace, Progress, PullPolicy, Settings, Store, Watch, Watcher};

/// Remembers all progress.
#[derive(Default)]
pub struct Seen(Mutex<Vec<Progress>>);

impl Watch for Seen {
    fn progress(&self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }
}

impl Seen {
    pub fn all(&self) -> Vec<Progress> {
        self.0.lock().unwrap().clone()
    }
}

pub struct World {
    pub dir: TempDir,
    pub store: Store,
    pub seen: Arc<Seen>,
}

impl World {
    pub fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    /// In a folder of another file system.
    pub fn new_in(folder: &Path) -> Self {
        let dir = TempDir::new_in(folder).unwrap();
        std::fs::write(dir.path().join("registries.conf"), "").unwrap();
        let store = Store::open(dir.path()).unwrap();
        Self { dir, store, seen: Arc::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// registries.conf.
    pub fn registries(&self, text: &str) {
        std::fs::write(self.path("registries.conf"), text).unwrap();
    }

    /// docker's config.json.
    pub fn docker(&self, text: &str) {
        std::fs::write(self.path("config.json"), text).unwrap();
    }

    pub fn settings(&self) -> Settings {
        let base = self.dir.path().to_str().unwrap().to_owned();
        Settings::from_lookup(move |key| match key {
            "HOME" | "DOCKER_CONFIG" | "XDG_CONFIG_HOME" => Some(base.clone()),
            "PATH" => Some(format!("{base}/bin:/usr/bin:/bin")),
            "CONTAINERS_REGISTRIES_CONF" => Some(format!("{base}/registries.conf")),
            _ => None,
        })
    }

    /// Quick to give up.
    pub fn pace() -> Pace {
        Pace {
            stall: Duration::from_millis(300),
            answer: Duration::from_secs(5),
            backoff: Duration::from_millis(2),
            attempts: 4,
            ..Pace::default()
        }
    }

    pub fn client(&self) -> Arc<Client> {
        Arc::new(Client::with_pace(self.settings(), Self::pace()).unwrap())
    }

    pub fn watcher(&self) -> Watcher {
        self.seen.clone()
    }

    pub async fn resolve(&self, name: &str, policy: PullPolicy) -> Result<ResolvedImage, ImageError> {
        self.store.resolve(&self.client(), name, None, policy, &self.watcher()).await
    }

    /// Resolves and fetches.
    pub async fn pull(&self, name: &str) -> Result<ResolvedImage, ImageError> {
        let client = self.client();
        let image = self.store.resolve(&client, name, None, PullPolicy::Always, &self.watcher()).await?;
        self.store.fetch(&client, &image.spec, &self.watcher()).await?;
        assert!(self.store.layers_present(&image.spec));
        Ok(image)
    }

    /// A path in a layer.
    pub fn in_layer(&self, image: &ResolvedImage, layer: usize, path: &str) -> PathBuf {
        self.store.layer_path(&image.spec.layers[layer]).join(path)
    }

    /// Nothing half-made lies about.
    pub fn assert_tidy(&self) {
        let left: Vec<_> = names(&self.path("images/tmp"));
        assert_eq!(left, Vec::<String>::new(), "images/tmp");
    }
}

pub fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
