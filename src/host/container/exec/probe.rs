//! Programs in a container whose end and first output somebody waits for: health probes, with a time limit, of which
//! nothing stays behind; and hooks, without either.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use tokio::time::Instant;

use super::super::protocol::StartError;
use super::super::sys;
use super::ExecSpec;
use super::client::{self, Streams};
use crate::host::cgroup::Cgroup;

/// So much of a probe's output is kept; the rest is read and dropped, so that the probe does not block.
const OUTPUT: usize = 4096;
/// What follows a probe's end in its pipes is waited for so long: a child of it may hold them open for ever
/// (CVE-2026-53495).
const DRAIN: Duration = Duration::from_millis(100);

/// What the names of the probes' groups begin with.
const PREFIX: &str = "windlass-probe-";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// How a probe went.
pub type Outcome = crate::engine::port::ProbeResult;

/// Runs `spec` (without terminal) and returns its exit code and the first 4 KiB of its output; -1 if it did not end in
/// `limit` or could not be started. Whatever it started is killed; also when the future is dropped.
pub async fn probe(program: BorrowedFd<'_>, mut spec: ExecSpec, limit: Duration) -> Outcome {
    let deadline = Instant::now() + limit;
    spec.tty = None;
    spec.bound = true;
    // A runtime puts it where it likes.
    let group = if spec.runtime.is_some() { Group::none(&spec.cgroup) } else { Group::below(&spec.cgroup) };
    spec.cgroup.clone_from(&group.own);
    let mut output = Vec::new();
    let result = run(program, &spec, Some(deadline), &mut output).await;
    group.end().await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match result {
        Ok(Some(code)) => Outcome { code, output: text(&output) },
        Ok(None) => {
            let note = format!("the probe took longer than {limit:?} and was killed");
            let output = if output.is_empty() { note } else { format!("{}\n{note}", text(&output)) };
            Outcome { code: -1, output }
        }
        Err(error) => Outcome { code: if error.code == 125 { -1 } else { error.code }, output: error.to_string() },
    }
}

/// Runs `spec` (without terminal) to its end, however long that takes; its exit code and the first 4 KiB of its output.
/// What it left running goes on.
pub async fn captured(program: BorrowedFd<'_>, spec: &ExecSpec) -> Outcome {
    let mut output = Vec::new();
    let result = run(program, spec, None, &mut output).await;
    let text = String::from_utf8_lossy(&output).into_owned();
    match result {
        Ok(code) => Outcome { code: code.unwrap_or(-1), output: text },
        Err(error) => Outcome { code: if error.code == 125 { -1 } else { error.code }, output: error.to_string() },
    }
}

/// Kills what the probes of a supervisor that is gone left in a container: nobody waits for it.
pub async fn sweep(container: &Cgroup) {
    for own in container.children(PREFIX).unwrap_or_default() {
        Group { container: container.clone(), own, over: false }.end().await;
    }
}

/// A control group below the container's: a kill reaches what has left the probe's session too. Dropping it kills.
struct Group {
    container: Cgroup,
    own: Cgroup,
    over: bool,
}

impl Group {
    /// Without one of its own, where none can be made, it is the container's, and is never killed.
    fn below(container: &Cgroup) -> Group {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let own = container.child(&format!("{PREFIX}{}-{number}", std::process::id()));
        let own = own.unwrap_or_else(|_| container.clone());
        Group { over: own == *container, container: container.clone(), own }
    }

    /// The container's, which is never killed.
    fn none(container: &Cgroup) -> Group {
        Group { over: true, container: container.clone(), own: container.clone() }
    }

    /// Kills all that is left in it, and removes its folders.
    async fn end(mut self) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let _ = self.own.kill();
        remove(&self.container, &self.own).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // The probe was cut short.
        let _ = self.own.kill();
        let (container, own) = (std::mem::take(&mut self.container), std::mem::take(&mut self.own));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { remove(&container, &own).await });
        }
    }
}

/// Removes the folders of a probe's group that are not the container's.
async fn remove(container: &Cgroup, own: &Cgroup) {
    for place in own.places().iter().filter(|place| !container.places().contains(place)) {
        // The dead leave a moment later; what can't be removed then goes with the container's group.
        for wait in [0, 1, 2, 5, 10, 20, 50, 100, 200] {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            if fs::remove_dir(&place.dir).is_ok() {
                break;
            }
        }
    }
}

async fn run(
    program: BorrowedFd<'_>,
    spec: &ExecSpec,
    deadline: Option<Instant>,
    output: &mut Vec<u8>,
) -> Result<Option<i32>, StartError> {
    let failed = |cause: io::Error| StartError::new("probe", cause);
    let (reader, streams) = streams().map_err(failed)?;
    let reader = sys::watch(reader).map_err(failed)?;
    let deadline = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deadline);
    let exec = tokio::select! {
        exec = client::start(program, spec, Some(streams)) => exec,
        () = &mut deadline => return Ok(None),
    };
    let exec = exec?;
    let code = tokio::select! {
        code = end_of(&exec, &reader, output) => code.map(Some),
        () = &mut deadline => Ok(None),
    };
    if !matches!(code, Ok(None)) {
        // What the program wrote last is in the pipe still.
        let _ = tokio::time::timeout(DRAIN, async { while read(&reader, output).await {} }).await;
    }
    exec.abandon().await;
    code
}

async fn end_of(
    exec: &client::Exec,
    reader: &tokio::io::unix::AsyncFd<OwnedFd>,
    output: &mut Vec<u8>,
) -> Result<i32, StartError> {
    let wait = exec.wait();
    tokio::pin!(wait);
    loop {
        tokio::select! {
            code = &mut wait => return code,
            more = read(reader, output) => if !more { return wait.await },
        }
    }
}

fn streams() -> io::Result<(OwnedFd, Streams)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok((read, Streams { stdin: null, stdout: write.try_clone()?, stderr: write }))
}

/// Reads a chunk; `false` at the end.
async fn read(reader: &tokio::io::unix::AsyncFd<OwnedFd>, output: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    let read =
        reader.async_io(tokio::io::Interest::READABLE, |fd| Ok(rustix::io::read(fd.as_fd(), &mut buffer)?)).await;
    match read {
        Ok(length @ 1..) => {
            let room = OUTPUT.saturating_sub(output.len()).min(length);
            output.extend_from_slice(&buffer[..room]);
            true
        }
        _ => false,
    }
}
