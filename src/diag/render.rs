//! The one look of every diagnostic (design.md section 8).

use std::fmt::Write;

use super::{Diagnostic, SourceMap};

/// Lines longer than this are cut around the place.
const WIDEST: usize = 120;

/// Draws a diagnostic: message, lines of the file with the place underlined, help. Ends with a line end.
pub fn render(diagnostic: &Diagnostic, sources: &SourceMap) -> String {
    let mut out = format!("{}[{}]: {}\n", diagnostic.severity(), diagnostic.code.number(), diagnostic.message);
    let places: Vec<_> =
        diagnostic.labels.iter().filter_map(|l| sources.place(l.span).map(|place| (place, &l.text))).collect();
    let gutter = places.iter().map(|(place, _)| place.line.to_string().len()).max().unwrap_or(0);
    let mut file = None;
    for (place, text) in &places {
        let corner = if file.is_none() { '┌' } else { '├' };
        if file != Some(place.file) || corner == '├' {
            let _ = writeln!(out, "{:gutter$}{corner} {}:{}:{}", "", place.file, place.line, place.column);
        }
        file = Some(place.file);
        let (line, column) = cut(place.text, place.column - 1, place.width);
        let _ = writeln!(out, "{:>gutter$}│ {line}", place.line);
        let _ = write!(out, "{:gutter$}│ {}{}", "", padding(&line, column), "━".repeat(place.width.min(WIDEST)));
        let _ = writeln!(out, "{}{text}", if text.is_empty() { "" } else { " " });
    }
    for note in &diagnostic.notes {
        let _ = writeln!(out, "{:gutter$}= note: {note}", "");
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{:gutter$}= help: {help}", "");
    }
    out
}

/// The part of a line that is shown, and the column of the place in it.
fn cut(line: &str, column: usize, width: usize) -> (String, usize) {
    if line.chars().count() <= WIDEST {
        return (line.to_owned(), column);
    }
    let from = if column + width.min(WIDEST) <= WIDEST { 0 } else { column.saturating_sub(20) };
    let mut shown: String = line.chars().skip(from).take(WIDEST).collect();
    if from > 0 {
        shown.insert(0, '…');
    }
    shown.push('…');
    (shown, column - from + usize::from(from > 0))
}

/// Blanks under the line's beginning; its tabs stay tabs, so that the underline stands where it should.
fn padding(line: &str, column: usize) -> String {
    line.chars().take(column).map(|c| if c == '\t' { '\t' } else { ' ' }).collect()
}
