//! Every attribute of the Compose Specification that a Linux host can honour, end to end: a compose file, and its effect
//! as it is seen from inside or outside the container. A module a family.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

#[path = "attributes/stack.rs"]
mod stack;

#[path = "attributes/devices.rs"]
mod devices;

#[path = "attributes/hooks.rs"]
mod hooks;

#[path = "attributes/lifecycle.rs"]
mod lifecycle;

#[path = "attributes/logging.rs"]
mod logging;

#[path = "attributes/network.rs"]
mod network;

#[path = "attributes/process.rs"]
mod process;

#[path = "attributes/provider.rs"]
mod provider;

#[path = "attributes/resources.rs"]
mod resources;

#[path = "attributes/volumes.rs"]
mod volumes;
