//! Drawing the same lines again in place.

use std::fmt::Write as _;

use super::super::error::CliError;
use super::super::output::{Output, width};
use super::super::terminal;

/// What stands on the terminal now.
#[derive(Debug, Default)]
pub struct Screen {
    drawn: Vec<String>,
}

impl Screen {
    /// Replaces what was drawn; only lines that differ are written.
    ///
    /// # Errors
    /// When the terminal can't be written to.
    pub fn show(&mut self, output: &Output, lines: &[String]) -> Result<(), CliError> {
        if self.drawn == lines {
            return Ok(());
        }
        let bytes = self.update(lines, size().0);
        output.status(bytes.as_bytes())
    }

    /// Leaves what is drawn where it is; the next picture is drawn below.
    pub fn leave(&mut self) {
        self.drawn.clear();
    }

    /// Whether anything is drawn.
    pub fn is_drawn(&self) -> bool {
        !self.drawn.is_empty()
    }

    /// The bytes that turn the old picture into the new one, in one write so that it does not flicker.
    fn update(&mut self, lines: &[String], width: usize) -> String {
        let mut bytes = String::new();
        // On a screen that has become narrower, a line takes several rows.
        let rows: usize = self.drawn.iter().map(|line| width::columns(line).div_ceil(width.max(1)).max(1)).sum();
        if rows > 0 {
            let _ = write!(bytes, "\x1b[{rows}A\r");
        }
        if rows != self.drawn.len() {
            bytes.push_str("\x1b[J");
            self.drawn.clear();
        }
        for (place, line) in lines.iter().enumerate() {
            if self.drawn.get(place) != Some(line) {
                let _ = write!(bytes, "{line}\x1b[K");
            }
            bytes.push_str("\r\n");
        }
        if lines.len() < self.drawn.len() {
            bytes.push_str("\x1b[J");
        }
        self.drawn = lines.to_vec();
        bytes
    }
}

/// Columns and lines of the terminal behind standard error or output; 80 × 24 where that is unknown.
pub fn size() -> (usize, usize) {
    terminal::size(std::io::stderr()).or_else(|| terminal::size(std::io::stdout())).unwrap_or((80, 24))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let mut screen = Screen::default();
        assert_eq!(screen.update(&lines(&["a", "b"]), 80), "a\x1b[K\r\nb\x1b[K\r\n");
        assert_eq!(screen.update(&lines(&["a", "c"]), 80), "\x1b[2A\r\r\nc\x1b[K\r\n");
        assert_eq!(screen.update(&lines(&["a"]), 80), "\x1b[2A\r\r\n\x1b[J");
        screen.leave();
        assert_eq!(screen.update(&lines(&["x"]), 80), "x\x1b[K\r\n");
    }

    #[test]
    fn a_screen_that_has_become_narrower_is_drawn_anew() {
        let mut screen = Screen::default();
        screen.update(&lines(&["abcdef", "b"]), 80);
        assert_eq!(screen.update(&lines(&["abc", "b"]), 3), "\x1b[3A\r\x1b[Jabc\x1b[K\r\nb\x1b[K\r\n");
    }
}
