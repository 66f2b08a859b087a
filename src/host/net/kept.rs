//! A survey that is kept for as long as it holds: for one who hears of every change of links, addresses and rules
//! ([`super::Events`]), and of its own says it itself. Changes of the records, which other processes make too, are heard of
//! here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::record::entries;
use super::{Survey, forwarding};

/// The last survey. The default keeps none: there is nothing that tells of changes of the records.
#[derive(Debug, Default)]
pub struct Kept {
    /// Counts the changes: a survey during which one came is not kept.
    changes: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    survey: Option<(u64, Arc<Survey>)>,
    records: Option<RecordNews>,
}

impl Kept {
    /// Keeps surveys of the records in a folder.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let records = Some(RecordNews::of(folder)?);
        Ok(Self { last: Mutex::new(Last { survey: None, records }), ..Self::default() })
    }

    /// Links, addresses or rules are not as they were.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Nobody tells of changes any more.
    pub fn keep_none(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Last::default();
    }

    /// The last survey, if nothing has changed since it began, else a new one.
    ///
    /// # Errors
    /// Those of the look.
    pub fn get<E>(&self, look: impl FnOnce() -> Result<Survey, E>) -> Result<Arc<Survey>, E> {
        let changes = self.changes.load(Ordering::SeqCst);
        let last = &mut *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(records) = &mut last.records else { return look().map(Arc::new) };
        // What can't be watched may have changed at any time.
        let quiet = !records.take().unwrap_or(true);
        let kept = last.survey.take().filter(|(at, survey)| quiet && *at == changes && forwards_as_seen(survey));
        let survey = match kept {
            Some((_, survey)) => survey,
            None => Arc::new(look()?),
        };
        last.survey = Some((changes, survey.clone()));
        Ok(survey)
    }
}

/// The one thing of which the kernel does not tell.
fn forwards_as_seen(survey: &Survey) -> bool {
    survey.forwarding.iter().all(|(ipv6, on)| forwarding::is_on(*ipv6).is_ok_and(|now| now == *on))
}

/// Hears of changes of the records of networks and endpoints, whoever makes them: each is a rename or a removal.
#[derive(Debug)]
struct RecordNews {
    inotify: Inotify,
    folder: PathBuf,
}

impl RecordNews {
    fn of(folder: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let news = Self { inotify, folder: folder.to_owned() };
        news.listen()?;
        Ok(news)
    }

    /// Whether there was any since the last call. After that, every later change counts for the next.
    fn take(&mut self) -> io::Result<bool> {
        let mut any = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) if !events.is_empty() => any = true,
                Ok(_) | Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if any {
            self.listen()?;
        }
        Ok(any)
    }

    /// Listens to all folders that there are now, from the top down: what comes while it does is news of its parent. A
    /// record that is being written under a temporary name is none yet.
    fn listen(&self) -> io::Result<()> {
        let records = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MOVED_FROM | AddWatchFlags::IN_DELETE;
        self.inotify.add_watch(&self.folder, records | AddWatchFlags::IN_CREATE)?;
        let names = entries(&self.folder).map_err(io::Error::other)?;
        for network in names.into_iter().map(|name| self.folder.join(name)) {
            for (folder, flags) in
                [(network.join(""), records | AddWatchFlags::IN_CREATE), (network.join("endpoints"), records)]
            {
                match self.inotify.add_watch(&folder, flags) {
                    Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_survey_is_kept_until_something_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let endpoints = folder.path().join("n/endpoints");
        let kept = Kept::of(folder.path()).expect("kept");
        let mut looks = 0;
        let mut looked = |kept: &Kept| {
            let before = looks;
            kept.get(|| {
                looks += 1;
                Ok::<_, ()>(Survey::default())
            })
            .expect("a survey");
            looks > before
        };
        assert!(looked(&kept) && !looked(&kept));
        kept.changed();
        assert!(looked(&kept) && !looked(&kept));
        fs::create_dir_all(&endpoints).expect("made");
        assert!(looked(&kept), "a new network");
        // The folder may have been made in two steps, of which the second was heard of only now.
        looked(&kept);
        assert!(!looked(&kept));
        for path in [folder.path().join("n/spec"), endpoints.join("c")] {
            fs::write(path.with_file_name(".new"), "").expect("written");
            looked(&kept);
            fs::rename(path.with_file_name(".new"), &path).expect("renamed");
            assert!(looked(&kept) && !looked(&kept), "a record is written: {}", path.display());
            fs::remove_file(&path).expect("removed");
            assert!(looked(&kept) && !looked(&kept), "a record goes: {}", path.display());
        }
        fs::remove_dir_all(folder.path().join("n")).expect("removed");
        assert!(looked(&kept) && !looked(&kept));
        kept.changed();
        let changes_meanwhile = kept.get(|| {
            kept.changed();
            Ok::<_, ()>(Survey::default())
        });
        assert!(changes_meanwhile.is_ok() && looked(&kept), "it changed while it was looked at");
        assert!(looked(&Kept::default()) && looked(&Kept::default()), "nobody tells");
    }
}
