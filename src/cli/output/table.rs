//! Tables without borders, as docker prints them.

use super::width;

/// Blanks between two columns.
const GAP: usize = 3;

/// Rows below a heading, each column as wide as its widest cell.
pub fn render(heading: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| width::columns(cell)).collect();
    for row in rows {
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
    for row in rows {
        push_row(&mut text, row.iter().map(String::as_str), &widths);
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
}
