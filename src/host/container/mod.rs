//! Containers: the shim that holds one, the init that sets its process up, and what joins it later.
//!
//! ```text
//!  supervisor ── client ──▶ shim (one a container; host's mounts, no threads but the log's)
//!                            │  sandbox: net, ipc, uts, /dev/shm; outlives the process
//!                            └─ clone3 ─▶ init: one file a step, then exec, or PID 1 itself for `init: true`
//!  windlass exec, health probes ──▶ exec: joins a living container
//! ```
//!
//! With `runtime:` an OCI runtime takes the place of init and of the joining: [`oci`].
//!
//! The client side is [`client::Shim`]; [`Bundle`] is what it starts; [`record`] reads what became of it without asking
//! anybody. [`dispatch`] is the other side: what this program does when it is executed as one of the processes.

pub mod bundle;
pub mod client;
pub mod exec;
pub mod executable;
mod hold;
mod init;
pub(crate) mod inroot;
pub mod oci;
pub mod protocol;
pub mod record;
pub mod root;
mod shim;
mod stopped;
pub(in crate::host) mod sys;
pub mod sysctl;
mod tree;
mod wire;

use std::os::fd::AsFd;
use std::process::ExitCode;

pub use bundle::{Bundle, BundleError, Resolved};
pub use client::{Running, Sandbox, Shim, ShimError, SpawnRequest};
pub use protocol::{Event, StartError};
pub use root::{Root, RootError};
pub(crate) use shim::SOCKET;

/// The first argument of a shim.
pub const SHIM: &str = "__shim";
/// The first argument of a process that joins a container.
pub const EXEC: &str = "__exec";
/// The first argument of a process that only lives as long as a shim.
pub const HOLD: &str = "__hold";
/// The first argument of PID 1 in a container of an OCI runtime with `init: true`.
pub const INIT: &str = "__init";

/// The user and group id that `user` (as in [`ContainerSpec::user`](crate::desired::ContainerSpec::user)) has in a
/// container.
///
/// # Errors
/// A name that the container's own files don't have; files that can't be read.
pub fn owner(root: &Root, user: &str) -> Result<(u32, u32), String> {
    let identity = init::user::look_up(root.as_fd(), user, &[]).map_err(|problem| problem.message)?;
    Ok((identity.uid, identity.gid))
}

/// Runs the process that the first argument names, if it is one of a container's; call it before anything else.
pub fn dispatch() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next()?.to_str()? {
        SHIM => Some(shim::main(arguments)),
        EXEC => Some(exec::main()),
        HOLD => Some(hold::main()),
        INIT => Some(oci::pid1::main(arguments)),
        _ => None,
    }
}
