//! The root folder of a container that does not run, put together as its init does it, for as long as it is looked at (`cp`).

use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};

use super::bundle::Resolved;
use super::init::problem::{At, Problem, Step, doing};
use super::init::{etc, files, memory, mounts, rootfs, sources};
use super::protocol::StartError;
use crate::desired::ContainerSpec;

/// Holds the mounts: a thread in a mount namespace of its own, which ends with it.
pub(super) struct Holder {
    until: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.until = None;
        // The mounts are gone when the thread is: the container's next start may have them.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Mounts a container's root with its volumes, binds, secrets and configs, where nobody else sees it. The lock of its run folder
/// must be held.
pub(super) fn assemble(host: &Resolved, spec: &ContainerSpec) -> Result<(OwnedFd, Holder), StartError> {
    let (until, wait) = mpsc::channel::<()>();
    let (ready, root) = mpsc::channel();
    let (host, spec) = (host.clone(), spec.clone());
    let thread = std::thread::Builder::new().name("root".into()).spawn(move || {
        let _ = ready.send(mount(&host, &spec).at("root file system"));
        // Ends by an error when the holder is dropped, which is the sign.
        let _ = wait.recv();
    });
    let thread = thread.map_err(doing("start a thread")).at("root file system")?;
    let holder = Holder { until: Some(until), thread: Some(thread) };
    let root = root.recv().map_err(|_| Problem::new("its thread ended by a panic")).at("root file system")?;
    Ok((root?, holder))
}

fn mount(host: &Resolved, spec: &ContainerSpec) -> Step<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(doing("make a mount namespace (it needs CAP_SYS_ADMIN)"))?;
    let point = rootfs::mount_point(host)?;
    let sources = sources::open(&spec.mounts, host)?;
    rootfs::leave_host()?;
    let memory = memory(&point)?;
    let (files, etc) = (files::prepare(&spec.files, &memory)?, etc::left(&host.state, spec)?);
    let root = rootfs::mount_under_lock(host, &point)?;
    mounts::mount(&root, &spec.mounts, sources, host)?;
    etc::mount(&root, etc)?;
    files::mount(&root, files)?;
    Ok(root)
}
