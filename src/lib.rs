//! windlass brings up a stack of containers from a compose file and holds it in its declared state.
//!
//! The modules in the order in which data passes through them:
//!
//! ```text
//!  argv ─▶ cli        settings, then one file a verb
//!          compose    text → Node tree → interpolate → merge → check → canonical → Project     pure but for reading files
//!          graph      the project as a graph: order, levels, cycles                            pure
//!          lock       tags → digests; owns the trait Registry                                  pure
//!          desired    Project + Lock + leases → Desired: complete kernel-level specs           pure
//!          observed   what exists                                                              types
//!          plan       (Desired, Observed, Policy, now) → Plan                                  pure
//!          engine     observe → plan → execute → await an event                                behind the traits of engine::port
//!          host       everything that touches this machine
//!          watch      changes of files → batches, by the rules of develop.watch               pure but for watch::disk
//!          supervisor the process around the engine: control socket, lease, adoption
//! ```
//!
//! Two rules, held by `tests/architecture.rs`: `host` never sees a compose type, and `plan` never opens a file, reads a
//! clock or logs. docs/architecture.md says more.

#[forbid(unsafe_code)]
pub mod cli;
#[forbid(unsafe_code)]
pub mod compose;
#[forbid(unsafe_code)]
pub mod desired;
#[forbid(unsafe_code)]
pub mod diag;
#[forbid(unsafe_code)]
pub mod engine;
#[forbid(unsafe_code)]
pub mod graph;
pub mod host;
#[forbid(unsafe_code)]
pub mod lock;
#[forbid(unsafe_code)]
pub mod name;
#[forbid(unsafe_code)]
pub mod observed;
#[forbid(unsafe_code)]
pub mod plan;
#[forbid(unsafe_code)]
pub mod supervisor;
#[forbid(unsafe_code)]
pub mod watch;
