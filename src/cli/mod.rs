//! The command line: argv → settings → one verb, and its result → text and exit code.
//!
//! ```text
//!  argv ─▶ settings   flags and verbs, incompatible sets refused, what is not done yet refused
//!          context    settings, output, and the back end: all that a verb gets
//!          commands/  one file a verb: its flags and what it does
//!          backend    what the verbs ask of the rest of windlass, in one trait
//!          output/    the only place that prints: tables, JSON, templates, log lines
//!          progress/  what `up` and its like show while they work
//!          error      errors → text and exit code, in one place
//! ```

pub mod backend;
pub mod build;
pub mod commands;
pub mod context;
pub mod copy;
pub mod demo;
pub mod error;
pub mod output;
pub mod preflight;
pub mod processes;
pub mod progress;
pub mod select;
pub mod settings;
pub mod signals;
pub mod terminal;
pub mod undone;

use std::ffi::OsString;
use std::process::ExitCode;

pub use backend::Backend;
pub use context::Context;
pub use error::{CliError, ExitStatus};
pub use settings::{Cli, Settings};

use output::Output;

/// Runs the command line `argv` (with the program's name in front) and gives the process's exit code.
///
/// `open` makes the back end from the settings; it is called only for verbs that need one, after the flags were checked.
pub fn main_with<B: Backend>(argv: Vec<OsString>, open: impl FnOnce(&Settings) -> Result<B, CliError>) -> ExitCode {
    let cli = match settings::parse(argv) {
        Ok(cli) => cli,
        Err(error) => return error.print(&Output::standard(settings::Ansi::Auto)),
    };
    let output = Output::standard(cli.global.ansi()).status_on_stdout(cli.global.status_stdout);
    let result = run(cli, &output, open);
    let result = result.and_then(|code| output.flush().map(|()| code));
    match result {
        Ok(code) => code.into(),
        Err(error) => error.print(&output),
    }
}

fn run<B: Backend>(
    cli: Cli,
    output: &Output,
    open: impl FnOnce(&Settings) -> Result<B, CliError>,
) -> Result<ExitStatus, CliError> {
    let settings = Settings::new(&cli.global)?;
    if settings.verbose {
        tell_more();
    }
    for warning in settings.warnings() {
        output.warn(warning)?;
    }
    if let settings::Verb::Version(args) = &cli.verb {
        return commands::version::run(output, args);
    }
    commands::check(&cli.verb, &settings)?;
    preflight::check(&cli.verb)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| CliError::failed(format!("can't start the event loop: {source}")))?;
    let backend = runtime.block_on(async { open(&settings) })?;
    let context = Context { settings, output, backend };
    let result = runtime.block_on(commands::run(&context, cli.verb));
    // A reader of standard input can't be cancelled; waiting for it would wait for a key.
    runtime.shutdown_background();
    result
}

/// `--verbose`: what the parts of windlass say of themselves goes to standard error.
fn tell_more() {
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(std::io::stderr);
    // Somebody else may have set one already.
    let _ = subscriber.without_time().try_init();
}
