//! Connections to processes in containers: `exec`, `attach`, `run`.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;

use super::super::super::error::CliError;
use super::super::super::terminal::own_size;
use super::super::{ExecWish, Session, Stdio};
use super::happenings::Ends;
use super::{Real, failed};
use crate::engine::port::HostError;
use crate::host::cgroup::Layout;
use crate::host::container::client::{Attached, Output, attach};
use crate::host::container::exec::{self, ExecSpec, Streams};
use crate::host::container::protocol::{Part, StartError};
use crate::host::container::{Shim, executable, record};
use crate::host::ledger::container as ledger;
use crate::host::machine::observe;
use crate::name::ContainerId;

/// Rows and columns of a terminal for whom ours has none to give.
const USUAL_SIZE: (u16, u16) = (24, 80);

type Exit = Pin<Box<dyn Future<Output = Result<i32, CliError>>>>;
/// The code that a supervisor has told of; `None`: the container is gone, and nobody told.
type Heard = Pin<Box<dyn Future<Output = Option<i32>>>>;

impl Real {
    pub(super) async fn exec_in(&self, id: &ContainerId, wish: ExecWish) -> Result<Session, CliError> {
        let made = ledger::made(&self.paths, id).map_err(|e| failed(&e))?.ok_or_else(|| gone(id))?;
        let process = record::living(&self.paths.container_run(id)).map_err(|e| failed(&e))?.ok_or_else(|| gone(id))?;
        let layout = Layout::open(&observe::cgroup_name(&self.paths, &made.spec.project)).map_err(|e| failed(&e))?;
        let mut spec = ExecSpec::new(&made.spec, &process, layout.existing(id).map_err(|e| failed(&e))?);
        spec.argv = wish.argv;
        spec.set_env(wish.env);
        spec.user = wish.user.unwrap_or(spec.user);
        spec.cwd = wish.workdir.unwrap_or(spec.cwd);
        if wish.privileged {
            spec.privileged();
        }
        let terminal = wish.stdio == Stdio::Terminal;
        // Before the process is there: what asks for the size once, at its start, must not get a wrong one.
        spec.tty = terminal.then(|| own_size().unwrap_or(USUAL_SIZE));
        let program = executable::protected().map_err(|e| failed(&e))?;
        let (streams, ours) = streams(wish.stdio).map_err(|e| failed(&e))?;
        let mut running = exec::start(program.as_fd(), &spec, streams).await.map_err(refused)?;
        let master = running.take_terminal();
        let copy = |fd: &Option<OwnedFd>| fd.as_ref().map(OwnedFd::try_clone).transpose().map_err(|e| failed(&e));
        let (input, size) = (copy(&master)?.or(ours.input), copy(&master)?);
        let detached = wish.stdio == Stdio::Null;
        let exit: Exit = Box::pin(async move {
            if detached {
                return Ok(0);
            }
            running.wait().await.map_err(refused)
        });
        Ok(Session { input, output: master.or(ours.output), error: ours.error, terminal, size, exit })
    }

    pub(super) async fn attach_to(&self, id: &ContainerId) -> Result<Session, CliError> {
        let made = ledger::made(&self.paths, id).map_err(|e| failed(&e))?.ok_or_else(|| gone(id))?;
        let ends = Ends::listen(&self.paths, &made.spec.project)?;
        let (tty, stdin) = (made.spec.tty, made.spec.stdin_open);
        let run = self.paths.container_run(id);
        let attached = attach(&run, stdin).await.map_err(|e| failed(&e))?;
        // The shim's record of a process goes before its last packet: with the record there, that packet will come.
        record::living(&run).map_err(|e| failed(&e))?.ok_or_else(|| gone(id))?;
        self.session(id, attached, tty, stdin, Box::pin(ends.of(made.spec.name.to_string(), false))).await
    }

