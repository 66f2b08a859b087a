//! A container that an OCI runtime drives, from the runtime's `create` to its `delete`. Its commands run one after the other,
//! and the loop goes on meanwhile.
//!
//! ```text
//!  prepare ─exec─▶ create ─▶ start ─▶ kill, pause, resume (as they are asked for) ─▶ the process ends ─▶ delete ─▶ exit record
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::super::bundle::{Bundle, Shared};
use super::super::init::{self, Job};
use super::super::oci::console::Console;
use super::super::oci::{self, Driver};
use super::super::protocol::{Reply, StartError};
use super::super::sys;
use super::process::{Process, Stage};
use super::{Shim, Source};

/// A runtime that makes a machine takes seconds; one that takes this long hangs.
const CREATE: Duration = Duration::from_secs(120);
/// What is asked of a container that is there.
const ASK: Duration = Duration::from_secs(20);

/// What a runtime's container has beside its process.
pub(super) struct Driven {
    pub(super) driver: Driver,
    /// Where the terminal will come from.
    console: Option<Console>,
    /// Other containers' namespaces, which the runtime finds by our descriptors while it creates.
    shared: BTreeMap<Shared, OwnedFd>,
    command: Option<Command>,
    waiting: VecDeque<Asked>,
    /// When `create` has taken too long.
    deadline: Option<Instant>,
    /// The process has ended, with this status, and whether for want of memory; `delete` follows.
    pub(super) ended: Option<(i32, bool)>,
}

/// A command that runs.
struct Command {
    child: Child,
    pidfd: OwnedFd,
    purpose: Purpose,
    deadline: Instant,
}

enum Purpose {
    Start,
    Ask { caller: (u64, u64) },
    Delete,
}

/// A command that somebody waits for.
struct Asked {
    verb: &'static str,
    argument: Option<String>,
    caller: (u64, u64),
}

impl Driven {
    /// Readies this process for the container of `bundle`; `None`: it is windlass's own.
    pub(super) fn new(bundle: &Bundle) -> Result<Option<Driven>, StartError> {
        let Some(driver) = oci::driver(bundle) else { return Ok(None) };
        let at = |cause: io::Error| StartError::new("bundle", cause);
        fs::create_dir_all(&driver.folder).map_err(at)?;
        let console = bundle.spec.tty.then(|| Console::listen(&driver.folder, "console.sock"));
        // What the runtime leaves without a parent, the container among it, is this process's.
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0).map_err(at)?;
        Ok(Some(Driven {
            driver,
            console: console.transpose().map_err(at)?,
            shared: BTreeMap::new(),
            command: None,
            waiting: VecDeque::new(),
            deadline: None,
            ended: None,
        }))
    }

    /// Becomes the runtime's `create`, in the clone; never returns.
    pub(super) fn become_runtime(&self, job: Job<'_>) -> ! {
        oci::run(job, &self.driver, self.console.as_ref().map(Console::path))
    }

    /// Keeps other containers' namespaces until the container is there.
    pub(super) fn keep(&mut self, shared: BTreeMap<Shared, OwnedFd>) {
        self.shared = shared;
    }

    /// `create` has begun.
    pub(super) fn creating(&mut self) {
        self.deadline = Some(Instant::now() + CREATE);
    }

    /// Whether the end of the process waits for a command's.
    pub(super) fn is_busy(&self) -> bool {
        self.ended.is_some()
            || self.command.as_ref().is_some_and(|command| !matches!(command.purpose, Purpose::Ask { .. }))
    }

    /// When something has taken too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.command.as_ref().map(|command| command.deadline).or(self.deadline)
    }

    pub(super) fn poll_set<'a>(&'a self, sources: &mut Vec<Source>, set: &mut Vec<PollFd<'a>>) {
        let mut add = |source: Source, fd: BorrowedFd<'a>| {
            sources.push(source);
            set.push(PollFd::new(fd, PollFlags::POLLIN));
        };
        if let Some(command) = &self.command {
            add(Source::Command, command.pidfd.as_fd());
        }
        if let Some(console) = &self.console {
            add(Source::Console, console.as_fd());
        }
    }

    fn spawn(&mut self, verb: &str, flags: &[&str], rest: &[&str], purpose: Purpose) -> Result<(), StartError> {
        let failed = |cause: io::Error| StartError::new(&self.driver.name, format!("{verb} can't be run: {cause}"));
        let limit = if matches!(purpose, Purpose::Start) { CREATE } else { ASK };
        let mut child = self.driver.command(verb, flags, rest).spawn().map_err(failed)?;
        let pidfd = sys::pidfd_open(child.id() as i32).map_err(|cause| {
            let _ = child.kill().and_then(|()| child.wait());
            failed(cause)
        })?;
        self.command = Some(Command { child, pidfd, purpose, deadline: Instant::now() + limit });
        Ok(())
    }

    /// What the command that has just ended said, where it failed.
    fn failure(&self, what: &str) -> StartError {
        self.driver.error(&self.driver.log(), what.to_owned())
    }
}

