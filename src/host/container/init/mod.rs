//! The first process of a container: from a copy of the shim to the program, one file a step.
//!
//! It is a clone of the single-threaded shim, so it has everything in memory already. The order is the safety: what
//! comes from the host is opened first, while no path can lead elsewhere; what lies inside the root is reached by
//! descriptors only; nothing of the container runs before everything is in place.

mod cgroupfs;
pub(crate) mod console;
mod copy_up;
pub(crate) mod cwd;
pub(crate) mod devices;
pub(crate) mod etc;
pub(crate) mod files;
pub(crate) mod hostname;
mod keyring;
pub(crate) mod label;
pub(crate) mod launch;
pub(crate) mod limits;
pub(crate) mod masks;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod oom;
pub(crate) mod privileges;
pub(crate) mod problem;
pub(crate) mod procguard;
pub(crate) mod program;
pub(crate) mod reaper;
pub(crate) mod rootfs;
pub(crate) mod sources;
pub(crate) mod standard;
pub(crate) mod sysctls;
pub(crate) mod user;

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use self::launch::Launch;
use self::problem::{At, Step, doing};
use super::bundle::Bundle;
use super::protocol::StartError;
use super::wire::Packet;
use super::{sys, tree};
use crate::desired::NsMode;
use crate::host::cgroup::Entry;

use self::console::Terminal;

/// What init is given by the shim.
pub(crate) struct Job<'a> {
    /// What to make.
    pub bundle: &'a Bundle,
    /// The way into the v1 cgroups; the v2 one was entered by the clone.
    pub entry: Entry,
    /// Namespaces to enter, with their kinds.
    pub namespaces: Vec<(BorrowedFd<'a>, libc::c_int)>,
    /// The shared memory; `None`: the host's.
    pub shm: Option<BorrowedFd<'a>>,
    /// Standard input, output and error; unused with a terminal.
    pub streams: Streams,
    /// Rows and columns of its terminal, if it gets one and they are known.
    pub size: Option<(u16, u16)>,
    /// Where to report; closed at exec.
    pub status: OwnedFd,
}

/// The container's ends of its standard streams.
pub(crate) struct Streams {
    /// `None`: /dev/null.
    pub stdin: Option<OwnedFd>,
    /// With a terminal `None`.
    pub stdout: Option<OwnedFd>,
    /// With a terminal `None`.
    pub stderr: Option<OwnedFd>,
}

/// What init tells the shim while it works.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// Something that is not essential could not be done.
    Warning(String),
    /// The terminal's master comes along.
    Terminal,
    /// The root folder comes along.
    Root,
    /// The root is in place: it waits until the bundle's hooks have been run.
    Hooks,
    /// It failed.
    Failed(StartError),
}

/// Sets everything up and becomes the program; never returns.
pub(crate) fn run(job: Job<'_>) -> ! {
    run_by(set_up, job)
}

