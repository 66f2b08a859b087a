//! The bytes of secrets and configs that stand in no file of the user's (`environment:`, `content:`): a file each, mode 0600,
//! named by the digest that stands in the record in their place. Records themselves never hold them.
//!
//! They lie with the state, not on the run folder's memory: after a reboot a supervisor starts the containers from the
//! recorded state, and nobody is there who could give them again. A project has those of its desired state, a container
//! those that it was made with.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::LedgerError;
use crate::desired::{ContainerSpec, FileSource, FileSpec};
use crate::host::record::{self, Durability, RecordError};

/// Keeps the bytes of some specs in a folder; what is there already is not written again.
///
/// # Errors
/// When they can't be written; when a spec has lost its own ([`LedgerError::Secret`]).
pub fn keep<'a>(
    folder: &Path,
    specs: impl IntoIterator<Item = &'a ContainerSpec>,
    durability: Durability,
) -> Result<(), LedgerError> {
    for (file, value) in specs.into_iter().flat_map(inline) {
        let path = folder.join(&file.content);
        if path.exists() {
            continue;
        }
        if digest(value) != file.content {
            return Err(LedgerError::Secret { name: file.name.clone(), path });
        }
        let failed = |source| RecordError::Write { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        // A temporary file has mode 0600.
        record::replace(&path, value.as_bytes(), durability).map_err(failed)?;
    }
    Ok(())
}

/// Removes what none of the specs needs.
///
/// # Errors
/// When something can't be removed.
pub fn prune<'a>(folder: &Path, specs: impl IntoIterator<Item = &'a ContainerSpec>) -> Result<(), LedgerError> {
    let needed: BTreeSet<&str> = specs.into_iter().flat_map(inline).map(|(file, _)| file.content.as_str()).collect();
    for name in super::project::names(folder).iter().filter(|name| !needed.contains(name.as_str())) {
        super::container::remove_file(&folder.join(name))?;
    }
    Ok(())
}

/// Takes the bytes out of a spec that is going to be recorded.
pub fn strip(spec: &mut ContainerSpec) {
    for file in &mut spec.files {
        if let FileSource::Inline { value } = &mut file.source {
            value.0.clear();
        }
    }
}

/// Puts the bytes back. What is missing or damaged stays away, which [`keep`] and [`check`] find.
pub fn fill(folder: &Path, spec: &mut ContainerSpec) {
    for file in &mut spec.files {
        if let FileSource::Inline { value } = &mut file.source
            && let Ok(text) = fs::read_to_string(folder.join(&file.content))
        {
            value.0 = text;
        }
    }
}

/// Whether a spec has all its bytes.
///
/// # Errors
/// [`LedgerError::Secret`] if not.
pub fn check(folder: &Path, spec: &ContainerSpec) -> Result<(), LedgerError> {
    match inline(spec).find(|(file, value)| digest(value) != file.content) {
        Some((file, _)) => Err(LedgerError::Secret { name: file.name.clone(), path: folder.join(&file.content) }),
        None => Ok(()),
    }
}

/// The folder inside that of a project or of a container.
pub fn folder(of: &Path) -> PathBuf {
    of.join("secrets")
}

fn inline(spec: &ContainerSpec) -> impl Iterator<Item = (&FileSpec, &str)> {
    spec.files.iter().filter_map(|file| match &file.source {
        FileSource::Inline { value } => Some((file, value.0.as_str())),
        FileSource::Host { .. } => None,
    })
}

fn digest(text: &str) -> String {
    record::hex(&Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::desired::Secret;

    fn spec(value: &str) -> ContainerSpec {
        let source = FileSource::Inline { value: Secret(value.into()) };
        let (target, name, content) = ("/run/secrets/s".into(), "s".into(), digest(value));
        ContainerSpec {
            files: vec![FileSpec { target, name, source, content, uid: None, gid: None, mode: None }],
            ..ContainerSpec::default()
        }
    }

    #[test]
    fn they_lie_apart_closed_to_others_and_come_back_whole() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = folder(state.path());
        let (first, second) = (spec("hush"), spec("hush, too"));
        keep(&folder, [&first, &second], Durability::Synced).expect("kept");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(digest("hush")))), (0o700, 0o600));
        let mut recorded = first.clone();
        strip(&mut recorded);
        assert!(!serde_json::to_string(&recorded).expect("json").contains("hush"));
        assert!(matches!(check(&folder, &recorded), Err(LedgerError::Secret { .. })));
        fill(&folder, &mut recorded);
        assert_eq!(recorded, first);
        check(&folder, &recorded).expect("whole");
        prune(&folder, [&second]).expect("pruned");
        assert_eq!(crate::host::ledger::project::names(&folder), [digest("hush, too")]);
    }

    #[test]
    fn one_that_was_changed_on_disk_is_not_taken_for_the_users() {
        let state = tempfile::tempdir().expect("a folder");
        let folder = folder(state.path());
        let whole = spec("hush");
        keep(&folder, [&whole], Durability::Lazy).expect("kept");
        fs::write(folder.join(digest("hush")), "other").expect("changed");
        let mut recorded = whole.clone();
        strip(&mut recorded);
        fill(&folder, &mut recorded);
        let error = check(&folder, &recorded).expect_err("it is another");
        assert!(error.to_string().contains("`s`") && !error.to_string().contains("other"), "{error}");
    }
}