impl Shim {
    fn driven(&mut self) -> Option<&mut Driven> {
        self.process.as_mut()?.driven.as_mut()
    }

    /// Hears of children that end, from now on: a runtime leaves helpers, which nobody else would reap.
    pub(super) fn hear_of_children(&mut self) -> Result<(), StartError> {
        if self.children.is_none() {
            let at = |cause: nix::Error| StartError::new("shim", format!("wait for children: {cause}"));
            let mut set = SigSet::empty();
            set.add(Signal::SIGCHLD);
            set.thread_block().map_err(at)?;
            let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
            self.children = Some(SignalFd::with_flags(&set, flags).map_err(at)?);
        }
        Ok(())
    }

    /// Reaps the children that nobody waits for.
    pub(super) fn reap_others(&mut self) {
        if let Some(children) = &self.children {
            while matches!(children.read_signal(), Ok(Some(_))) {}
        }
        let process = self.process.as_ref();
        let own = process.map(|process| process.pid);
        let command = process.and_then(|process| process.driven.as_ref()?.command.as_ref());
        let command = command.map(|command| command.child.id() as i32);
        loop {
            let Some(pid) = ended_child() else { return };
            if Some(pid) == own || Some(pid) == command {
                // Its own descriptor is ready too, and the others come after it.
                return;
            }
            // SAFETY: plain system call; the status is not wanted.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
        }
    }

    /// Takes the terminal that the runtime brings.
    pub(super) fn take_console(&mut self) {
        let Some(process) = self.process.as_mut() else { return };
        let Some(driven) = process.driven.as_mut() else { return };
        let taken = driven.console.as_ref().map_or(Ok(None), Console::take);
        match taken {
            Ok(None) => {}
            Ok(Some(master)) => {
                driven.console = None;
                if let Some(size) = self.size {
                    // A size that can't be set is no reason not to start.
                    let _ = init::console::resize(&master, size);
                }
                process.streams.set_terminal(master);
            }
            // Without its terminal the container's start fails, and the runtime tells.
            Err(_) => driven.console = None,
        }
    }

    /// The child that the process is at this stage has ended: `create`, or the container itself. `false`: it is not a
    /// runtime's.
    pub(super) fn driven_ended(&mut self, status: i32) -> bool {
        let Some(process) = self.process.as_mut() else { return false };
        let oom = process.cgroup.oom_kills() > process.oom;
        let (creating, driven) = match (&process.stage, process.driven.as_mut()) {
            (Stage::SettingUp { .. }, _) | (_, None) => return false,
            (stage, Some(driven)) => (matches!(stage, Stage::Creating { .. }), driven),
        };
        driven.deadline = None;
        if !creating {
            driven.ended = Some((status, oom));
            self.drain_output();
        } else if status != 0 {
            let error = driven.failure(&format!("create ended with {}", init::reaper::exit_code(status)));
            self.give_up(error);
        } else if let Err(error) = self.created() {
            self.give_up(error);
        }
        self.next_command();
        true
    }

    /// The container is there and waits: it becomes the process, and is started.
    fn created(&mut self) -> Result<(), StartError> {
        self.take_console();
        let Some(process) = self.process.as_mut() else { return Ok(()) };
        let Some(driven) = process.driven.as_mut() else { return Ok(()) };
        let at = |cause: io::Error| StartError::new(&driven.driver.name, format!("its container: {cause}"));
        let text = fs::read_to_string(driven.driver.pid_file()).map_err(at)?;
        let pid: i32 = text.trim().parse().map_err(|_| at(io::ErrorKind::InvalidData.into()))?;
        let (pidfd, ticks) = (sys::pidfd_open(pid).map_err(at)?, sys::start_ticks(pid).map_err(at)?);
        (process.pid, process.ticks, process.pidfd) = (pid, ticks, pidfd);
        process.cgroup.gather().map_err(|cause| StartError::new("cgroup", cause))?;
        driven.shared.clear();
        driven.spawn("start", &[], &[], Purpose::Start)
    }

    /// The container can't be had: nothing of it may stay.
    fn give_up(&mut self, error: StartError) {
        let Some(process) = self.process.as_mut() else { return };
        // What does not die now is told of by whoever needs the group.
        let _ = process.cgroup.kill();
        if let Stage::Creating { failure, .. } = &mut process.stage {
            *failure = Some(error);
        }
        if let Some(driven) = process.driven.as_mut() {
            driven.ended = Some((0, false));
        }
    }

