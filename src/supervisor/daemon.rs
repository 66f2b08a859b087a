//! Becomes a process of its own: nothing of the caller's session, environment, cgroup, limits or signals stays.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use super::server::LogLevel;
use crate::host::cgroup::{self, Entry, Layout, Leaf};
use crate::host::ledger::project;
use crate::host::machine::observe;
use crate::host::paths::Paths;
use crate::host::process;
use crate::host::world::{World, WorldError};
use crate::name::ProjectName;

struct Settings {
    project: ProjectName,
    paths: Paths,
}

/// Why a supervisor did not come up.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The command line is not one of ours.
    #[error("usage: windlass {verb} --project NAME --root DIR --run DIR", verb = super::VERB)]
    Usage,
    /// Another one holds the project.
    #[error("another supervisor holds the project")]
    Held,
    /// A call of the kernel failed.
    #[error("cannot {operation}: {source}")]
    Call {
        /// What was tried.
        operation: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The state folder belongs to another world.
    #[error(transparent)]
    World(#[from] WorldError),
    /// The control groups can't be used.
    #[error(transparent)]
    Groups(#[from] cgroup::Error),
    /// The project can't be taken over.
    #[error(transparent)]
    Server(#[from] super::server::ServerError),
}

fn call(operation: &'static str) -> impl FnOnce(io::Error) -> DaemonError {
    move |source| DaemonError::Call { operation, source }
}

/// The caller waits for one line on our standard output: `ready`, or why not.
pub fn tell_failure(error: &DaemonError) {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    let _ = writeln!(io::stdout(), "{text}");
}

/// Runs a supervisor to its end.
///
/// # Errors
/// When it can't come up; once it is up, its troubles are events and log lines.
pub fn run(arguments: &[OsString]) -> Result<(), DaemonError> {
    let settings = settings(arguments)?;
    // Before anything is made in a world that is not ours.
    let _world = World::enter(&settings.paths)?;
    let groups = Layout::open(&observe::cgroup_name(&settings.paths, &settings.project))?;
    // With systemd there is no group before the project's first process is in it.
    let leaf = groups.leaf(Leaf::Supervisor).ok();
    // The first fork lets the caller's wait end; the second, after setsid, gives up the lead of the session, so that no
    // terminal can ever become ours.
    let home = leaf.as_ref().and_then(Entry::v2);
    let born_there = match process::detach(home).map_err(call("leave the caller's session"))? {
        process::Side::Caller => return Ok(()),
        process::Side::Detached { home } => home,
    };
    process::clean_slate().map_err(call("reset signals and limits"))?;
    // While there is one thread, entering a group waits for no grace period but in v2.
    match leaf {
        Some(leaf) if born_there => leaf.join_v1().map_err(call("enter the control groups"))?,
        _ => groups.join_self(Leaf::Supervisor)?,
    }
    let lock = lock(&settings)?;
    let level = log_to_file(&settings)?;
    super::server::run(settings.paths, settings.project, lock, level, ready)?;
    Ok(())
}

fn settings(arguments: &[OsString]) -> Result<Settings, DaemonError> {
    let value = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let project = value("--project").and_then(|p| p.into_string().ok()).ok_or(DaemonError::Usage)?;
    let root = value("--root").map(PathBuf::from).ok_or(DaemonError::Usage)?;
    let run = value("--run").map(PathBuf::from).ok_or(DaemonError::Usage)?;
    Ok(Settings { project: project.into(), paths: Paths { root, run } })
}

/// The lock that makes a supervisor the only one: held as long as it lives, by the kernel's own account.
fn lock(settings: &Settings) -> Result<File, DaemonError> {
    let folder = settings.paths.project_run(&settings.project);
    fs::create_dir_all(&folder).map_err(call("make the run folder"))?;
    let file = File::create(folder.join("supervisor.lock")).map_err(call("open the lock"))?;
    match file.try_lock() {
        Ok(()) if project::is_named(&file, &folder.join("supervisor.lock")) => Ok(file),
        // The last supervisor removed it at its end, with the whole folder: the lock of a file without a name excludes nobody.
        Ok(()) => Err(DaemonError::Held),
        Err(fs::TryLockError::WouldBlock) => Err(DaemonError::Held),
        Err(fs::TryLockError::Error(source)) => Err(call("take the lock")(source)),
    }
}

/// Logs into the project's folder, as much as the last caller wanted; gives what changes that.
fn log_to_file(settings: &Settings) -> Result<LogLevel, DaemonError> {
    let folder = settings.paths.project(&settings.project);
    let path = folder.join("supervisor.log");
    let opened = fs::create_dir_all(&folder).and_then(|()| OpenOptions::new().create(true).append(true).open(&path));
    let log: Box<dyn Write + Send> = match opened {
        Ok(file) => Box::new(file),
        // What runs can be stopped all the same.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem) => {
            Box::new(io::sink())
        }
        Err(error) => return Err(call("open the log")(error)),
    };
    // A record that can't be read is told where it is used.
    let caller = project::caller(&settings.paths, &settings.project).unwrap_or_default();
    let logger = tracing_subscriber::fmt()
        .with_writer(std::sync::Mutex::new(log))
        .with_ansi(false)
        .with_env_filter(filter(caller.log.as_deref()))
        .with_filter_reloading();
    let handle = logger.reload_handle();
    logger.init();
    Ok(Box::new(move |level| {
        // The subscriber lives as long as this process.
        let _ = handle.reload(filter(level));
    }))
}

fn filter(level: Option<&str>) -> EnvFilter {
    EnvFilter::new(level.filter(|level| !level.is_empty()).unwrap_or("info"))
}

/// Tells the caller that the control socket is there, and lets go of its standard output.
fn ready() -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(b"ready\n")?;
    stdout.flush()?;
    process::null_stdio(OsStr::new("/dev/null"))
}
