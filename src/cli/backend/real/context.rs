//! The content of build contexts, as one digest: what an image is built from, the same wherever it is checked out.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::super::super::error::CliError;
use crate::compose::model::Build;
use crate::compose::pattern::Patterns;
use crate::host::record::hex;
use crate::lock::Pin;

/// The digest of all that a build reads from this machine; `None`: its context is an address. `lock_file` is no part of
/// it: it holds the digest.
///
/// # Errors
/// A file that can't be read.
pub fn digest(build: &Build, lock_file: &Path) -> Result<Option<Pin>, CliError> {
    if !build.context.starts_with('/') {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    let dockerfile = Path::new(&build.context).join(build.dockerfile.as_deref().unwrap_or("Dockerfile"));
    match &build.dockerfile_inline {
        Some(text) => hash.update(format!("Dockerfile {}\n", of_bytes(text.as_bytes())?)),
        None => hash.update(format!("Dockerfile {}\n", of_file(&dockerfile)?)),
    }
    let ignore = own_ignore(&dockerfile)?;
    folder(&mut hash, "", Path::new(&build.context), ignore, lock_file)?;
    for (name, path) in build.additional_contexts.iter().filter(|(_, path)| path.starts_with('/')) {
        folder(&mut hash, name, Path::new(path), None, lock_file)?;
    }
    pin(hash).map(Some)
}

/// The digest of a file's content.
///
/// # Errors
/// When it can't be read.
pub fn of_file(path: &Path) -> Result<Pin, CliError> {
    let mut hash = Sha256::new();
    let mut copy = || -> io::Result<()> {
        let (mut file, mut buffer) = (File::open(path)?, vec![0; 64 << 10]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                length => hash.update(&buffer[..length]),
            }
        }
    };
    copy().map_err(|error| unreadable(path, &error))?;
    pin(hash)
}

/// The digest of bytes.
///
/// # Errors
/// None: a digest always has its form.
pub fn of_bytes(bytes: &[u8]) -> Result<Pin, CliError> {
    pin(Sha256::new_with_prefix(bytes))
}

fn pin(hash: Sha256) -> Result<Pin, CliError> {
    Pin::try_from(format!("sha256:{}", hex(&hash.finalize()))).map_err(CliError::failed)
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::failed(format!("can't read {} for the lock file: {error}", path.display()))
}

/// `<Dockerfile>.dockerignore` goes before the context's own.
fn own_ignore(dockerfile: &Path) -> Result<Option<Patterns>, CliError> {
    let mut name = dockerfile.as_os_str().to_owned();
    name.push(".dockerignore");
    ignore(Path::new(&name))
}

fn ignore(path: &Path) -> Result<Option<Patterns>, CliError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            Patterns::of_file(&text).map(Some).map_err(|e| CliError::failed(format!("{}: {e}", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn folder(
    hash: &mut Sha256,
    name: &str,
    root: &Path,
    given: Option<Patterns>,
    lock_file: &Path,
) -> Result<(), CliError> {
    let ignore = match given {
        Some(ignore) => ignore,
        None => ignore(&root.join(".dockerignore"))?.unwrap_or_default(),
    };
    let mut files = Vec::new();
    walk(root, "", &ignore, &mut files)?;
    files.sort();
    hash.update(format!("context {name:?}\n"));
    for relative in files {
        let path = root.join(&relative);
        if path != lock_file {
            hash.update(line(&relative, &path)?);
        }
    }
    Ok(())
}

/// The files below a folder that are part of the build. Folders count only by what is in them, and of the modes only
/// whether a file can be executed: more than that, version control does not keep. `.git` itself differs in every clone.
fn walk(root: &Path, below: &str, ignore: &Patterns, files: &mut Vec<String>) -> Result<(), CliError> {
    let folder = root.join(below);
    let entries = fs::read_dir(&folder).map_err(|error| unreadable(&folder, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(&folder, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let kind = entry.file_type().map_err(|error| unreadable(&folder, &error))?;
        if path == ".git" {
            continue;
        }
        if kind.is_dir() {
            if !ignore.covers(Path::new(&path)) {
                walk(root, &path, ignore, files)?;
            }
        } else if (kind.is_file() || kind.is_symlink()) && !ignore.matches(Path::new(&path)) {
            files.push(path);
        }
    }
    Ok(())
}

fn line(relative: &str, path: &Path) -> Result<String, CliError> {
    let metadata = fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))?;
    if metadata.is_symlink() {
        let target: PathBuf = fs::read_link(path).map_err(|error| unreadable(path, &error))?;
        return Ok(format!("link {relative:?} {target:?}\n"));
    }
    let kind = if metadata.permissions().mode() & 0o100 == 0 { "file" } else { "program" };
    Ok(format!("{kind} {relative:?} {}\n", of_file(path)?))
}
