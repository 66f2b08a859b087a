//! The rules of layers (OCI image layer specification): what each member does to the folder.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::AtFlags;

use super::member::{Kind, Member, Members};
use super::tree::{self, Meta, Removed, Tree};
use super::{Fault, Limits, Stream, Unpacked, failed, limits};
use crate::host::image::digest::printable;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Puts all members of a tar into the folder `target`.
pub(super) fn layer(stream: Stream, target: &Path, limits: Limits) -> Result<Unpacked, Fault> {
    let mut layer = Layer {
        tree: Tree::open(target)?,
        members: Members::new(stream),
        times: Vec::new(),
        budget: limits.entries,
        entries: 0,
        devices: 0,
    };
    while let Some(member) = layer.members.next()? {
        layer.entries += 1;
        layer.budget = layer
            .budget
            .checked_sub(1)
            .ok_or_else(|| Fault::Bad(format!("it has more than {} members", limits.entries)))?;
        layer.member(member)?;
    }
    // Each file put into a folder has changed the folder's own time, so those come last.
    for (path, time) in layer.times.iter().rev() {
        layer.tree.set_folder_time(path, *time)?;
    }
    let implied = std::mem::take(&mut layer.tree.implied);
    let (diff, size) = layer.members.finish()?;
    let implied = implied.into_iter().collect();
    Ok(Unpacked { diff, size, entries: layer.entries, devices: layer.devices, implied })
}

struct Layer {
    tree: Tree,
    members: Members,
    /// Folders and their times.
    times: Vec<(Vec<u8>, (i64, i64))>,
    budget: u64,
    entries: u64,
    devices: u64,
}

impl Layer {
    fn member(&mut self, member: Member) -> Result<(), Fault> {
        let path = clean(&member.path)?;
        let (folder, name) = split(&path);
        // Marks of AUFS, which only AUFS understands.
        if name == OPAQUE || !path.split(|byte| *byte == b'/').any(|part| part.starts_with(b".wh..wh.")) {
            self.put(&path, folder, name, member)?;
        }
        Ok(())
    }

    fn put(&mut self, path: &[u8], folder: &[u8], name: &[u8], member: Member) -> Result<(), Fault> {
        let meta = Meta {
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            mtime: member.mtime,
            xattrs: member.xattrs.into_iter().filter(|(key, _)| is_allowed(key)).collect(),
        };
        if path.is_empty() {
            if member.kind != Kind::Folder {
                return Err(Fault::Bad("it has a member without a name that is no folder".into()));
            }
            self.times.push((Vec::new(), meta.mtime));
            return tree::set_root(&self.tree, &meta);
        }
        if name == OPAQUE {
            let fd = self.tree.folder(folder, &mut self.budget)?;
            return tree::set_opaque(fd, folder);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            return self.whiteout(folder, hidden);
        }
        let removed = match member.kind {
            Kind::Folder => {
                let fd = self.tree.folder(folder, &mut self.budget)?;
                let removed = tree::make_folder(fd, name, &meta)?;
                self.times.push((path.to_vec(), meta.mtime));
                // Made on the way before, now there is a member for it.
                self.tree.implied.remove(path);
                removed
            }
            Kind::File => {
                let fd = self.tree.folder(folder, &mut self.budget)?;
                let (file, removed) = tree::make_file(fd, name)?;
                write(&mut self.members, &file, name, member.sparse.as_ref())?;
                tree::set_meta(file.as_fd(), name, &meta, true)?;
                removed
            }
            Kind::Symlink(target) => {
                let fd = self.tree.folder(folder, &mut self.budget)?;
                let removed = tree::clear(fd, name)?;
                tree::make_symlink(fd, name, &target, &meta)?;
                removed
            }
            Kind::Fifo => {
                let fd = self.tree.folder(folder, &mut self.budget)?;
                let removed = tree::clear(fd, name)?;
                tree::make_fifo(fd, name, &meta)?;
                removed
            }
            Kind::Link(target) => self.link(folder, name, &target)?,
            Kind::Device | Kind::NoDevice => self.leave_out(folder, name, &member.kind)?,
        };
        if removed == Removed::Other {
            self.tree.forget();
        }
        Ok(())
    }

    /// A container gets its devices from its own settings. Old base images hold /dev/null and the like. What lower layers
    /// have in a device's place must not come back: a device over /etc/passwd means that there is no such file. Device 0/0
    /// is none: an image can't make overlayfs's whiteouts by itself.
    fn leave_out(&mut self, folder: &[u8], name: &[u8], kind: &Kind) -> Result<Removed, Fault> {
        self.devices += 1;
        if *kind == Kind::NoDevice {
            return Ok(Removed::Nothing);
        }
        let fd = self.tree.folder(folder, &mut self.budget)?;
        let removed = tree::clear(fd, name)?;
        tree::make_whiteout(fd, name)?;
        Ok(removed)
    }

