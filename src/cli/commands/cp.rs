//! `windlass cp`.

use std::io::{self, Write};

use clap::Args;

use crate::observed::ObservedContainer;

use super::super::backend::Backend;
use super::super::context::Context;
use super::super::copy::{Keep, Tree, copy, extract, pack};
use super::super::error::{CliError, ExitStatus};
use super::super::progress::{Kind, Phase, Report};
use super::super::select::Found;

/// Flags of `cp`.
#[derive(Args, Debug)]
#[command(override_usage = "windlass cp [OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n       \
                            windlass cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH")]
pub struct Cp {
    /// What to copy; `-` is a tar archive on standard input
    pub source: String,
    /// Where to; `-` is a tar archive on standard output
    pub target: String,
    /// Containers of `run` too
    #[arg(long)]
    pub all: bool,
    /// Keep owners on this machine too, and set-user-id bits
    #[arg(short, long)]
    pub archive: bool,
    /// Follow a symlink in SRC_PATH
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Which replica of the service; the first to copy from, all to copy to
    #[arg(long, value_name = "N")]
    pub index: Option<u32>,
}

/// What is copied where.
#[derive(Debug, PartialEq, Eq)]
enum Way<'a> {
    Out { service: &'a str, source: &'a str, target: &'a str },
    In { service: &'a str, source: &'a str, target: &'a str },
}

impl Cp {
    /// Refuses a copy that does not go between a container and this machine.
    ///
    /// # Errors
    /// [`CliError::Usage`].
    pub fn check(&self) -> Result<(), CliError> {
        self.way().map(|_| ())
    }

    fn way(&self) -> Result<Way<'_>, CliError> {
        match (split(&self.source), split(&self.target)) {
            (Some((service, source)), None) => Ok(Way::Out { service, source, target: &self.target }),
            (None, Some((service, target))) => Ok(Way::In { service, source: &self.source, target }),
            (Some(_), Some(_)) => Err(CliError::usage("copying between two services is not possible")),
            (None, None) => Err(CliError::usage("one side must be a service's path: SERVICE:PATH")),
        }
    }

    /// What is kept: into a container, owners are; on this machine all is the caller's, unless it is asked for.
    fn keep(&self, into: bool) -> Keep {
        match (self.archive, into) {
            (true, _) => Keep::All,
            (false, true) => Keep::Owners,
            (false, false) => Keep::Content,
        }
    }
}

/// `SERVICE:PATH`; a path of this machine with a colon in it starts with `/` or `.`, as in docker.
fn split(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) {
        return None;
    }
    text.split_once(':').filter(|(service, _)| !service.is_empty())
}

/// Copies files between a container and this machine.
///
/// # Errors
/// A service that is not there; what can't be read or written.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Cp) -> Result<ExitStatus, CliError> {
    let found = Found::look(cx)?;
    match args.way()? {
        Way::Out { service, source, target } => {
            let container = first(&found, service, args)?;
            if cx.settings.dry_run {
                cx.output.line(&format!("copy {}:{source} to {target}", container.spec.name))?;
                return Ok(ExitStatus::DONE);
            }
            copy_out(cx, container, source, target, args).map_err(about(container))?;
        }
        Way::In { service, source, target } => {
            let containers = all(&found, service, args)?;
            if source == "-" && containers.len() > 1 {
                return Err(CliError::usage("standard input can be copied to one container only: use `--index`"));
            }
            for container in containers {
                if cx.settings.dry_run {
                    cx.output.line(&format!("copy {source} to {}:{target}", container.spec.name))?;
                    continue;
                }
                copy_in(cx, container, source, target, args).map_err(about(container))?;
            }
        }
    }
    Ok(ExitStatus::DONE)
}

fn first<'a>(found: &'a Found, service: &str, args: &Cp) -> Result<&'a ObservedContainer, CliError> {
    match found.container(service, args.index) {
        Err(error) if args.all && args.index.is_none() => {
            found.containers(&[service.to_owned()], true)?.first().copied().ok_or(error)
        }
        result => result,
    }
}

fn all<'a>(found: &'a Found, service: &str, args: &Cp) -> Result<Vec<&'a ObservedContainer>, CliError> {
    if args.index.is_some_and(|index| index > 0) {
        return Ok(vec![found.container(service, args.index)?]);
    }
    let containers = found.containers(&[service.to_owned()], args.all)?;
    if containers.is_empty() {
        // For its error.
        found.container(service, None)?;
    }
    Ok(containers)
}

/// Says of a failure which container it is about.
fn about(container: &ObservedContainer) -> impl Fn(CliError) -> CliError {
    move |error| match error {
        CliError::Failed { message, help } => {
            CliError::Failed { message: format!("{}: {message}", container.spec.name), help }
        }
        error => error,
    }
}

/// The files of a container, as its process sees them, or would.
fn files<B: Backend>(cx: &Context<'_, B>, container: &ObservedContainer) -> Result<Tree, CliError> {
    cx.backend.root(&container.id).map(Tree::Container)
}

fn copy_out<B: Backend>(
    cx: &Context<'_, B>,
    container: &ObservedContainer,
    source: &str,
    target: &str,
    args: &Cp,
) -> Result<(), CliError> {
    let tree = files(cx, container)?;
    let source = rooted(source);
    if target != "-" {
        copy(&tree, &source, &Tree::Machine, target, args.follow_link, args.keep(false))?;
        return told(cx, container);
    }
    if cx.output.is_terminal() {
        return Err(CliError::usage("a tar archive would be written to the terminal: send it to a file or a pipe"));
    }
    let top = tree.source(&source, args.follow_link)?;
    let name = if top.contents { std::path::PathBuf::new() } else { top.name };
    pack(top.fd, &name, io::BufWriter::new(io::stdout().lock()))?;
    io::stdout().flush().map_err(|e| CliError::failed(format!("can't write the archive: {e}")))
}

fn copy_in<B: Backend>(
    cx: &Context<'_, B>,
    container: &ObservedContainer,
    source: &str,
    target: &str,
    args: &Cp,
) -> Result<(), CliError> {
    let tree = files(cx, container)?;
    let target = rooted(target);
    if source == "-" {
        extract(io::stdin().lock(), &tree, &target, args.keep(true))?;
    } else {
        copy(&Tree::Machine, source, &tree, &target, args.follow_link, args.keep(true))?;
    }
    told(cx, container)
}

/// A path inside a container starts at its root.
fn rooted(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn told<B: Backend>(cx: &Context<'_, B>, container: &ObservedContainer) -> Result<(), CliError> {
    let mut progress = cx.progress();
    progress.begin("Copying");
    progress.take(&Report::new(Kind::Container, container.spec.name.as_str(), Phase::Done, "Copied"))?;
    progress.end()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_services_path_has_a_colon_and_no_slash_before_it() {
        assert_eq!(super::split("web:/a"), Some(("web", "/a")));
        assert_eq!(super::split("web:a:b"), Some(("web", "a:b")));
        for text in ["/a:b", "./a:b", "a", "-", ":a"] {
            assert_eq!(super::split(text), None, "{text}");
        }
    }
}
