//! Everything that touches this machine.

pub mod net;
