//! The only place that prints: data on standard output, everything else on standard error. What comes from outside can't
//! steer the terminal ([`plain`]); as it is goes only what is meant to be ([`Output::raw`], logs) and JSON, which escapes.

pub mod human;
pub mod listing;
pub mod logs;
pub mod plain;
pub mod ports;
pub mod style;
pub mod table;
pub mod template;
pub mod width;

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::rc::Rc;

use clap::builder::StyledStr;
use serde::Serialize;

use super::error::CliError;
use super::settings::Ansi;

pub use style::Tone;

/// Standard output and standard error, each with whether it may be coloured.
pub struct Output {
    out: Sink,
    err: Sink,
    /// Progress goes to standard output.
    status_out: bool,
}

struct Sink {
    writer: RefCell<Box<dyn Write>>,
    color: bool,
    terminal: bool,
}

/// What a test reads back.
#[derive(Clone, Default)]
pub struct Capture(Rc<RefCell<Vec<u8>>>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Capture {
    /// All that was written.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow()).into_owned()
    }
}

impl Output {
    /// The process's own streams.
    pub fn standard(ansi: Ansi) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let (out_terminal, err_terminal) = (out.is_terminal(), err.is_terminal());
        Self {
            out: Sink {
                writer: RefCell::new(Box::new(io::BufWriter::new(out))),
                color: style::colored(ansi, out_terminal, &style::Env::read()),
                terminal: out_terminal,
            },
            err: Sink {
                writer: RefCell::new(Box::new(err)),
                color: style::colored(ansi, err_terminal, &style::Env::read()),
                terminal: err_terminal,
            },
            status_out: false,
        }
    }

    /// Shows progress on standard output (`COMPOSE_STATUS_STDOUT`) if that is wanted.
    pub fn status_on_stdout(self, wanted: bool) -> Self {
        Self { status_out: wanted, ..self }
    }

    /// An output that is kept in memory: standard output, standard error.
    pub fn captured(color: bool) -> (Self, Capture, Capture) {
        let (out, err) = (Capture::default(), Capture::default());
        let sink = |capture: &Capture| Sink { writer: RefCell::new(Box::new(capture.clone())), color, terminal: false };
        (Self { out: sink(&out), err: sink(&err), status_out: false }, out, err)
    }

    /// Whether standard output may be coloured.
    pub fn color(&self) -> bool {
        self.out.color
    }

    /// Whether progress may be coloured.
    pub fn status_color(&self) -> bool {
        self.status_sink().color
    }

    /// Whether progress goes to a terminal, on which a line can be drawn again.
    pub fn status_is_terminal(&self) -> bool {
        self.status_sink().terminal
    }

    fn status_sink(&self) -> &Sink {
        if self.status_out { &self.out } else { &self.err }
    }

    /// Whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.out.terminal
    }

    /// A line of data.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn line(&self, text: &str) -> Result<(), CliError> {
        self.out.write(&[plain::text(text).as_bytes(), b"\n"])
    }

    /// Lines of data, each with its end.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn text(&self, text: &str) -> Result<(), CliError> {
        self.out.write(&[plain::text(text).as_bytes()])
    }

    /// Data, as it is.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), CliError> {
        self.out.write(&[bytes])
    }

    /// A value as JSON on one line.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn json<T: Serialize>(&self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|e| CliError::failed(format!("can't print as JSON: {e}")))?;
        self.raw(&[text.as_bytes(), b"\n"].concat())
    }

    /// A value as JSON with indents.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn json_pretty<T: Serialize>(&self, value: &T) -> Result<(), CliError> {
        let text =
            serde_json::to_string_pretty(value).map_err(|e| CliError::failed(format!("can't print as JSON: {e}")))?;
        self.raw(&[text.as_bytes(), b"\n"].concat())
    }

    /// A remark on standard error.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn note(&self, text: &str) -> Result<(), CliError> {
        self.err.write(&[plain::text(text).as_bytes(), b"\n"])
    }

    /// A remark for programs on standard error, as JSON on one line.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn note_json(&self, value: &serde_json::Value) -> Result<(), CliError> {
        self.err.write(&[value.to_string().as_bytes(), b"\n"])
    }

    /// Bytes for standard error, as they are.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn raw_error(&self, bytes: &[u8]) -> Result<(), CliError> {
        self.err.write(&[bytes])
    }

    /// Bytes of progress, as they are, seen at once.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn status(&self, bytes: &[u8]) -> Result<(), CliError> {
        let sink = self.status_sink();
        sink.write(&[bytes])?;
        sink.writer.borrow_mut().flush().map_err(|e| write_error(&e))
    }

    /// A line of progress.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn status_line(&self, text: &str) -> Result<(), CliError> {
        self.status(format!("{}\n", plain::text(text)).as_bytes())
    }

    /// A remark with a word in front that says how grave it is.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn say(&self, tone: Tone, word: &str, text: &str) -> Result<(), CliError> {
        let word = tone.paint(word, self.err.color);
        self.err.write(&[word.as_bytes(), b": ", plain::text(text).as_bytes(), b"\n"])
    }

    /// A warning.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn warn(&self, text: &str) -> Result<(), CliError> {
        self.say(Tone::Warning, "warning", text)
    }

    /// A help text of clap on standard output.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn styled(&self, text: &StyledStr) -> Result<(), CliError> {
        self.out.write(&[plain_or_colored(text, self.out.color).trim_end().as_bytes(), b"\n"])
    }

    /// An error text of clap on standard error.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn styled_error(&self, text: &StyledStr) -> Result<(), CliError> {
        self.err.write(&[plain_or_colored(text, self.err.color).trim_end().as_bytes(), b"\n"])
    }

    /// Writes out what is held back.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn flush(&self) -> Result<(), CliError> {
        self.out.writer.borrow_mut().flush().map_err(|e| write_error(&e))?;
        self.err.writer.borrow_mut().flush().map_err(|e| write_error(&e))
    }

    /// Asks a yes-or-no question on standard error; the answer comes from standard input.
    ///
    /// # Errors
    /// When it can't be written or read; when nobody answers.
    pub fn confirm(&self, question: &str) -> Result<bool, CliError> {
        self.flush()?;
        self.err.write(&[plain::text(question).as_bytes(), b" [yN] "])?;
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        if read.map_err(|e| CliError::failed(format!("can't read the answer: {e}")))? == 0 {
            self.err.write(&[b"\n"])?;
            return Err(CliError::with_help(
                "nobody is there to answer: nothing was removed",
                "`-f` does it without asking",
            ));
        }
        Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
    }
}

impl Sink {
    fn write(&self, parts: &[&[u8]]) -> Result<(), CliError> {
        let mut writer = self.writer.borrow_mut();
        parts.iter().try_for_each(|part| writer.write_all(part)).map_err(|e| write_error(&e))
    }
}

fn write_error(error: &io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::BrokenPipe,
        _ => CliError::failed(format!("can't write the output: {error}")),
    }
}

fn plain_or_colored(text: &StyledStr, color: bool) -> String {
    if color { text.ansi().to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_steers_the_terminal_but_our_own_colours() {
        let (output, out, err) = Output::captured(true);
        output.line("a\x1b[2J").expect("written");
        output.text("b\r\n").expect("written");
        output.warn("c\x07\nd").expect("written");
        output.note("e\u{9b}").expect("written");
        output.note_json(&serde_json::json!("\u{1b}")).expect("written");
        output.status_line("f\x1b]0;t\x07").expect("written");
        assert_eq!(out.text(), "a\\x1b[2J\nb\\r\n");
        let warning = Tone::Warning.paint("warning", true);
        let said = format!("{warning}: c\\x07\nd\ne\\x9b\n\"\\u001b\"\nf\\x1b]0;t\\x07\n");
        assert_eq!(err.text(), said);
    }
}
