//! The process from its clone to its end.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags};

use super::super::bundle::OciHook;
use super::super::init::Report;
use super::super::protocol::{Event, Message, Part, Reply, StartError};
use super::super::record::{EXIT, ExitRecord, PROCESS, ProcessRecord};
use super::super::sys;
use super::super::wire::Packet;
use super::log::Log;
use super::runtime::{self, Driven};
use super::streams::Streams;
use super::{Shim, Source, hook};
use crate::desired::Stamp;
use crate::host::cgroup::Cgroup;
use crate::host::clock;
use crate::host::record::{self, Durability};
use crate::observed::Exit;

/// How far it is.
pub(super) enum Stage {
    /// Init works.
    SettingUp {
        /// Its reports.
        status: OwnedFd,
        /// Who asked for the start: peer, number of the call.
        caller: (u64, u64),
        /// It has said that it failed; its end follows.
        failure: Option<StartError>,
    },
    /// An OCI runtime creates and starts it.
    Creating {
        /// As above.
        caller: (u64, u64),
        /// Why it will not run; what is left of it is taken away.
        failure: Option<StartError>,
    },
    /// It is the program.
    Running,
}

/// A living process.
pub(super) struct Process {
    pub(super) pid: i32,
    pub(super) ticks: u64,
    pub(super) pidfd: OwnedFd,
    pub(super) started: Stamp,
    pub(super) stage: Stage,
    pub(super) warnings: Vec<String>,
    pub(super) root: Option<OwnedFd>,
    pub(super) streams: Streams,
    pub(super) log: Log,
    /// PID 1 is this program itself.
    pub(super) reaper: bool,
    /// An OCI runtime drives it.
    pub(super) driven: Option<Driven>,
    /// Run when init has put its root in place.
    pub(super) hooks: Vec<OciHook>,
    /// Its files can't be reached through it.
    pub(super) hidden: bool,
    pub(super) cgroup: Cgroup,
    /// Kills for want of memory before it was started.
    pub(super) oom: u64,
}

impl Process {
    pub(super) fn poll_set<'a>(&'a self, sources: &mut Vec<Source>, set: &mut Vec<PollFd<'a>>, peers_have_room: bool) {
        if !self.driven.as_ref().is_some_and(Driven::is_busy) {
            sources.push(Source::Pidfd);
            set.push(PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN));
        }
        if let Some(driven) = &self.driven {
            driven.poll_set(sources, set);
        }
        if let Stage::SettingUp { status, failure: None, .. } = &self.stage {
            sources.push(Source::Report);
            set.push(PollFd::new(status.as_fd(), PollFlags::POLLIN));
        }
        let has_room = self.log.has_room();
        if let (false, Some(fd)) = (has_room, self.log.wake()) {
            sources.push(Source::LogRoom);
            set.push(PollFd::new(fd, PollFlags::POLLIN));
        }
        self.streams.poll_set(sources, set, has_room && peers_have_room);
    }

    pub(super) fn record(&self) -> ProcessRecord {
        let shim = std::process::id() as i32;
        ProcessRecord {
            pid: self.pid,
            ticks: self.ticks,
            started: self.started.clone(),
            shim,
            shim_ticks: sys::start_ticks(shim).unwrap_or_default(),
            runtime: self.driven.as_ref().map(|driven| Box::new(driven.driver.clone())),
            hidden: self.hidden,
        }
    }

    /// Descriptors for who watches it.
    pub(super) fn hand_out(&self) -> io::Result<(Vec<Part>, Vec<OwnedFd>)> {
        let parts = [
            (Part::Pidfd, Some(&self.pidfd)),
            (Part::Root, self.root.as_ref()),
            (Part::Terminal, self.streams.terminal.as_ref()),
            (Part::Stdout, self.streams.stdout.as_ref()),
            (Part::Stderr, self.streams.stderr.as_ref()),
        ];
        let mut names = Vec::new();
        let mut fds = Vec::new();
        for (part, fd) in parts {
            if let Some(fd) = fd {
                names.push(part);
                fds.push(sys::dup(fd)?);
            }
        }
        Ok((names, fds))
    }

    /// Whether it died before it became the program: after its clone and before any exec, the kernel has the flag
    /// PF_FORKNOEXEC on it, and PF_EXITING once it dies. A PID 1 of our own never executes anything.
    fn died_in_set_up(&self) -> bool {
        const PF_EXITING: u64 = 0x4;
        const PF_FORKNOEXEC: u64 = 0x40;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        let flags = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
        !self.reaper && flags.is_some_and(|flags| flags & PF_EXITING != 0 && flags & PF_FORKNOEXEC != 0)
    }
}

