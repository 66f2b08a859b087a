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
pub mod mountinfo;
pub mod net;
pub mod paths;
pub mod process;
pub mod record;
pub mod replace;
pub mod seccomp;
pub mod sync;
pub mod volume;
pub mod world;
