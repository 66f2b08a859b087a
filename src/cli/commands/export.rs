//! `windlass export`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use rustix::fs::OFlags;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::copy::{Tree, pack_alone};
use super::super::error::{CliError, ExitStatus};
use super::super::select::Found;

/// Flags of `export`.
#[derive(Args, Debug)]
pub struct Export {
    /// The service
    pub service: String,
    /// Which replica of the service
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
    /// File to write to, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Writes all files of a container as a tar archive: its image's, and what it has changed; nothing of its volumes and binds.
///
/// # Errors
/// A service that is not there; what can't be read or written.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Export) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    let container = found.container(&args.service, args.index)?;
    let name = &container.spec.name;
    if cx.settings.dry_run {
        cx.output.line(&format!("export {name}"))?;
        return Ok(ExitStatus::DONE);
    }
    if args.output.is_none() && cx.output.is_terminal() {
        return Err(CliError::usage("a tar archive would be written to the terminal: name a file with `-o`"));
    }
    let tree = Tree::Container(cx.backend.root(&container.id)?);
    let top = tree.open(Path::new("/"), OFlags::PATH | OFlags::DIRECTORY);
    let top = top.map_err(|error| CliError::failed(format!("{name}: can't open its root: {error}")))?;
    match &args.output {
        Some(path) => {
            let failed = |error: io::Error| CliError::failed(format!("can't write {}: {error}", path.display()));
            pack_alone(top, io::BufWriter::new(File::create(path).map_err(failed)?))?;
        }
        None => {
            pack_alone(top, io::BufWriter::new(io::stdout().lock()))?;
            io::stdout().flush().map_err(|error| CliError::failed(format!("can't write the archive: {error}")))?;
        }
    }
    Ok(ExitStatus::DONE)
}
