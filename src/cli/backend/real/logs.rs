//! What containers have printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::super::super::error::CliError;
use super::super::{LogLine, LogQuery};
use super::failed;
use crate::host::ledger::project::names;
use crate::host::logs::{Entry, Follow, Options, Reader, Stream, merge};
use crate::host::paths::Paths;
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

/// Reads the logs that a query asks for; with `follow`, goes on until nobody listens or the project is taken down.
pub fn read(paths: &Paths, project: &ProjectName, query: LogQuery) -> Result<UnboundedReceiver<LogLine>, CliError> {
    let folder = paths.project(project).join("logs");
    let sources = sources(&folder, &query);
    let options =
        Options { tail: query.tail.map(|lines| lines as u64), since: query.since, until: query.until, stream: None };
    let (sender, receiver) = mpsc::unbounded_channel();
    if query.follow {
        thread::spawn(move || follow(&folder, &query, options, sender));
        return Ok(receiver);
    }
    let readers = sources.iter().map(|source| Reader::open(&source.folder, &options));
    let readers: Vec<Reader> = readers.collect::<Result<_, _>>().map_err(|e| failed(&e))?;
    thread::spawn(move || {
        let mut parts = Parts::default();
        for (index, entry) in merge(readers).flatten() {
            if let Some(entry) = parts.join(index, entry)
                && sender.send(sources[index].line(entry)).is_err()
            {
                return;
            }
        }
    });
    Ok(receiver)
}

/// The folders below a project's logs, `<service>-<replica>`, that a query asks for.
fn sources(folder: &std::path::Path, query: &LogQuery) -> Vec<Source> {
    let wanted: BTreeSet<&str> = query.services.iter().map(|s| s.as_str()).collect();
    let source = |name: String| {
        let (service, replica) = name.rsplit_once('-')?;
        let index = query.index.is_none_or(|index| replica == index.to_string());
        let chosen = index && (wanted.is_empty() || wanted.contains(service));
        chosen.then(|| Source { service: service.into(), folder: folder.join(&name), label: name.clone() })
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

/// Follows every replica on a thread of its own, those that come later too.
fn follow(folder: &std::path::Path, query: &LogQuery, options: Options, sender: UnboundedSender<LogLine>) {
    let mut known = BTreeSet::new();
    let mut options = options;
    while !sender.is_closed() {
        for source in sources(folder, query) {
            if known.insert(source.label.clone()) {
                let (sender, options) = (sender.clone(), options);
                thread::spawn(move || follow_one(&source, options, &sender));
            }
        }
        // What comes later is followed from its beginning.
        options.tail = None;
        if !folder.parent().is_some_and(std::path::Path::exists) {
            return;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn follow_one(source: &Source, options: Options, sender: &UnboundedSender<LogLine>) {
    let Ok(mut log) = Follow::open(&source.folder, &options) else { return };
    let mut parts = Parts::default();
    while !sender.is_closed() {
        match log.read() {
            Ok(Some(entry)) => {
                if let Some(entry) = parts.join(0, entry)
                    && sender.send(source.line(entry)).is_err()
                {
                    return;
                }
            }
            Ok(None) if log.has_ended() => return,
            Ok(None) => {
                // The time limit notices that nobody listens any more.
                if log.wait(Some(Duration::from_secs(1))).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
