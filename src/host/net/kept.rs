//! A survey that is kept for as long as it holds: for one who hears of every change of links, addresses and rules
//! ([`super::Events`]), and of its own says it itself. Changes of the records, which other processes make too, are heard of
//! here, and only while there is something to keep: to stop listening takes the kernel's time.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::record::entries;
use super::{Survey, forwarding};
use crate::name::ProjectName;

/// The last survey. The default keeps none.
#[derive(Debug, Default)]
pub struct Kept {
    /// Whose survey is worth keeping; `None`: nobody's.
    project: Option<ProjectName>,
    /// Counts the changes: a survey during which one came is not kept.
    changes: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// The folder of the records; `None`: there is nothing that tells of changes any more.
    folder: Option<PathBuf>,
    /// The project has a network: the next survey is kept.
    worth: bool,
    survey: Option<(u64, Arc<Survey>)>,
    records: Option<RecordNews>,
}

/// What nobody listens to any more, to be dropped where nobody waits.
#[derive(Debug)]
pub struct Unheard(#[expect(dead_code, reason = "it is only there to be dropped")] Option<RecordNews>);

impl Kept {
    /// Keeps surveys of the records in a folder, while the project has a network.
    pub(super) fn of(folder: &Path, project: &ProjectName) -> Self {
        let last = Last { folder: Some(folder.to_owned()), ..Last::default() };
        Self { project: Some(project.clone()), last: Mutex::new(last), ..Self::default() }
    }

    /// Links, addresses or rules are not as they were.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Nobody tells of changes any more.
    pub fn keep_none(&self) {
        *self.lock() = Last::default();
    }

    /// A network of the project goes: it may be the last one.
    pub fn rest(&self) -> Unheard {
        let last = &mut *self.lock();
        (last.survey, last.worth) = (None, false);
        Unheard(last.records.take())
    }

    /// The last survey, if nothing has changed since it began, else a new one.
    ///
    /// # Errors
    /// Those of the look.
    pub fn get<E>(&self, look: impl FnOnce() -> Result<Survey, E>) -> Result<Arc<Survey>, E> {
        let changes = self.changes.load(Ordering::SeqCst);
        let last = &mut *self.lock();
        last.listen();
        let Some(records) = &mut last.records else {
            let survey = Arc::new(look()?);
            last.worth = self.is_worth(&survey);
            return Ok(survey);
        };
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

    fn is_worth(&self, survey: &Survey) -> bool {
        self.project.is_some() && survey.networks.iter().any(|network| network.spec.project == self.project)
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    /// Listens from now on, if that is worth it. A machine that allows no more listeners has all looked at each time.
    fn listen(&mut self) {
        let Some(folder) = self.folder.as_ref().filter(|_| self.worth && self.records.is_none()) else { return };
        match RecordNews::of(folder) {
            Ok(records) => self.records = Some(records),
            Err(error) => {
                tracing::warn!(%error, "changes of the networks' records are not heard: they are read at each look");
                self.folder = None;
            }
        }
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
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::desired::NetworkSpec;
    use crate::observed::ObservedNetwork;

    /// Whether a survey was made, and not one kept.
    fn looked(kept: &Kept, networks: &[ObservedNetwork]) -> bool {
        let mut looked = false;
        let survey = kept.get(|| {
            looked = true;
            Ok::<_, ()>(Survey { networks: networks.to_vec(), ..Survey::default() })
        });
        survey.expect("a survey");
        looked
    }

    fn network(project: &str) -> ObservedNetwork {
        let spec = NetworkSpec { name: "n".into(), project: Some(project.into()), ..NetworkSpec::default() };
        ObservedNetwork { spec, present: true, lost: BTreeSet::new(), endpoints: BTreeSet::new() }
    }

    #[test]
    fn a_survey_is_kept_until_something_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let endpoints = folder.path().join("n/endpoints");
        let kept = Kept::of(folder.path(), &"p".into());
        let looked = |kept: &Kept| looked(kept, &[network("p")]);
        assert!(looked(&kept) && looked(&kept) && !looked(&kept), "from the second one on");
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
        kept.keep_none();
        assert!(looked(&kept) && looked(&kept) && looked(&kept), "nobody tells");
    }

    #[test]
    fn a_survey_is_not_kept_without_a_network_of_the_project() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept::of(folder.path(), &"p".into());
        let (ours, others) = ([network("p")], [network("q")]);
        assert!((0..4).all(|_| looked(&kept, &others)), "only others have one");
        assert!(looked(&kept, &ours) && looked(&kept, &ours) && !looked(&kept, &ours));
        drop(kept.rest());
        assert!((0..4).all(|_| looked(&kept, &others)), "its last one is gone");
    }
}
