//! `develop.watch`: which changes of files concern which service, and when they are told. What is done about them is the
//! verb's (`cli::commands::watch`).
//!
//! ```text
//!  compose model ─▶ rule       what a service wants of which paths (compose::pattern)
//!  the kernel    ─▶ disk       notify, walks ─▶ coalesce   when a batch is due
//!                              known: what was there, for what nobody told   limit: which folder costs most
//!                                            ─▶ Batch
//! ```
//!
//! Everything but `disk` is pure. A batch says only that something about a path may have changed; what is there now is
//! looked at when it is acted upon.

pub mod coalesce;
pub mod disk;
pub mod known;
pub mod limit;
pub mod rule;

pub use disk::{Batch, Note, Scope, Started, Told, Watch, WatchError, start};
pub use rule::{Action, Rule};
