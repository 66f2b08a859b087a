//! A world of its own for a test: network and mount namespace, state folder, registry. Nothing of it meets the machine,
//! and it looks at what is left when it ends.

#![allow(dead_code, reason = "each test binary uses its own part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

pub mod image;
pub mod world;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// The folder with real images and stacks, or `None`: then the test `name` is counted as left out, by name.
///
/// # Panics
/// Where nothing may be left out (`WINDLASS_COMPLETE`), so that no such test can pass without having run.
pub fn shared(name: &str) -> Option<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
    let folder = std::env::var_os("WINDLASS_SHARED").map_or_else(|| PathBuf::from(default), PathBuf::from);
    if folder.join("stacks").is_dir() {
        return Some(folder.canonicalize().unwrap());
    }
    assert!(std::env::var_os("WINDLASS_COMPLETE").is_none(), "{name} needs {}", folder.display());
    if let Some(list) = std::env::var_os("WINDLASS_LEFT_OUT") {
        let mut list = OpenOptions::new().append(true).create(true).open(list).unwrap();
        writeln!(list, "{name}").unwrap();
    }
    None
}
