//! What was fetched for compose files, in the user's own cache: `~/.cache/windlass/remote`.
//!
//! ```text
//!  git/<commit>/       the files of a commit
//!  oci/<digest>/       the files of an artifact
//!  last/<hash>         of a source: which of them it was when it was last asked for
//! ```
//!
//! A folder is made under another name and renamed when it is whole, so that nobody sees half of one; whoever comes second
//! takes what the first one made.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use crate::compose::remote::{RemoteError, Source};
use crate::host::record::hex;

/// What a fetch that was killed has left is removed after this time.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// The names of folders that are being made begin so.
const UNFINISHED: &str = "unfinished-";

/// The cache.
#[derive(Clone, Debug)]
pub struct Cache(PathBuf);

impl Cache {
    /// Below `XDG_CACHE_HOME`, or else the home folder. Nothing is made yet.
    ///
    /// # Errors
    /// When neither is known.
    pub fn open(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, RemoteError> {
        let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        let base = base.ok_or_else(|| {
            RemoteError::with_help("there is no folder to keep it in", "set HOME or XDG_CACHE_HOME to an absolute path")
        })?;
        Ok(Self(base.join("windlass/remote")))
    }

    /// The folder of a revision, if it is here.
    pub fn find(&self, source: &Source, revision: &str) -> Option<PathBuf> {
        // Without symbolic links: paths are compared with it.
        fs::canonicalize(self.place(source, revision)?).ok().filter(|place| place.is_dir())
    }

    fn place(&self, source: &Source, revision: &str) -> Option<PathBuf> {
        let name = revision.strip_prefix("sha256:").unwrap_or(revision);
        let is_plain = name.len() >= 40 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_plain.then(|| self.0.join(kind(source)).join(name))
    }

    /// The folder of a revision, made by `fill` if it is not here.
    ///
    /// # Errors
    /// Those of `fill`, and when the cache can't be written.
    pub fn take(
        &self,
        source: &Source,
        revision: &str,
        fill: impl FnOnce(&Path) -> Result<(), RemoteError>,
    ) -> Result<PathBuf, RemoteError> {
        if let Some(place) = self.find(source, revision) {
            return Ok(place);
        }
        let place = self.place(source, revision);
        let place = place.ok_or_else(|| RemoteError::new(format!("`{revision}` is no commit and no digest")))?;
        let folder = self.0.join(kind(source));
        make(&folder).map_err(|error| unwritable(&folder, &error))?;
        sweep(&folder);
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&folder);
        let unfinished = unfinished.map_err(|error| unwritable(&folder, &error))?;
        fill(unfinished.path())?;
        // It may be mounted into containers, whose users are others.
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(unfinished.path(), mode).map_err(|error| unwritable(&folder, &error))?;
        match fs::rename(unfinished.path(), &place) {
            // The name is gone, so that nothing is left to be removed.
            Ok(()) => drop(unfinished.keep()),
            Err(error) if place.is_dir() => tracing::debug!("somebody else was faster: {error}"),
            Err(error) => return Err(unwritable(&place, &error)),
        }
        self.find(source, revision).ok_or_else(|| RemoteError::new(format!("{} has gone again", place.display())))
    }

    /// What a source was when it was last asked for.
    pub fn last(&self, source: &Source) -> Option<String> {
        fs::read_to_string(self.last_place(source)).ok().map(|text| text.trim().to_owned())
    }

    /// Remembers it. What can't be remembered is only asked for again.
    pub fn remember(&self, source: &Source, revision: &str) {
        let place = self.last_place(source);
        let written = || -> io::Result<()> {
            let folder = self.0.join("last");
            make(&folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            writeln!(file, "{revision}")?;
            file.persist(&place)?;
            Ok(())
        };
        if let Err(error) = written() {
            tracing::debug!("{}: {error}", place.display());
        }
    }

    fn last_place(&self, source: &Source) -> PathBuf {
        self.0.join("last").join(hex(&Sha256::digest(source.to_string())))
    }
}

fn kind(source: &Source) -> &'static str {
    match source {
        Source::Git { .. } => "git",
        Source::Oci { .. } => "oci",
    }
}

/// Repositories may be private: nobody else looks in.
fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn unwritable(path: &Path, error: &io::Error) -> RemoteError {
    RemoteError::new(format!("can't write to the cache {}: {error}", path.display()))
}

/// Removes what fetches that were killed have left.
fn sweep(folder: &Path) {
    let now = SystemTime::now();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_old = || now.duration_since(entry.metadata().ok()?.modified().ok()?).ok().filter(|age| *age > STALE);
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) && is_old().is_some() {
            // Another one may be doing the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
