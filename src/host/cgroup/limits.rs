//! The limits of a group. Those that cgroups-rs writes rightly go through it, the others are written here.
//!
//! A limit for which this kernel has no file becomes a warning in docker's manner; a value that the kernel refuses is an
//! error.

use std::path::Path;

use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::mounts::{Controller, Version};
use super::{Cgroup, Error, Place, Result, files, io};
use crate::desired::Resources;

/// Sets all limits; returns the warnings.
pub(super) fn apply(cgroup: &Cgroup, resources: &Resources) -> Result<Vec<String>> {
    let mut limits = Limits { cgroup, warnings: Vec::new() };
    limits.memory(resources)?;
    limits.swap(resources)?;
    limits.oom(resources)?;
    limits.cpu(resources)?;
    limits.realtime(resources)?;
    limits.cpuset(resources)?;
    limits.pids(resources)?;
    io::apply(&mut limits, resources)?;
    Ok(limits.warnings)
}

/// A group whose limits are being set, and what could not be.
pub(super) struct Limits<'a> {
    cgroup: &'a Cgroup,
    warnings: Vec<String>,
}

impl<'a> Limits<'a> {
    /// The place of a controller if its file is there; else a warning that `limit` does nothing.
    pub(super) fn place(
        &mut self,
        controller: Controller,
        (v1, v2): (&str, &str),
        limit: &'static str,
    ) -> Option<&'a Place> {
        let place = self.cgroup.place(controller).filter(|place| {
            let file = if place.version == Version::V1 { v1 } else { v2 };
            !file.is_empty() && place.dir.join(file).exists()
        });
        if place.is_none() {
            self.warn(limit);
        }
        place
    }

    /// The place of a controller and the first of `names` that is a file of it.
    pub(super) fn place_of_any<'n>(&self, controller: Controller, names: &[&'n str]) -> Option<(&'a Place, &'n str)> {
        let place = self.cgroup.place(controller)?;
        names.iter().find(|name| place.dir.join(name).exists()).map(|name| (place, *name))
    }

    pub(super) fn warn(&mut self, limit: &str) {
        self.warnings
            .push(format!("{limit} has no effect: this kernel, or what is mounted of its cgroups, cannot do it"));
    }

    fn memory(&mut self, resources: &Resources) -> Result<()> {
        if let Some(bytes) = resources.memory
            && let Some(place) = self.place(Controller::Memory, ("memory.limit_in_bytes", "memory.max"), "mem_limit")
        {
            refuse("mem_limit", bytes, memory(place).set_limit(bytes))?;
        }
        if let Some(bytes) = resources.memory_reservation
            && let Some(place) =
                self.place(Controller::Memory, ("memory.soft_limit_in_bytes", "memory.low"), "mem_reservation")
        {
            refuse("mem_reservation", bytes, memory(place).set_soft_limit(bytes))?;
        }
        Ok(())
    }

    /// After the memory limit: v1 wants memory-and-swap to be the larger of the two at every moment.
    fn swap(&mut self, resources: &Resources) -> Result<()> {
        const LIMIT: &str = "memswap_limit";
        if let Some(both) = resources.memory_swap
            && let Some(place) =
                self.place(Controller::Memory, ("memory.memsw.limit_in_bytes", "memory.swap.max"), LIMIT)
        {
            let value = match place.version {
                Version::V1 => both,
                // v2 limits swap alone.
                Version::V2 if both < 0 => -1,
                Version::V2 => both.saturating_sub(resources.memory.unwrap_or(0)).max(0),
            };
            refuse(LIMIT, both, memory(place).set_memswap_limit(value))?;
        }
        if let Some(value) = resources.swappiness
            && let Some(place) = self.place(Controller::Memory, ("memory.swappiness", ""), "mem_swappiness")
        {
            refuse("mem_swappiness", value, memory(place).set_swappiness(value))?;
        }
        Ok(())
    }

    fn oom(&mut self, resources: &Resources) -> Result<()> {
        if resources.oom_kill_disable
            && let Some(place) = self.place(Controller::Memory, ("memory.oom_control", ""), "oom_kill_disable")
        {
            refuse("oom_kill_disable", true, memory(place).disable_oom_killer())?;
        }
        Ok(())
    }

    fn cpu(&mut self, resources: &Resources) -> Result<()> {
        if let Some(shares) = resources.cpu_shares.filter(|shares| *shares > 0)
            && let Some(place) = self.place(Controller::Cpu, ("cpu.shares", "cpu.weight"), "cpu_shares")
        {
            let value = if place.version == Version::V1 { shares } else { weight_of_shares(shares) };
            refuse("cpu_shares", shares, cpu(place).set_shares(value))?;
        }
        let (quota, period) = (resources.cpu_quota, resources.cpu_period.filter(|period| *period > 0));
        if (quota.is_some() || period.is_some())
            && let Some(place) = self.place(Controller::Cpu, ("cpu.cfs_quota_us", "cpu.max"), "cpus")
        {
            // The period first: the kernel refuses a quota that is too large for the period as it stands.
            if let Some(period) = period {
                refuse("cpu_period", period, cpu(place).set_cfs_period(period))?;
            }
            if let Some(quota) = quota {
                let quota = if quota > 0 { quota } else { -1 };
                refuse("cpu_quota", quota, cpu(place).set_cfs_quota(quota))?;
            }
        }
        Ok(())
    }

    /// Real-time budgets are taken from the group above, whose own are 0 as it was made: raised on the way down.
    fn realtime(&mut self, resources: &Resources) -> Result<()> {
        const FILES: (&str, &str) = ("cpu.rt_runtime_us", "");
        if let Some(period) = resources.cpu_rt_period
            && let Some(place) = self.place(Controller::Cpu, FILES, "cpu_rt_period")
        {
            refuse("cpu_rt_period", period, cpu(place).set_rt_period_us(period))?;
        }
        if let Some(runtime) = resources.cpu_rt_runtime
            && let Some(place) = self.place(Controller::Cpu, FILES, "cpu_rt_runtime")
        {
            raise_realtime(&place.dir, runtime);
            refuse("cpu_rt_runtime", runtime, cpu(place).set_rt_runtime(runtime))?;
        }
        Ok(())
    }

    fn cpuset(&mut self, resources: &Resources) -> Result<()> {
        if let Some(cpus) = &resources.cpuset
            && let Some(place) = self.place(Controller::Cpuset, ("cpuset.cpus", "cpuset.cpus"), "cpuset")
        {
            let controller = CpuSetController::new(place.dir.clone(), place.dir.clone(), place.version == Version::V2);
            refuse("cpuset", cpus, controller.set_cpus(cpus))?;
        }
        Ok(())
    }

    fn pids(&mut self, resources: &Resources) -> Result<()> {
        if let Some(pids) = resources.pids.filter(|pids| *pids != 0)
            && let Some(place) = self.place(Controller::Pids, ("pids.max", "pids.max"), "pids_limit")
        {
            let value = if pids < 0 { MaxValue::Max } else { MaxValue::Value(pids) };
            let controller = PidController::new(place.dir.clone(), place.dir.clone(), place.version == Version::V2);
            refuse("pids_limit", pids, controller.set_pid_max(value))?;
        }
        Ok(())
    }
}

