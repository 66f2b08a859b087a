//! The shim: one small process a container. Parent and reaper of its process, holder of its sandbox, its standard
//! streams and whatever descriptors must outlive a supervisor; writer of its log and of its exit record.
//!
//! One loop around poll(2), no async runtime, no threads but the log's, in the host's mounts.
//!
//! ```text
//!  poll ─┬ listener, peers   serve.rs    a request, an answer; peers.rs keeps what a slow reader has not taken
//!        ├ init's reports    process.rs  terminal, root, failure; end of file: it has become the program
//!        ├ pidfd             process.rs  reaped: exit record, event
//!        ├ stdout, stderr,   streams.rs  log, attached peers
//!        │ terminal, stdin
//!        ├ runtime, console, runtime.rs  an OCI runtime in place of init
//!        │ children
//!        └ time              revive.rs   no supervisor: start one
//! ```

mod hook;
mod log;
mod peers;
mod process;
mod revive;
mod runtime;
mod sandbox;
mod serve;
mod start;
mod streams;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{Mode, OFlags};

use self::peers::Peer;
use self::process::Process;
pub(crate) use self::revive::EXECUTABLE;
use self::revive::Revive;
use self::sandbox::Sandbox;
use super::record::ExitRecord;
use super::sys;

/// Name of the socket in the run folder.
pub(crate) const SOCKET: &str = "shim.sock";

/// Where a shim is; its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The container's run folder.
    pub run: PathBuf,
    /// The container's state folder.
    pub state: PathBuf,
    /// Its project.
    pub project: String,
    /// `--root`.
    pub world_root: PathBuf,
    /// `--run`.
    pub world_run: PathBuf,
}

/// All that a shim holds.
pub(super) struct Shim {
    place: Place,
    /// The run folder, so that a long path is no matter for sockets.
    run: OwnedFd,
    listener: OwnedFd,
    peers: Vec<Peer>,
    /// Number of the next peer.
    next: u64,
    sandbox: Option<Sandbox>,
    store: BTreeMap<String, Vec<OwnedFd>>,
    process: Option<Process>,
    exit: Option<ExitRecord>,
    /// Rows and columns that were asked for last: the next process's terminal has them before the process is there.
    size: Option<(u16, u16)>,
    /// Tells of children that have ended, once there may be any that nobody knows.
    children: Option<nix::sys::signalfd::SignalFd>,
    revive: Revive,
    ending: bool,
}

/// Runs a shim.
pub(super) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match begin(arguments) {
        Ok(mut shim) => {
            // What attached clients have not taken yet is theirs: a supervisor releases a container as soon as it has ended.
            while !shim.ending || shim.has_unsent() {
                shim.turn();
            }
            ExitCode::SUCCESS
        }
        // The supervisor sees its connection end; there is nobody else to tell.
        Err(_) => ExitCode::from(125),
    }
}

fn begin(arguments: impl Iterator<Item = OsString>) -> io::Result<Shim> {
    let place = Place::parse(arguments).ok_or(io::ErrorKind::InvalidInput)?;
    let control = detach()?;
    fs::create_dir_all(&place.run)?;
    let run = rustix::fs::open(&place.run, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let listener = listen(&run)?;
    let mut shim = Shim {
        place,
        run,
        listener,
        peers: Vec::new(),
        next: 0,
        sandbox: None,
        store: BTreeMap::new(),
        process: None,
        exit: None,
        size: None,
        children: None,
        revive: Revive::default(),
        ending: false,
    };
    shim.add_peer(control);
    Ok(shim)
}

impl Place {
    fn parse(mut arguments: impl Iterator<Item = OsString>) -> Option<Place> {
        Some(Place {
            run: arguments.next()?.into(),
            state: arguments.next()?.into(),
            project: arguments.next()?.into_string().ok()?,
            world_root: arguments.next()?.into(),
            world_run: arguments.next()?.into(),
        })
    }

    /// The arguments that [`Place::parse`] takes.
    pub(super) fn arguments(&self) -> [OsString; 5] {
        [
            self.run.clone().into(),
            self.state.clone().into(),
            self.project.clone().into(),
            self.world_root.clone().into(),
            self.world_run.clone().into(),
        ]
    }
}

/// Leaves the caller's session, signals, folder and standard streams. The connection to the supervisor was handed over
/// as standard input.
fn detach() -> io::Result<OwnedFd> {
    // Nobody may look into a shim (CVE-2019-5736): its descriptors reach the host.
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
    sys::prctl(libc::PR_SET_NAME, c"windlass-shim".as_ptr() as libc::c_ulong, 0)?;
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGPIPE, libc::SIGTTOU] {
        // SAFETY: ignoring a signal runs no code. What is meant for a stack must not end the one who reaps it.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: descriptor 0 is open (the caller's handing over) and owned by nobody.
    let control = sys::dup(unsafe { std::os::fd::BorrowedFd::borrow_raw(0) })?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    for number in 0..3 {
        sys::dup_onto(null.as_fd(), number)?;
    }
    // What the caller forgot to close must not live as long as the container does.
    close_inherited(&[control.as_raw_fd(), null.as_raw_fd()])?;
    Ok(control)
}

fn close_inherited(keep: &[i32]) -> io::Result<()> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        if let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) {
            open.push(number);
        }
    }
    for number in open.into_iter().filter(|number| *number > 2 && !keep.contains(number)) {
        // SAFETY: nothing in this process owns a descriptor but those of `keep`; the one of the directory that was
        // read is closed already, which close answers with EBADF. No OwnedFd is made, as that checks.
        unsafe { libc::close(number) };
    }
    Ok(())
}

