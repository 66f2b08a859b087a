//! An attached `up`: what containers print, what becomes of them, and what Ctrl-C does.
//!
//! ```text
//!  bring up ─▶ watch ─▶ (Ctrl-C, or a container's end where asked for) stop ─▶ exit code
//!      │ Ctrl-C                                            │ second Ctrl-C
//!      └──────────────────────────────────▶ stop           └▶ kill
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Interval;

use crate::desired::{Desired, Stamp};
use crate::name::{ContainerId, ProjectName, ServiceName};
use crate::observed::State;

use super::super::super::backend::{Backend, Change, Edit, Event, Lines, LogLine, LogQuery, Outcome, Span, Until};
use super::super::super::context::Context;
use super::super::super::error::{CliError, ExitStatus};
use super::super::super::output::logs::{LogPrinter, LogStyle};
use super::super::super::progress::{Progress, Report, Tell};
use super::super::super::select::{self, Found, label};
use super::super::super::signals::Interrupts;
use super::super::watch::{Said, Session};
use super::change;

/// When an attached `up` ends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// When all containers have ended.
    Last,
    /// When the first has ended; its code, or that of a service, is ours.
    First {
        /// The service whose code counts.
        code_from: Option<ServiceName>,
    },
    /// When the first has failed; its code is ours.
    FirstFailure,
}

/// An attached `up`.
pub struct Attached<'a, B> {
    cx: &'a Context<'a, B>,
    project: ProjectName,
    /// What is stopped with us: what others have brought up is not ours.
    services: BTreeSet<ServiceName>,
    ends: Ends,
    timeout: Option<Duration>,
    stage: Stage<'a>,
    interrupts: Interrupts,
    early: Option<Watched>,
    begun: Stamp,
    /// When the last end of a container was heard of.
    heard: BTreeMap<ContainerId, Stamp>,
    /// The services whose ends count where the first one ends all; none: those of all.
    pub counted: BTreeSet<ServiceName>,
    /// `--watch`.
    pub watching: Option<Session<'a, B>>,
}

/// What is shown.
struct Stage<'a> {
    progress: Progress<'a>,
    printer: LogPrinter<'a>,
    project: ProjectName,
    shown: Vec<ServiceName>,
    lines: Option<Lines>,
    events: Option<UnboundedReceiver<Event>>,
    /// Containers that were stopped to be started again or made anew.
    leaving: BTreeSet<String>,
    /// All has been brought up.
    is_up: bool,
    frames: Interval,
}

/// What happens on the stage.
enum Heard {
    /// A container has ended.
    Ended(Event),
    /// Nobody tells any more which containers end.
    Deafness,
    /// No line will come any more.
    Silence,
    /// Something else, which was shown.
    Shown,
}

impl<'a, B: Backend> Attached<'a, B> {
    /// Opens the streams before anything is started, so that nothing is missed.
    ///
    /// # Errors
    /// When they can't be opened.
    pub fn new(
        cx: &'a Context<'a, B>,
        desired: &Desired,
        shown: Vec<ServiceName>,
        style: LogStyle,
        ends: Ends,
        timeout: Option<Duration>,
        interrupts: Interrupts,
    ) -> Result<Self, CliError> {
        let project = &desired.project;
        let containers = desired.containers.values().map(|container| &container.spec);
        let containers: Vec<_> = containers.filter(|spec| !spec.oneoff && shown.contains(&spec.service)).collect();
        let labels: Vec<String> = containers.iter().map(|spec| label(spec)).collect();
        if !labels.is_empty() {
            cx.output.note(&format!("Attaching to {}", labels.join(", ")))?;
        }
        let begun = cx.backend.now();
        let services = shown.clone();
        let labels_of = select::labels(containers);
        let query =
            LogQuery { services, follow: true, since: Some(begun.wall), labels: labels_of, ..LogQuery::default() };
        // First the supervisor, which makes the project's folder: without one, there would be no log to wait for.
        let events = Some(cx.backend.events(project, Span::WhileUp)?);
        let lines = if shown.is_empty() { None } else { Some(cx.backend.logs(project, query)?) };
        let stage = Stage {
            progress: cx.progress(),
            printer: LogPrinter::new(cx.output, style, labels.iter().map(String::as_str)),
            project: project.clone(),
            shown,
            lines,
            events,
            leaving: BTreeSet::new(),
            is_up: false,
            frames: tokio::time::interval(Duration::from_millis(100)),
        };
        Ok(Self {
            cx,
            project: project.clone(),
            services: desired.services.clone(),
            ends,
            timeout,
            stage,
            interrupts,
            early: None,
            // Of ends before this one nobody tells.
            begun: cx.backend.now(),
            heard: BTreeMap::new(),
            counted: BTreeSet::new(),
            watching: None,
        })
    }

