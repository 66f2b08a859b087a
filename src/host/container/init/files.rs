//! Secrets and configs: files in memory, or the host's own file, each on its target.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Gid, Mode, OFlags, Uid};

use super::super::{inroot, tree};
use super::problem::{Problem, Step, doing};
use crate::desired::{FileSource, FileSpec};

/// Largest secret or config.
const LARGEST: u64 = 16 << 20;

/// A file that waits to be mounted.
pub(crate) struct Ready<'a> {
    /// What it is.
    pub spec: &'a FileSpec,
    /// Itself, detached.
    pub tree: OwnedFd,
}

/// Makes each file: copied onto `memory` (a tmpfs of this mount namespace that no container sees whole) where it has an
/// owner, a mode or its content of its own; else the host's file itself, read-only.
///
/// Done before the root is there: the host's paths are still trustworthy.
pub(crate) fn prepare<'a>(files: &'a [FileSpec], memory: &OwnedFd) -> Step<Vec<Ready<'a>>> {
    files
        .iter()
        .enumerate()
        .map(|(index, spec)| {
            let tree = prepare_one(spec, memory, index).map_err(doing(format!("prepare `{}`", spec.name)))?;
            Ok(Ready { spec, tree })
        })
        .collect()
}

fn prepare_one(spec: &FileSpec, memory: &OwnedFd, index: usize) -> io::Result<OwnedFd> {
    let plain = spec.uid.is_none() && spec.gid.is_none() && spec.mode.is_none();
    let copy = match &spec.source {
        FileSource::Host { path } if plain => {
            let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let tree = tree::copy(&file, false)?;
            tree::set(tree.as_fd(), false, libc::MOUNT_ATTR_RDONLY, libc::MS_PRIVATE)?;
            return Ok(tree);
        }
        FileSource::Host { path } => {
            let mut content = Vec::new();
            let source = File::open(path)?;
            let own_mode = rustix::fs::fstat(&source)?.st_mode & 0o7777;
            source.take(LARGEST).read_to_end(&mut content)?;
            write_copy(spec, memory, index, &content, own_mode)?
        }
        FileSource::Inline { value } => write_copy(spec, memory, index, value.0.as_bytes(), 0o444)?,
    };
    let tree = tree::copy(&copy, false)?;
    tree::set(tree.as_fd(), false, libc::MOUNT_ATTR_RDONLY, libc::MS_PRIVATE)?;
    Ok(tree)
}

fn write_copy(spec: &FileSpec, memory: &OwnedFd, index: usize, content: &[u8], mode: u32) -> io::Result<OwnedFd> {
    let name = format!("file-{index}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(memory, &name, flags, Mode::RUSR | Mode::WUSR)?);
    file.write_all(content)?;
    rustix::fs::fchown(&file, spec.uid.map(Uid::from_raw), spec.gid.map(Gid::from_raw))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(spec.mode.unwrap_or(mode)))?;
    Ok(rustix::fs::openat(memory, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// Mounts each file on its target inside the root.
pub(crate) fn mount(root: &OwnedFd, files: Vec<Ready<'_>>) -> Step {
    for Ready { spec, tree } in files {
        let at = |what: &str| format!("{what} `{}` on {}", spec.name, spec.target);
        let is_folder = inroot::is_folder(&tree).map_err(doing(at("look at")))?;
        let target = inroot::mount_point(root.as_fd(), Path::new(&spec.target), is_folder)
            .map_err(|cause| Problem::new(format!("{}: {cause}", at("mount"))))?;
        tree::attach(&tree, &target).map_err(doing(at("mount")))?;
    }
    Ok(())
}
