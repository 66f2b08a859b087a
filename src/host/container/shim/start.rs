//! Starts the process: pipes, clone3, and the child's way into init.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use rustix::pipe::PipeFlags;

use super::super::bundle::{Bundle, Shared};
use super::super::init::{self, Job};
use super::super::protocol::{Part, StartError};
use super::super::record::EXIT;
use super::super::sys::{self, Cloned};
use super::Shim;
use super::log::Log;
use super::process::{Process, Stage};
use super::runtime::Driven;
use super::streams::Streams;
use crate::desired::{NetMode, NsMode, SCHEMA};
use crate::host::cgroup::Entry;
use crate::host::clock;
use crate::host::process;

impl Shim {
    /// Starts the process of `bundle`. The answer to `caller` follows when init has ended its work.
    pub(super) fn start(
        &mut self,
        bundle: &Bundle,
        shared: &[Shared],
        fds: Vec<OwnedFd>,
        caller: (u64, u64),
    ) -> Result<(), StartError> {
        if bundle.schema > SCHEMA {
            return Err(StartError::new("shim", "the supervisor is newer than this shim: re-create the container"));
        }
        if self.process.is_some() {
            return Err(StartError::new("shim", "the process runs already"));
        }
        let shared: BTreeMap<_, _> = shared.iter().copied().zip(fds).collect();
        require_one_thread()?;
        let at = |what: &'static str| move |cause: io::Error| StartError::new(what, cause);
        self.forget_last().map_err(at("records"))?;
        let receiver = Log::reach(bundle).map_err(|cause| StartError::new("log", cause))?;
        let (mine, theirs) = Streams::make(&bundle.spec).map_err(at("standard streams"))?;
        let (status, report) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .map_err(|cause| StartError::new("shim", cause))?;
        let mut driven = Driven::new(bundle)?;
        if driven.is_some() {
            self.hear_of_children()?;
        }
        let namespaces = self.namespaces(bundle, &shared)?;
        let shm = self.memory(bundle, &shared)?;
        let cgroup = bundle.host.cgroup.clone();
        let oom = cgroup.oom_kills();
        let entry = cgroup.entry().map_err(|cause| StartError::new("cgroup", cause))?;
        let cloned = clone(bundle, &shared, &entry)?;
        let (pid, pidfd) = match cloned {
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
            Cloned::Child => {
                drop((status, receiver));
                let job = Job { bundle, entry, namespaces, shm, streams: theirs, size: self.size, status: report };
                match &driven {
                    Some(driven) => driven.become_runtime(job),
                    None => init::run(job),
                }
            }
        };
        drop((report, theirs));
        if let Some(driven) = driven.as_mut() {
            driven.keep(shared);
        }
        let ticks = sys::start_ticks(pid).map_err(at("shim"))?;
        // The log's thread must not be there while a clone is made, so it starts now.
        let log = Log::start(bundle, receiver).map_err(|cause| StartError::new("log", cause))?;
        self.process = Some(Process {
            pid,
            ticks,
            pidfd,
            started: clock::now(),
            stage: Stage::SettingUp { status, caller, failure: None },
            warnings: Vec::new(),
            root: None,
            streams: mine,
            log,
            reaper: bundle.spec.init,
            driven,
            hidden: false,
            hooks: bundle.host.hooks.clone(),
            cgroup,
            oom,
        });
        // The bundle was large, and nothing else will need so much.
        crate::host::process::trim();
        Ok(())
    }

    /// What the last process left: the end of its log's thread, its exit records.
    fn forget_last(&mut self) -> io::Result<()> {
        self.exit = None;
        for folder in [&self.place.run, &self.place.state] {
            match fs::remove_file(folder.join(EXIT)) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
        }
        Ok(())
    }