    /// Brings the project up, and stays until it ends.
    ///
    /// # Errors
    /// What could not be brought up; Ctrl-C, once everything is stopped.
    pub async fn run(&mut self, desired: Desired) -> Result<ExitStatus, CliError> {
        match self.bring_up(Change::Declare(Box::new(desired))).await? {
            Some(outcome) => {
                change::finish(self.cx, &outcome)?;
            }
            None => return self.interrupted().await,
        }
        match &mut self.watching {
            Some(session) => session.begin()?,
            None => self.finish_if_over()?,
        }
        let Some(first) = self.watch().await? else { return self.interrupted().await };
        let Watched::Ended(event) = first else { return Ok(ExitStatus::DONE) };
        self.note("Aborting: a container has ended, stopping the others")?;
        let codes = self.stop().await?;
        Ok(self.status(&event, &codes))
    }

    /// `None`: Ctrl-C came first.
    async fn bring_up(&mut self, declared: Change) -> Result<Option<Outcome>, CliError> {
        let (tell, mut reports) = Tell::channel();
        let backend = &self.cx.backend;
        let project = self.project.clone();
        let mut work = pin!(async move { backend.apply(&project, declared, Until::Done, &tell).await });
        self.stage.progress.begin("Running");
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break result,
                () = self.interrupts.next() => return Ok(None),
                Some(report) = reports.recv() => self.stage.progress.take(&report)?,
                heard = self.stage.next() => {
                    let heard = heard?;
                    if let Heard::Ended(event) = &heard {
                        self.hear(event);
                    }
                    self.early = self.early.take().or(self.ending(heard));
                }
            }
        };
        self.stage.drain(&mut reports)?;
        self.stage.progress.end()?;
        self.stage.is_up = true;
        result.map(Some)
    }

    /// `None`: Ctrl-C.
    async fn watch(&mut self) -> Result<Option<Watched>, CliError> {
        let watched = loop {
            if let Some(watched) = self.early.take() {
                break watched;
            }
            let heard = tokio::select! {
                () = self.interrupts.next() => return Ok(None),
                heard = self.stage.next() => heard?,
                said = next_said(&mut self.watching) => {
                    self.stage.progress.hide()?;
                    self.cx.output.flush()?;
                    said.print(self.cx.output)?;
                    continue;
                }
            };
            // What `--watch` ends and starts again has not ended.
            let is_busy = self.watching.as_ref().is_some_and(Session::is_busy);
            if let Heard::Ended(event) = &heard {
                self.hear(event);
            }
            let may_be_over = self.watching.is_none() && matches!(heard, Heard::Ended(_) | Heard::Deafness);
            self.early = self.ending(heard).filter(|_| !is_busy);
            if may_be_over && self.early.is_none() {
                self.finish_if_over()?;
            }
        };
        // The last lines may be told before the last ends are.
        let mut ended = Vec::new();
        if matches!(watched, Watched::AllEnded) {
            self.stage.settle(&mut ended)?;
        }
        let first = ended.into_iter().find(|event| self.ends_with(event));
        Ok(Some(first.map_or(watched, Watched::Ended)))
    }

    fn hear(&mut self, ended: &Event) {
        self.heard.insert(ended.id.clone(), self.cx.backend.now());
    }

    /// Once all that is shown has ended and nothing starts it again, only what was printed until then is still told.
    fn finish_if_over(&mut self) -> Result<(), CliError> {
        let shown = &self.stage.shown;
        let found = Found::look(self.cx)?;
        let is_shown = |service: &ServiceName| match shown.is_empty() {
            true => self.services.contains(service),
            false => shown.contains(service),
        };
        if !found.is_over(|spec| is_shown(&spec.service)) {
            return Ok(());
        }
        // An end is recorded before it is told: what is still to be told ends nothing yet.
        let untold = |(id, at): (&ContainerId, &Stamp)| {
            let since = |then: &Stamp| at.boot == then.boot && at.nanos >= then.nanos;
            since(&self.begun) && self.heard.get(id).is_none_or(since)
        };
        let containers = found.observed.containers.iter().filter(|(_, container)| is_shown(&container.spec.service));
        let mut ends = containers.filter_map(|(id, container)| match &container.state {
            State::Exited(exit) if !container.spec.oneoff => Some((id, &exit.at)),
            _ => None,
        });
        if self.stage.events.is_some() && ends.any(untold) {
            return Ok(());
        }
        match &mut self.stage.lines {
            Some(lines) => lines.finish(),
            None => self.early = self.early.take().or(Some(Watched::AllEnded)),
        }
        Ok(())
    }

    /// Whether what was heard ends the watch.
    fn ending(&self, heard: Heard) -> Option<Watched> {
        match heard {
            Heard::Ended(event) if self.ends_with(&event) => Some(Watched::Ended(event)),
            Heard::Silence => Some(Watched::AllEnded),
            Heard::Ended(_) | Heard::Deafness | Heard::Shown => None,
        }
    }

    fn ends_with(&self, event: &Event) -> bool {
        if !self.counted.is_empty() && !self.counted.contains(&event.service) {
            return false;
        }
        match &self.ends {
            Ends::Last => false,
            Ends::First { .. } => true,
            Ends::FirstFailure => event.exit_code.is_some_and(|code| code != 0),
        }
    }

    fn status(&self, first: &Event, later: &[Event]) -> ExitStatus {
        let counts = |event: &&Event| match &self.ends {
            Ends::First { code_from: Some(service) } => event.service == *service,
            _ => true,
        };
        let event = std::iter::once(first).chain(later).find(counts);
        event.and_then(|event| event.exit_code).map_or(ExitStatus::DONE, ExitStatus::of_process)
    }

    async fn interrupted(&mut self) -> Result<ExitStatus, CliError> {
        self.note("Gracefully stopping… press Ctrl-C again to kill")?;
        if let Some(mut session) = self.watching.take() {
            session.end().await;
        }
        self.stop().await?;
        Ok(ExitStatus::INTERRUPTED)
    }

    /// Stops everything, or kills it when Ctrl-C comes (again). The containers that have ended meanwhile.
    async fn stop(&mut self) -> Result<Vec<Event>, CliError> {
        let stop = Edit::Stop { services: self.services.clone(), timeout: self.timeout };
        let kill = Edit::Kill { services: self.services.clone() };
        let mut ended = Vec::new();
        let finished = self.act("Stopping", stop, &mut ended).await?;
        let outcome = match finished {
            Some(outcome) => Some(outcome),
            None => {
                self.note("Killing")?;
                self.act("Killing", kill, &mut ended).await?
            }
        };
        self.stage.tell_out().await?;
        if let Some(outcome) = outcome {
            change::finish(self.cx, &outcome)?;
        }
        Ok(ended)
    }

    /// Applies an edit and shows what happens meanwhile; `None`: Ctrl-C came first (the edit goes on).
    async fn act(&mut self, title: &str, edit: Edit, ended: &mut Vec<Event>) -> Result<Option<Outcome>, CliError> {
        let (tell, mut reports) = Tell::channel();
        let backend = &self.cx.backend;
        let project = self.project.clone();
        let mut work = pin!(async move { backend.apply(&project, Change::Edit(edit), Until::Done, &tell).await });
        self.stage.progress.begin(title);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break Some(result?),
                () = self.interrupts.next() => break None,
                Some(report) = reports.recv() => self.stage.progress.take(&report)?,
                heard = self.stage.next() => if let Heard::Ended(event) = heard? { ended.push(event) },
            }
        };
        self.stage.drain(&mut reports)?;
        self.stage.settle(ended)?;
        self.stage.progress.end()?;
        Ok(result)
    }

    fn note(&mut self, text: &str) -> Result<(), CliError> {
        self.stage.progress.hide()?;
        self.stage.progress.end()?;
        self.cx.output.flush()?;
        self.cx.output.note(text)
    }
}

