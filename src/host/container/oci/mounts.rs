//! The mounts of a bundle: the standard ones, the user's, /etc/hosts and its like, secrets and configs, in the order in which
//! our own init has them.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::bundle::Bundle;
use super::super::init::etc::Ready;
use super::super::init::files;
use super::super::init::mounts::{mount_image, take_over};
use super::super::init::problem::{Problem, Step, doing};
use super::super::init::procguard;
use super::super::init::sources::Source;
use super::super::init::standard::shared_memory;
use super::shelf::Shelf;
use crate::desired::{ContainerSpec, MountSource, MountSpec};

/// What a container has mounted beside its root.
pub(super) struct Wanted<'a> {
    /// The sources of the user's mounts, in their order.
    pub sources: Vec<Option<Source>>,
    /// /etc/hosts and the like.
    pub etc: Vec<Ready>,
    /// Secrets and configs.
    pub files: Vec<files::Ready<'a>>,
    /// The sandbox's /dev/shm; `None`: the host's.
    pub shm: Option<BorrowedFd<'a>>,
    /// The program that is PID 1, and its path inside.
    pub init: Option<(PathBuf, &'static str)>,
}

/// All mounts, each with a source that waits on `shelf`. New volumes are filled from `root` on the way.
pub(super) fn list(bundle: &Bundle, root: &OwnedFd, wanted: Wanted<'_>, shelf: &mut Shelf) -> Step<Vec<Value>> {
    let spec = &bundle.spec;
    let mut list = standard(spec);
    if !spec.namespaces.without_shm {
        let shm = shelf.put(&shared_memory(wanted.shm)?)?;
        list.push(bind("/dev/shm", &shm, &["rprivate", "nosuid", "nodev", "noexec"]));
    }
    for (mount, source) in spec.mounts.iter().zip(wanted.sources) {
        procguard::check(mount)?;
        if let Some(source) = &source {
            take_over(root, mount, source, &bundle.host)?;
        }
        list.push(own(bundle, mount, source.as_ref(), shelf)?);
    }
    for Ready { target, tree } in wanted.etc {
        list.push(bind(target, &shelf.put(&tree)?, &["rprivate"]));
    }
    for files::Ready { spec, tree } in wanted.files {
        list.push(bind(&spec.target, &shelf.put(&tree)?, &["ro", "rprivate"]));
    }
    if let Some((program, target)) = wanted.init {
        list.push(bind(target, &program, &["ro", "rprivate"]));
    }
    Ok(list)
}

/// Those that every container has, as docker writes them.
fn standard(spec: &ContainerSpec) -> Vec<Value> {
    let safe = ["nosuid", "noexec", "nodev"];
    let entry = |target: &str, kind: &str, options: &[&str]| json!({ "destination": target, "type": kind, "source": kind, "options": options });
    let access = if spec.security.privileged { "rw" } else { "ro" };
    let hidden = [&safe[..], &[access]].concat();
    let cgroup = if spec.namespaces.host_cgroup {
        bind("/sys/fs/cgroup", Path::new("/sys/fs/cgroup"), &["rprivate", access])
    } else {
        entry("/sys/fs/cgroup", "cgroup", &hidden)
    };
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    vec![
        entry("/proc", "proc", &safe),
        entry("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        entry("/dev/pts", "devpts", &pts),
        entry("/dev/mqueue", "mqueue", &safe),
        entry("/sys", "sysfs", &hidden),
        cgroup,
    ]
}

fn bind(target: &str, source: &Path, options: &[&str]) -> Value {
    let options: Vec<&str> = std::iter::once("rbind").chain(options.iter().copied()).collect();
    json!({ "destination": target, "type": "bind", "source": source, "options": options })
}

/// One of the user's mounts.
fn own(bundle: &Bundle, mount: &MountSpec, source: Option<&Source>, shelf: &mut Shelf) -> Step<Value> {
    let at = |what: &str| format!("{what} {}", mount.target);
    let access = if mount.read_only { "ro" } else { "rw" };
    match (&mount.source, source) {
        (MountSource::Bind { .. } | MountSource::Volume { .. }, Some(source)) => {
            let mut options = attributes(&source.tree)?;
            options.extend([access, propagation(mount)]);
            Ok(bind(&mount.target, &shelf.put(&source.tree)?, &options))
        }
        (MountSource::Tmpfs { size, mode, options }, _) => Ok(tmpfs(mount, *size, *mode, options)),
        (MountSource::Image { image, subpath }, _) => {
            let layers = bundle.host.images.get(&image.id).ok_or_else(|| Problem::new(at("find the image of")))?;
            let (name, place) = shelf.place(true)?;
            mount_image((&shelf.tree, &name), mount, layers, subpath, &place)?;
            Ok(bind(&mount.target, &shelf.path_of(&name), &["ro", "rprivate"]))
        }
        (MountSource::Bind { .. } | MountSource::Volume { .. }, None) => Err(Problem::new(at("find the source of"))),
    }
}

/// What the source's own mount forbids: a runtime that sets one attribute clears those that it is not told.
fn attributes(tree: &OwnedFd) -> Step<Vec<&'static str>> {
    use rustix::fs::StatVfsMountFlags as Flags;
    let flags = rustix::fs::fstatvfs(tree).map_err(doing("look at what is to be mounted"))?.f_flag;
    let all = [(Flags::NOSUID, "nosuid"), (Flags::NODEV, "nodev"), (Flags::NOEXEC, "noexec")];
    Ok(all.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| word).collect())
}

fn propagation(mount: &MountSpec) -> &str {
    match &mount.source {
        MountSource::Bind { propagation, .. } if !propagation.is_empty() => propagation,
        _ => "rprivate",
    }
}

/// Whether what is mounted inside some mount is to be seen on the host: then the root's mounts must not be cut off from it.
pub(super) fn root_propagation(spec: &ContainerSpec) -> Option<&'static str> {
    let wanted = |word: &str| spec.mounts.iter().any(|mount| propagation(mount) == word);
    if wanted("shared") || wanted("rshared") { Some("rshared") } else { None }
}

/// A tmpfs with docker's defaults, each of which an option can turn round.
fn tmpfs(mount: &MountSpec, size: u64, mode: Option<u32>, options: &[String]) -> Value {
    let mut all: Vec<String> = ["nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
    let given = |key: &str| options.iter().any(|option| option.split('=').next() == Some(key));
    if !given("mode") {
        all.push(format!("mode={:o}", mode.unwrap_or(0o1777)));
    }
    if size > 0 && !given("size") {
        all.push(format!("size={size}"));
    }
    all.extend(options.iter().filter(|option| !option.is_empty()).cloned());
    if mount.read_only {
        all.push("ro".to_owned());
    }
    json!({ "destination": mount.target, "type": "tmpfs", "source": "tmpfs", "options": all })
}
