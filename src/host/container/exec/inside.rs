//! `__exec`: enters the container and runs the program there.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rustix::fs::{Mode, OFlags};

use super::super::init::launch::{self, Launch};
use super::super::init::problem::{At, Step, doing};
use super::super::init::{self, Report, console, cwd, oom, reaper};
use super::super::protocol::StartError;
use super::super::sys::{self, Cloned};
use super::super::wire::Packet;
use super::{ExecSpec, Told};
use crate::host::cgroup::Entry;
use crate::host::seccomp::{self, Program};

/// Runs the process.
pub(in super::super) fn main() -> ExitCode {
    let Ok((control, spec, streams)) = begin() else { return ExitCode::from(125) };
    let told = match run(&control, &spec, streams) {
        Ok(code) => Told::Exited(code),
        Err(error) => Told::Failed(error),
    };
    let code = match &told {
        Told::Exited(code) => *code,
        Told::Failed(error) => error.code,
        Told::Terminal | Told::Started(_) => 0,
    };
    // The caller may be gone; the program is not its affair then.
    let _ = tell(&control, &told, Vec::new());
    ExitCode::from(u8::try_from(code).unwrap_or(125))
}

/// Takes the control socket, which was handed over as standard input, and what it says.
fn begin() -> io::Result<(OwnedFd, ExecSpec, Vec<OwnedFd>)> {
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
    // SAFETY: descriptor 0 is open (the caller's handing over) and owned by nobody.
    let control = sys::dup(unsafe { BorrowedFd::borrow_raw(0) })?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    for number in 0..3 {
        sys::dup_onto(null.as_fd(), number)?;
    }
    let packet = Packet::receive(control.as_fd())?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let (spec, streams) = packet.parse()?;
    // Ctrl-C belongs to the program's terminal; and the caller's end must not end this process before the program.
    sys::reset_signals();
    let _ = rustix::process::setsid();
    Ok((control, spec, streams))
}

/// Tells the caller.
pub(super) fn tell(control: &OwnedFd, told: &Told, fds: Vec<OwnedFd>) -> io::Result<()> {
    Packet::message(told, fds)?.send(control.as_fd())
}

/// The host's things that are needed inside.
struct Brought {
    pidfd: OwnedFd,
    entry: Entry,
}

fn run(control: &OwnedFd, spec: &ExecSpec, mut streams: Vec<OwnedFd>) -> Result<i32, StartError> {
    if let Some(driver) = &spec.runtime {
        return super::runtime::run(control, spec, driver, streams);
    }
    let brought = bring(spec).at("container")?;
    enter(&brought.pidfd).at("namespaces")?;
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|cause| StartError::new("root", cause))?;
    let folder = cwd::open(&root, &spec.cwd, false)
        .map_err(|mut problem| {
            // As docker: a working directory that is not there is a thing that is not found.
            problem.code = 127;
            problem
        })
        .at("working directory")?;
    if let Some(size) = spec.tty {
        streams = vec![open_terminal(control, &root, size).at("terminal")?];
    }
    let filter = seccomp::of(&spec.security).map_err(doing("make the system call filter")).at("privileges")?;
    let (status, report) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .map_err(|cause| StartError::new("exec", cause))?;
    // SAFETY: this process has one thread.
    let cloned = unsafe { sys::clone3(0, brought.entry.v2()) };
    match cloned.map_err(|cause| StartError::new("clone", cause))? {
        Cloned::Child => {
            drop(status);
            child((spec, filter), brought, streams, folder, report)
        }
        Cloned::Parent { pid, pidfd } => {
            drop((report, streams, brought, folder, root));
            follow(control, &status, &Child { pid, pidfd, bound: spec.bound })
        }
    }
}

/// The container's process.
pub(super) fn living(spec: &ExecSpec) -> Step<OwnedFd> {
    let gone = || doing::<io::Error>("the container does not run");
    let pidfd = sys::pidfd_open(spec.pid).map_err(gone())?;
    // The pidfd is taken first: what has this start time now is what the pidfd names.
    let ticks = sys::start_ticks(spec.pid).map_err(gone())?;
    if ticks != spec.ticks {
        return Err(gone()(io::Error::other("its process has ended")));
    }
    Ok(pidfd)
}

fn bring(spec: &ExecSpec) -> Step<Brought> {
    let pidfd = living(spec)?;
    let entry = spec.cgroup.entry().map_err(doing("open the cgroup"))?;
    // Asked for or not, what could not be set is no reason to refuse.
    let _ = oom::adjust(spec.oom_score_adj);
    Ok(Brought { pidfd, entry })
}