/// The socket `shim.sock` in the run folder: not abstract (CVE-2020-15257), mode 0600, reached through the folder's
/// descriptor because a socket's path has only 108 bytes.
fn listen(run: &OwnedFd) -> io::Result<OwnedFd> {
    use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
    let _ = rustix::fs::unlinkat(run, SOCKET, rustix::fs::AtFlags::empty());
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    let old = rustix::process::umask(Mode::from_raw_mode(0o177));
    let address = UnixAddr::new(format!("/proc/self/fd/{}/{SOCKET}", run.as_raw_fd()).as_str())?;
    let bound = bind(fd.as_raw_fd(), &address);
    rustix::process::umask(old);
    bound?;
    listen(&fd, Backlog::new(64)?)?;
    Ok(fd)
}

/// What a descriptor of the poll set belongs to.
#[derive(Clone, Copy)]
enum Source {
    Listener,
    Peer(u64),
    Report,
    Pidfd,
    Output(u8),
    Input,
    LogRoom,
    Command,
    Console,
    Children,
}

impl Shim {
    /// Waits for something and deals with it.
    fn turn(&mut self) {
        let ready = self.wait();
        for (source, flags) in ready {
            match source {
                Source::Listener => self.accept(),
                Source::Peer(peer) => self.peer_ready(peer, flags),
                Source::Report => self.take_report(),
                Source::Pidfd => self.reap(),
                Source::Output(stream) => drop(self.read_output(stream)),
                Source::Input => self.write_input(),
                Source::LogRoom => self.log_room(),
                Source::Command => self.command_ended(),
                Source::Console => self.take_console(),
                Source::Children => self.reap_others(),
            }
        }
        self.check_deadline();
        self.drop_closed_peers();
        if self.revive.is_due(&self.peers) {
            // Nobody is left, and the world that this was a part of has been removed.
            self.ending |= self.process.is_none() && !self.place.run.exists();
            let kept = self.store.get(revive::EXECUTABLE).and_then(|fds| fds.first());
            self.revive.act(&self.place, kept);
        }
    }

    fn wait(&self) -> Vec<(Source, PollFlags)> {
        let mut sources = vec![Source::Listener];
        let mut set = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        let full = self.process.as_ref().is_some_and(|process| process.streams.is_full());
        for peer in &self.peers {
            sources.push(Source::Peer(peer.number));
            set.push(PollFd::new(peer.socket.as_fd(), peer.interest(full)));
        }
        if let Some(process) = &self.process {
            process.poll_set(&mut sources, &mut set, self.peers_have_room());
        }
        if let Some(children) = &self.children {
            sources.push(Source::Children);
            set.push(PollFd::new(children.as_fd(), PollFlags::POLLIN));
        }
        // At the end a client that takes nothing is waited for, but not for ever.
        let none = if self.ending { PollTimeout::from(1000_u16) } else { PollTimeout::NONE };
        let timeout = self.timeout().unwrap_or(none);
        if poll(&mut set, timeout).is_err() {
            return Vec::new();
        }
        sources
            .into_iter()
            .zip(&set)
            .filter_map(|(source, fd)| fd.revents().filter(|flags| !flags.is_empty()).map(|flags| (source, flags)))
            .collect()
    }

    /// Until what is due next.
    fn timeout(&self) -> Option<PollTimeout> {
        let driven = self.process.as_ref().and_then(|process| process.driven.as_ref()?.deadline());
        let due = self.revive.due().into_iter().chain(driven).min()?;
        let left = due.saturating_duration_since(std::time::Instant::now());
        // One more millisecond: poll would wake a moment too early and turn once for nothing.
        PollTimeout::try_from(left + std::time::Duration::from_millis(1)).ok()
    }

    fn accept(&mut self) {
        use nix::sys::socket::{SockFlag, accept4};
        while let Ok(raw) = accept4(self.listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: accept4 made this descriptor for us.
            let socket = unsafe { OwnedFd::from_raw_fd(raw) };
            // The socket's mode keeps others out already; this holds where the folder's was changed.
            if super::wire::peer_uid(&socket).is_ok_and(|uid| uid == 0) {
                self.add_peer(socket);
            }
        }
    }

    fn add_peer(&mut self, socket: OwnedFd) {
        if rustix::io::ioctl_fionbio(&socket, true).is_ok() {
            self.peers.push(Peer::new(self.next, socket));
            self.next += 1;
        }
    }

    /// Removes what only this process held. The records stay: they are the container's.
    fn clear(&mut self) {
        let _ = rustix::fs::unlinkat(&self.run, SOCKET, rustix::fs::AtFlags::empty());
        if let Some(sandbox) = &self.sandbox {
            sandbox.remove(&self.place);
        }
        self.sandbox = None;
        self.store.clear();
    }
}
