//! `windlass attach`.

use clap::{ArgAction, Args};
use tokio::signal::unix::{SignalKind, signal};

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;
use super::super::settings::go_bool;
use super::super::terminal::{self, Relay, relay};
use super::exec;

/// Flags of `attach`.
#[derive(Args, Debug)]
pub struct Attach {
    /// The service
    pub service: String,
    /// The keys that end the connection and leave the container running
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    pub detach_keys: String,
    /// Which replica of the service
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// Don't hand on standard input
    #[arg(long)]
    pub no_stdin: bool,
    /// Hand on signals that we get
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true",
          default_missing_value = "true", action = ArgAction::Set, value_parser = go_bool)]
    pub sig_proxy: bool,
}

/// The signals that are handed on.
const PROXIED: [i32; 5] = [libc::SIGINT, libc::SIGTERM, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Connects the terminal with the main process of a container, until it ends.
///
/// # Errors
/// A service that is not there, does not run or is paused.
pub async fn run<B: Backend>(cx: &Context<'_, B>, args: &Attach) -> Result<ExitStatus, CliError> {
    let detach_keys = terminal::detach_keys(&args.detach_keys)
        .map_err(|message| CliError::usage(format!("`--detach-keys`: {message}")))?;
    let container = Found::look_at(cx, &args.service, args.index)?;
    exec::refuse_paused(&container)?;
    if cx.settings.dry_run {
        cx.output.line(&format!("attach to {}", container.spec.name))?;
        return Ok(ExitStatus::DONE);
    }
    cx.output.flush()?;
    let session = cx.backend.attach(&container.id).await?;
    // On a terminal in raw mode Ctrl-C is a key; without one, signals reach us and are handed on.
    let proxy = args.sig_proxy && !session.terminal;
    let work = relay(session, Relay { input: !args.no_stdin, detach_keys });
    let end = if proxy { proxied(work, |signal| cx.backend.signal(&container.id, signal)).await? } else { work.await? };
    Ok(exec::status(end))
}

/// Does a piece of work, and hands the signals that we get meanwhile to `send`.
///
/// # Errors
/// The work's own; a signal that can't be sent.
pub async fn proxied<T>(
    work: impl Future<Output = Result<T, CliError>>,
    send: impl Fn(i32) -> Result<(), CliError>,
) -> Result<T, CliError> {
    let (sender, mut signals) = tokio::sync::mpsc::unbounded_channel();
    for number in PROXIED {
        let refused = |e| CliError::failed(format!("can't wait for signals: {e}"));
        let mut stream = signal(SignalKind::from_raw(number)).map_err(refused)?;
        let sender = sender.clone();
        tokio::spawn(async move { while stream.recv().await.is_some() && sender.send(number).is_ok() {} });
    }
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            Some(number) = signals.recv() => send(number)?,
        }
    }
}
