//! Log lines of several containers in one stream: `web-1  | text`, aligned and coloured as docker compose has it.

use std::collections::BTreeMap;

use super::super::backend::LogLine;
use super::super::error::CliError;
use super::{Output, human, style, width};

/// Prints log lines.
pub struct LogPrinter<'a> {
    output: &'a Output,
    prefix: bool,
    color: bool,
    timestamps: bool,
    apart: bool,
    width: usize,
    sources: BTreeMap<String, usize>,
}

/// How log lines are printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogStyle {
    /// Leave the container's name out.
    pub no_prefix: bool,
    /// No colours, even on a terminal.
    pub no_color: bool,
    /// With the time of each line.
    pub timestamps: bool,
    /// What was printed to standard error goes to standard error, and not to standard output as the rest.
    pub apart: bool,
}

impl<'a> LogPrinter<'a> {
    /// A printer; `labels` are the containers known now, so that the first lines are aligned with those of the others.
    pub fn new<'b>(output: &'a Output, style: LogStyle, labels: impl IntoIterator<Item = &'b str>) -> Self {
        let mut printer = Self {
            output,
            prefix: !style.no_prefix,
            color: output.color() && !style.no_color,
            timestamps: style.timestamps,
            apart: style.apart,
            width: 0,
            sources: BTreeMap::new(),
        };
        labels.into_iter().for_each(|label| {
            printer.source(label);
        });
        printer
    }

    /// Prints one line.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn print(&mut self, line: &LogLine) -> Result<(), CliError> {
        let bytes = self.render(line);
        if !(line.stderr && self.apart) {
            return self.output.raw(&bytes);
        }
        // Where both are one terminal, the lines before it stand before it.
        self.output.flush()?;
        self.output.raw_error(&bytes)
    }

    /// Makes what was printed visible.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn flush(&self) -> Result<(), CliError> {
        self.output.flush()
    }

    /// The line as it is printed.
    pub fn render(&mut self, line: &LogLine) -> Vec<u8> {
        let mut bytes = self.head(&line.label).into_bytes();
        if self.timestamps {
            bytes.extend_from_slice(human::rfc3339_nanos(line.time).as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(&line.text);
        bytes.push(b'\n');
        bytes
    }

    /// A remark about a container among its lines: `web-1 exited with code 0`.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn remark(&mut self, label: &str, text: &str) -> Result<(), CliError> {
        let number = self.source(label);
        let label = if self.color { style::paint_prefix(number, label) } else { label.to_owned() };
        self.output.raw(format!("{label} {text}\n").as_bytes())
    }

    fn head(&mut self, label: &str) -> String {
        if !self.prefix {
            return String::new();
        }
        let number = self.source(label);
        let head = format!("{}  | ", width::pad(label, self.width));
        if self.color { style::paint_prefix(number, &head) } else { head }
    }

    fn source(&mut self, label: &str) -> usize {
        if let Some(number) = self.sources.get(label) {
            return *number;
        }
        let number = self.sources.len();
        self.sources.insert(label.to_owned(), number);
        self.width = self.width.max(width::columns(label));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, text: &str, stderr: bool) -> LogLine {
        LogLine { service: "s".into(), label: label.into(), stderr, time: 1_500_000_000, text: text.into() }
    }

    #[test]
    fn prefixes_are_aligned_with_the_widest() {
        let (output, out, err) = Output::captured(false);
        let mut printer = LogPrinter::new(&output, LogStyle::default(), ["web-1", "database-1"]);
        printer.print(&line("web-1", "hello", false)).expect("written");
        printer.print(&line("database-1", "oh", true)).expect("written");
        printer.remark("web-1", "exited with code 3").expect("written");
        insta::assert_snapshot!(out.text(), @r"
        web-1       | hello
        database-1  | oh
        web-1 exited with code 3
        ");
        assert_eq!(err.text(), "");
    }

    #[test]
    fn both_streams_are_one_unless_they_are_wanted_apart() {
        for no_prefix in [false, true] {
            let head = if no_prefix { "" } else { "web-1  | " };
            for apart in [false, true] {
                let (output, out, err) = Output::captured(false);
                let style = LogStyle { no_prefix, apart, timestamps: true, ..LogStyle::default() };
                let mut printer = LogPrinter::new(&output, style, []);
                printer.print(&line("web-1", "a", false)).expect("written");
                printer.print(&line("web-1", "b", true)).expect("written");
                let [a, b] = ["a", "b"].map(|text| format!("{head}1970-01-01T00:00:01.500000000Z {text}\n"));
                let wanted = if apart { (a, b) } else { (a + &b, String::new()) };
                assert_eq!((out.text(), err.text()), wanted);
            }
        }
    }

    #[test]
    fn the_end_of_a_container_is_told_without_prefixes_too() {
        let (output, out, _) = Output::captured(false);
        let mut printer = LogPrinter::new(&output, LogStyle { no_prefix: true, ..LogStyle::default() }, []);
        printer.remark("web-1", "exited with code 0").expect("written");
        assert_eq!(out.text(), "web-1 exited with code 0\n");
    }

    #[test]
    fn each_source_has_its_colour_and_bytes_pass_unchanged() {
        let (output, out, _) = Output::captured(true);
        let mut printer = LogPrinter::new(&output, LogStyle::default(), []);
        let mut odd = line("web-1", "", false);
        odd.text = vec![0xff, b'x'];
        let bytes = printer.render(&odd);
        assert!(bytes.ends_with(&[0xff, b'x', b'\n']));
        assert!(bytes.starts_with(b"\x1b[36mweb-1  | \x1b[0m"), "{:?}", String::from_utf8_lossy(&bytes));
        assert!(printer.render(&line("db-1", "x", false)).starts_with(b"\x1b[33m"));
        assert_eq!(out.text(), "");
    }
}
