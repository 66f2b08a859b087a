//! Records of a container's process: small files that anybody can read without asking the shim.
//!
//! `process.json` stands in the run folder while a process lives; `exit.json` in the run folder (first, it is memory)
//! and in the state folder tells how the last one ended. A record is one line of JSON behind a line with its checksum.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use nix::time::ClockId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::sys;
use crate::desired::{SCHEMA, Stamp};
use crate::observed::Exit;

/// Name of the record of a living process, in the run folder.
pub const PROCESS: &str = "process.json";
/// Name of the record of an end, in the run folder and the state folder.
pub const EXIT: &str = "exit.json";

/// A process that was started, and how to know it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// How it ended.
    pub exit: Exit,
    /// When it had been started; `None` if it never ran.
    pub started: Option<Stamp>,
}

/// Why a record can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It can't be read or written.
    #[error("can't access the record {0}")]
    Io(String, #[source] io::Error),
    /// It was damaged.
    #[error("the record {0} is damaged: remove the file, the next observation rebuilds it")]
    Damaged(String),
    /// It was written by a newer windlass.
    #[error("the record {0} was written by a newer windlass; use that one")]
    Newer(String),
}

/// Writes a record: to a temporary name, then renamed, so that no reader ever sees a part of it.
///
/// # Errors
/// When the folder can't be written.
pub fn write(folder: &Path, name: &str, record: &impl Serialize) -> Result<(), RecordError> {
    let path = folder.join(name);
    let failed = |cause| RecordError::Io(path.display().to_string(), cause);
    let body = serde_json::to_string(record).map_err(|cause| failed(cause.into()))?;
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temporary)?;
        write!(file, "windlass {SCHEMA} {}\n{body}\n", checksum(&body))?;
        file.sync_data()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(failed)
}

/// Reads a record; `None` if there is none.
///
/// # Errors
/// When it can't be read, is damaged or newer than this program.
pub fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, RecordError> {
    let path = folder.join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(RecordError::Io(path.display().to_string(), cause)),
    };
    let damaged = || RecordError::Damaged(path.display().to_string());
    let (head, body) = text.split_once('\n').ok_or_else(damaged)?;
    let body = body.trim_end_matches('\n');
    let mut head = head.split(' ');
    let (Some("windlass"), Some(schema), Some(sum)) = (head.next(), head.next(), head.next()) else {
        return Err(damaged());
    };
    if schema.parse::<u32>().map_err(|_| damaged())? > SCHEMA {
        return Err(RecordError::Newer(path.display().to_string()));
    }
    if sum != checksum(body) {
        return Err(damaged());
    }
    serde_json::from_str(body).map(Some).map_err(|_| damaged())
}

/// Reads the record of the living process from a container's run folder; `None` if none lives.
///
/// # Errors
/// When the record can't be read.
pub fn living(run: &Path) -> Result<Option<ProcessRecord>, RecordError> {
    let record: Option<ProcessRecord> = read(run, PROCESS)?;
    Ok(record.filter(|record| is_same(record.pid, record.ticks)))
}

/// Reads how the last process ended: from the run folder, else from the state folder.
///
/// # Errors
/// When neither can be read though one is there.
pub fn ended(run: &Path, state: &Path) -> Result<Option<ExitRecord>, RecordError> {
    match read(run, EXIT) {
        Ok(Some(record)) => Ok(Some(record)),
        Ok(None) => read(state, EXIT),
        Err(error) => read(state, EXIT)?.map(Some).ok_or(error),
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

/// Now, in the form that records have.
pub fn now() -> Stamp {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let nanos = |clock| {
        let time = nix::time::clock_gettime(clock).unwrap_or_else(|_| nix::sys::time::TimeSpec::new(0, 0));
        time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
    };
    Stamp { boot, nanos: nanos(ClockId::CLOCK_BOOTTIME), wall: nanos(ClockId::CLOCK_REALTIME) }
}

fn checksum(body: &str) -> String {
    Sha256::digest(body).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
