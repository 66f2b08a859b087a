//! The loop: observe, plan, execute, await.

pub mod port;