/// Runs `set_up`, which does not return but for a failure, and reports that; never returns.
pub(crate) fn run_by(set_up: impl FnOnce(Job<'_>) -> Result<Infallible, (OwnedFd, StartError)>, job: Job<'_>) -> ! {
    // A panic must not unwind into the shim's own code, of which this process has a copy.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| set_up(job)));
    let code = match outcome {
        Ok(Ok(never)) => match never {},
        Ok(Err((status, error))) => {
            let code = error.code;
            // With the shim gone there is nobody to tell.
            let _ = report(&status, &Report::Failed(error), Vec::new());
            code
        }
        Err(_) => 125,
    };
    sys::exit_now(code)
}

/// Tells the shim.
pub(crate) fn report(status: &OwnedFd, report: &Report, fds: Vec<OwnedFd>) -> Step {
    Packet::message(report, fds).and_then(|packet| packet.send(status.as_fd())).map_err(doing("report to the shim"))
}

fn set_up(job: Job<'_>) -> Result<Infallible, (OwnedFd, StartError)> {
    let Job { bundle, entry, namespaces, shm, streams, size, status } = job;
    let brought = Brought { entry, namespaces, shm, streams, size };
    let folder = match inside(bundle, brought, &status) {
        Ok(folder) => folder,
        Err(error) => return Err((status, error)),
    };
    let spec = &bundle.spec;
    let launch = Launch {
        argv: &spec.argv,
        env: &spec.env,
        user: &spec.user,
        groups: &spec.groups,
        tty: spec.tty,
        security: &spec.security,
        filter: bundle.filter.as_ref(),
        ulimits: &spec.ulimits,
        reaper: spec.init,
    };
    launch::launch(&launch, folder, status)
}

/// Descriptors that come from the shim.
struct Brought<'a> {
    entry: Entry,
    namespaces: Vec<(BorrowedFd<'a>, libc::c_int)>,
    shm: Option<BorrowedFd<'a>>,
    streams: Streams,
    size: Option<(u16, u16)>,
}

/// From the host's mounts to the container's root; returns the working directory.
fn inside(bundle: &Bundle, brought: Brought<'_>, status: &OwnedFd) -> Result<OwnedFd, StartError> {
    let (spec, host) = (&bundle.spec, &bundle.host);
    let Brought { entry, namespaces, shm, streams, size } = brought;
    start_clean().at("session")?;
    enter_cgroup(entry, !spec.namespaces.host_cgroup).at("cgroup")?;
    namespaces::enter(&namespaces).at("namespaces")?;
    if let Some(warning) = oom::adjust(spec.resources.oom_score_adj) {
        report(status, &Report::Warning(warning), Vec::new()).at("report")?;
    }
    let point = rootfs::mount_point(host).at("root file system")?;
    let sources = sources::open(&spec.mounts, host).at("mounts")?;
    rootfs::leave_host().at("root file system")?;
    let memory = memory(&point).at("files")?;
    let files = files::prepare(&spec.files, &memory).at("secrets and configs")?;
    let etc = etc::prepare(bundle).at("hosts, hostname, resolv.conf")?;
    let cover = masks::cover(&memory).at("masked paths")?;
    let nodes = devices::look(spec).at("devices")?;
    let root = rootfs::mount(host, &point).at("root file system")?;
    let wish = standard::Wish {
        privileged: spec.security.privileged,
        shm,
        without_shm: spec.namespaces.without_shm,
        own_cgroup: !spec.namespaces.host_cgroup,
    };
    let standard = standard::mount(&root, &wish).at("standard mounts")?;
    mounts::mount(&root, &spec.mounts, sources, host).at("mounts")?;
    etc::mount(&root, etc).at("hosts, hostname, resolv.conf")?;
    files::mount(&root, files).at("secrets and configs")?;
    devices::make(&root, &nodes).at("devices")?;
    let proc = sysctls::own_proc().at("sysctls")?;
    sysctls::set(&proc, &spec.sysctls, &spec.namespaces).at("sysctls")?;
    place_streams(bundle, &standard, (streams, size), status).at("standard streams")?;
    if !spec.security.privileged && !spec.security.unmasked {
        masks::apply(&standard, &cover).at("masked paths")?;
    }
    if spec.namespaces.uts == NsMode::Private {
        hostname::set(&host.hostname, spec.domainname.as_deref()).at("host name")?;
    }
    rootfs::pivot(&root).at("root file system")?;
    if !host.hooks.is_empty() {
        report(status, &Report::Hooks, Vec::new()).at("hooks")?;
        // The shim answers, or kills this process where a hook fails.
        Packet::receive(status.as_fd()).map_err(doing("wait for the hooks")).at("hooks")?;
    }
    let folder = cwd::open(&root, &spec.cwd, true).at("working directory")?;
    if spec.read_only {
        tree::make_read_only(root.as_fd(), false).map_err(doing("make the root read-only")).at("root file system")?;
    }
    report(status, &Report::Root, vec![root]).at("report")?;
    Ok(folder)
}

/// Nothing of the shim's own session, signals or mask goes into the container.
pub(crate) fn start_clean() -> Step {
    sys::reset_signals();
    rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::setsid().map_err(doing("start a session")).map(drop)
}

/// The cgroup namespace's root is what has been entered before.
fn enter_cgroup(entry: Entry, own: bool) -> Step {
    entry.join_v1().map_err(doing("enter the cgroup"))?;
    if own {
        sys::unshare(libc::CLONE_NEWCGROUP).map_err(doing("make a cgroup namespace"))?;
    }
    Ok(())
}

/// A tmpfs that covers the mount point until the root covers it in turn: nobody but this process ever sees it whole.
pub(crate) fn memory(point: &OwnedFd) -> Step<OwnedFd> {
    let tree = tree::filesystem("tmpfs", &[("mode", Some("0700"))], tree::SAFE).map_err(doing("make a tmpfs"))?;
    tree::attach(&tree, point).map_err(doing("mount a tmpfs"))?;
    Ok(tree)
}

/// Puts 0, 1 and 2 in place: a terminal of the container's own, or the shim's pipes.
fn place_streams(
    bundle: &Bundle,
    standard: &standard::Standard,
    (streams, size): (Streams, Option<(u16, u16)>),
    status: &OwnedFd,
) -> Step {
    let put = |fd: &OwnedFd, number| sys::dup_onto(fd.as_fd(), number).map_err(doing("put a standard stream in place"));
    if bundle.spec.tty {
        let terminal = console::open(&standard.pts)?;
        console::mount(&standard.dev, &terminal)?;
        let Terminal { master, slave } = terminal;
        if let Some(size) = size {
            console::resize(&master, size).map_err(doing("set the size of the terminal"))?;
        }
        report(status, &Report::Terminal, vec![master])?;
        rustix::process::ioctl_tiocsctty(&slave).map_err(doing("take the terminal"))?;
        return [0, 1, 2].into_iter().try_for_each(|number| put(&slave, number));
    }
    let null = || {
        super::inroot::open_exact(standard.dev.as_fd(), std::path::Path::new("null"), rustix::fs::OFlags::RDWR)
            .map_err(doing("open /dev/null"))
    };
    for (number, stream) in [(0, streams.stdin), (1, streams.stdout), (2, streams.stderr)] {
        let stream = match stream {
            Some(stream) => stream,
            None => null()?,
        };
        put(&stream, number)?;
    }
    Ok(())
}
