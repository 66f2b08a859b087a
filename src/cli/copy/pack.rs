//! Packing a tree into a tar stream. Everything is reached by descriptors, so that nothing that is renamed meanwhile can
//! lead elsewhere.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, StatxFlags, fstat, openat, readlinkat, statx};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::super::error::CliError;
use super::about;
use crate::host::container::inroot::is_made_up;

/// Packs what `top` (an `O_PATH` descriptor) stands for, under the name `name`; with an empty name, its content.
///
/// # Errors
/// What can't be read; a stream that can't be written.
pub fn pack(top: OwnedFd, name: &Path, to: impl Write) -> Result<(), CliError> {
    if is_made_up(&top).map_err(about("look at", name))? {
        return Err(CliError::failed(format!("{} has no content of its own: the kernel makes it up", name.display())));
    }
    write(top, name, to, None)
}

/// Packs the content of a root and leaves out what is mounted in it: of that only the mount points are there, empty.
///
/// # Errors
/// As [`pack`].
pub fn pack_alone(top: OwnedFd, to: impl Write) -> Result<(), CliError> {
    let mount = mount_of(&top).map_err(about("look at", Path::new("/")))?;
    write(top, Path::new(""), to, Some(mount))
}

fn write(top: OwnedFd, name: &Path, to: impl Write, only: Option<u64>) -> Result<(), CliError> {
    let mut archive = Builder::new(to);
    archive.mode(tar::HeaderMode::Complete);
    add(&mut archive, top, name, only)?;
    let written = archive.into_inner().and_then(|mut to| to.flush());
    written.map_err(|error| stream(&error))
}

fn stream(error: &io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::BrokenPipe,
        _ => CliError::failed(format!("can't write the archive: {error}")),
    }
}

/// The mount that something lies on.
fn mount_of(fd: &OwnedFd) -> Result<u64, Errno> {
    Ok(statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id)
}

/// Adds something and all below it; of what lies on another mount than `only`, the empty place.
fn add(archive: &mut Builder<impl Write>, fd: OwnedFd, path: &Path, only: Option<u64>) -> Result<(), CliError> {
    let mut stat = fstat(&fd).map_err(about("look at", path))?;
    let is_mounted = match only {
        Some(only) => mount_of(&fd).map_err(about("look at", path))? != only,
        None => false,
    };
    if is_mounted {
        stat.st_size = 0;
    }
    let mut header = header(&stat);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            if !path.as_os_str().is_empty() {
                header.set_entry_type(EntryType::Directory);
                // With a slash behind it, as in every archive.
                archive.append_data(&mut header, path.join(""), io::empty()).map_err(|error| stream(&error))?;
            }
            if is_mounted { Ok(()) } else { add_content(archive, &fd, path, only) }
        }
        FileType::RegularFile => {
            header.set_entry_type(EntryType::Regular);
            header.set_size(u64::try_from(stat.st_size).unwrap_or_default());
            let file = reopen(&fd, OFlags::RDONLY | OFlags::NOCTTY).map_err(about("read", path))?;
            let content = Exactly { file: file.into(), left: u64::try_from(stat.st_size).unwrap_or_default() };
            archive.append_data(&mut header, path, content).map_err(|error| stream(&error))
        }
        FileType::Symlink => {
            header.set_entry_type(EntryType::Symlink);
            let target = readlinkat(&fd, "", Vec::new()).map_err(about("read the link", path))?;
            let target = Path::new(OsStr::from_bytes(target.as_bytes()));
            archive.append_link(&mut header, path, target).map_err(|error| stream(&error))
        }
        FileType::Fifo => {
            header.set_entry_type(EntryType::Fifo);
            archive.append_data(&mut header, path, io::empty()).map_err(|error| stream(&error))
        }
        // Sockets have no content, and a device that leaves its container is a door: neither is copied.
        _ => Ok(()),
    }
}

fn add_content(
    archive: &mut Builder<impl Write>,
    folder: &OwnedFd,
    path: &Path,
    only: Option<u64>,
) -> Result<(), CliError> {
    // /proc and the like, mounted somewhere below.
    if is_made_up(folder).map_err(about("look at", path))? {
        return Ok(());
    }
    for name in names(folder).map_err(about("read the folder", path))? {
        let name = OsStr::from_bytes(name.as_bytes());
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(folder, name, flags, Mode::empty()) {
            Ok(fd) => add(archive, fd, &path.join(name), only)?,
            // It has gone in between.
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(about("open", &path.join(name))(errno)),
        }
    }
    Ok(())
}

/// The names in a folder, sorted, so that the same tree gives the same archive.
fn names(folder: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let open = openat(folder, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(open)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens what an `O_PATH` descriptor stands for, through our own /proc: the very same node, whatever its name is now.
fn reopen(fd: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    openat(CWD, path.as_str(), flags | OFlags::CLOEXEC, Mode::empty())
}

fn header(stat: &Stat) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or_default());
    header.set_size(0);
    header
}

/// So many bytes of a file, whatever it becomes meanwhile: what is missing is zeros, what is more is left out.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = match self.file.read(&mut buffer[..wanted])? {
            0 => {
                buffer[..wanted].fill(0);
                wanted
            }
            read => read,
        };
        self.left -= read as u64;
        Ok(read)
    }
}
