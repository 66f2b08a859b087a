//! The one place where an error becomes text and an exit code (design.md section 8).

use std::process::ExitCode;

use crate::diag::Diagnostics;
use crate::engine::port::HostError;

use super::output::{Output, Tone};

/// What a verb ended with when nothing went wrong: most end with 0, `run` and `exec` with the command's own code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(pub u8);

impl ExitStatus {
    /// Done.
    pub const DONE: Self = Self(0);
    /// Failed or misused.
    pub const FAILED: Self = Self(1);
    /// `plan --detailed-exitcode`: there are changes.
    pub const CHANGES: Self = Self(2);
    /// Ended by Ctrl-C.
    pub const INTERRUPTED: Self = Self(130);

    /// The code of a container's process; what does not fit is a failure.
    pub fn of_process(code: i32) -> Self {
        Self(u8::try_from(code).unwrap_or(1))
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        ExitCode::from(status.0)
    }
}

/// Why a verb could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// clap's own error, `--help` and `--version` among them: it prints itself.
    #[error("{0}")]
    Clap(#[from] clap::Error),
    /// Flags or arguments that don't go together.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
    },
    /// A verb or flag that exists in docker compose and is not done here yet.
    #[error("{what} is not done yet")]
    NotDone {
        /// The verb, or the flag and its verb.
        what: String,
    },
    /// A verb that needs root, called by somebody else.
    #[error("`windlass {verb}` needs root")]
    NeedsRoot {
        /// The verb.
        verb: String,
    },
    /// A kernel that lacks what containers are made of here.
    #[error("this kernel is Linux {found}; windlass needs Linux {needed} or newer")]
    OldKernel {
        /// Its release.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// Something failed; the text names operation and object.
    #[error("{message}")]
    Failed {
        /// What and why.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// Errors in the compose files, with their places in them.
    #[error("{0}")]
    Diagnostics(Box<Diagnostics>),
    /// Somebody else changed the project since this verb read it: it computes its change anew.
    #[error("the project was changed meanwhile; try again")]
    Overtaken,
    /// The machine refused.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A command that could not be started in a container.
    #[error("{error}")]
    Start {
        /// docker's code: 125, 126, 127.
        code: u8,
        /// Why.
        error: HostError,
    },
    /// All has been said already; only the code is left.
    #[error("exit {0}")]
    Exit(u8),
    /// Ctrl-C, or a question that was answered with no.
    #[error("interrupted")]
    Interrupted,
    /// Whoever read our output has gone: no error, but nothing more to say.
    #[error("nobody reads the output")]
    BrokenPipe,
}

impl CliError {
    /// A failure without advice.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), help: None }
    }

    /// A failure and what to do about it.
    pub fn with_help(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), help: Some(help.into()) }
    }

    /// Misuse.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage { message: message.into() }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Clap(error) if is_help(error) => 0,
            Self::Exit(code) | Self::Start { code, .. } => *code,
            Self::Interrupted => ExitStatus::INTERRUPTED.0,
            // What the shell reports of a program that SIGPIPE ended.
            Self::BrokenPipe => 141,
            _ => 1,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Usage { .. } => Some("`--help` lists what is possible".into()),
            Self::NeedsRoot { .. } => Some("run it as root, or with sudo".into()),
            Self::OldKernel { .. } => Some("boot a newer kernel".into()),
            Self::Failed { help, .. } => help.clone(),
            _ => None,
        }
    }

    /// As [`CliError::print`] does for people: errors in the files as JSON on standard error, for editors and CI. The rest is
    /// left to `print`.
    ///
    /// # Errors
    /// What is left to say.
    pub fn as_json(self, output: &Output) -> CliError {
        match self {
            Self::Diagnostics(found) => match output.note_json(&found.to_json()) {
                Ok(()) => Self::Exit(ExitStatus::FAILED.0),
                Err(error) => error,
            },
            other => other,
        }
    }

    /// Prints the error on standard error, and gives the exit code.
    pub fn print(&self, output: &Output) -> ExitCode {
        // Nothing can be done about a standard error that can't be written to.
        let _ = self.write(output);
        let _ = output.flush();
        ExitCode::from(self.code())
    }

    fn write(&self, output: &Output) -> Result<(), CliError> {
        match self {
            Self::Exit(_) | Self::Interrupted | Self::BrokenPipe => Ok(()),
            Self::Clap(error) if is_help(error) => output.styled(&error.render()),
            Self::Clap(error) => output.styled_error(&error.render()),
            Self::Diagnostics(found) => output.note(found.to_string().trim_end()),
            _ => {
                output.say(Tone::Error, "error", &self.to_string())?;
                match self.help() {
                    Some(help) => output.note(&format!("  = help: {help}")),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Whether clap says no more than what there is: asked for, or because no verb was named, which docker takes for the same.
fn is_help(error: &clap::Error) -> bool {
    error.exit_code() == 0 || error.kind() == clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
}
