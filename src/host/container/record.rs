//! Records of a container's process: small files that anybody can read without asking the shim.
//!
//! `process.json` stands in the run folder while a process lives; `exit.json` in the run folder (first, it is memory)
//! and in the state folder tells how the last one ended. Neither is synced: after a power cut no process lives, and the
//! checksum tells a torn record.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::oci::Driver;
use super::sys;
use crate::desired::Stamp;
use crate::host::record::{RecordError, read};
use crate::observed::Exit;

/// Name of the record of a living process, in the run folder.
pub const PROCESS: &str = "process.json";
/// Name of the record of an end, in the run folder and the state folder.
pub const EXIT: &str = "exit.json";

/// A process that was started, and how to know it again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Its id on the host.
    pub pid: i32,
    /// Its start time, clock ticks since boot: pids are used again, this pair is not.
    pub ticks: u64,
    /// When it was started.
    pub started: Stamp,
    /// The shim that is its parent.
    pub shim: i32,
    /// Start time of the shim.
    pub shim_ticks: u64,
    /// The OCI runtime that drives it; `None`: it is windlass's own.
    #[serde(default)]
    pub runtime: Option<Box<Driver>>,
    /// Its files can't be reached through it: its programs run on a kernel of their own.
    #[serde(default)]
    pub hidden: bool,
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// How it ended.
    pub exit: Exit,
    /// When it had been started; `None` if it never ran.
    pub started: Option<Stamp>,
}

/// Reads the record of the living process from a container's run folder; `None` if none lives.
///
/// # Errors
/// When the record can't be read.
pub fn living(run: &Path) -> Result<Option<ProcessRecord>, RecordError> {
    let record: Option<ProcessRecord> = read(&run.join(PROCESS))?;
    Ok(record.filter(|record| is_same(record.pid, record.ticks)))
}

/// Reads how the last process ended: from the run folder, else from the state folder.
///
/// # Errors
/// When neither can be read though one is there.
pub fn ended(run: &Path, state: &Path) -> Result<Option<ExitRecord>, RecordError> {
    match read(&run.join(EXIT)) {
        Ok(Some(record)) => Ok(Some(record)),
        Ok(None) => read(&state.join(EXIT)),
        Err(error) => read(&state.join(EXIT))?.map(Some).ok_or(error),
    }
}

/// Whether the process `pid` is the one that was started at `ticks` and has not ended.
pub fn is_same(pid: i32, ticks: u64) -> bool {
    // The pidfd is taken first: were the start time read first, the number could change hands in between.
    let Ok(pidfd) = sys::pidfd_open(pid) else { return false };
    sys::start_ticks(pid).is_ok_and(|found| found == ticks) && !sys::pidfd_ended(std::os::fd::AsFd::as_fd(&pidfd))
}

/// Waits for the end of a process that was killed, at most so long; one that has ended is not waited for.
pub async fn wait_for_end(pid: i32, ticks: u64, limit: std::time::Duration) {
    let Ok(pidfd) = sys::pidfd_open(pid) else { return };
    if sys::start_ticks(pid).is_ok_and(|found| found == ticks)
        && let Ok(pidfd) = sys::watch(pidfd)
    {
        // Readable means ended; who does not end in time is told of by whoever needs what it holds.
        let _ = tokio::time::timeout(limit, pidfd.readable()).await;
    }
}
