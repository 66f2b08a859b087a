//! `windlass login`.

use std::io::{self, IsTerminal, Read};

use clap::Args;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::terminal::Hidden;

/// Flags of `login`.
#[derive(Args, Debug)]
pub struct Login {
    /// The registry; Docker Hub if none is named
    pub registry: Option<String>,
    /// The user
    #[arg(short, long, value_name = "USER")]
    pub username: Option<String>,
    /// The password; others can see it in the list of processes, so --password-stdin is better
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    pub password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub password_stdin: bool,
}

/// Checks a login with the registry, and keeps it.
///
/// # Errors
/// No user or password; a registry that refuses them.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Login) -> Result<ExitStatus, CliError> {
    let user = match &args.username {
        Some(user) => user.clone(),
        None if args.password_stdin => return Err(CliError::usage("`--password-stdin` needs `--username`")),
        None => ask(cx, "Username: ", false)?,
    };
    let password = match &args.password {
        Some(password) => {
            cx.output.warn("a password on the command line can be seen by others: use `--password-stdin`")?;
            password.clone()
        }
        None if args.password_stdin => piped()?,
        None => ask(cx, "Password: ", true)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(CliError::usage("user and password must not be empty"));
    }
    if cx.settings.dry_run {
        cx.output.line(&format!("log in as {user}"))?;
        return Ok(ExitStatus::DONE);
    }
    let kept = cx.backend.login(args.registry.as_deref(), &user, &password).await?;
    if kept.clear {
        cx.output.warn(&format!("the password is kept unencrypted in {}: a credential helper is safer", kept.kept))?;
    }
    cx.output.line(&format!("Login Succeeded ({})", kept.registry))?;
    Ok(ExitStatus::DONE)
}

/// The password from standard input, without the line's end.
fn piped() -> Result<String, CliError> {
    let mut text = String::new();
    // No password is so long; something endless is a mistake.
    let read = io::stdin().lock().take(1 << 16).read_to_string(&mut text);
    read.map_err(|e| CliError::failed(format!("can't read the password: {e}")))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn ask<B: Backend>(cx: &Context<'_, B>, question: &str, hidden: bool) -> Result<String, CliError> {
    if !io::stdin().is_terminal() {
        return Err(CliError::with_help(
            "there is no terminal to ask for user and password",
            "use `--username USER --password-stdin`",
        ));
    }
    cx.output.raw_error(question.as_bytes())?;
    let echo = if hidden { Some(Hidden::enter()?) } else { None };
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    drop(echo);
    if hidden {
        cx.output.raw_error(b"\n")?;
    }
    read.map_err(|e| CliError::failed(format!("can't read the answer: {e}")))?;
    Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
}
