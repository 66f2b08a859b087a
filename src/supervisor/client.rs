//! A client of a project's supervisor; starts one where there is none.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::protocol::{Hello, Reply, Request, VERSION};
use super::{SupervisorError, executable_id, socket};
use crate::engine::progress::Progress;
use crate::host::ledger::project::{self as ledger, Caller};
use crate::host::paths::Paths;
use crate::name::ProjectName;

/// A supervisor that says nothing for so long is stopped or hangs; an end-of-file never comes from it (kernel.md 3).
const SILENCE: Duration = Duration::from_secs(10);

/// A connection to a project's supervisor.
pub struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    /// What it said of itself.
    pub hello: Hello,
}

impl Client {
    /// Connects to the supervisor of a project, if there is one. One that hangs is killed, and counts as none.
    ///
    /// # Errors
    /// When there is one that does not answer and can't be killed.
    pub fn connect(paths: &Paths, project: &ProjectName) -> Result<Option<Self>, SupervisorError> {
        let folder = paths.project_run(project);
        match socket::connect(&folder) {
            Ok(stream) => {
                let hung = stream.try_clone();
                match Self::greet(stream, project) {
                    Err(SupervisorError::Talk { source, .. }) if is_over(&source) => Ok(None),
                    // Its containers do not notice: the next one takes them over.
                    Err(SupervisorError::Talk { source, .. }) if is_silent(&source) && hung.is_ok_and(|s| kill(&s)) => {
                        Ok(None)
                    }
                    other => other.map(Some),
                }
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
            Err(source) => Err(SupervisorError::Connect { project: project.clone(), source }),
        }
    }

    /// Connects to the supervisor of a project; where there is none, or one of another executable, a new one is started.
    /// The containers do not notice. A new one works with the settings of `caller`, or else of the caller before.
    ///
    /// # Errors
    /// When none can be started, or the old one does not make way.
    pub fn ensure(paths: &Paths, project: &ProjectName, caller: Option<&Caller>) -> Result<Self, SupervisorError> {
        Self::with(paths, project, caller, Self::is_current)
    }

    /// Connects to the supervisor of a project, whatever program it is of, as long as it speaks as we do: who only listens does
    /// not replace what a newer program has started. Where there is none, a new one is started.
    ///
    /// # Errors
    /// As [`Client::ensure`].
    pub fn any(paths: &Paths, project: &ProjectName) -> Result<Self, SupervisorError> {
        Self::with(paths, project, None, |client| client.hello.version == VERSION)
    }

    fn with(
        paths: &Paths,
        project: &ProjectName,
        caller: Option<&Caller>,
        fits: impl Fn(&Self) -> bool,
    ) -> Result<Self, SupervisorError> {
        let failed = |source| SupervisorError::Start { project: project.clone(), source };
        let _lock = ledger::start_lock(paths, project).map_err(failed)?;
        // What is recorded already needs no room on a full disk.
        if let Some(caller) = caller
            && !ledger::caller(paths, project).is_ok_and(|last| last == *caller)
        {
            ledger::set_caller(paths, project, caller).map_err(|e| failed(io::Error::other(e)))?;
        }
        if let Some(client) = Self::connect(paths, project)? {
            if fits(&client) {
                return Ok(client);
            }
            client.replace(project)?;
        }
        match start(paths, project) {
            Ok(()) => Self::connect(paths, project)?.map_or_else(|| Self::wait(paths, project, Ok(())), Ok),
            refused => Self::wait(paths, project, refused),
        }
    }

    /// Another one may have the project: one that the shims have just started and that does not listen yet, or one that is
    /// about to end. Either is over soon; `started` is how our own fared. News are only asked for here: the kernel takes its
    /// time to forget who asked.
    fn wait(
        paths: &Paths,
        project: &ProjectName,
        mut started: Result<(), SupervisorError>,
    ) -> Result<Self, SupervisorError> {
        let folder = paths.project_run(project);
        let failed = |source| SupervisorError::Start { project: project.clone(), source };
        let end = Instant::now() + SILENCE;
        let mut news = News::of(&folder).map_err(failed)?;
        loop {
            if started.is_err() && !is_held(&folder) {
                started = start(paths, project);
            }
            if let Some(client) = Self::connect(paths, project)? {
                return Ok(client);
            }
            if Instant::now() > end {
                started?;
                let source = io::Error::other("it ended at once");
                return Err(SupervisorError::Start { project: project.clone(), source });
            }
            news.wait(end.saturating_duration_since(Instant::now())).map_err(failed)?;
        }
    }

    /// Whether the supervisor is of this very program.
    pub fn is_current(&self) -> bool {
        self.hello.version == VERSION && self.hello.executable == executable_id()
    }

    fn greet(stream: UnixStream, project: &ProjectName) -> Result<Self, SupervisorError> {
        let failed = |source| SupervisorError::Talk { project: project.clone(), source };
        stream.set_read_timeout(Some(SILENCE)).map_err(failed)?;
        let mut writer = stream.try_clone().map_err(failed)?;
        let mut reader = BufReader::new(stream);
        let hello = Hello {
            version: VERSION,
            executable: executable_id(),
            pid: std::process::id(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
        };
        send(&mut writer, &hello).map_err(failed)?;
        let hello = receive(&mut reader).map_err(failed)?;
        Ok(Self { reader, writer, hello })
    }

    /// Asks the supervisor to make way for this executable, and waits until it has.
    fn replace(mut self, project: &ProjectName) -> Result<(), SupervisorError> {
        let failed = |source| SupervisorError::Talk { project: project.clone(), source };
        self.request(&Request::Leave).map_err(failed)?;
        let reply = self.reply();
        if let Ok(Reply::Refused { reason }) = reply {
            return Err(SupervisorError::Start { project: project.clone(), source: io::Error::other(reason) });
        }
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Err(error) if is_silent(&error) && self.kill() => Ok(()),
            other => other.map(|_| ()).map_err(failed),
        }
    }

    /// Kills a supervisor that hangs. Its containers do not notice; whether it could be done.
    pub fn kill(&self) -> bool {
        kill(&self.writer)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn request(&mut self, request: &Request) -> io::Result<()> {
        if matches!(request, Request::Watch) {
            // Nothing may happen for days.
            self.reader.get_ref().set_read_timeout(None)?;
        }
        send(&mut self.writer, request)
    }

    /// The next reply.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the supervisor is gone; see [`is_silent`] for one that hangs.
    pub fn reply(&mut self) -> io::Result<Reply> {
        receive(&mut self.reader)
    }

    /// Waits until the supervisor has ended, which it does when nothing of its project is left: only then are the project's
    /// folders gone too. Not longer than it takes somebody else to ask it for something new.
    pub fn see_out(&mut self) {
        if send(&mut self.writer, &Request::Watch).is_err() {
            return;
        }
        loop {
            match self.reply() {
                Ok(Reply::Alive) => {}
                Ok(Reply::Progress { progress }) if !matches!(*progress, Progress::Began { .. }) => {}
                _ => return,
            }
        }
    }

    /// Lets another thread end a [`Client::reply`] that waits.
    ///
    /// # Errors
    /// When the descriptor can't be duplicated.
    pub fn closer(&self) -> io::Result<UnixStream> {
        self.writer.try_clone()
    }
}

/// Whether a supervisor has the project. Opened to read only, this makes no news.
fn is_held(folder: &Path) -> bool {
    let lock = File::open(folder.join("supervisor.lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

/// Tells that a supervisor has begun to listen, or has ended: both change its run folder, as its socket comes and the
/// kernel closes its lock.
struct News(Inotify);

impl News {
    fn of(folder: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let news = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF;
        inotify.add_watch(folder, news)?;
        Ok(Self(inotify))
    }

    /// Waits for some, at most so long.
    fn wait(&mut self, limit: Duration) -> io::Result<()> {
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], limit) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // What comes after this is news again.
        while self.0.read_events().is_ok_and(|events| !events.is_empty()) {}
        Ok(())
    }
}

/// Whether a connection has ended because the supervisor has, as it does when nothing of its project is left.
pub fn is_over(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// Whether nothing was heard of a supervisor for longer than one that lives is ever silent.
pub fn is_silent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Kills the supervisor at the other end: the process that listens there, if it still is one of ours.
fn kill(stream: &UnixStream) -> bool {
    use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let Ok(peer) = rustix::net::sockopt::socket_peercred(stream) else { return false };
    let Ok(pidfd) = pidfd_open(peer.pid, PidfdFlags::empty()) else { return false };
    // The number may be somebody else's by now; from here on the descriptor is who was looked at.
    let line = fs::read(format!("/proc/{}/cmdline", peer.pid.as_raw_nonzero())).unwrap_or_default();
    let ours = line.split(|byte| *byte == 0).any(|word| word == super::VERB.as_bytes());
    if !ours || pidfd_send_signal(&pidfd, Signal::KILL).is_err() {
        return false;
    }
    // Readable once it has ended, and with it its lock.
    let limit = PollTimeout::try_from(SILENCE).unwrap_or(PollTimeout::MAX);
    poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], limit).is_ok_and(|ready| ready > 0)
}

fn send<T: serde::Serialize>(writer: &mut UnixStream, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line)
}

fn receive<T: serde::de::DeserializeOwned>(reader: &mut BufReader<UnixStream>) -> io::Result<T> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

/// Starts a supervisor and waits until it listens. It leaves the caller's session, environment and cgroup by itself.
fn start(paths: &Paths, project: &ProjectName) -> Result<(), SupervisorError> {
    let failed = |source| SupervisorError::Start { project: project.clone(), source };
    let executable = fs::read_link("/proc/self/exe").map_err(failed)?;
    let output = Command::new("/proc/self/exe")
        .arg0(&executable)
        .args(super::arguments(paths, project))
        .env_clear()
        .current_dir(Path::new("/"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .output()
        .map_err(failed)?;
    match output.stdout.as_slice() {
        b"ready\n" => Ok(()),
        said => Err(failed(io::Error::other(String::from_utf8_lossy(said).trim().to_owned()))),
    }
}

use std::os::unix::process::CommandExt;
