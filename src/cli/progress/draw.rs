//! The picture of a board: a pure function of its state, the size of the screen and the time.

use std::time::Duration;

use serde::Serialize;

use super::super::output::{Tone, human, width};
use super::board::{Board, Row};
use super::{Phase, Report};

/// The pictures of the spinner.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// What the picture is drawn for.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns of the screen.
    pub width: usize,
    /// Lines of the screen.
    pub height: usize,
    /// Counts the pictures.
    pub frame: usize,
    /// Colours.
    pub color: bool,
}

/// The lines of a board: a heading, then one for each resource; where the screen is too low, only those that failed or
/// are under way, as many as fit, and how many are not shown.
pub fn lines(board: &Board, now: Duration, style: Style) -> Vec<String> {
    let names = board.rows.iter().map(|row| width::columns(&row.last.name)).max().unwrap_or(0);
    let texts = board.rows.iter().map(|row| width::columns(&row.last.text)).max().unwrap_or(0);
    let kinds = board.rows.iter().map(|row| row.last.kind.word().len()).max().unwrap_or(0);
    // The cursor stands below the last line, so one line of the screen is never drawn on.
    let room = style.height.saturating_sub(1).max(2);
    let mut lines = vec![heading(board, style)];
    let (shown, left_out) = choose(board, room - 1);
    lines.extend(shown.iter().map(|row| line(row, now, style, kinds, names, texts)));
    if left_out > 0 {
        lines.push(Tone::Dim.paint(&width::cut(&format!("   … and {left_out} more"), style.width), style.color));
    }
    lines
}

fn heading(board: &Board, style: Style) -> String {
    let (done, all) = (board.rows.len() - board.count(Phase::Working), board.rows.len());
    let text = format!("[+] {} {done}/{all}", board.title);
    let failed = board.count(Phase::Failed);
    let text = if failed > 0 { format!("{text}, {failed} failed") } else { text };
    Tone::Strong.paint(&width::cut(&text, style.width), style.color)
}

/// The rows to show in `room` lines, and how many are left out (which then takes one of the lines).
fn choose(board: &Board, room: usize) -> (Vec<&Row>, usize) {
    if board.rows.len() <= room {
        return (board.rows.iter().collect(), 0);
    }
    let room = room.saturating_sub(1);
    let mut ranked: Vec<(usize, &Row)> = board.rows.iter().enumerate().collect();
    ranked.sort_by_key(|(place, row)| (rank(row.last.phase), *place));
    ranked.truncate(room);
    ranked.sort_by_key(|(place, _)| *place);
    let left_out = board.rows.len() - ranked.len();
    (ranked.into_iter().map(|(_, row)| row).collect(), left_out)
}

/// What is shown first where there is no room for all.
fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Failed => 0,
        Phase::Warning => 1,
        Phase::Working => 2,
        Phase::Done => 3,
    }
}

fn line(row: &Row, now: Duration, style: Style, kinds: usize, names: usize, texts: usize) -> String {
    let report = &row.last;
    let (mark, tone) = mark(report.phase, style.frame);
    let time = format!("{:.1}s", row.ended.unwrap_or(now).saturating_sub(row.begun).as_secs_f64());
    let body = format!(
        "{} {}  {}  {time:>6}{}",
        width::pad(report.kind.word(), kinds),
        width::pad(&report.name, names),
        width::pad(&report.text, texts),
        amount(report),
    );
    let detail = report.detail.as_deref().map(|text| format!("  {}", one_line(text))).unwrap_or_default();
    // " ✔ " takes three columns.
    let body = width::cut(format!("{body}{detail}").trim_end(), style.width.saturating_sub(3));
    format!(" {} {body}", tone.paint(mark, style.color))
}

fn mark(phase: Phase, frame: usize) -> (&'static str, Tone) {
    match phase {
        Phase::Working => (SPINNER[frame % SPINNER.len()], Tone::Busy),
        Phase::Done => ("✔", Tone::Good),
        Phase::Warning => ("!", Tone::Warning),
        Phase::Failed => ("✘", Tone::Error),
    }
}

fn amount(report: &Report) -> String {
    match report.amount {
        Some((done, all)) if report.phase == Phase::Working && all > 0 => {
            format!("  {} / {}", human::short_size(done), human::short_size(all))
        }
        _ => String::new(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A change as a line of its own, whatever its amount.
pub fn plain(report: &Report) -> String {
    let detail = report.detail.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
    format!(" {} {}  {}{detail}", report.kind.word(), report.name, report.text)
}

/// A change as JSON, with docker compose's keys, and its phase beside them.
pub fn json(report: &Report) -> String {
    let told = Told {
        id: format!("{} {}", report.kind.word(), report.name),
        status: &report.text,
        phase: report.phase,
        details: report.detail.as_deref(),
        current: report.amount.map(|(done, _)| done),
        total: report.amount.map(|(_, all)| all),
    };
    // Sorted keys, as in all that is printed.
    serde_json::to_value(told).unwrap_or_default().to_string()
}

/// A change as `--progress json` prints it, one a line.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told<'a> {
    /// What changes: `Container shop-web-1`.
    pub id: String,
    /// What is done, in docker compose's words: `Starting`.
    pub status: &'a str,
    /// How it goes.
    pub phase: Phase,
    /// More about it, such as an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<&'a str>,
    /// Bytes so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Bytes in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}
