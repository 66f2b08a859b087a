//! Joining a container that an OCI runtime drives: by its `exec`, whatever stands between us and the container's kernel.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::super::client::connection;
use super::super::init::problem::{At, Step, doing};
use super::super::init::{console, program, user};
use super::super::oci::config::{self, Process};
use super::super::oci::console::Console;
use super::super::oci::{self, Driver};
use super::super::protocol::{Call, Message, Part, Reply, Request, StartError, VERSION};
use super::super::sys;
use super::super::wire::Packet;
use super::inside::{Child, tell, wait_out};
use super::{ExecSpec, Told};

/// Runs the program and returns its exit code.
pub(super) fn run(
    control: &OwnedFd,
    spec: &ExecSpec,
    driver: &Driver,
    streams: Vec<OwnedFd>,
) -> Result<i32, StartError> {
    super::inside::living(spec).at("container")?;
    let files = Files::new(driver);
    let result = start(control, spec, driver, streams, &files);
    files.remove();
    let child = result?;
    let _ = tell(control, &Told::Started(child.pid), Vec::new());
    Ok(wait_out(control, &child))
}

/// The files of one `exec`.
struct Files {
    process: PathBuf,
    pid: PathBuf,
    log: PathBuf,
    console: String,
}

impl Files {
    fn new(driver: &Driver) -> Files {
        let name = |kind: &str| format!("exec-{}.{kind}", std::process::id());
        let path = |kind: &str| driver.folder.join(name(kind));
        Files { process: path("json"), pid: path("pid"), log: path("log"), console: name("sock") }
    }

    fn remove(&self) {
        for path in [&self.process, &self.pid, &self.log] {
            let _ = fs::remove_file(path);
        }
    }
}

fn start(
    control: &OwnedFd,
    spec: &ExecSpec,
    driver: &Driver,
    streams: Vec<OwnedFd>,
    files: &Files,
) -> Result<Child, StartError> {
    let at = |cause: io::Error| StartError::new("exec", cause);
    let process = process(spec, driver)?;
    oci::write(&files.process, &process).map_err(at)?;
    let console = spec.tty.map(|_| Console::listen(&driver.folder, &files.console)).transpose().map_err(at)?;
    // The runtime ends when the program runs, which is this process's child then.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).map_err(at)?;
    command(driver, files, console.as_ref(), streams)?;
    if let (Some(console), Some(size)) = (&console, spec.tty) {
        let master = console.take().map_err(at)?.ok_or_else(|| StartError::new("terminal", "none was handed out"))?;
        hand_over(control, master, size).at("terminal")?;
    }
    let text = fs::read_to_string(&files.pid).map_err(at)?;
    let pid: i32 = text.trim().parse().map_err(|_| at(io::ErrorKind::InvalidData.into()))?;
    let child = Child { pid, pidfd: sys::pidfd_open(pid).map_err(at)?, bound: spec.bound };
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 0, 0).map_err(at)?;
    Ok(child)
}

/// The runtime's `exec` to its end, which is the program's beginning.
fn command(driver: &Driver, files: &Files, console: Option<&Console>, streams: Vec<OwnedFd>) -> Result<(), StartError> {
    let mut words = driver.words("exec", &files.log);
    words.extend(["--detach".into(), "--process".into(), files.process.clone().into()]);
    words.extend([OsString::from("--pid-file"), files.pid.clone().into()]);
    if let Some(console) = console {
        words.extend([OsString::from("--console-socket"), console.path().into()]);
    }
    words.push(driver.id.as_str().into());
    let mut command = oci::command(&words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut streams = streams.into_iter();
    if let (None, Some(stdin), Some(stdout), Some(stderr)) = (console, streams.next(), streams.next(), streams.next()) {
        command.stdin(stdin).stdout(stdout).stderr(stderr);
    }
    let failed = |cause: &dyn std::fmt::Display| driver.error(&files.log, format!("exec can't be run: {cause}"));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(&status)),
        Err(cause) => Err(failed(&cause)),
    }
}

fn hand_over(control: &OwnedFd, master: OwnedFd, size: (u16, u16)) -> Step {
    console::resize(&master, size).map_err(doing("set the size of the terminal"))?;
    tell(control, &Told::Terminal, vec![master]).map_err(doing("hand over the terminal"))
}

/// The program in the runtime's words.
fn process(spec: &ExecSpec, driver: &Driver) -> Result<String, StartError> {
    let run = driver.folder.parent().unwrap_or(Path::new("/"));
    let root = root(run).map_err(|cause| StartError::new("user", format!("find the container's root: {cause}")))?;
    let identity = user::look_up(root.as_fd(), &spec.user, &spec.groups).at("user")?;
    let env = program::complete_env(&spec.env, &identity.home, &driver.hostname, spec.tty.is_some());
    let process = Process {
        argv: &spec.argv,
        env: &env,
        cwd: &spec.cwd,
        identity: &identity,
        tty: spec.tty.is_some(),
        security: &spec.security,
        ulimits: &spec.ulimits,
    };
    Ok(config::process(&process).at("exec")?.to_string())
}

/// The root that the shim of this run folder holds: users are looked up in it, also where the process's own can't be
/// reached.
fn root(run: &Path) -> io::Result<OwnedFd> {
    let socket = connection::connect(run)?;
    let ask = |number, request| Packet::message(&Call { number, request }, Vec::new())?.send(socket.as_fd());
    ask(1, Request::Hello { version: VERSION, supervisor: false })?;
    ask(2, Request::State)?;
    while let Some(packet) = Packet::receive(socket.as_fd())? {
        if let (Message::Reply { reply: Reply::State { parts, .. }, .. }, fds) = packet.parse()? {
            let found = parts.into_iter().zip(fds).find(|(part, _)| *part == Part::Root);
            return found.map(|(_, fd)| fd).ok_or_else(|| io::Error::other("the container does not run"));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
