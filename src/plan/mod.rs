//! `plan(desired, observed, now)`: the steps from what exists to what is declared. Pure: no file, no clock, no log.

pub mod action;

pub use action::{Action, Cause, Failure, Plan, Step, StepId, Wait};