    /// A session over an attachment: its packets become pipes. It ends when the process has, and all of its output is in
    /// the pipes.
    pub(super) async fn session(
        &self,
        id: &ContainerId,
        attached: Attached,
        terminal: bool,
        stdin: bool,
        heard: Heard,
    ) -> Result<Session, CliError> {
        let size = if terminal { self.terminal_of(id).await } else { None };
        let attached = Arc::new(attached);
        let input = if stdin { Some(pump_in(attached.clone()).map_err(|e| failed(&e))?) } else { None };
        let (output, error, pumped) = pump_out(attached).map_err(|e| failed(&e))?;
        let gone = gone(id);
        let exit: Exit = Box::pin(async move {
            let told = heard.await;
            // The end may be heard of before the last packets were taken. The last one has the code too, for a container that
            // is removed as it ends (`down`).
            let last = pumped.await.ok().flatten();
            told.or(last).ok_or(gone)
        });
        Ok(Session { input, output: Some(output), error: (!terminal).then_some(error), terminal, size, exit })
    }

    /// The other end of a container's terminal, for its size.
    async fn terminal_of(&self, id: &ContainerId) -> Option<OwnedFd> {
        let shim = Shim::visit(&self.paths.container_run(id)).await.ok()?;
        shim.state().await.ok()?.running?.parts.remove(&Part::Terminal)
    }
}

fn gone(id: &ContainerId) -> CliError {
    CliError::failed(format!("container {} does not run", id.short()))
}

fn refused(error: StartError) -> CliError {
    let code = u8::try_from(error.code).unwrap_or(125);
    CliError::Start { code, error: HostError { message: error.to_string(), transient: false, code: Some(error.code) } }
}

/// Our ends of a program's streams.
#[derive(Default)]
struct Ours {
    input: Option<OwnedFd>,
    output: Option<OwnedFd>,
    error: Option<OwnedFd>,
}

/// The streams of a program without a terminal, and our ends of them. It gets pipes, never a descriptor of ours: by
/// `/proc/self/fd` it could open the file behind one for more than we have it open for, and from a folder reach the host.
fn streams(stdio: Stdio) -> io::Result<(Option<Streams>, Ours)> {
    let null =
        || -> io::Result<OwnedFd> { Ok(std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into()) };
    match stdio {
        Stdio::Terminal => return Ok((None, Ours::default())),
        Stdio::Null => {
            return Ok((Some(Streams { stdin: null()?, stdout: null()?, stderr: null()? }), Ours::default()));
        }
        Stdio::NoInput | Stdio::Piped => {}
    }
    let ((output, stdout), (error, stderr)) = (std::io::pipe()?, std::io::pipe()?);
    let (stdin, input) = match stdio {
        Stdio::Piped => {
            let (stdin, input) = std::io::pipe()?;
            (stdin.into(), Some(input.into()))
        }
        _ => (null()?, None),
    };
    let ours = Ours { input, output: Some(output.into()), error: Some(error.into()) };
    Ok((Some(Streams { stdin, stdout: stdout.into(), stderr: stderr.into() }), ours))
}

/// What is written into the pipe goes to the process.
fn pump_in(attached: Arc<Attached>) -> io::Result<OwnedFd> {
    let (ours, theirs) = std::io::pipe()?;
    let mut reader = pipe::Receiver::from_owned_fd(ours.into())?;
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            if attached.write(&buffer[..length]).await.is_err() {
                return;
            }
        }
        // The process may have ended: then nobody reads any more.
        let _ = attached.close_stdin().await;
    });
    Ok(theirs.into())
}

/// What the process prints comes out of two pipes; the task ends when all of it is in them, with the process's code if its
/// shim told it.
fn pump_out(attached: Arc<Attached>) -> io::Result<(OwnedFd, OwnedFd, JoinHandle<Option<i32>>)> {
    let (output, to_output) = std::io::pipe()?;
    let (error, to_error) = std::io::pipe()?;
    let mut to_output = pipe::Sender::from_owned_fd(to_output.into())?;
    let mut to_error = pipe::Sender::from_owned_fd(to_error.into())?;
    let pumped = tokio::spawn(async move {
        while let Ok(Some(found)) = attached.next().await {
            let written = match found {
                Output::Stdout(bytes) => to_output.write_all(&bytes).await,
                Output::Stderr(bytes) => to_error.write_all(&bytes).await,
                Output::Exited(record) => return Some(record.exit.code),
            };
            if written.is_err() {
                return None;
            }
        }
        None
    });
    Ok((output.into(), error.into(), pumped))
}
