//! The process that holds a project: it owns the engine, the health probes, the DNS and the control socket.
//!
//! It starts with the first `up`, outlives the client that started it, and ends when nothing of the project is left. The
//! containers outlive it: their shims notice its end and start a new one, which adopts them (kernel.md 1 and 2).
//!
//! | file | what |
//! | --- | --- |
//! | [`daemon`] | out of the caller's session, environment and cgroup; the lock |
//! | [`server`] | its life: take the project over, hold it, end |
//! | [`conversation`] | with one client |
//! | [`intent`] | the record of what is held |
//! | [`spent`] | containers of `run --rm` that have ended |
//! | [`lease`] | who may change the project |
//! | [`client`] | the other side, for the command line |
//! | [`coming`] | the same, for who only waits for the next one |

pub mod client;
pub mod coming;
mod conversation;
mod daemon;
mod intent;
mod lease;
pub mod protocol;
mod server;
mod socket;
mod spent;

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use crate::host::paths::Paths;
use crate::name::ProjectName;

pub use client::{Client, is_over, is_silent};

/// The hidden verb that runs a supervisor.
pub const VERB: &str = "__supervisor";

/// Why a supervisor can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// It does not take connections.
    #[error("cannot connect to the supervisor of project `{project}`")]
    Connect {
        /// The project.
        project: ProjectName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not answer.
    #[error(
        "the supervisor of project `{project}` does not answer; if it hangs, kill it: a new one takes over the containers"
    )]
    Talk {
        /// The project.
        project: ProjectName,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can't be started.
    #[error("cannot start the supervisor of project `{project}`")]
    Start {
        /// The project.
        project: ProjectName,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs a supervisor: `__supervisor --project P --root DIR --run DIR`. Called before any thread is started.
pub fn main(arguments: &[OsString]) -> ExitCode {
    match daemon::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            daemon::tell_failure(&error);
            ExitCode::FAILURE
        }
    }
}

/// The command line of a supervisor.
pub fn arguments(paths: &Paths, project: &ProjectName) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec![VERB.into(), "--project".into(), project.as_str().into()];
    arguments.extend(["--root".into(), paths.root.clone().into_os_string()]);
    arguments.extend(["--run".into(), paths.run.clone().into_os_string()]);
    arguments
}

/// Tells one build of windlass from another, cheaply: which file it is and when that was written. Empty if /proc is not
/// mounted. A shim runs from a copy in memory; its supervisor is told what it is a copy of.
pub fn executable_id() -> String {
    if let Some(id) = std::env::var_os("WINDLASS_EXECUTABLE") {
        return id.to_string_lossy().into_owned();
    }
    std::fs::metadata("/proc/self/exe")
        .map(|m| format!("{}:{}:{}:{}.{}", m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec()))
        .unwrap_or_default()
}
