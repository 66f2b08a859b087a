//! From a clone of the shim to the runtime's `create`: a mount namespace with the container's root and all that it mounts,
//! the bundle, and exec. What it mounts is seen by nobody else, and goes with it.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::super::bundle::Bundle;
use super::super::init::problem::{At, Step, doing};
use super::super::init::{
    self, Job, Report, cwd, devices, etc, files, hostname, namespaces, oom, program, report, rootfs, sources, user,
};
use super::super::protocol::StartError;
use super::super::sys;
use super::config::{self, Namespace, Parts, Process};
use super::driver::{Driver, environment};
use super::mounts::{self, Wanted};
use super::pid1;
use super::shelf::Shelf;
use crate::desired::NsMode;

/// Prepares all that the runtime needs, and becomes its `create`; never returns. `console` is where it brings the terminal.
pub(crate) fn run(job: Job<'_>, driver: &Driver, console: Option<&Path>) -> ! {
    init::run_by(|job| set_up(job, driver, console), job)
}

fn set_up(job: Job<'_>, driver: &Driver, console: Option<&Path>) -> Result<Infallible, (OwnedFd, StartError)> {
    let made = prepare(&job, driver).and_then(|()| place_streams(&job).at("standard streams"));
    let ready = made.and_then(|()| command(driver, console).at(&driver.name));
    let Job { status, .. } = job;
    match ready {
        Ok(command) => Err((status, command.execute(driver))),
        Err(error) => Err((status, error)),
    }
}

/// Mounts, looks up, and writes config.json.
fn prepare(job: &Job<'_>, driver: &Driver) -> Result<(), StartError> {
    let (spec, host) = (&job.bundle.spec, &job.bundle.host);
    init::start_clean().at("session")?;
    // With the shim gone there is nobody whose child the container would be.
    sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0)
        .map_err(|cause| StartError::new("session", cause))?;
    if let Some(warning) = oom::adjust(spec.resources.oom_score_adj) {
        report(&job.status, &Report::Warning(warning), Vec::new()).at("report")?;
    }
    let folder = make_folders(driver).map_err(|cause| StartError::new("bundle", cause))?;
    let point = rootfs::mount_point(host).at("root file system")?;
    let sources = sources::open(&spec.mounts, host).at("mounts")?;
    rootfs::leave_host().at("root file system")?;
    let mut shelf = Shelf::mount(folder).at("mounts")?;
    let files = files::prepare(&spec.files, &shelf.tree).at("secrets and configs")?;
    let etc = etc::prepare(job.bundle).at("hosts, hostname, resolv.conf")?;
    let nodes = devices::look(spec).at("devices")?;
    let root = rootfs::mount(host, &point).at("root file system")?;
    let identity = user::look_up(root.as_fd(), &spec.user, &spec.groups).at("user")?;
    cwd::open(&root, &spec.cwd, true).at("working directory")?;
    let hostname = name_host(job).at("host name")?;
    let init = if spec.init { Some(pid1::place(&mut shelf).at("init")?) } else { None };
    let argv = pid1::argv(init.as_ref().map(|(_, target)| *target), &spec.argv);
    let wanted = Wanted { sources, etc, files, shm: job.shm, init };
    let mounts = mounts::list(job.bundle, &root, wanted, &mut shelf).at("mounts")?;
    let env = program::complete_env(&spec.env, &identity.home, &hostname, spec.tty);
    let process = Process {
        argv: &argv,
        env: &env,
        cwd: &spec.cwd,
        identity: &identity,
        tty: spec.tty,
        security: &spec.security,
        ulimits: &spec.ulimits,
    };
    let root_path = host.run.join("root");
    let (bundle, namespaces) = (job.bundle, wanted_namespaces(job));
    let parts = Parts { bundle, root: &root_path, process, mounts, nodes: &nodes, namespaces };
    let config = config::whole(&parts).at("bundle")?;
    write(&driver.folder.join("config.json"), &config.to_string()).map_err(|e| StartError::new("bundle", e))?;
    report(&job.status, &Report::Root, vec![root]).at("report")
}

