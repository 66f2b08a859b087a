//! Limits of a container's cgroup.

use std::path::PathBuf;

use super::{Problems, Request};
use crate::compose::model::{BlkioConfig, ResourceLimits, Service};
use crate::desired::{Resources, Slice};

/// Processes and threads of one container, unless the file says otherwise: enough for anything, too few for a fork bomb.
const PIDS: i64 = 8192;

/// The period that `cpus` is measured over, microseconds, as docker has it.
const PERIOD: u64 = 100_000;

/// Docker refuses less.
const LEAST_MEMORY: i64 = 6 << 20;

/// The limits of a service's container: its own attributes, then those of `deploy`.
pub fn resources(at: &str, service: &Service, request: &Request, problems: &mut Problems) -> Resources {
    let (limits, reserved) = deploy(service);
    let mut all = Resources {
        memory: positive(service.mem_limit.or(limits.memory)),
        memory_reservation: positive(service.mem_reservation.or(reserved.memory)),
        memory_swap: service.memswap_limit.filter(|bytes| *bytes != 0),
        oom_kill_disable: service.oom_kill_disable,
        cpuset: service.cpuset.clone().filter(|list| !list.is_empty()),
        cpu_rt_runtime: positive(service.cpu_rt_runtime),
        cpu_rt_period: positive(service.cpu_rt_period).and_then(|time| u64::try_from(time).ok()),
        parent: service.cgroup_parent.clone().filter(|name| !name.is_empty()),
        pids: Some(match service.pids_limit.or(limits.pids) {
            None => PIDS,
            Some(number) if number > 0 => number,
            Some(_) => -1,
        }),
        ..Resources::default()
    };
    if let Some(weight) = positive(service.cpu_shares) {
        all.cpu_shares = u64::try_from(weight.clamp(2, 262_144)).ok();
    }
    if let Some(parent) = &all.parent {
        group_above(format!("{at}.cgroup_parent"), parent, request, problems);
    }
    memory(at, service, &mut all, problems);
    processors(at, service, &limits, &mut all, problems);
    scores(at, service, &mut all, problems);
    if let Some(blkio) = &service.blkio_config {
        devices_io(at, blkio, &mut all, problems);
    }
    all
}

fn deploy(service: &Service) -> (ResourceLimits, ResourceLimits) {
    let resources = service.deploy.as_ref().map(|deploy| deploy.resources.clone()).unwrap_or_default();
    (resources.limits.unwrap_or_default(), resources.reservations.unwrap_or_default())
}

/// Only systemd makes groups where it runs the machine, and it knows them by the names of slices.
fn group_above(at: String, parent: &str, request: &Request, problems: &mut Problems) {
    if request.systemd && Slice::parse(parent).is_none() {
        let message = format!("systemd runs this machine, and `{parent}` is no name of a slice");
        problems.add_with_help(at, message, "write it as `NAME.slice`; `a-b.slice` lies in `a.slice`");
    } else if parent.split('/').any(|part| part == "..") {
        problems.add(at, "leads out of the control groups");
    }
}

fn positive(number: Option<i64>) -> Option<i64> {
    number.filter(|number| *number > 0)
}

fn memory(at: &str, service: &Service, all: &mut Resources, problems: &mut Problems) {
    let path = |own: &str, deploy: &str, has_own: bool| {
        if has_own { format!("{at}.{own}") } else { format!("{at}.deploy.resources.{deploy}.memory") }
    };
    if let Some(limit) = all.memory.filter(|limit| *limit < LEAST_MEMORY) {
        let message = format!("a memory limit of {limit} bytes is too small: at least 6 MiB");
        problems.add(path("mem_limit", "limits", service.mem_limit.is_some()), message);
    }
    if let (Some(limit), Some(reservation)) = (all.memory, all.memory_reservation)
        && reservation > limit
    {
        let message = format!("a reservation of {reservation} bytes is above the limit of {limit}");
        problems.add(path("mem_reservation", "reservations", service.mem_reservation.is_some()), message);
    }
    match (all.memory, all.memory_swap) {
        (None, Some(swap)) if swap > 0 => {
            problems.add(format!("{at}.memswap_limit"), "a limit of memory and swap together needs a `mem_limit`");
        }
        (Some(limit), Some(swap)) if swap > 0 && swap < limit => {
            let message = format!("{swap} bytes of memory and swap together are less than the memory limit of {limit}");
            problems.add(format!("{at}.memswap_limit"), message);
        }
        // As much swap as memory: docker's default.
        (Some(limit), None) => all.memory_swap = Some(limit.saturating_mul(2)),
        _ => {}
    }
}

