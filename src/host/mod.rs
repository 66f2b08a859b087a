//! Everything that touches this machine.

pub mod clock;
pub mod ledger;
pub mod paths;
pub mod process;
pub mod volume;
pub mod world;