/// What `--watch` says next; nothing, ever, without it.
async fn next_said<B: Backend>(watching: &mut Option<Session<'_, B>>) -> Said {
    match watching {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}

/// What `watch` has seen.
enum Watched {
    /// A container that all end with.
    Ended(Event),
    /// All have ended.
    AllEnded,
}

impl Stage<'_> {
    /// Shows the next thing. Without lines or events left, only the frames go on.
    async fn next(&mut self) -> Result<Heard, CliError> {
        tokio::select! {
            line = next_line(&mut self.lines) => self.line(line),
            event = next_event(&mut self.events) => self.event(event),
            _ = self.frames.tick() => self.progress.tick().map(|()| Heard::Shown),
        }
    }

    fn line(&mut self, line: Option<LogLine>) -> Result<Heard, CliError> {
        let Some(line) = line else {
            self.lines = None;
            return Ok(Heard::Silence);
        };
        self.progress.hide()?;
        self.printer.print(&line)?;
        if self.lines.as_ref().is_none_or(Lines::is_empty) {
            self.printer.flush()?;
        }
        Ok(Heard::Shown)
    }

    fn event(&mut self, event: Option<Event>) -> Result<Heard, CliError> {
        let Some(event) = event else {
            self.events = None;
            // With nothing shown there is no line to wait for either.
            return Ok(if self.lines.is_none() { Heard::Silence } else { Heard::Deafness });
        };
        if event.oneoff {
            return Ok(Heard::Shown);
        }
        if event.again {
            self.leaving.insert(event.name.clone());
        }
        let recreated = event.action == "create" && self.leaving.remove(&event.name);
        let remark = event.end().or_else(|| recreated.then(|| "has been recreated".to_owned()));
        // What we do ourselves in order to bring all up is shown as such.
        if let Some(remark) = remark.filter(|_| self.is_up || !(event.again || recreated)) {
            self.remark(&event, &remark)?;
        }
        let has_ended = event.exit_code.is_some() && !event.again;
        Ok(if has_ended { Heard::Ended(event) } else { Heard::Shown })
    }

    /// Something to say of a container among its lines.
    fn remark(&mut self, event: &Event, text: &str) -> Result<(), CliError> {
        self.catch_up()?;
        if self.shown.contains(&event.service) {
            let label = event.name.strip_prefix(self.project.as_str()).and_then(|rest| rest.strip_prefix(['-', '_']));
            self.progress.hide()?;
            self.printer.remark(label.unwrap_or(&event.name), text)?;
            self.printer.flush()?;
        }
        Ok(())
    }

    /// The lines that have come already stand before what is said next.
    fn catch_up(&mut self) -> Result<(), CliError> {
        while let Some(line) = self.lines.as_mut().and_then(Lines::come) {
            self.line(Some(line))?;
        }
        Ok(())
    }

    /// What was printed until now is told to its end.
    async fn tell_out(&mut self) -> Result<(), CliError> {
        if let Some(lines) = &mut self.lines {
            lines.finish();
        }
        while self.lines.is_some() {
            let line = next_line(&mut self.lines).await;
            self.line(line)?;
        }
        Ok(())
    }

    /// The ends that have come already.
    fn settle(&mut self, ended: &mut Vec<Event>) -> Result<(), CliError> {
        while let Some(Ok(event)) = self.events.as_mut().map(UnboundedReceiver::try_recv) {
            if let Heard::Ended(event) = self.event(Some(event))? {
                ended.push(event);
            }
        }
        self.catch_up()
    }

    fn drain(&mut self, reports: &mut UnboundedReceiver<Report>) -> Result<(), CliError> {
        while let Ok(report) = reports.try_recv() {
            self.progress.take(&report)?;
        }
        Ok(())
    }
}

/// The next line; nothing, ever, where none are shown.
async fn next_line(lines: &mut Option<Lines>) -> Option<LogLine> {
    match lines {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}

/// The next event; nothing, ever, where nobody tells of any.
async fn next_event(events: &mut Option<UnboundedReceiver<Event>>) -> Option<Event> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}
