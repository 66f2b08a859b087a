//! A client of a project's supervisor; starts one where there is none.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::protocol::{Hello, Reply, Request, VERSION};
use super::{SupervisorError, executable_id, socket};
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
    /// Connects to the supervisor of a project, if there is one.
    ///
    /// # Errors
    /// When there is one that does not answer.
    pub fn connect(paths: &Paths, project: &ProjectName) -> Result<Option<Self>, SupervisorError> {
        let folder = paths.project_run(project);
        match socket::connect(&folder) {
            Ok(stream) => match Self::greet(stream, project) {
                Err(SupervisorError::Talk { source, .. }) if is_over(&source) => Ok(None),
                other => other.map(Some),
            },
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(None),
            Err(source) => Err(SupervisorError::Connect { project: project.clone(), source }),
        }
    }

    /// Connects to the supervisor of a project; where there is none, or one of another executable, a new one is started.
    /// The containers do not notice.
    ///
    /// # Errors
    /// When none can be started, or the old one does not make way.
    pub fn ensure(paths: &Paths, project: &ProjectName) -> Result<Self, SupervisorError> {
        let folder = paths.project_run(project);
        let failed = |source| SupervisorError::Start { project: project.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = File::create(folder.join("start.lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        if let Some(client) = Self::connect(paths, project)? {
            if client.hello.version == VERSION && client.hello.executable == executable_id() {
                return Ok(client);
            }
            client.replace(project)?;
        }
        let end = Instant::now() + SILENCE;
        let mut result = start(paths, project);
        loop {
            if let Some(client) = Self::connect(paths, project)? {
                return Ok(client);
            }
            // Another one may have the project: one that the shims have just started and that does not listen yet, or one
            // that is about to end. Either is over soon.
            if Instant::now() > end {
                result?;
                let source = io::Error::other("it ended at once");
                return Err(SupervisorError::Start { project: project.clone(), source });
            }
            std::thread::sleep(Duration::from_millis(5));
            if result.is_err() {
                result = start(paths, project);
            }
        }
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
        reader.get_ref().set_read_timeout(None).map_err(failed)?;
        Ok(Self { reader, writer, hello })
    }

    /// Asks the supervisor to make way for this executable, and waits until it has.
    fn replace(mut self, project: &ProjectName) -> Result<(), SupervisorError> {
        let failed = |source| SupervisorError::Talk { project: project.clone(), source };
        self.request(&Request::Leave).map_err(failed)?;
        self.reader.get_ref().set_read_timeout(Some(SILENCE)).map_err(failed)?;
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).map_err(failed)?;
        Ok(())
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn request(&mut self, request: &Request) -> io::Result<()> {
        send(&mut self.writer, request)
    }

    /// The next reply.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the supervisor is gone.
    pub fn reply(&mut self) -> io::Result<Reply> {
        receive(&mut self.reader)
    }

    /// Lets another thread end a [`Client::reply`] that waits.
    ///
    /// # Errors
    /// When the descriptor can't be duplicated.
    pub fn closer(&self) -> io::Result<UnixStream> {
        self.writer.try_clone()
    }
}

/// Whether a connection has ended because the supervisor has, as it does when nothing of its project is left.
pub fn is_over(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
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