/// Names the limit and the value in the kernel's refusal.
pub(super) fn refuse(
    limit: &'static str,
    value: impl std::fmt::Display,
    result: cgroups_rs::fs::error::Result<()>,
) -> Result<()> {
    result.map_err(|error| Error::Limit { limit, value: value.to_string(), source: kernels(&error) })
}

/// What the kernel said; the library's own text repeats all causes below it.
fn kernels(error: &cgroups_rs::fs::error::Error) -> std::io::Error {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let mut codes = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()?.raw_os_error());
    codes.next().map_or_else(|| std::io::Error::other(error.to_string()), std::io::Error::from_raw_os_error)
}

fn memory(place: &Place) -> MemController {
    MemController::new(place.dir.clone(), place.dir.clone(), place.version == Version::V2)
}

fn cpu(place: &Place) -> CpuController {
    CpuController::new(place.dir.clone(), place.dir.clone(), place.version == Version::V2)
}

/// Gives the groups above as much real-time budget as is asked for below. Where one can't have it, the kernel's refusal of
/// the group's own value tells.
fn raise_realtime(dir: &Path, runtime: i64) {
    let above: Vec<&Path> = dir.ancestors().skip(1).take(2).collect();
    for level in above.iter().rev() {
        let file = level.join("cpu.rt_runtime_us");
        if files::number(&file).is_some_and(|known| i64::try_from(known).is_ok_and(|known| known < runtime)) {
            let _ = files::try_write(&file, &runtime.to_string());
        }
    }
}

/// v1 shares (2 to 262144) as v2 weight (1 to 10000), so that both ends and the two defaults (1024, 100) meet: the
/// conversion that OCI runtimes settled on in 2025, in place of the linear one which made 39 of 1024.
pub(super) fn weight_of_shares(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    #[expect(clippy::cast_precision_loss, reason = "18 bits at most")]
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 10000")]
    let weight = 10f64.powf(exponent).ceil() as u64;
    weight.clamp(1, 10_000)
}
