//! Compose files: text → Node tree → interpolate → merge → check → canonical → Project.

pub mod model;
pub mod units;
