//! Containers that an OCI runtime makes and drives (`runtime:`): runc, crun, runsc (gVisor), or any other program with their
//! command line.
//!
//! ```text
//!  shim ── clone3 ─▶ prepare: a mount namespace of its own, with the root and all that will be mounted
//!   │                   └─ exec ─▶ RUNTIME create ── its own way ─▶ the container's process, which waits
//!   │                                                                └ the shim's child, as RUNTIME has ended
//!   ├── RUNTIME start, kill, pause, resume, delete      shim/runtime.rs
//!  __exec ── RUNTIME exec                               exec/runtime.rs
//! ```
//!
//! The runtime takes the place of our own init, and of nothing else: sandbox, network, volumes, limits, log, restarts and
//! records are the same. [`config`] writes its bundle from the very specification that our init works from.
//!
//! All of it is in the folder `oci` of the container's run folder: `config.json`, `state` (the runtime's own), `log`, `pid`.

pub(crate) mod config;
pub(crate) mod console;
mod driver;
mod mounts;
pub(crate) mod pid1;
mod prepare;
mod shelf;

pub use driver::Driver;
pub(crate) use driver::command;
pub(crate) use prepare::{driver, run, write};
