//! Everything that touches this machine.

pub mod capability;
pub mod cgroup;
pub mod logs;
pub mod seccomp;
