//! `windlass port`.

use clap::Args;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::output::ports;
use super::super::select::Found;

/// Flags of `port`.
#[derive(Args, Debug)]
pub struct Port {
    /// The service
    pub service: String,
    /// The port inside, with or without /tcp or /udp
    pub private_port: String,
    /// Which replica of the service
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// `tcp` or `udp`
    #[arg(long, value_name = "PROTOCOL", default_value = "tcp")]
    pub protocol: String,
}

/// Prints where a port is published on this machine.
///
/// # Errors
/// A service that is not there; a port that is not published.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Port) -> Result<ExitStatus, CliError> {
    let (port, protocol) = match args.private_port.split_once('/') {
        Some((port, protocol)) => (port, protocol),
        None => (args.private_port.as_str(), args.protocol.as_str()),
    };
    let number: u16 = port.parse().map_err(|_| CliError::usage(format!("`{port}` is no port")))?;
    let found = Found::look(cx)?;
    let container = found.container(&args.service, args.index)?;
    let publishers = ports::publishers(&container.ports);
    let published = publishers
        .iter()
        .find(|publisher| publisher.target == number && publisher.protocol.eq_ignore_ascii_case(protocol));
    match published {
        Some(publisher) => cx.output.line(&ports::host(&publisher.url, &publisher.published))?,
        None => {
            let name = &container.spec.name;
            let there = ports::list(&publishers);
            let help = if there.is_empty() { "it publishes none".into() } else { format!("it publishes {there}") };
            return Err(CliError::with_help(format!("no port {number}/{protocol} for container {name}"), help));
        }
    }
    Ok(ExitStatus::DONE)
}
