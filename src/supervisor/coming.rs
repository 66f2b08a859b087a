//! Waits for the supervisor that a project will have, and starts none.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::protocol::VERSION;
use super::{Client, SupervisorError};
use crate::host::paths::Paths;
use crate::name::ProjectName;

/// Connects to the next supervisor of a project, or to that which it has: blocks for as long as there is none.
///
/// # Errors
/// When the run folder can't be watched; when there is one that can't be talked to.
pub fn wait(paths: &Paths, project: &ProjectName) -> Result<Client, SupervisorError> {
    let failed = |source: io::Error| SupervisorError::Connect { project: project.clone(), source };
    loop {
        // Before the look: what comes after it is news.
        let news = watch(paths, project).map_err(failed)?;
        if let Some(client) = Client::connect(paths, project)? {
            if client.hello.version == VERSION {
                return Ok(client);
            }
            return Err(failed(io::Error::other("it is of another version")));
        }
        match poll(&mut [PollFd::new(news.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

/// Tells that the project's run folder has come, or its socket: that has its mode once somebody listens on it.
fn watch(paths: &Paths, project: &ProjectName) -> io::Result<Inotify> {
    let own = paths.project_run(project);
    let all = paths.run.join("projects");
    fs::create_dir_all(&all)?;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(&all, AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ONLYDIR)?;
    let socket = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_ONLYDIR;
    match inotify.add_watch(&own, socket) {
        Ok(_) | Err(Errno::ENOENT) => Ok(inotify),
        Err(errno) => Err(errno.into()),
    }
}
