//! What containers have printed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::runtime::Handle;
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use super::super::super::error::CliError;
use super::super::{Lines, LogLine, LogQuery};
use super::failed;
use crate::host::ledger::project::names;
use crate::host::logs::{Entry, Error, Follow, FollowAll, Options, Reader, Stream, merge};
use crate::host::paths::{Paths, STEP};
use crate::name::{ProjectName, ServiceName};

/// One replica's log.
#[derive(Clone)]
struct Source {
    service: ServiceName,
    label: String,
    folder: PathBuf,
}

impl Source {
    fn line(&self, entry: Entry) -> LogLine {
        let mut text = entry.bytes;
        if text.last() == Some(&b'\n') {
            text.pop();
        }
        LogLine {
            service: self.service.clone(),
            label: self.label.clone(),
            stderr: entry.stream == Stream::Stderr,
            time: entry.time,
            text,
        }
    }
}

/// Reads the logs that a query asks for; with `follow`, goes on until nobody listens, it is finished, or the project is
/// taken down.
pub fn read(paths: &Paths, project: &ProjectName, query: LogQuery) -> Result<Lines, CliError> {
    let folder = paths.project_logs(project);
    let options =
        Options { tail: query.tail.map(|lines| lines as u64), since: query.since, until: query.until, stream: None };
    let (sender, receiver) = Lines::channel();
    if query.follow {
        let following = Following::open(folder, query, options).map_err(|e| failed(&e))?;
        let (finish, finished) = oneshot::channel();
        thread::spawn(move || {
            if let Err(error) = follow(following, sender, finished) {
                tracing::warn!(%error, "a log is not followed any more");
            }
        });
        return Ok(Lines::new(receiver, Some(finish)));
    }
    let sources = sources(&folder, &query);
    let readers = sources.iter().map(|source| Reader::open(&source.folder, &options));
    let readers: Vec<Reader> = readers.collect::<Result<_, _>>().map_err(|e| failed(&e))?;
    thread::spawn(move || {
        let mut parts = Parts::default();
        for (index, entry) in merge(readers).flatten() {
            if let Some(entry) = parts.join(index, entry)
                && sender.blocking_send(sources[index].line(entry)).is_err()
            {
                return;
            }
        }
    });
    Ok(Lines::new(receiver, None))
}

/// The folders below a project's logs, `<service>-<number>`, that a query asks for. Those of what prepares a service have the
/// step in place of the number; those of `run`, a part of their id.
fn sources(folder: &std::path::Path, query: &LogQuery) -> Vec<Source> {
    let wanted: BTreeSet<&str> = query.services.iter().map(|s| s.as_str()).collect();
    let source = |name: String| {
        let (service, replica) = name.rsplit_once('-')?;
        // An id may be all digits: that is longer than a number, or begins with a zero.
        let number = replica.parse().ok().filter(|number: &u32| number.to_string() == replica);
        let is_step = replica.contains(STEP);
        let chosen = if query.index.is_some() { number == query.index } else { is_step || number.is_some() };
        let chosen = chosen && (wanted.is_empty() || wanted.contains(service));
        let label = number.and_then(|number| query.labels.get(&(service.into(), number)).cloned());
        let usual = || if is_step { format!("{service}-{}", replica.replace('.', "-")) } else { name.clone() };
        let label = label.unwrap_or_else(usual);
        chosen.then(|| Source { service: service.into(), folder: folder.join(&name), label })
    };
    names(folder).into_iter().filter_map(source).collect()
}

/// Lines that were cut into parts are put together again.
#[derive(Default)]
struct Parts(BTreeMap<(usize, bool), Vec<u8>>);

impl Parts {
    fn join(&mut self, index: usize, mut entry: Entry) -> Option<Entry> {
        let key = (index, entry.stream == Stream::Stderr);
        if entry.partial {
            self.0.entry(key).or_default().extend(entry.bytes);
            return None;
        }
        if let Some(mut begun) = self.0.remove(&key) {
            begun.extend(entry.bytes);
            entry.bytes = begun;
        }
        Some(entry)
    }
}

/// The logs of every replica, those that come later too, until the project's are removed (`down`).
struct Following {
    folder: PathBuf,
    query: LogQuery,
    options: Options,
    /// Tells of new replicas.
    folders: Inotify,
    logs: FollowAll,
    sources: Vec<Source>,
    parts: Parts,
    removed: bool,
    runtime: Handle,
}

