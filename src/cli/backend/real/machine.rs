//! Containers as the kernel has them: signals, root folders, processes, what they use.

use super::super::super::error::CliError;
use super::super::Usage;
use super::{Real, failed};
use crate::desired::{ContainerSpec, FileSource, MountSource};
use crate::engine::progress::Progress;
use crate::host::cgroup::{Cgroup, Layout};
use crate::host::container::Root;
use crate::host::container::record::{self, ProcessRecord};
use crate::host::ledger::container as ledger;
use crate::host::machine::{observe, parts};
use crate::name::ContainerId;
use crate::supervisor::Client;
use crate::supervisor::protocol::Request;

impl Real {
    fn process(&self, id: &ContainerId) -> Result<ProcessRecord, CliError> {
        let found = record::living(&self.paths.container_run(id)).map_err(|e| failed(&e))?;
        found.ok_or_else(|| CliError::failed(format!("container {} does not run", id.short())))
    }

    fn group(&self, id: &ContainerId) -> Result<Cgroup, CliError> {
        let made = ledger::made(&self.paths, id).map_err(|e| failed(&e))?;
        let made = made.ok_or_else(|| CliError::failed(format!("container {} is gone", id.short())))?;
        let layout = Layout::open(&observe::cgroup_name(&self.paths, &made.spec.project)).map_err(|e| failed(&e))?;
        layout.existing(id).map_err(|e| failed(&e))
    }

    pub(super) fn send_signal(&self, id: &ContainerId, signal: i32) -> Result<(), CliError> {
        self.signal_process(id, signal)?;
        self.tell_of_signal(id, signal);
        Ok(())
    }

    /// `events` tells of it. Where nobody can be told, it was sent all the same.
    fn tell_of_signal(&self, id: &ContainerId, signal: i32) {
        let Ok(Some(made)) = ledger::made(&self.paths, id) else { return };
        let Ok(Some(mut supervisor)) = Client::connect(&self.paths, &made.spec.project) else { return };
        let progress = Progress::Signalled { container: made.spec.name, id: id.clone(), signal };
        let told = supervisor.request(&Request::Tell { progress: Box::new(progress) });
        if let Err(error) = told.and_then(|()| supervisor.reply()) {
            tracing::debug!(%error, "nobody was told of a signal");
        }
    }

    fn signal_process(&self, id: &ContainerId, signal: i32) -> Result<(), CliError> {
        let process = self.process(id)?;
        if let Some(runtime) = process.runtime {
            return runtime.kill(signal).map_err(|e| failed(&e));
        }
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(process.pid).ok_or_else(|| CliError::failed("no process"))?,
            rustix::process::PidfdFlags::empty(),
        );
        let pidfd = pidfd.map_err(|e| failed(&std::io::Error::from(e)))?;
        // The number may have changed hands before the descriptor was made.
        self.process(id)?;
        let signal = rustix::process::Signal::from_named_raw(signal)
            .ok_or_else(|| CliError::usage(format!("there is no signal {signal}")))?;
        rustix::process::pidfd_send_signal(pidfd, signal).map_err(|e| failed(&std::io::Error::from(e)))
    }

    pub(super) fn root_of(&self, id: &ContainerId) -> Result<Root, CliError> {
        // It may start or end in between.
        for _ in 0..3 {
            if let Some(root) = Root::of_living(&self.paths.container_run(id)).map_err(|e| failed(&e))? {
                return Ok(root);
            }
            let made = ledger::made(&self.paths, id).map_err(|e| failed(&e))?;
            let made = made.ok_or_else(|| CliError::failed(format!("container {} is gone", id.short())))?;
            let parts = parts::of(&self.paths, &self.images()?, id, &made.spec).map_err(|e| failed(&e))?;
            // Where the bytes of its secrets are gone, the rest is there all the same.
            let whole = ledger::whole(&self.paths, id).ok().flatten();
            let spec = lasting(whole.map_or(made.spec, |whole| whole.spec));
            if let Some(root) = Root::of_stopped(&parts, &spec).map_err(|e| failed(&e))? {
                return Ok(root);
            }
        }
        Err(CliError::failed(format!("container {} starts and ends all the time", id.short())))
    }

    pub(super) fn processes_of(&self, id: &ContainerId) -> Result<Vec<i32>, CliError> {
        self.group(id)?.pids().map_err(|e| failed(&e))
    }

    pub(super) fn usage_of(&self, id: &ContainerId) -> Result<Usage, CliError> {
        let stats = self.group(id)?.stats();
        let network = self.process(id).map(|process| traffic(process.pid)).unwrap_or_default();
        Ok(Usage {
            cpu: stats.cpu,
            memory: stats.memory,
            memory_limit: stats.memory_limit.unwrap_or_else(all_memory),
            pids: stats.pids,
            network,
            block: (stats.io_read, stats.io_write),
        })
    }
}

/// Bytes received and sent over all links but loopback, in the network namespace of a process.
fn traffic(pid: i32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap_or_default();
    let mut sum = (0, 0);
    for line in text.lines().skip(2) {
        let Some((name, numbers)) = line.split_once(':') else { continue };
        if name.trim() == "lo" {
            continue;
        }
        let numbers: Vec<u64> = numbers.split_ascii_whitespace().filter_map(|n| n.parse().ok()).collect();
        sum.0 += numbers.first().copied().unwrap_or_default();
        sum.1 += numbers.get(8).copied().unwrap_or_default();
    }
    sum
}

fn all_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// A container with what outlives its process: memory is gone with it, and the user may have taken files away.
fn lasting(mut spec: ContainerSpec) -> ContainerSpec {
    spec.mounts.retain(|mount| !matches!(mount.source, MountSource::Tmpfs { .. }));
    spec.files.retain(|file| match &file.source {
        FileSource::Host { path } => path.exists(),
        FileSource::Inline { .. } => true,
    });
    spec
}
