//! What a group uses.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::mounts::{Controller, Version};
use super::{Cgroup, Place, files};

/// What a group uses at one moment; what no controller counts here is 0, a limit that is not set is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Bytes, as docker counts them: without the page cache that can go at once.
    pub memory: u64,
    /// Bytes of that cache.
    pub memory_cache: u64,
    /// Bytes.
    pub memory_limit: Option<u64>,
    /// Nanoseconds of processor time since the group was made.
    pub cpu: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Of them.
    pub pids_limit: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: u64,
    /// Bytes written to them.
    pub io_write: u64,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: u64,
}

impl Cgroup {
    /// Reads all of it. A group that has just gone reads as zeros.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats { oom_kills: self.oom_kills(), cpu: self.cpu_time(), ..Stats::default() };
        if let Some(place) = self.place(Controller::Memory) {
            memory(place, &mut stats);
        }
        if let Some(place) = self.place(Controller::Pids) {
            stats.pids = files::number(&place.dir.join("pids.current")).unwrap_or(0);
            stats.pids_limit = files::number(&place.dir.join("pids.max"));
        }
        if let Some(place) = self.place(Controller::Io) {
            (stats.io_read, stats.io_write) = match place.version {
                Version::V1 => io_v1(&place.dir),
                Version::V2 => io_v2(&place.dir),
            };
        }
        stats
    }

    /// How many processes of the group the kernel has killed for want of memory. Read it after a process's end: while the
    /// kernel is at it, the count is behind.
    pub fn oom_kills(&self) -> u64 {
        self.oom_file().and_then(|file| files::keyed(&file, "oom_kill")).unwrap_or(0)
    }

    fn cpu_time(&self) -> u64 {
        if let Some(place) = self.place(Controller::CpuAcct) {
            return files::number(&place.dir.join("cpuacct.usage")).unwrap_or(0);
        }
        // v2 counts in every group, with or without its controller.
        let v2 = self.v2().and_then(|dir| files::keyed(&dir.join("cpu.stat"), "usage_usec"));
        v2.unwrap_or(0).saturating_mul(1000)
    }
}

fn memory(place: &Place, stats: &mut Stats) {
    let [usage, limit, cache] = match place.version {
        Version::V1 => ["memory.usage_in_bytes", "memory.limit_in_bytes", "total_inactive_file"],
        Version::V2 => ["memory.current", "memory.max", "inactive_file"],
    };
    let usage = files::number(&place.dir.join(usage)).unwrap_or(0);
    stats.memory_cache = files::keyed(&place.dir.join("memory.stat"), cache).unwrap_or(0).min(usage);
    stats.memory = usage - stats.memory_cache;
    // v1 writes "no limit" as the largest multiple of a page.
    stats.memory_limit = files::number(&place.dir.join(limit)).filter(|limit| *limit < i64::MAX as u64 >> 16 << 16);
}

fn io_v1(dir: &Path) -> (u64, u64) {
    let text = fs::read_to_string(dir.join("blkio.throttle.io_service_bytes_recursive")).unwrap_or_default();
    let sum = |word: &str| {
        let lines =
            text.lines().filter_map(|line| line.split_once(' ')?.1.strip_prefix(word)?.trim().parse::<u64>().ok());
        lines.sum()
    };
    (sum("Read "), sum("Write "))
}

fn io_v2(dir: &Path) -> (u64, u64) {
    let text = fs::read_to_string(dir.join("io.stat")).unwrap_or_default();
    let sum = |key: &str| text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum();
    (sum("rbytes="), sum("wbytes="))
}
