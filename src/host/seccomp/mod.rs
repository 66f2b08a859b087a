//! System call filters: docker's default profile, or one in docker's JSON form, as a classic BPF program.
//!
//! ```text
//!  default.rs  docker's default ┐
//!  json.rs     a user's file    ┴▶ Profile ─ filter.rs: for these capabilities and this kernel ─▶ number → verdict
//!                                            assemble.rs ─▶ Program ─ install.rs: in the new process
//!                                        └ oci.rs: the same for an OCI runtime, which has an assembler of its own
//! ```
//!
//! The table of numbers ([`arch`]) ends somewhere; a call above it answers ENOSYS, not EPERM, so that a C library that tries
//! a newer call falls back. A 32-bit program makes its sockets with `socketcall`, whose arguments lie in memory: no
//! filter sees that it asks for AF_ALG, and forbidding the call altogether breaks such programs, as docker found out.

pub mod arch;
mod assemble;
mod default;
mod filter;
mod install;
mod json;
mod oci;
mod profile;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::desired::{Seccomp, SecuritySpec};
pub use assemble::Insn;
pub use install::install;
pub use oci::oci;

/// A filter, ready for the kernel. It can be sent to the process that installs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The instructions.
    pub instructions: Vec<Insn>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The profile is not docker's JSON.
    #[error("the seccomp profile cannot be read; it must be in docker's JSON form")]
    Syntax(#[source] serde_json::Error),
    /// A word of it is not known.
    #[error("the seccomp profile names the {kind} `{word}`, which is not known{hint}")]
    Unknown {
        /// `action`, `operator`, `flag`, …
        kind: &'static str,
        /// As it is written.
        word: String,
        /// What to do, or empty.
        hint: &'static str,
    },
    /// It says a thing twice.
    #[error("the seccomp profile has both `{0}` and `{1}`; keep one")]
    Both(&'static str, &'static str),
    /// A value is out of its range.
    #[error("the seccomp profile has {what} {value}, which must be at most {limit}")]
    Range {
        /// Of what.
        what: &'static str,
        /// The value.
        value: u64,
        /// The largest.
        limit: u64,
    },
    /// The program is longer than the kernel takes.
    #[error("the seccomp profile makes a filter of {0} instructions, the kernel takes 4096; use fewer conditions")]
    TooLong(usize),
    /// This processor's numbers are not in the table.
    #[error("there is no seccomp table for this processor; use `security_opt: seccomp=unconfined`")]
    Processor,
}

/// The filter of a container; `None`: it has none. The last one is kept: the containers of a project are mostly alike.
///
/// # Errors
/// As [`compile`].
pub fn of(security: &SecuritySpec) -> Result<Option<Program>, Error> {
    type Last = (Seccomp, Vec<String>, Option<Program>);
    static LAST: Mutex<Option<Last>> = Mutex::new(None);
    if security.privileged {
        return Ok(None);
    }
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((wanted, capabilities, filter)) = last.as_ref()
        && (wanted, capabilities) == (&security.seccomp, &security.capabilities)
    {
        return Ok(filter.clone());
    }
    let filter = compile(&security.seccomp, &security.capabilities)?;
    *last = Some((security.seccomp.clone(), security.capabilities.clone(), filter.clone()));
    Ok(filter)
}

/// Makes the filter of a container with these capabilities (names with or without `CAP_`); `None`: it has none.
///
/// # Errors
/// When the profile is wrong, or this processor has no table.
pub fn compile(wanted: &Seccomp, capabilities: &[String]) -> Result<Option<Program>, Error> {
    let Some(profile) = profile(wanted)? else { return Ok(None) };
    let native = arch::Arch::NATIVE.ok_or(Error::Processor)?;
    let situation = filter::Situation { native, capabilities, kernel: filter::running_kernel() };
    Ok(Some(assemble::assemble(&filter::resolve(&profile, &situation), profile.flags)?))
}

fn profile(wanted: &Seccomp) -> Result<Option<profile::Profile>, Error> {
    match wanted {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default => Ok(Some(default::profile())),
        Seccomp::Profile { json } => json::parse(json).map(Some),
    }
}
