//! `windlass demo`: a stack of three services out of one image, which is this very program. It needs no registry, no
//! network and nothing on the machine.

pub mod service;

use super::backend::Backend;
use super::backend::real::Real;
use super::error::{CliError, ExitStatus};
use super::output::Output;

/// The hidden verb of the services.
pub const VERB: &str = "__demo";

/// Brings the demo up and says where to look; or removes all of it.
///
/// # Errors
/// What could not be made.
pub async fn run(_backend: &Real, _down: bool, _output: &Output) -> Result<ExitStatus, CliError> {
    Err(CliError::failed("to come"))
}