    /// The namespaces that init enters.
    fn namespaces<'a>(
        &'a self,
        bundle: &Bundle,
        shared: &'a BTreeMap<Shared, OwnedFd>,
    ) -> Result<Vec<(BorrowedFd<'a>, libc::c_int)>, StartError> {
        let spec = &bundle.spec.namespaces;
        let mut list = Vec::new();
        match spec.net {
            NetMode::Bridge | NetMode::None => list.push((self.own(Part::Net)?, libc::CLONE_NEWNET)),
            NetMode::Container(_) => list.push((passed(shared, Shared::Net)?, libc::CLONE_NEWNET)),
            NetMode::Host => {}
        }
        for (mode, part, kind, flag) in [
            (&spec.ipc, Part::Ipc, Shared::Ipc, libc::CLONE_NEWIPC),
            (&spec.uts, Part::Uts, Shared::Uts, libc::CLONE_NEWUTS),
        ] {
            match mode {
                NsMode::Private => list.push((self.own(part)?, flag)),
                NsMode::Container(_) => list.push((passed(shared, kind)?, flag)),
                NsMode::Host => {}
            }
        }
        if let (NsMode::Container(_), Some(_)) = (&spec.pid, &bundle.spec.runtime) {
            // Our own init is cloned right into it.
            list.push((passed(shared, Shared::Pid)?, libc::CLONE_NEWPID));
        }
        Ok(list)
    }

    /// The shared memory; `None`: the host's.
    fn memory<'a>(
        &'a self,
        bundle: &Bundle,
        shared: &'a BTreeMap<Shared, OwnedFd>,
    ) -> Result<Option<BorrowedFd<'a>>, StartError> {
        Ok(match bundle.spec.namespaces.ipc {
            NsMode::Host => None,
            NsMode::Private => Some(self.own(Part::Shm)?),
            NsMode::Container(_) => Some(passed(shared, Shared::Shm)?),
        })
    }

    fn own(&self, part: Part) -> Result<BorrowedFd<'_>, StartError> {
        let found = self.sandbox.as_ref().and_then(|sandbox| sandbox.part(part));
        found.ok_or_else(|| {
            StartError::new("sandbox", format!("it has no {part:?}: create it first, as the container is"))
        })
    }
}

/// The log's thread of the last process may hang on its disk, and a clone must be of one thread.
fn require_one_thread() -> Result<(), StartError> {
    if process::threads() == 1 {
        return Ok(());
    }
    Err(StartError::new("log", "the end of the last log is not written yet: its disk is slow or hangs"))
}

fn passed(shared: &BTreeMap<Shared, OwnedFd>, kind: Shared) -> Result<BorrowedFd<'_>, StartError> {
    let found = shared.get(&kind).map(AsFd::as_fd);
    found.ok_or_else(|| StartError::new("sandbox", format!("the other container's {kind:?} was not handed over")))
}

/// Clones this process into new mount and process namespaces; for an OCI runtime, which makes the others itself, into a
/// mount namespace only.
fn clone(bundle: &Bundle, shared: &BTreeMap<Shared, OwnedFd>, entry: &Entry) -> Result<Cloned, StartError> {
    let failed = |what: &'static str| move |cause: io::Error| StartError::new("clone", format!("{what}: {cause}"));
    let mut flags = libc::CLONE_NEWNS as u64;
    let mut home = None;
    if bundle.spec.runtime.is_some() {
        // SAFETY: this process has one thread: the caller has counted.
        return unsafe { sys::clone3(flags, None) }.map_err(failed("clone3"));
    }
    match &bundle.spec.namespaces.pid {
        NsMode::Private => flags |= libc::CLONE_NEWPID as u64,
        NsMode::Host => {}
        NsMode::Container(_) => {
            // A process namespace is entered by children only, so it is this process that has to name it.
            let own = fs::File::open("/proc/self/ns/pid").map_err(failed("open the process namespace"))?;
            let other = passed(shared, Shared::Pid)?;
            sys::setns(other, libc::CLONE_NEWPID).map_err(failed("enter the other process namespace"))?;
            home = Some(own);
        }
    }
    // SAFETY: this process has one thread: the caller has counted.
    let cloned = unsafe { sys::clone3(flags, entry.v2()) };
    if let (Some(home), false) = (home, matches!(cloned, Ok(Cloned::Child))) {
        sys::setns(home.as_fd(), libc::CLONE_NEWPID).map_err(failed("leave the other process namespace"))?;
    }
    cloned.map_err(failed("clone3"))
}

/// A pipe whose shim end does not block.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}