    fn whiteout(&mut self, folder: &[u8], hidden: &[u8]) -> Result<(), Fault> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(Fault::Bad("it has a whiteout of an impossible name".into()));
        }
        let fd = self.tree.folder(folder, &mut self.budget)?;
        tree::make_whiteout(fd, hidden)
    }

    /// A hard link to a file of this same layer; the target's own name is not followed if it is a symlink.
    fn link(&mut self, folder: &[u8], name: &[u8], target: &[u8]) -> Result<Removed, Fault> {
        let target = clean(target)?;
        let (from_folder, from_name) = split(&target);
        let missing = || Fault::Bad(format!("it links to `{}`, which it does not have", lossy(&target)));
        if target.is_empty() {
            return Err(missing());
        }
        let from = self.tree.folder(from_folder, &mut self.budget)?;
        let from: OwnedFd = rustix::io::fcntl_dupfd_cloexec(from, 0).map_err(failed("open", from_folder))?;
        let kind = match rustix::fs::statat(&from, from_name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => rustix::fs::FileType::from_raw_mode(stat.st_mode),
            Err(rustix::io::Errno::NOENT) => return Err(missing()),
            Err(errno) => return Err(failed("look at", &target)(errno)),
        };
        // A whiteout is nothing that a member may name, and a folder can't have two names.
        if matches!(kind, rustix::fs::FileType::CharacterDevice | rustix::fs::FileType::Directory) {
            return Err(missing());
        }
        let to = self.tree.folder(folder, &mut self.budget)?;
        if same_node(from.as_fd(), from_name, to, name) {
            return Ok(Removed::Nothing);
        }
        let removed = tree::clear(to, name)?;
        match rustix::fs::linkat(&from, from_name, to, name, AtFlags::empty()) {
            Ok(()) => Ok(removed),
            // The link took the place of its own target.
            Err(rustix::io::Errno::NOENT) => Err(missing()),
            Err(errno) => Err(failed("link", name)(errno)),
        }
    }
}

fn same_node(a: BorrowedFd<'_>, a_name: &[u8], b: BorrowedFd<'_>, b_name: &[u8]) -> bool {
    let stat = |fd, name: &[u8]| rustix::fs::statat(fd, name, AtFlags::SYMLINK_NOFOLLOW);
    matches!((stat(a, a_name), stat(b, b_name)), (Ok(a), Ok(b)) if a.st_dev == b.st_dev && a.st_ino == b.st_ino)
}

/// Writes a member's data; the gaps of a sparse file stay holes.
fn write(members: &mut Members, file: &OwnedFd, name: &[u8], sparse: Option<&super::sparse::Map>) -> Result<(), Fault> {
    let Some(map) = sparse else {
        loop {
            let data = members.data()?;
            if data.is_empty() {
                return Ok(());
            }
            let count = rustix::io::retry_on_intr(|| rustix::io::write(file, data)).map_err(failed("write", name))?;
            members.take(count);
        }
    };
    rustix::fs::ftruncate(file, map.size).map_err(failed("write", name))?;
    for (offset, length) in &map.pieces {
        let (mut at, mut left) = (*offset, *length);
        while left > 0 {
            let data = members.data()?;
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
            if most == 0 {
                return Err(Fault::Bad("it has a sparse file whose map does not fit its data".into()));
            }
            let count = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, &data[..most], at))
                .map_err(failed("write", name))?;
            members.take(count);
            at += count as u64;
            left -= count as u64;
        }
    }
    Ok(())
}

/// A member's name as a relative path: leading slashes, `.` and empty parts gone. `..` is refused: no program that packs
/// layers writes it, and there is no reading of it that all agree on.
pub(in super::super) fn clean(path: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut clean: Vec<u8> = Vec::with_capacity(path.len());
    let mut depth = 0;
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(Fault::Bad(format!("its member `{}` has `..` in its name", lossy(path)))),
            _ => {}
        }
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(part);
        depth += 1;
    }
    if clean.len() > limits::PATH || depth > limits::DEPTH {
        return Err(Fault::Bad(format!(
            "its member `{}` has a path of {depth} parts and {} bytes; at most {} and {} are taken",
            lossy(path),
            clean.len(),
            limits::DEPTH,
            limits::PATH
        )));
    }
    Ok(clean)
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// The attributes that a layer may set: not those that mean something to overlayfs or to a security module of this machine.
fn is_allowed(key: &[u8]) -> bool {
    let own = key.starts_with(b"user.") && !key.starts_with(b"user.overlay.");
    own || key == b"security.capability" || key.starts_with(b"system.posix_acl_")
}

fn lossy(name: &[u8]) -> String {
    printable(&String::from_utf8_lossy(name))
}
