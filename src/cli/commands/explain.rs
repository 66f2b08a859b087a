//! `windlass explain`: the cause and the cure of a message about compose files.

use clap::Args;

use super::super::error::{CliError, ExitStatus};
use super::super::output::Output;
use crate::diag::{Code, nearest};

/// Flags of `explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The code in brackets behind `error` or `warning`; none: a list of all
    pub code: Option<String>,
}

/// Prints what a code means.
///
/// # Errors
/// There is no such code.
pub fn run(output: &Output, args: &Explain) -> Result<ExitStatus, CliError> {
    let Some(number) = &args.code else {
        Code::ALL.iter().try_for_each(|code| output.line(&format!("{}  {}", code.number(), code.title())))?;
        return Ok(ExitStatus::DONE);
    };
    match Code::find(number) {
        Some(code) => output.raw(code.explain().as_bytes())?,
        None => return Err(unknown(number)),
    }
    Ok(ExitStatus::DONE)
}

fn unknown(number: &str) -> CliError {
    let message = format!("there is no code `{number}`");
    match nearest(&number.to_uppercase(), Code::ALL.iter().map(|code| code.number())) {
        Some(near) => CliError::with_help(message, format!("did you mean `{near}`?")),
        None => CliError::with_help(message, "`windlass explain` lists all"),
    }
}
