//! Tables without borders, as docker prints them.

use std::borrow::Cow;

use super::{plain, width};

/// Blanks between two columns.
const GAP: usize = 3;

/// Rows below a heading, each column as wide as its widest cell. Each row is one line, whatever its cells hold.
pub fn render(heading: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> =
        rows.iter().map(|row| row.iter().map(|cell| plain::cell(cell)).collect()).collect();
    let mut widths: Vec<usize> = heading.iter().map(|cell| width::columns(cell)).collect();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            match widths.get_mut(column) {
                Some(width) => *width = (*width).max(width::columns(cell)),
                None => widths.push(width::columns(cell)),
            }
        }
    }
    let mut text = String::new();
    if !heading.is_empty() {
        push_row(&mut text, heading.iter().copied(), &widths);
    }
    for row in &rows {
        push_row(&mut text, row.iter().map(AsRef::as_ref), &widths);
    }
    text
}

fn push_row<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>, widths: &[usize]) {
    let mut line = String::new();
    for (cell, width) in cells.zip(widths) {
        line.push_str(&width::pad(cell, width + GAP));
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            vec![vec!["demo-web-1".into(), "漢字".into(), "x".into()], vec!["a".into(), String::new(), "y".into()]];
        insta::assert_snapshot!(super::render(&["NAME", "IMAGE", "STATUS"], &rows), @r"
        NAME         IMAGE   STATUS
        demo-web-1   漢字    x
        a                    y
        ");
    }

    #[test]
    fn a_cell_neither_steers_the_terminal_nor_begins_a_row() {
        let rows = vec![vec!["web".into(), "sh -c \x1b]0;t\x07\r\nroot".into(), "y".into()]];
        assert_eq!(
            super::render(&["NAME", "COMMAND", "UP"], &rows),
            "NAME   COMMAND                      UP\nweb    sh -c \\x1b]0;t\\x07\\r\\nroot   y\n"
        );
    }
}
