//! The verbs, a file each: its flags, and what it does.

pub mod alpha;
pub mod attach;
pub mod build;
pub mod config;
pub mod cp;
pub mod create;
pub mod demo;
pub mod diff;
pub mod down;
pub mod events;
pub mod exec;
pub mod explain;
pub mod export;
pub mod image;
pub mod images;
pub mod kill;
pub mod lock;
pub mod login;
pub mod logout;
pub mod logs;
pub mod ls;
pub mod pause;
pub mod plan;
pub mod port;
pub mod ps;
pub mod pull;
pub mod restart;
pub mod rm;
pub mod run;
pub mod scale;
pub mod start;
pub mod stats;
pub mod stop;
pub mod top;
pub mod unpause;
pub mod up;
pub mod version;
pub mod volume;
pub mod volumes;
pub mod wait;
pub mod watch;

mod change;

use super::backend::Backend;
use super::context::Context;
use super::error::{CliError, ExitStatus};
use super::settings::{Settings, Verb};
use super::signals::{Interrupts, unless_interrupted};

/// Refuses flags that don't go together, before anything is done.
///
/// # Errors
/// [`CliError::Usage`], naming them.
pub fn check(verb: &Verb, settings: &Settings) -> Result<(), CliError> {
    match verb {
        Verb::Up(args) => args.check(settings),
        Verb::Create(args) => args.lock.check(args.build, args.pull.and_then(create::Pull::policy)),
        Verb::Lock(args) => args.check(),
        Verb::Exec(args) => args.check(),
        Verb::Cp(args) => args.check(),
        Verb::Run(args) => args.check(settings),
        _ => Ok(()),
    }
}

/// Does a verb; Ctrl-C ends it with docker's code. What was asked of a supervisor goes on.
///
/// # Errors
/// Whatever it could not do.
pub async fn run<'a, B: Backend>(cx: &'a Context<'a, B>, verb: Verb) -> Result<ExitStatus, CliError> {
    if has_own_way(&verb) {
        return dispatch(cx, verb).await;
    }
    unless_interrupted(&mut Interrupts::new()?, dispatch(cx, verb)).await
}

/// Verbs that do something themselves when a signal comes, and those that wait for nothing but the kernel: such a one the
/// signal ends where it is.
fn has_own_way(verb: &Verb) -> bool {
    match verb {
        Verb::Up(args) => args.is_attached(),
        Verb::Exec(_) | Verb::Run(_) | Verb::Attach(_) | Verb::Stats(_) | Verb::Login(_) => true,
        Verb::Watch(_) | Verb::Alpha(alpha::Alpha::Watch(_)) => true,
        Verb::Ps(_) | Verb::Top(_) | Verb::Port(_) | Verb::Ls(_) | Verb::Cp(_) | Verb::Export(_) | Verb::Config(_) => {
            true
        }
        Verb::Images(_) | Verb::Volumes(_) | Verb::Volume(_) | Verb::Version(_) => true,
        _ => false,
    }
}

async fn dispatch<'a, B: Backend>(cx: &'a Context<'a, B>, verb: Verb) -> Result<ExitStatus, CliError> {
    match verb {
        Verb::Up(args) => up::run(cx, &args).await,
        Verb::Down(args) => down::run(cx, &args).await,
        Verb::Create(args) => create::run(cx, &args).await,
        Verb::Start(args) => start::run(cx, &args).await,
        Verb::Stop(args) => stop::run(cx, &args).await,
        Verb::Restart(args) => restart::run(cx, &args).await,
        Verb::Scale(args) => scale::run(cx, &args).await,
        Verb::Kill(args) => kill::run(cx, &args).await,
        Verb::Pause(args) => pause::run(cx, &args).await,
        Verb::Unpause(args) => unpause::run(cx, &args).await,
        Verb::Rm(args) => rm::run(cx, &args).await,
        Verb::Wait(args) => wait::run(cx, &args).await,
        Verb::Plan(args) => plan::run(cx, &args).await,
        Verb::Ps(args) => ps::run(cx, &args),
        Verb::Logs(args) => logs::run(cx, &args).await,
        Verb::Top(args) => top::run(cx, &args),
        Verb::Stats(args) => stats::run(cx, &args).await,
        Verb::Events(args) => events::run(cx, &args).await,
        Verb::Port(args) => port::run(cx, &args),
        Verb::Ls(args) => ls::run(cx, &args),
        Verb::Exec(args) => exec::run(cx, &args).await,
        Verb::Run(args) => run::run(cx, &args).await,
        Verb::Attach(args) => attach::run(cx, &args).await,
        Verb::Cp(args) => cp::run(cx, &args),
        Verb::Export(args) => export::run(cx, &args),
        Verb::Config(args) => config::run(cx, &args).await,
        Verb::Explain(args) => explain::run(cx.output, &args),
        Verb::Lock(args) => lock::run(cx, &args).await,
        Verb::Diff(args) => diff::run(cx, &args),
        Verb::Pull(args) => pull::run(cx, &args).await,
        Verb::Build(args) => build::run(cx, &args).await,
        Verb::Images(args) => images::run(cx, &args),
        Verb::Volumes(args) => volumes::run(cx, &args),
        Verb::Image(args) => image::run(cx, &args).await,
        Verb::Volume(args) => volume::run(cx, &args),
        Verb::Login(args) => login::run(cx, &args).await,
        Verb::Logout(args) => logout::run(cx, &args).await,
        Verb::Watch(args) | Verb::Alpha(alpha::Alpha::Watch(args)) => watch::run(cx, &args).await,
        Verb::Demo(args) => demo::run(cx, &args).await,
        Verb::Version(args) => version::run(cx.output, &args),
    }
}

/// The name of a verb, for messages.
pub fn name(verb: &Verb) -> &'static str {
    match verb {
        Verb::Up(_) => "up",
        Verb::Down(_) => "down",
        Verb::Create(_) => "create",
        Verb::Start(_) => "start",
        Verb::Stop(_) => "stop",
        Verb::Restart(_) => "restart",
        Verb::Scale(_) => "scale",
        Verb::Kill(_) => "kill",
        Verb::Pause(_) => "pause",
        Verb::Unpause(_) => "unpause",
        Verb::Rm(_) => "rm",
        Verb::Wait(_) => "wait",
        Verb::Plan(_) => "plan",
        Verb::Ps(_) => "ps",
        Verb::Logs(_) => "logs",
        Verb::Top(_) => "top",
        Verb::Stats(_) => "stats",
        Verb::Events(_) => "events",
        Verb::Port(_) => "port",
        Verb::Ls(_) => "ls",
        Verb::Exec(_) => "exec",
        Verb::Run(_) => "run",
        Verb::Attach(_) => "attach",
        Verb::Cp(_) => "cp",
        Verb::Export(_) => "export",
        Verb::Config(_) => "config",
        Verb::Explain(_) => "explain",
        Verb::Lock(_) => "lock",
        Verb::Diff(_) => "diff",
        Verb::Pull(_) => "pull",
        Verb::Build(_) => "build",
        Verb::Images(_) => "images",
        Verb::Volumes(_) => "volumes",
        Verb::Image(_) => "image",
        Verb::Volume(_) => "volume",
        Verb::Login(_) => "login",
        Verb::Logout(_) => "logout",
        Verb::Watch(_) => "watch",
        Verb::Alpha(_) => "alpha",
        Verb::Demo(_) => "demo",
        Verb::Version(_) => "version",
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod tests;
