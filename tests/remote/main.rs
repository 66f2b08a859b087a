//! Compose files from elsewhere, end to end: repositories behind a git daemon, artifacts in a registry of the test's own.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod git;
mod lock;
mod oci;
#[path = "../support/registry/mod.rs"]
mod registry;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use support::world::{Ran, WINDLASS, World};

/// Runs windlass with more variables.
fn with(world: &World, folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = world.command(WINDLASS, folder);
    let output = command.envs(variables.iter().copied()).args(arguments).output().unwrap();
    Ran::new(format!("{variables:?} windlass {}", arguments.join(" ")), &output)
}
