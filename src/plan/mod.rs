//! `plan(desired, observed, now)`: the steps from what exists to what is declared. Pure: no file, no clock, no log.
//!
//! | file | what |
//! | --- | --- |
//! | [`action`] | steps, actions, causes |
//! | `fate` | what becomes of each container |
//! | `restart` | what follows the end of a process |
//! | `depend` | whether a dependency holds |
//! | `build` | the steps, and what each comes after |
//! | [`text`] | the one text of a plan |
//!
//! ```text
//!  stop dependents ─▶ stop ─▶ remove ─▶ remove network ─▶ make network ─┐
//!                                └──────────────────────────────────────┴▶ create ─▶ start ─▶ start dependents
//!                                                 make volume, pull image ┘
//! ```

pub mod action;
mod build;
mod depend;
mod fate;
mod restart;
pub mod text;

#[cfg(test)]
mod tests;

pub use action::{Action, Cause, Failure, Plan, Step, StepId, Wait};

use crate::desired::{Desired, Stamp};
use crate::observed::Observed;

/// The steps from `observed` to `desired`. Total and deterministic; what can't be reached is among the plan's failures.
pub fn plan(desired: &Desired, observed: &Observed, now: &Stamp) -> Plan {
    build::Builder::new(desired, observed, now).build()
}
