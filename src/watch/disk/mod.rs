//! The adapter to the kernel: a thread that hears of changes, looks at them and tells of them in batches.
//!
//! | file | what |
//! | --- | --- |
//! | [`folders`] | notify, one watch a folder; the limits of the kernel |
//! | [`tree`] | what is watched, what stands there, what an event means for it |
//! | [`walk`] | looking at folders and files |

mod folders;
#[cfg(test)]
mod tests;
mod tree;
mod walk;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc as tokio_mpsc;

use super::rule::Rule;
use folders::Folders;
use tree::Tree;

pub use walk::read_ignore;

/// What is watched.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Single files beside them.
    pub files: BTreeSet<PathBuf>,
}

/// Paths about which something may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Them, sorted, absolute.
    pub paths: BTreeSet<PathBuf>,
    /// Those that are symlinks now.
    pub links: BTreeSet<PathBuf>,
    /// Something may have been missed: whatever was told before may be other than it is here, even where it is again as it was
    /// when it was told.
    pub everything: bool,
    /// When the first change was noticed.
    pub since: Instant,
}

/// Something that people should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A folder can't be read, and is left out.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The kernel has no more watches.
    Full {
        /// `fs.inotify.max_user_watches`.
        limit: String,
        /// What goes on unwatched.
        unwatched: Vec<PathBuf>,
        /// The folder that most watches go to, and how many.
        costly: Option<(PathBuf, usize)>,
    },
    /// The kernel's queue ran over, and everything is looked at again.
    Overflow {
        /// `fs.inotify.max_queued_events`.
        limit: String,
    },
    /// Anything else that the kernel says.
    Failed(String),
}

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Changes.
    Batch(Batch),
    /// A remark.
    Note(Note),
}

/// What there was at the start.
#[derive(Clone, Debug, Default)]
pub struct Started {
    /// All paths that a rule may take.
    pub paths: BTreeSet<PathBuf>,
    /// Those that are symlinks.
    pub links: BTreeSet<PathBuf>,
    /// How many folders are watched.
    pub folders: usize,
    /// What people should know.
    pub notes: Vec<Note>,
}

/// Why nothing can be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Too many programs watch already.
    #[error("the kernel's limit of inotify instances is reached (fs.inotify.max_user_instances = {limit})")]
    NoInstance {
        /// The limit.
        limit: String,
    },
    /// Anything else.
    #[error("can't watch files: {0}")]
    Notify(#[from] notify::Error),
    /// No thread.
    #[error("can't start the thread that watches files: {0}")]
    Thread(#[from] std::io::Error),
}

/// Changes, as they come; dropped, the watching ends.
pub struct Watch {
    told: tokio_mpsc::UnboundedReceiver<Told>,
    stop: mpsc::Sender<Inbox>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// What the thread gets.
enum Inbox {
    Event(notify::Result<notify::Event>),
    Stop,
}

impl Watch {
    /// The next batch or remark.
    pub async fn next(&mut self) -> Option<Told> {
        self.told.recv().await
    }

    /// Ends the watching, and returns what was heard and not told yet.
    pub fn end(mut self) -> Vec<Told> {
        // A thread that has ended hears nothing, and needs not.
        let _ = self.stop.send(Inbox::Stop);
        if let Some(thread) = self.thread.take() {
            // One that has panicked has told what it could.
            let _ = thread.join();
        }
        std::iter::from_fn(|| self.told.try_recv().ok()).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A thread that has ended hears nothing, and needs not.
        let _ = self.stop.send(Inbox::Stop);
    }
}

/// Begins to watch: what changes from the moment this was called on is told.
///
/// # Errors
/// When the kernel lets nobody watch anything.
pub fn start(scope: Scope) -> Result<(Started, Watch), WatchError> {
    let (sender, inbox) = mpsc::channel();
    let folders = Folders::new(sender.clone())?;
    let mut tree = Tree::new(scope, folders);
    let started = tree.begin();
    let (teller, told) = tokio_mpsc::unbounded_channel();
    let thread = std::thread::Builder::new().name("watch".into()).spawn(move || run(&mut tree, &inbox, &teller))?;
    Ok((started, Watch { told, stop: sender, thread: Some(thread) }))
}

fn run(tree: &mut Tree, inbox: &mpsc::Receiver<Inbox>, teller: &tokio_mpsc::UnboundedSender<Told>) {
    loop {
        let next = match tree.due() {
            None => inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            Some(due) => inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
        };
        match next {
            Ok(Inbox::Event(event)) => tree.hear(event),
            Ok(Inbox::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        // What has come already belongs to this batch.
        let mut stop = false;
        while tree.has_news() && !stop {
            match inbox.try_recv() {
                Ok(Inbox::Event(event)) => tree.hear(event),
                Ok(Inbox::Stop) => stop = true,
                Err(_) => break,
            }
        }
        if !tell(tree, Instant::now(), teller) || stop {
            break;
        }
    }
    if !teller.is_closed() {
        tell(tree, Instant::now() + AT_LAST, teller);
    }
}

/// At the end all is told that would have been told later.
const AT_LAST: Duration = Duration::from_secs(3600);

/// Tells what is due; whether anybody listens.
fn tell(tree: &mut Tree, now: Instant, teller: &tokio_mpsc::UnboundedSender<Told>) -> bool {
    let batch = tree.take(now).map(Told::Batch);
    tree.notes().into_iter().map(Told::Note).chain(batch).all(|told| teller.send(told).is_ok())
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, why } => write!(f, "the folder {} is left out: {why}", path.display()),
            Self::Overflow { limit } => write!(
                f,
                "the kernel's queue of changes ran over (fs.inotify.max_queued_events = {limit}): all is looked at again"
            ),
            Self::Failed(text) => write!(f, "watching files: {text}"),
            Self::Full { limit, unwatched, costly } => {
                let some: Vec<String> = unwatched.iter().take(3).map(|path| path.display().to_string()).collect();
                let more = unwatched.len().saturating_sub(some.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(
                    f,
                    "the kernel's limit of watched folders is reached (fs.inotify.max_user_watches = {limit}): unwatched \
                     go on {}{more}",
                    some.join(", ")
                )?;
                if let Some((path, count)) = costly {
                    write!(f, "; most of them, {count}, are for {}: name it under `ignore`,", path.display())?;
                }
                write!(f, " or raise the limit with `sysctl fs.inotify.max_user_watches=524288`")
            }
        }
    }
}
