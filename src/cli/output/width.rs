//! Columns that a text takes on a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that a text takes, escape sequences left out.
pub fn columns(text: &str) -> usize {
    if text.contains('\x1b') { UnicodeWidthStr::width(strip(text).as_str()) } else { UnicodeWidthStr::width(text) }
}

/// The text, cut to `width` columns; `…` stands for what is missing.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    if width == 0 {
        return String::new();
    }
    let (mut kept, mut used) = (String::new(), 0);
    for ch in text.chars() {
        let next = used + ch.width().unwrap_or(0);
        if next > width - 1 {
            break;
        }
        kept.push(ch);
        used = next;
    }
    kept.push('…');
    kept
}

/// The text, filled up with blanks to `width` columns.
pub fn pad(text: &str, width: usize) -> String {
    let missing = width.saturating_sub(columns(text));
    format!("{text}{}", " ".repeat(missing))
}

/// The text without colours.
fn strip(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(ch) = chars.next() {
        if ch == '\x1b' {
            // Only our own colour sequences come here: ESC [ … m.
            let _ = chars.by_ref().find(|ch| *ch == 'm');
        } else {
            plain.push(ch);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns_and_colours_none() {
        assert_eq!(columns("漢字"), 4);
        assert_eq!(columns("\x1b[31mred\x1b[0m"), 3);
        assert_eq!(cut("漢字abc", 5), "漢字…");
        assert_eq!(cut("漢字abc", 4), "漢…");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(pad("é", 3), "é  ");
    }
}
