//! What is shown while something is done: on a terminal one line per resource, redrawn in place; elsewhere one line per
//! change; always on standard error.
//!
//! ```text
//!  back end ─ Tell ─▶ Report ─▶ board (state, pure) ─▶ draw (state, size → lines, pure) ─▶ screen (cursor movements)
//! ```

pub mod board;
pub mod draw;
pub mod screen;

use std::future::Future;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc;

use super::error::CliError;
use super::output::{Output, plain};
use super::settings::ProgressMode;

use board::Board;
use screen::Screen;

/// Between two pictures of a spinner.
const FRAME: Duration = Duration::from_millis(100);

/// What a line speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A container.
    Container,
    /// A program that provides a service.
    Provider,
    /// A model.
    Model,
    /// The project as a whole.
    Project,
}

impl Kind {
    /// As it stands in the line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Network => "Network",
            Self::Volume => "Volume",
            Self::Container => "Container",
            Self::Provider => "Provider",
            Self::Model => "Model",
            Self::Project => "Project",
        }
    }
}

/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Phase {
    /// Under way.
    Working,
    /// Done.
    Done,
    /// Done, with something to look at.
    Warning,
    /// Failed.
    Failed,
}

/// What is said of a container that waits for others.
pub const WAITING: &str = "Waiting";

/// One change of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// How it goes.
    pub phase: Phase,
    /// In docker compose's words: `Starting`, `Started`, `Waiting`, `Healthy`, `Error`, …
    pub text: String,
    /// More: an error, a cause.
    pub detail: Option<String>,
    /// Done, and all there is to do; bytes, for an image.
    pub amount: Option<(u64, u64)>,
}

impl Report {
    /// A change without more.
    pub fn new(kind: Kind, name: impl Into<String>, phase: Phase, text: impl Into<String>) -> Self {
        Self { kind, name: name.into(), phase, text: text.into(), detail: None, amount: None }
    }

    /// As people are shown it.
    fn shown(&self) -> Self {
        Self {
            name: plain::cell(&self.name).into_owned(),
            text: plain::cell(&self.text).into_owned(),
            detail: self.detail.as_deref().map(|detail| plain::text(detail).into_owned()),
            ..self.clone()
        }
    }
}

/// Where changes are told; may be cloned and sent to other threads.
#[derive(Clone)]
pub struct Tell(mpsc::UnboundedSender<Report>);

impl Tell {
    /// Tells a change. Where nobody listens any more, it is lost, and that is right.
    pub fn report(&self, report: Report) {
        let _ = self.0.send(report);
    }

    /// One, and where its changes come out.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Report>) {
        let (sender, reports) = mpsc::unbounded_channel();
        (Self(sender), reports)
    }

    /// One that nobody listens to.
    pub fn nobody() -> Self {
        Self(mpsc::unbounded_channel().0)
    }
}

/// A progress display.
pub struct Progress<'a> {
    output: &'a Output,
    mode: ProgressMode,
    board: Board,
    screen: Screen,
    begun: Instant,
    frame: usize,
    /// Of this container only what it waits for is shown.
    apart: Option<String>,
}

impl<'a> Progress<'a> {
    /// A display in the mode asked for; `auto` looks at where it goes.
    pub fn new(output: &'a Output, mode: ProgressMode) -> Self {
        let mode = match mode {
            ProgressMode::Auto if output.status_is_terminal() && output.status_color() => ProgressMode::Tty,
            ProgressMode::Auto => ProgressMode::Plain,
            mode => mode,
        };
        Self {
            output,
            mode,
            board: Board::default(),
            screen: Screen::default(),
            begun: Instant::now(),
            frame: 0,
            apart: None,
        }
    }

    /// Says nothing of what becomes of one container but what it waits for: whoever runs a command in it sees that itself.
    pub fn apart(mut self, container: &str) -> Self {
        self.apart = Some(container.to_owned());
        self
    }

    /// Runs a piece of work and shows what it tells, until it ends.
    ///
    /// # Errors
    /// The work's own; output that can't be written.
    pub async fn show<T, W: Future<Output = Result<T, CliError>>>(
        &mut self,
        title: &str,
        work: impl FnOnce(Tell) -> W,
    ) -> Result<T, CliError> {
        let (tell, mut reports) = Tell::channel();
        let mut work = std::pin::pin!(work(tell));
        let mut ticks = tokio::time::interval(FRAME);
        self.begin(title);
        let result = loop {
            tokio::select! {
                biased;
                Some(report) = reports.recv() => self.take(&report)?,
                result = &mut work => break result,
                _ = ticks.tick(), if self.mode == ProgressMode::Tty => self.tick()?,
            }
        };
        while let Ok(report) = reports.try_recv() {
            self.take(&report)?;
        }
        self.end()?;
        result
    }

    /// Begins a new list.
    pub fn begin(&mut self, title: &str) {
        self.board = Board::new(title);
        self.begun = Instant::now();
    }

    /// Shows one change.
    ///
    /// # Errors
    /// Output that can't be written.
    pub fn take(&mut self, report: &Report) -> Result<(), CliError> {
        if report.kind == Kind::Container && report.text != WAITING && self.apart.as_ref() == Some(&report.name) {
            return Ok(());
        }
        let report = &if self.mode == ProgressMode::Json { report.clone() } else { report.shown() };
        let before = self.board.last(report).map(draw::plain);
        if !self.board.update(report, self.begun.elapsed()) {
            return Ok(());
        }
        let line = draw::plain(report);
        match self.mode {
            ProgressMode::Json => self.output.status((draw::json(report) + "\n").as_bytes()),
            // An amount that has grown is no line of its own.
            ProgressMode::Plain | ProgressMode::Auto if before.as_ref() == Some(&line) => Ok(()),
            ProgressMode::Plain | ProgressMode::Auto => self.output.status_line(&line),
            ProgressMode::Quiet if report.phase == Phase::Failed => self.output.status_line(&line),
            ProgressMode::Quiet => Ok(()),
            // The next picture shows it.
            ProgressMode::Tty => Ok(()),
        }
    }

    /// Draws the next picture; none while there is nothing to show.
    ///
    /// # Errors
    /// Output that can't be written.
    pub fn tick(&mut self) -> Result<(), CliError> {
        if self.mode != ProgressMode::Tty || self.board.is_empty() {
            return Ok(());
        }
        self.frame = self.frame.wrapping_add(1);
        let (width, height) = screen::size();
        let style = draw::Style { width, height, frame: self.frame, color: self.output.status_color() };
        let lines = draw::lines(&self.board, self.begun.elapsed(), style);
        self.screen.show(self.output, &lines)
    }

    /// Takes the picture away, so that something else can be printed; the next tick draws it again below.
    ///
    /// # Errors
    /// Output that can't be written.
    pub fn hide(&mut self) -> Result<(), CliError> {
        self.screen.show(self.output, &[])
    }

    /// Whether something is drawn on the terminal that other output must not run into.
    pub fn is_drawn(&self) -> bool {
        self.screen.is_drawn()
    }

    /// Draws the last picture, and leaves it there: what is told next begins a new one.
    ///
    /// # Errors
    /// Output that can't be written.
    pub fn end(&mut self) -> Result<(), CliError> {
        self.tick()?;
        self.screen.leave();
        self.board = Board::new(&self.board.title);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