    /// A command of the runtime has ended.
    pub(super) fn command_ended(&mut self) {
        let Some(driven) = self.driven() else { return };
        let Some(mut command) = driven.command.take() else { return };
        let success = match command.child.try_wait() {
            Ok(None) => {
                driven.command = Some(command);
                return;
            }
            Ok(Some(status)) => status.success(),
            Err(_) => false,
        };
        let ended = driven.ended.is_some();
        match command.purpose {
            Purpose::Start if success => self.set_up_ended(),
            Purpose::Start => {
                let error = driven.failure("start failed");
                self.give_up(error);
            }
            Purpose::Ask { caller } => {
                // What has ended meanwhile needs nothing any more.
                let over = ended || driven_is_over(self.process.as_ref());
                let result = if success || over {
                    Ok(())
                } else {
                    self.driven().map_or(Ok(()), |d| Err(d.failure("it failed")))
                };
                let reply = result.map_or_else(Reply::Failed, |()| Reply::Done);
                self.reply(caller, reply, Vec::new());
            }
            Purpose::Delete => return self.finish_driven(),
        }
        self.next_command();
    }

    /// Starts what is to be done next, if nothing is under way.
    fn next_command(&mut self) {
        let Some(driven) = self.driven() else { return };
        if driven.command.is_some() {
            return;
        }
        if driven.ended.is_some() {
            let waiting = std::mem::take(&mut driven.waiting);
            let deleting = driven.spawn("delete", &["--force"], &[], Purpose::Delete);
            for asked in waiting {
                self.reply(asked.caller, Reply::Done, Vec::new());
            }
            if deleting.is_err() {
                self.finish_driven();
            }
            return;
        }
        let Some(Asked { verb, argument, caller }) = driven.waiting.pop_front() else { return };
        let rest: Vec<&str> = argument.iter().map(String::as_str).collect();
        if let Err(error) = driven.spawn(verb, &[], &rest, Purpose::Ask { caller }) {
            self.reply(caller, Reply::Failed(error), Vec::new());
            self.next_command();
        }
    }

    fn finish_driven(&mut self) {
        if let Some(driven) = self.driven() {
            let _ = fs::remove_dir_all(&driven.driver.folder);
        }
        self.drain_output();
        let status = self.driven().and_then(|driven| driven.ended).map_or(0, |(status, _)| status);
        self.finish(status);
        self.reap_others();
        // What a container that has the host's processes leaves later is the machine's own again.
        let _ = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, 0, 0);
    }

    /// Asks the runtime for something; the answer follows. `None`: the container is not a runtime's.
    pub(super) fn ask(
        &mut self,
        verb: &'static str,
        argument: Option<String>,
        caller: (u64, u64),
    ) -> Option<Result<(), StartError>> {
        let running = self.process.as_ref().is_some_and(|process| matches!(process.stage, Stage::Running));
        let driven = self.driven()?;
        if !running {
            return Some(Err(StartError::new("shim", "the container is being started")));
        }
        driven.waiting.push_back(Asked { verb, argument, caller });
        self.next_command();
        Some(Ok(()))
    }

    /// Kills the command that has taken too long; its end follows.
    pub(super) fn check_deadline(&mut self) {
        let Some(process) = self.process.as_mut() else { return };
        let Some(driven) = process.driven.as_mut() else { return };
        if driven.deadline().is_none_or(|deadline| deadline > Instant::now()) {
            return;
        }
        match driven.command.as_mut() {
            Some(command) => {
                command.deadline += ASK;
                let _ = command.child.kill();
            }
            None => {
                driven.deadline = None;
                let _ = sys::pidfd_signal(process.pidfd.as_fd(), libc::SIGKILL);
            }
        }
    }
}

/// Whether the files of the container's process are not those of its root: its programs run on a kernel of their own.
pub(super) fn is_hidden(process: &Process) -> bool {
    let Some(root) = process.root.as_ref().filter(|_| process.driven.is_some()) else { return false };
    let device = |stat: rustix::io::Result<rustix::fs::Stat>| stat.ok().map(|stat| stat.st_dev);
    let own = device(rustix::fs::stat(format!("/proc/{}/root/", process.pid)));
    own != device(rustix::fs::fstat(root))
}

fn driven_is_over(process: Option<&Process>) -> bool {
    process.is_none_or(|process| sys::pidfd_ended(process.pidfd.as_fd()))
}

/// A child that has ended and was not reaped.
fn ended_child() -> Option<i32> {
    // SAFETY: all-zero is a valid siginfo, which lives over the call.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let done = libc::waitid(libc::P_ALL, 0, &raw mut info, flags);
        let pid = info.si_pid();
        (done == 0 && pid > 0).then_some(pid)
    }
}
