//! Images: found, fetched, verified, unpacked, kept.
//!
//! ```text
//!  reference ─▶ registries (mirrors) ─▶ client (auth, retries) ─▶ resolve: manifest, config        ─▶ store: blobs, pending
//!                                                              ─▶ fetch: blobs ─▶ unpack ─▶ verify ─▶ store: layers, refs
//!  archive ─▶ load ┐
//!  files   ─▶ make ┴─────────────────────────────────────────────▶ unpack ─▶ verify ─────────────▶ store: layers, refs
//! ```
//!
//! Nothing is visible in the store before every byte of it was verified; nothing that arrived is thrown away because
//! something else failed.

mod archive;
mod artifact;
mod auth;
mod client;
mod config;
mod digest;
mod error;
mod fetch;
mod load;
mod login;
mod make;
mod manifest;
mod pin;
mod platform;
mod progress;
mod reference;
mod registries;
mod resolve;
mod settings;
mod store;
mod unpack;

pub use artifact::{ArtifactKind, ArtifactPart};
pub use auth::Secret;
pub use client::Client;
pub use error::ImageError;
pub use login::{KeptIn, login, logout};
pub use make::{Content, NewFile, NewImage};
pub use platform::Platform;
pub use progress::{Phase, Progress, Quiet, Watch, Watcher};
pub use reference::Reference;
pub use resolve::PullPolicy;
pub use settings::{Pace, Settings};
pub use store::{ImageDetails, ImageSummary, Removal, Removed, Store};
