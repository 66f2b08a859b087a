//! `plan(desired, observed, now)`: the steps from what exists to what is declared. Pure: no file, no clock, no log.
//!
//! | file | what |
//! | --- | --- |
//! | [`action`] | steps, actions, causes |
//! | `fate` | what becomes of each container |
//! | `restart` | what follows the end of a process |
//! | `depend` | whether a dependency holds |
//! | `port` | whether somebody else has a port |
//! | `order` | who is stopped before whom |
//! | `build` | the steps, and what each comes after |
//! | `resource` | those for images, networks, volumes |
//! | `hook` | those for hooks and for what prepares a container |
//! | [`text`] | the one text of a plan |
//!
//! ```text
//!  pull image ─▶ stop dependents ─▶ stop ─▶ remove ─▶ remove network ─▶ make network ─┐
//!      │                                      └─────────────────────────────────────────┼▶ create ─▶ start ─▶ start dependents
//!      └─────────────────────────────────────────────────────────────────── make volume ┘
//! ```

pub mod action;
mod build;
mod depend;
mod fate;
mod hook;
mod order;
mod port;
mod resource;
mod restart;
pub mod text;

#[cfg(test)]
mod tests;

pub use fate::ASKED_TO_STOP;
pub use restart::{Verdict, verdict};

pub use action::{Action, Cause, Failure, HookKind, Plan, Step, StepId, Wait};

use crate::desired::{Desired, Stamp};
use crate::observed::Observed;

/// The steps from `observed` to `desired`. Total and deterministic; what can't be reached is among the plan's failures.
pub fn plan(desired: &Desired, observed: &Observed, now: &Stamp) -> Plan {
    build::Builder::new(desired, observed, now).build()
}
