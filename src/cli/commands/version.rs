//! `windlass version`.

use clap::Args;
use serde::Serialize;

use super::super::error::{CliError, ExitStatus};
use super::super::output::Output;

/// What `version --format json` prints.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told {
    /// The version of windlass.
    pub version: &'static str,
}

/// Flags of `version`.
#[derive(Args, Debug)]
pub struct Version {
    /// `pretty` or `json`
    #[arg(short, long, value_name = "FORM", default_value = "pretty", value_parser = ["pretty", "json"])]
    pub format: String,
    /// The number only
    #[arg(long)]
    pub short: bool,
}

/// Prints the version.
///
/// # Errors
/// When it can't be written.
pub fn run(output: &Output, args: &Version) -> Result<ExitStatus, CliError> {
    let version = env!("CARGO_PKG_VERSION");
    match (args.short, args.format.as_str()) {
        (true, _) => output.line(version)?,
        (_, "json") => output.json(&Told { version })?,
        _ => output.line(&format!("windlass version {version}"))?,
    }
    Ok(ExitStatus::DONE)
}
