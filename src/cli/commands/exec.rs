//! `windlass exec`.

use std::io::IsTerminal;

use clap::{ArgAction, Args};

use crate::observed::{ObservedContainer, State};

use super::super::backend::{Backend, ExecWish, Stdio};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;
use super::super::settings::go_bool;
use super::super::terminal::{End, Relay, relay};

/// Flags of `exec`.
#[derive(Args, Debug)]
#[command(override_usage = "windlass exec [OPTIONS] SERVICE COMMAND [ARGS]...")]
pub struct Exec {
    /// The service, the command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "SERVICE COMMAND")]
    pub words: Vec<String>,
    /// Don't wait for it
    #[arg(short, long)]
    pub detach: bool,
    /// Variable of the environment
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub env: Vec<String>,
    /// Which replica of the service
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Standard input stays open
    #[arg(short, long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub interactive: bool,
    /// No terminal (the default where ours is none)
    #[arg(short = 'T', long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub no_tty: Option<bool>,
    /// A terminal (the default where ours is one)
    #[arg(short, long, hide = true, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub tty: Option<bool>,
    /// With all capabilities
    #[arg(long)]
    pub privileged: bool,
    /// As this user
    #[arg(short, long, value_name = "USER")]
    pub user: Option<String>,
    /// In this folder
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
}

impl Exec {
    /// Refuses a command line without a command.
    ///
    /// # Errors
    /// [`CliError::Usage`].
    pub fn check(&self) -> Result<(), CliError> {
        if self.words.len() < 2 {
            return Err(CliError::usage("`exec` needs a service and a command"));
        }
        Ok(())
    }

    fn stdio(&self) -> Stdio {
        if self.detach {
            Stdio::Null
        } else if wants_terminal(self.no_tty, self.tty) {
            Stdio::Terminal
        } else if self.interactive {
            Stdio::Piped
        } else {
            Stdio::NoInput
        }
    }
}

/// Whether a terminal is wanted: as the flags say, else where standard input and output are one.
pub fn wants_terminal(no_tty: Option<bool>, tty: Option<bool>) -> bool {
    match (no_tty, tty) {
        (Some(no), _) => !no,
        (None, Some(tty)) => tty && std::io::stdin().is_terminal(),
        (None, None) => std::io::stdin().is_terminal() && std::io::stdout().is_terminal(),
    }
}

/// Runs a command in a running container; its code is ours.
///
/// # Errors
/// A service that is not there, does not run or is paused; a command that can't be started (126, 127).
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Exec) -> Result<ExitStatus, CliError> {
    let Some((service, argv)) = args.words.split_first() else {
        return Err(CliError::usage("`exec` needs a service and a command"));
    };
    let container = Found::look_at(cx, service, args.index)?;
    refuse_paused(&container)?;
    if cx.settings.dry_run {
        cx.output.line(&format!("exec in {}: {}", container.spec.name, argv.join(" ")))?;
        return Ok(ExitStatus::DONE);
    }
    let wish = ExecWish {
        argv: argv.to_vec(),
        env: args.env.iter().filter_map(|pair| variable(pair)).collect(),
        user: args.user.clone(),
        workdir: args.workdir.clone(),
        privileged: args.privileged,
        stdio: args.stdio(),
    };
    cx.output.flush()?;
    let session = cx.backend.exec(&container.id, wish).await.map_err(start_failed)?;
    if args.detach {
        return Ok(ExitStatus::DONE);
    }
    let options = Relay { input: args.interactive, detach_keys: Vec::new() };
    Ok(status(relay(session, options).await.map_err(start_failed)?))
}

/// Refuses a container that is frozen: neither it nor a command in its cgroup would ever answer.
///
/// # Errors
/// A container that is paused.
pub fn refuse_paused(container: &ObservedContainer) -> Result<(), CliError> {
    if !matches!(container.state, State::Paused { .. }) {
        return Ok(());
    }
    Err(CliError::with_help(
        format!("container {} is paused, unpause it first", container.spec.name),
        format!("`windlass unpause {}` does", container.spec.service),
    ))
}

/// A command that could not be started has docker's code (125, 126, 127).
pub fn start_failed(error: CliError) -> CliError {
    match error {
        CliError::Host(error) => {
            CliError::Start { code: error.code.and_then(|c| u8::try_from(c).ok()).unwrap_or(1), error }
        }
        error => error,
    }
}

/// The code that a relay's end stands for.
pub fn status(end: End) -> ExitStatus {
    match end {
        End::Exited(code) => ExitStatus::of_process(code),
        End::Detached => ExitStatus::DONE,
        End::Signal(signal) => ExitStatus::of_process(128 + signal),
    }
}

/// `KEY=VALUE`; `KEY` alone takes our value, and is nothing where we have none.
pub fn variable(pair: &str) -> Option<String> {
    if pair.contains('=') {
        Some(pair.to_owned())
    } else {
        std::env::var(pair).ok().map(|value| format!("{pair}={value}"))
    }
}