impl Following {
    fn open(folder: PathBuf, query: LogQuery, options: Options) -> Result<Self, Error> {
        let failed = |source: std::io::Error| Error::file("watch", &folder, source);
        // The first replica of a project may be still to come.
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let folders =
            Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(|errno| failed(errno.into()))?;
        let events = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_ONLYDIR;
        folders.add_watch(&folder, events).map_err(|errno| failed(errno.into()))?;
        let (logs, sources, parts) = (FollowAll::new()?, Vec::new(), Parts::default());
        let runtime = Handle::current();
        let mut following = Self { folder, query, options, folders, logs, sources, parts, removed: false, runtime };
        following.look()?;
        // What comes later is followed from its beginning.
        following.options.tail = None;
        Ok(following)
    }

    /// Takes in the replicas that have come.
    fn look(&mut self) -> Result<(), Error> {
        // All events first: what comes after the look makes a new one.
        while let Ok(events) = self.folders.read_events() {
            let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_IGNORED;
            self.removed |= events.iter().any(|event| event.mask.intersects(gone));
            if events.is_empty() {
                break;
            }
        }
        for source in sources(&self.folder, &self.query) {
            if self.sources.iter().all(|known| known.label != source.label) {
                self.logs.add(Follow::open(&source.folder, &self.options)?)?;
                self.sources.push(source);
            }
        }
        Ok(())
    }

    /// Sends what is there; `false` when nobody listens or nothing more can come.
    fn send(&mut self, sender: &Sender<LogLine>) -> Result<bool, Error> {
        while let Some((index, entry)) = self.logs.read()? {
            if let Some(entry) = self.parts.join(index, entry)
                && sender.blocking_send(self.sources[index].line(entry)).is_err()
            {
                return Ok(false);
            }
        }
        Ok(!self.removed)
    }
}

/// Sends lines until nobody listens, all is sent after `finished`, or the logs are removed. The kernel tells of what is new;
/// nothing is looked at in vain.
fn follow(mut following: Following, sender: Sender<LogLine>, finished: oneshot::Receiver<()>) -> Result<(), Error> {
    let folder = following.folder.clone();
    let failed = |errno: Errno| Error::file("watch", &folder, errno.into());
    let told = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(failed)?);
    let last = Arc::new(AtomicBool::new(false));
    // Ends with this function, since its own sender would keep the receiver waiting.
    let (_until, ended) = oneshot::channel::<()>();
    let (listener, tell, finish) = (sender.clone(), told.clone(), last.clone());
    let watch = async move {
        tokio::select! {
            () = listener.closed() => drop(tell.write(1)),
            Ok(()) = finished => {
                finish.store(true, Ordering::SeqCst);
                let _ = tell.write(1);
            }
            _ = ended => {}
        }
    };
    following.runtime.spawn(watch);
    loop {
        // Before the look: what was printed before it was finished is seen by that.
        let is_last = last.load(Ordering::SeqCst);
        following.look()?;
        if !following.send(&sender)? || is_last {
            return Ok(());
        }
        let sources = [following.logs.fd(), following.folders.as_fd(), told.as_fd()];
        let mut set = sources.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut set, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
        if sender.is_closed() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_run_are_left_out_even_where_their_id_is_all_digits() {
        let folder = tempfile::tempdir().expect("a folder");
        let of_run = ["web-0123456789ab", "web-000000000001", "web-123456789012"];
        for name in ["web-1", "web-12", "my-db-2", "web-pre_start.0", "web-2.pre_start.1"].iter().chain(&of_run) {
            std::fs::create_dir(folder.path().join(name)).expect("made");
        }
        let labels = |query: LogQuery| -> BTreeSet<String> {
            sources(folder.path(), &query).into_iter().map(|source| source.label).collect()
        };
        let all = ["web-1", "web-12", "my-db-2", "web-pre_start-0", "web-2-pre_start-1"];
        assert_eq!(labels(LogQuery::default()), all.map(String::from).into());
        let of_web = LogQuery { services: vec!["web".into()], index: Some(1), ..LogQuery::default() };
        assert_eq!(labels(of_web), ["web-1".to_owned()].into());
    }
}
