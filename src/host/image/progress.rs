//! How far a pull has come, for whoever shows it.

use std::sync::Arc;

/// What is being done with an image or one of its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The manifest is being asked for.
    Resolving,
    /// Another pull fetches this layer; `done` is what it has.
    Waiting,
    /// Bytes arrive and are unpacked.
    Downloading,
    /// A connection broke or a registry said "later"; it is tried again.
    Retrying,
    /// All bytes are there and verified; the rest is unpacked and written to disk.
    Extracting,
    /// The layer is there.
    Done,
    /// The layer was there already.
    Exists,
}

/// One step forward.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// The image as the user wrote it.
    pub reference: String,
    /// First 12 digits of the layer's digest; `None`: the image as a whole.
    pub layer: Option<String>,
    /// Bytes of the compressed layer that have arrived.
    pub done: u64,
    /// Bytes of the compressed layer; 0: not known.
    pub total: u64,
    /// What is being done.
    pub phase: Phase,
}

/// Somebody who shows progress. Called from several threads, often; must not block.
pub trait Watch: Send + Sync {
    /// Takes one step in.
    fn progress(&self, progress: Progress);
}

/// A shared watcher.
pub type Watcher = Arc<dyn Watch>;

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Watch for Quiet {
    fn progress(&self, _: Progress) {}
}

impl Watch for tokio::sync::mpsc::UnboundedSender<Progress> {
    fn progress(&self, progress: Progress) {
        // A receiver that went away no longer wants to know.
        let _ = self.send(progress);
    }
}