/// Makes the folders afresh, without what a runtime that was killed has left; returns the one that mounts wait in.
fn make_folders(driver: &Driver) -> io::Result<PathBuf> {
    for path in [driver.state(), driver.log(), driver.pid_file()] {
        let removed = if path == driver.state() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
    }
    let mounts = driver.folder.join("mounts");
    for folder in [&driver.state(), &mounts] {
        fs::DirBuilder::new().recursive(true).create(folder)?;
    }
    Ok(mounts)
}

/// A file that may hold secrets: the environment.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// Enters the host name's namespace, sets what the container's own is to have (an older runtime knows no domain name), and
/// returns what it is.
fn name_host(job: &Job<'_>) -> Step<String> {
    let (spec, host) = (&job.bundle.spec, &job.bundle.host);
    let uts: Vec<_> = job.namespaces.iter().filter(|(_, kind)| *kind == libc::CLONE_NEWUTS).copied().collect();
    namespaces::enter(&uts)?;
    if spec.namespaces.uts == NsMode::Private {
        hostname::set(&host.hostname, spec.domainname.as_deref())?;
    }
    let name = nix::unistd::gethostname().map_err(doing("read the host name"))?;
    Ok(name.to_string_lossy().into_owned())
}

/// Those of the sandbox, or of another container, by the shim's descriptors; and new ones.
fn wanted_namespaces(job: &Job<'_>) -> Vec<Namespace> {
    let wanted = &job.bundle.spec.namespaces;
    let shim = nix::unistd::getppid();
    let mut list: Vec<Namespace> = vec![("mount", None)];
    if wanted.pid == NsMode::Private {
        list.push(("pid", None));
    }
    if !wanted.host_cgroup {
        list.push(("cgroup", None));
    }
    for (fd, kind) in &job.namespaces {
        let name = match *kind {
            libc::CLONE_NEWNET => "network",
            libc::CLONE_NEWIPC => "ipc",
            libc::CLONE_NEWUTS => "uts",
            _ => "pid",
        };
        list.push((name, Some(PathBuf::from(format!("/proc/{shim}/fd/{}", fd.as_raw_fd())))));
    }
    list
}

/// The container's streams: the runtime hands on its own.
fn place_streams(job: &Job<'_>) -> Step {
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())
        .map_err(doing("open /dev/null"))?;
    let streams = &job.streams;
    for (number, stream) in [(0, &streams.stdin), (1, &streams.stdout), (2, &streams.stderr)] {
        let stream = stream.as_ref().unwrap_or(&null);
        sys::dup_onto(stream.as_fd(), number).map_err(doing("put a standard stream in place"))?;
    }
    Ok(())
}

/// The runtime's command line, ready for exec.
struct Command {
    argv: Vec<CString>,
    env: Vec<CString>,
}

fn command(driver: &Driver, console: Option<&Path>) -> Step<Command> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(doing("put the runtime's command line together"));
    let argv = driver.create(console).iter().map(|word| text(word.as_bytes())).collect::<Step<_>>()?;
    let env =
        environment().iter().map(|(key, value)| text(format!("{key}={value}").as_bytes())).collect::<Step<_>>()?;
    Ok(Command { argv, env })
}

impl Command {
    /// Returns only if it fails.
    fn execute(&self, driver: &Driver) -> StartError {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        // Nothing of ours may get into the container through the runtime.
        if let Err(cause) = sys::close_from_on_exec(3) {
            return StartError::new("descriptors", cause);
        }
        let Some(program) = self.argv.first() else { return StartError::new(&driver.name, "no program") };
        match nix::unistd::execve(program, &self.argv, &self.env) {
            Ok(never) => match never {},
            Err(cause) => {
                let message = format!("{} can't be executed: {}", driver.program.display(), cause.desc());
                StartError::new(&driver.name, message)
            }
        }
    }
}

/// What the shim passes in of a bundle whose container an OCI runtime drives.
pub(crate) fn driver(bundle: &Bundle) -> Option<Driver> {
    let host = &bundle.host;
    bundle.spec.runtime.as_ref().map(|runtime| Driver::new(runtime, &host.run, &bundle.id, &host.hostname))
}
