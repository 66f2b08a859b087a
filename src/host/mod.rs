//! Everything that touches this machine.

pub mod capability;
pub mod cgroup;
pub mod container;
pub mod logs;
pub mod seccomp;
