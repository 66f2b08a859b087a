//! What happens to the containers of a project, as its supervisor tells it: events, and the end of one container. A
//! supervisor that is killed or replaced ends no stream: the next one goes on with it.

mod names;

use std::io;
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::super::super::error::CliError;
use super::super::{Event, Span};
use super::apply::nothing_up;
use super::{failed, ledger};
use crate::engine::progress::Progress;
use crate::host::machine::observe::{self, Cache};
use crate::host::paths::Paths;
use crate::name::ProjectName;
use crate::observed::{Observed, ObservedContainer, State};
use crate::supervisor::protocol::{Reply, Request};
use crate::supervisor::{Client, coming, is_over};
use names::Names;

/// The stream of what happens to a project.
struct Stream {
    paths: Paths,
    project: ProjectName,
    /// `None`: who tells next is still to come.
    client: Option<Client>,
    span: Span,
}

/// What comes from it.
enum Next {
    Progress(Box<Progress>),
    /// Another supervisor tells from here on; what happened in between nobody tells.
    Reopened,
}

impl Stream {
    fn listen(paths: &Paths, project: &ProjectName, mut client: Client) -> io::Result<Self> {
        client.request(&Request::Watch)?;
        // Once it has answered, it misses nothing. One that is gone by now has a successor.
        let client = client.reply().is_ok().then_some(client);
        let (paths, project) = (paths.clone(), project.clone());
        Ok(Self { paths, project, client, span: Span::WhileUp })
    }

    /// One that goes on for ever.
    fn wait(paths: &Paths, project: &ProjectName) -> Self {
        Self { paths: paths.clone(), project: project.clone(), client: None, span: Span::Ever }
    }

    /// Blocks until the next thing; `None`: nothing of the project is left, or nobody can be made to tell.
    fn next(&mut self) -> Option<Next> {
        loop {
            let Some(client) = &mut self.client else {
                self.client = Some(self.reopen()?);
                return Some(Next::Reopened);
            };
            match client.reply() {
                Ok(Reply::Progress { progress }) => return Some(Next::Progress(progress)),
                Ok(Reply::Bye) | Err(_) => self.client = None,
                Ok(_) => {}
            }
        }
    }

    fn reopen(&self) -> Option<Client> {
        loop {
            let held = ledger::desired(&self.paths, &self.project);
            let is_held = held.is_ok_and(|held| held.is_some_and(|held| !held.is_empty()));
            let client = match self.span {
                _ if is_held => Client::any(&self.paths, &self.project),
                Span::Ever => coming::wait(&self.paths, &self.project),
                Span::WhileUp => return None,
            };
            let mut client = client.inspect_err(|error| tracing::warn!(%error, "nobody tells what happens")).ok()?;
            match client.request(&Request::Watch) {
                Ok(()) => return Some(client),
                // It has just ended.
                Err(error) if is_over(&error) => {}
                Err(_) => return None,
            }
        }
    }

    fn look(&self) -> Observed {
        // Who can't read a record now has been told, or will be by the next command.
        observe::containers(&self.paths, &self.project, None, &Cache::default()).unwrap_or_default()
    }
}

/// What happens to the containers of a project from now on, in docker's words.
pub fn events(
    paths: &Paths,
    project: &ProjectName,
    known: Observed,
    span: Span,
) -> Result<UnboundedReceiver<Event>, CliError> {
    let mut stream = match span {
        Span::Ever => Stream::wait(paths, project),
        Span::WhileUp => {
            let client = Client::ensure(paths, project, None).map_err(|e| failed(&e))?;
            Stream::listen(paths, project, client).map_err(|e| failed(&e))?
        }
    };
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut names = Names::new(paths.clone(), &known);
    std::thread::spawn(move || {
        while let Some(next) = stream.next() {
            let events = match next {
                Next::Progress(progress) => names.events(&progress),
                Next::Reopened => names.missed(&stream.look()),
            };
            if sender.is_closed() || events.into_iter().any(|event| sender.send(event).is_err()) {
                return;
            }
        }
    });
    Ok(receiver)
}

/// So long `run --rm` waits for the removal of its container: somebody else's change may come first.
const REMOVAL: Duration = Duration::from_secs(10);

/// What happens to a container at its end.
enum Told {
    /// Its process has ended, with this code.
    Ended(i32),
    /// It is removed, or can't be.
    Removed,
}

/// The code with which a container ends, told by its supervisor: it may be removed at once afterwards.
pub struct Ends {
    stream: Stream,
}

impl Ends {
    /// Listens from now on.
    ///
    /// # Errors
    /// When there is no supervisor.
    pub fn listen(paths: &Paths, project: &ProjectName) -> Result<Self, CliError> {
        let client = Client::connect(paths, project).map_err(|e| failed(&e))?.ok_or_else(|| nothing_up(project))?;
        Ok(Self { stream: Stream::listen(paths, project, client).map_err(|e| failed(&e))? })
    }

    /// Waits for the end of a container; `removed`: and until it is removed. `None`: it is gone, and nobody told its code.
    pub async fn of(mut self, name: String, removed: bool) -> Option<i32> {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        // A thread that waits in vain must not keep this process.
        std::thread::spawn(move || {
            while let Some(told) = self.hear(&name) {
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
        let Some(Told::Ended(code)) = receiver.recv().await else { return None };
        if removed {
            let removal = async { while let Some(Told::Ended(_)) = receiver.recv().await {} };
            // Its code is known: what holds the removal up fails nothing.
            let _ = tokio::time::timeout(REMOVAL, removal).await;
        }
        Some(code)
    }

    /// Blocks until the next thing happens to a container that matters here.
    fn hear(&mut self, name: &str) -> Option<Told> {
        loop {
            match self.stream.next()? {
                Next::Progress(progress) => match *progress {
                    Progress::Exited { container, code, .. } if *container == *name => return Some(Told::Ended(code)),
                    Progress::Done { step, .. } | Progress::Failed { step, .. }
                        if step.object == name && step.action == "remove container" =>
                    {
                        return Some(Told::Removed);
                    }
                    _ => {}
                },
                Next::Reopened => {
                    let observed = self.stream.look();
                    match observed.containers.values().find(|container| container.spec.name.as_str() == name) {
                        // Removed already: its code is known to nobody who has not heard it.
                        None => return None,
                        Some(ObservedContainer { state: State::Exited(exit), .. }) => {
                            return Some(Told::Ended(exit.code));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }
}
