//! Copy-up: a new volume takes over what the image has at the place where it is mounted (spec.md 4.4).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::tree;

/// Fills the empty folder `volume` with what `root` (the image's root) has at `target`; one that is not empty is left
/// alone, and a target that the image lacks gives nothing.
///
/// # Errors
/// When the copy fails; the volume then holds a part, and is emptied by the caller's removal of it.
pub fn fill(volume: &Path, root: BorrowedFd<'_>, target: &str) -> io::Result<()> {
    let to = rustix::fs::open(volume, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    if !is_empty(to.as_fd())? {
        return Ok(());
    }
    // In-root: a symlink of the image to somewhere on the host stays inside (the `trap-volume` image).
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, target.trim_start_matches('/'), flags, Mode::empty(), resolve) {
        Ok(from) => tree::copy(from.as_fd(), to.as_fd()),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn is_empty(folder: BorrowedFd<'_>) -> io::Result<bool> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn open(path: &Path) -> std::os::fd::OwnedFd {
        rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).expect("opened")
    }

    #[test]
    fn a_new_volume_takes_content_owner_and_mode() {
        let world = tempfile::tempdir().expect("a temporary folder");
        let (root, volume) = (world.path().join("root"), world.path().join("volume"));
        fs::create_dir_all(root.join("data/below")).expect("made");
        fs::create_dir(&volume).expect("made");
        fs::write(root.join("data/below/file"), b"content").expect("written");
        fs::hard_link(root.join("data/below/file"), root.join("data/other")).expect("linked");
        symlink("below/file", root.join("data/link")).expect("linked");
        fs::set_permissions(root.join("data"), fs::Permissions::from_mode(0o1777)).expect("set");
        std::os::unix::fs::chown(root.join("data"), Some(999), Some(999)).expect("needs root");

        fill(&volume, open(&root).as_fd(), "/data").expect("filled");

        let top = fs::metadata(&volume).expect("there");
        assert_eq!((top.uid(), top.gid(), top.mode() & 0o7777), (999, 999, 0o1777));
        assert_eq!(fs::read(volume.join("below/file")).expect("there"), b"content");
        assert_eq!(fs::read_link(volume.join("link")).expect("there").to_str(), Some("below/file"));
        let inode = |name: &str| fs::metadata(volume.join(name)).expect("there").ino();
        assert_eq!(inode("other"), inode("below/file"), "hard links stay links");
    }

    #[test]
    fn a_volume_with_something_in_it_is_left_alone() {
        let world = tempfile::tempdir().expect("a temporary folder");
        let (root, volume) = (world.path().join("root"), world.path().join("volume"));
        fs::create_dir_all(root.join("data")).expect("made");
        fs::write(root.join("data/new"), b"").expect("written");
        fs::create_dir(&volume).expect("made");
        fs::write(volume.join("old"), b"").expect("written");
        fill(&volume, open(&root).as_fd(), "/data").expect("no error");
        assert!(!volume.join("new").exists());
    }

    #[test]
    fn a_target_that_is_a_symlink_out_of_the_image_stays_inside() {
        let world = tempfile::tempdir().expect("a temporary folder");
        let (root, volume) = (world.path().join("root"), world.path().join("volume"));
        fs::create_dir_all(root.join("etc")).expect("made");
        fs::write(root.join("etc/inside"), b"").expect("written");
        symlink("/etc", root.join("data")).expect("linked");
        fs::create_dir(&volume).expect("made");
        fill(&volume, open(&root).as_fd(), "/data").expect("filled");
        assert!(volume.join("inside").exists());
        assert!(!volume.join("passwd").exists(), "the host's /etc is not the image's");
    }
}
