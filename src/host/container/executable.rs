//! This program as a descriptor that nothing inside a container can write through.
//!
//! Whoever enters a container shows its own file there as /proc/PID/exe; CVE-2019-5736 overwrote runc that way. So what
//! enters runs from a read-only mount that is in no namespace, or from a sealed copy in memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mount::OpenTreeFlags;

use super::sys::{self, MountAttr};

/// This program, whatever became of its file.
const SELF: &str = "/proc/self/exe";

/// Why there is no safe descriptor of this program.
#[derive(Debug, thiserror::Error)]
#[error("can't make a protected copy of the windlass program: {step}")]
pub struct ExecutableError {
    step: &'static str,
    #[source]
    source: io::Error,
}

/// A copy of this program in sealed memory. Costs as much memory as the program is large, and the time to copy that.
///
/// # Errors
/// When memory is short or executable memory files are forbidden (`vm.memfd_noexec=2`).
pub fn sealed() -> Result<OwnedFd, ExecutableError> {
    seal(Path::new(SELF))
}

/// [`sealed`], of the program `path`.
///
/// # Errors
/// As there.
pub fn seal(path: &Path) -> Result<OwnedFd, ExecutableError> {
    let at = |step| move |source: io::Error| ExecutableError { step, source };
    let mut program = File::open(path).map_err(at("open it"))?;
    // MFD_EXEC is new in 6.3 and needed where memory files are not executable by default; older kernels refuse it.
    let make = |exec| rustix::fs::memfd_create("windlass", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | exec);
    let memory = make(MemfdFlags::EXEC)
        .or_else(|_| make(MemfdFlags::empty()))
        .map_err(|cause| at("memfd_create")(cause.into()))?;
    let mut copy = File::from(memory);
    io::copy(&mut program, &mut copy).map_err(at("copy into memory"))?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals).map_err(|cause| at("seal")(cause.into()))?;
    // Executing a file that is open for writing is ETXTBSY; the seals allow only readers from here on.
    let reader = File::open(format!("/proc/self/fd/{}", copy.as_raw_fd())).map_err(at("open the sealed copy"))?;
    Ok(reader.into())
}

/// This program on a read-only mount that is in no namespace: as safe against writing, no copy; needs CAP_SYS_ADMIN.
///
/// # Errors
/// When mounting is forbidden, or this program itself runs from such a mount: use [`sealed`].
pub fn read_only() -> Result<OwnedFd, ExecutableError> {
    protect(Path::new(SELF))
}

/// [`read_only`], of the program `path`.
///
/// # Errors
/// As there.
pub fn protect(path: &Path) -> Result<OwnedFd, ExecutableError> {
    let at = |step| move |source: io::Error| ExecutableError { step, source };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, path, flags).map_err(|cause| at("open_tree")(cause.into()))?;
    let attr = MountAttr { set: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    sys::mount_setattr(tree.as_fd(), false, attr).map_err(at("mount_setattr"))?;
    let reader = File::open(self::path(&tree)).map_err(at("open it on its mount"))?;
    // With the last descriptor of the tree the mount leaves its namespace: what is in none can be changed by nobody, not by
    // one with CAP_SYS_ADMIN either. It stays as long as the file is open or runs.
    drop(tree);
    Ok(reader.into())
}

/// [`read_only`], or where that fails [`sealed`].
///
/// # Errors
/// When both fail.
pub fn protected() -> Result<OwnedFd, ExecutableError> {
    read_only().or_else(|_| sealed())
}

/// The path by which this process or its child executes `fd`.
pub(crate) fn path(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn nobody_makes_the_protected_program_writable_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join("program");
        fs::copy("/bin/true", &program).expect("a program");
        let fd = protect(&program).expect("protected");
        let path = path(&fd);
        let write = || File::options().write(true).open(&path).and_then(|mut file| file.write_all(b"x"));
        assert_eq!(write().expect_err("it is read-only").raw_os_error(), Some(libc::EROFS));
        // As one with all rights in the container would, who has got hold of /proc/PID/exe.
        let held = rustix::fs::open(&path, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).expect("a descriptor");
        let clear = MountAttr { clear: libc::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
        assert!(sys::mount_setattr(held.as_fd(), false, clear).is_err());
        assert!(rustix::mount::mount_remount(&path, rustix::mount::MountFlags::BIND, "").is_err());
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        assert!(rustix::mount::open_tree(rustix::fs::CWD, &path, flags).is_err());
        assert!(write().is_err());
        // Nor is it overwritten from here while it runs from there, and it does run.
        assert!(Command::new(&path).status().expect("it runs").success());
        fs::remove_file(&program).expect("removed");
        assert!(Command::new(&path).status().expect("it runs").success(), "also when its file has lost its name");
    }
}
