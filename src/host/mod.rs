//! Everything that touches this machine.

pub mod capability;
pub mod cdi;
pub mod cgroup;
pub mod clock;
pub mod container;
pub mod image;
pub mod ledger;
pub mod logs;
pub mod machine;
pub mod net;
pub mod paths;
pub mod process;
pub mod record;
pub mod seccomp;
pub mod volume;
pub mod world;