fn processors(at: &str, service: &Service, limits: &ResourceLimits, all: &mut Resources, problems: &mut Problems) {
    let (cpus, path) = match service.cpus.filter(|cpus| *cpus != 0.0) {
        Some(cpus) => (Some(cpus), format!("{at}.cpus")),
        None => (limits.cpus.filter(|cpus| *cpus != 0.0), format!("{at}.deploy.resources.limits.cpus")),
    };
    all.cpu_quota = service.cpu_quota.filter(|time| *time != 0);
    all.cpu_period = positive(service.cpu_period).and_then(|time| u64::try_from(time).ok());
    let Some(cpus) = cpus else { return };
    if all.cpu_quota.is_some() || all.cpu_period.is_some() {
        problems.add(path, "cannot be combined with `cpu_quota` or `cpu_period`: both say the same");
    } else if !(0.01..=1e6).contains(&cpus) {
        problems.add(path, format!("{cpus} processors are not possible: at least 0.01"));
    } else {
        // In range by the check above; a quota below a microsecond's grain is cut.
        all.cpu_quota = Some((cpus * PERIOD as f64).round() as i64);
        all.cpu_period = Some(PERIOD);
    }
}

fn scores(at: &str, service: &Service, all: &mut Resources, problems: &mut Problems) {
    if let Some(score) = service.oom_score_adj {
        match i32::try_from(score).ok().filter(|score| (-1000..=1000).contains(score)) {
            Some(score) => all.oom_score_adj = Some(score),
            None => problems.add(format!("{at}.oom_score_adj"), format!("{score} is not between -1000 and 1000")),
        }
    }
    match service.mem_swappiness {
        None | Some(-1) => {}
        Some(number @ 0..=100) => all.swappiness = u64::try_from(number).ok(),
        Some(number) => problems.add(format!("{at}.mem_swappiness"), format!("{number} is not between 0 and 100")),
    }
}

fn devices_io(at: &str, blkio: &BlkioConfig, all: &mut Resources, problems: &mut Problems) {
    let at = format!("{at}.blkio_config");
    let weight = |weight: u16| {
        if (10..=1000).contains(&weight) { Ok(weight) } else { Err(format!("{weight} is not between 10 and 1000")) }
    };
    if let Some(number) = blkio.weight.filter(|number| *number != 0) {
        all.io_weight = problems.take(format!("{at}.weight"), weight(number));
    }
    for (index, device) in blkio.weight_device.iter().enumerate() {
        if let Some(number) = problems.take(format!("{at}.weight_device[{index}].weight"), weight(device.weight)) {
            all.io_weight_devices.push((PathBuf::from(&device.path), number));
        }
    }
    let limits = [
        ("device_read_bps", "rbps", &blkio.device_read_bps),
        ("device_write_bps", "wbps", &blkio.device_write_bps),
        ("device_read_iops", "riops", &blkio.device_read_iops),
        ("device_write_iops", "wiops", &blkio.device_write_iops),
    ];
    for (key, which, list) in limits {
        for (index, device) in list.iter().enumerate() {
            match device.rate.and_then(|rate| u64::try_from(rate).ok()).filter(|rate| *rate > 0) {
                Some(rate) => all.io_limits.push((PathBuf::from(&device.path), which.to_owned(), rate)),
                None => problems.add(format!("{at}.{key}[{index}].rate"), "a rate must be above 0"),
            }
        }
    }
}
