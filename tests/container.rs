//! Containers on this kernel: the real shim of the real binary, in network and mount namespaces of the test's own,
//! looked at from inside and from outside. Needs root and the static busybox (/bin/busybox).

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

#[path = "container/support.rs"]
mod support;

#[path = "container/life.rs"]
mod life;

#[path = "container/exec.rs"]
mod exec;

#[path = "container/inside.rs"]
mod inside;

#[path = "container/mounts.rs"]
mod mounts;

#[path = "container/security.rs"]
mod security;

#[path = "container/terminal.rs"]
mod terminal;

#[path = "container/shim.rs"]
mod shim;
