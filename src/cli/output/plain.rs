//! Text from outside (a command line, a label, an error of a container) as a terminal may be shown it: what would steer the
//! terminal or begin a line stands there in words, as `\x1b` and `\n`.

use std::borrow::Cow;
use std::fmt::Write;

/// A text that has to stay on its line: a cell of a table, a name.
pub fn cell(text: &str) -> Cow<'_, str> {
    shown(text, steers)
}

/// A text of one line or several: its line ends and tabs stay.
pub fn text(text: &str) -> Cow<'_, str> {
    shown(text, |ch| !matches!(ch, '\n' | '\t') && steers(ch))
}

/// Control characters, and what ends a line or turns its direction without being one.
fn steers(ch: char) -> bool {
    ch.is_control() || matches!(ch, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn shown(text: &str, is_meant: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_meant) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for ch in text.chars() {
        // Writing to a String cannot fail.
        let _ = match (is_meant(ch), ch) {
            (false, ch) => safe.write_char(ch),
            (true, '\n' | '\r' | '\t') => write!(safe, "{}", ch.escape_default()),
            (true, '\0'..='\u{ff}') => write!(safe, "\\x{:02x}", u32::from(ch)),
            (true, ch) => write!(safe, "\\u{:04x}", u32::from(ch)),
        };
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_in_words() {
        let hostile = "a\x1b]0;t\x07\x1b[2J\r\n\tb\u{9b}1m\u{202e}\u{2028}\x7f 漢é";
        assert_eq!(cell(hostile), "a\\x1b]0;t\\x07\\x1b[2J\\r\\n\\tb\\x9b1m\\u202e\\u2028\\x7f 漢é");
        assert_eq!(text(hostile), "a\\x1b]0;t\\x07\\x1b[2J\\r\n\tb\\x9b1m\\u202e\\u2028\\x7f 漢é");
        assert!(matches!(cell("as it is, 漢é"), Cow::Borrowed(_)));
    }
}