/// Enters all namespaces of the process but the cgroup's: with that, a clone into the container's cgroup would cross a
/// delegation boundary and be refused.
fn enter(pidfd: &OwnedFd) -> Step {
    let kinds = libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC | libc::CLONE_NEWNET | libc::CLONE_NEWPID;
    sys::setns(pidfd.as_fd(), kinds).map_err(doing("enter the container"))
}

fn open_terminal(control: &OwnedFd, root: &OwnedFd, size: (u16, u16)) -> Step<OwnedFd> {
    let console::Terminal { master, slave } = console::open(&console::pts_of(root)?)?;
    console::resize(&master, size).map_err(doing("set the size of the terminal"))?;
    tell(control, &Told::Terminal, vec![master]).map_err(doing("hand over the terminal"))?;
    Ok(slave)
}

fn child(
    (spec, filter): (&ExecSpec, Option<Program>),
    brought: Brought,
    streams: Vec<OwnedFd>,
    folder: OwnedFd,
    status: OwnedFd,
) -> ! {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        if let Err(error) = settle(spec, brought, &streams) {
            return (status, error);
        }
        let launch = Launch {
            argv: &spec.argv,
            env: &spec.env,
            user: &spec.user,
            groups: &spec.groups,
            tty: spec.tty.is_some(),
            security: &spec.security,
            filter: filter.as_ref(),
            ulimits: &spec.ulimits,
            reaper: false,
        };
        match launch::launch(&launch, folder, status) {
            Ok(never) => match never {},
            Err(failed) => failed,
        }
    }));
    if let Ok((status, error)) = outcome
        && let Ok(packet) = Packet::message(&Report::Failed(error), Vec::new())
    {
        let _ = packet.send(status.as_fd());
    }
    sys::exit_now(125)
}

/// Cgroups, session and standard streams.
fn settle(spec: &ExecSpec, Brought { pidfd, entry }: Brought, streams: &[OwnedFd]) -> Result<(), StartError> {
    entry.join_v1().map_err(doing("enter the cgroup")).at("cgroup")?;
    if spec.own_cgroup {
        sys::setns(pidfd.as_fd(), libc::CLONE_NEWCGROUP).map_err(doing("enter the cgroup namespace")).at("cgroup")?;
    }
    init::start_clean().at("session")?;
    for number in 0..3 {
        let stream = if spec.tty.is_some() { streams.first() } else { streams.get(number) };
        let stream = stream.ok_or_else(|| StartError::new("standard streams", "one was not handed over"))?;
        sys::dup_onto(stream.as_fd(), number as i32)
            .map_err(doing("put a standard stream in place"))
            .at("standard streams")?;
        if number == 0 && spec.tty.is_some() {
            rustix::process::ioctl_tiocsctty(stream).map_err(doing("take the terminal")).at("terminal")?;
        }
    }
    Ok(())
}

/// The program's process.
pub(super) struct Child {
    pub pid: i32,
    pub pidfd: OwnedFd,
    /// It ends with the caller.
    pub bound: bool,
}

/// Waits for the child: first for its exec or failure, then for its end.
fn follow(control: &OwnedFd, status: &OwnedFd, child: &Child) -> Result<i32, StartError> {
    if child.bound {
        // Also while it sets itself up, in which it may hang as well.
        wait_for(&[status.as_fd(), control.as_fd()]);
    }
    if child.bound && !is_ready(status) {
        child.kill();
    }
    let report = Packet::receive(status.as_fd()).ok().flatten().and_then(|packet| packet.parse::<Report>().ok());
    if let Some((Report::Failed(error), _)) = report {
        child.reap();
        return Err(error);
    }
    let _ = tell(control, &Told::Started(child.pid), Vec::new());
    Ok(wait_out(control, child))
}

/// Waits for the end of the program; its exit code.
pub(super) fn wait_out(control: &OwnedFd, child: &Child) -> i32 {
    if child.bound {
        // Nothing comes over the control socket any more but its end.
        wait_for(&[child.pidfd.as_fd(), control.as_fd()]);
        // Killed before it is reaped: until then the number can't become another's.
        child.kill();
    }
    child.reap()
}

fn wait_for(fds: &[BorrowedFd<'_>]) {
    let mut set: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    while poll(&mut set, PollTimeout::NONE) == Err(nix::Error::EINTR) {}
}

fn is_ready(fd: &OwnedFd) -> bool {
    let mut set = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut set, PollTimeout::ZERO), Ok(1..))
}

impl Child {
    /// Kills its whole process group, which it leads.
    fn kill(&self) {
        // SAFETY: plain system calls on a child that has not been reaped. Before its setsid there is no such group.
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            libc::kill(self.pid, libc::SIGKILL);
        }
    }

    fn reap(&self) -> i32 {
        let mut status = 0;
        loop {
            // SAFETY: the status lives over the call.
            let result = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
            if result >= 0 || io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                return reaper::exit_code(status);
            }
        }
    }
}