impl Shim {
    /// Takes one report of init.
    pub(super) fn take_report(&mut self) {
        let Some(process) = self.process.as_mut() else { return };
        let Stage::SettingUp { status, failure, .. } = &mut process.stage else { return };
        let report = match Packet::receive(status.as_fd()) {
            Ok(Some(packet)) => packet.parse::<Report>(),
            _ => return self.set_up_ended(),
        };
        match report {
            Ok((Report::Warning(text), _)) => process.warnings.push(text),
            Ok((Report::Hooks, _)) => *failure = hook::run(&process.hooks, &self.place.run, process.pid, status).err(),
            Ok((Report::Root, fds)) => process.root = fds.into_iter().next(),
            Ok((Report::Terminal, fds)) => {
                if let Some(master) = fds.into_iter().next() {
                    process.streams.set_terminal(master);
                }
            }
            Ok((Report::Failed(error), _)) => *failure = Some(error),
            Err(cause) => *failure = Some(StartError::new("shim", format!("init's report: {cause}"))),
        }
    }

    /// The end of the reports: exec has closed them, or init has died; or the end of a runtime's `start`.
    pub(super) fn set_up_ended(&mut self) {
        let Some(process) = self.process.as_mut() else { return };
        let died = process.died_in_set_up();
        let caller = match (&mut process.stage, process.driven.as_mut()) {
            (Stage::SettingUp { caller, .. }, Some(driven)) => {
                driven.creating();
                process.stage = Stage::Creating { caller: *caller, failure: None };
                return;
            }
            (Stage::SettingUp { failure, .. }, None) if died => {
                *failure = Some(StartError::new("set-up", "the process was killed while its container was set up"));
                return;
            }
            (Stage::SettingUp { caller, .. } | Stage::Creating { caller, .. }, _) => *caller,
            (Stage::Running, _) => return,
        };
        process.stage = Stage::Running;
        process.hidden = runtime::is_hidden(process);
        let record = process.record();
        let warnings = std::mem::take(&mut process.warnings);
        let handed = process.hand_out();
        let reply = match record::write(&self.place.run.join(PROCESS), &record, Durability::Lazy) {
            Err(cause) => Reply::Failed(StartError::new("records", cause)),
            Ok(()) => Reply::Started { process: record, warnings, parts: Vec::new() },
        };
        self.answer_start(caller, reply, handed);
    }

    fn answer_start(&mut self, caller: (u64, u64), reply: Reply, handed: io::Result<(Vec<Part>, Vec<OwnedFd>)>) {
        let (reply, fds) = match (reply, handed) {
            (Reply::Started { process, warnings, .. }, Ok((parts, fds))) => {
                (Reply::Started { process, warnings, parts }, fds)
            }
            (reply, _) => (reply, Vec::new()),
        };
        self.reply(caller, reply, fds);
    }

    /// The process has ended: its output is read to the end, then everybody is told.
    pub(super) fn reap(&mut self) {
        let Some(status) = self.process.as_ref().and_then(|process| wait(&process.pidfd)) else { return };
        // Reports that came before the end are still in the socket.
        while matches!(&self.process, Some(Process { stage: Stage::SettingUp { failure: None, .. }, .. })) {
            self.take_report();
        }
        if self.driven_ended(status) {
            return;
        }
        self.drain_output();
        self.finish(status);
    }

    /// Nothing of the process is left: its end is recorded and told.
    pub(super) fn finish(&mut self, status: i32) {
        let Some(process) = self.process.take() else { return };
        let Process { stage, started, cgroup, oom, log, driven, .. } = process;
        log.finish();
        // A runtime's `delete` has taken the group away.
        let ended = driven.and_then(|driven| driven.ended);
        let oom = ended.map_or_else(|| cgroup.oom_kills() > oom, |(_, oom)| oom);
        let mut exit = Exit {
            code: super::super::init::reaper::exit_code(status),
            oom,
            at: clock::now(),
            stopped: false,
            error: None,
        };
        match stage {
            Stage::SettingUp { caller, failure, .. } | Stage::Creating { caller, failure } => {
                let error = failure.unwrap_or_else(|| StartError::new("set-up", "it ended without a word"));
                exit.code = error.code;
                exit.error = Some(error.to_string());
                self.record_exit(ExitRecord { exit, started: None });
                self.reply(caller, Reply::Failed(error), Vec::new());
            }
            Stage::Running => {
                let record = ExitRecord { exit, started: Some(started) };
                self.record_exit(record.clone());
                let event = Message::Event(Event::Exited(record));
                self.broadcast(|peer| peer.supervisor || peer.attached, || Packet::message(&event, Vec::new()));
            }
        }
        crate::host::process::trim();
    }

    /// Writes the exit record: into the run folder first, which is memory; a slow disk can only delay the second.
    fn record_exit(&mut self, record: ExitRecord) {
        let _ = record::write(&self.place.run.join(EXIT), &record, Durability::Lazy);
        let _ = fs::remove_file(self.place.run.join(PROCESS));
        let _ = record::write(&self.place.state.join(EXIT), &record, Durability::Lazy);
        self.exit = Some(record);
    }

    pub(super) fn log_room(&mut self) {
        if let Some(process) = self.process.as_mut() {
            process.log.woken();
        }
    }
}

fn wait(pidfd: &OwnedFd) -> Option<i32> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok()??;
    // The form of waitpid(2), which all others here have.
    Some(match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) => signal,
        (None, None) => return None,
    })
}
