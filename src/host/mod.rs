//! Everything that touches this machine.

pub mod container;
