//! YAML in go-yaml's hand: two blanks a level, lists indented, plain where it is read back as the same text.

use std::fmt::Write;

use super::super::attributes::Shape;
use super::super::date;
use super::super::node::{Kind, Map, Node};
use super::super::scalar;
use super::{View, escape, is_empty_section};

/// The tree as YAML. `typed` leaves out what is empty at the top level.
pub fn print(root: &Node, shape: &Shape, typed: bool) -> String {
    let mut out = String::new();
    if let Kind::Map(map) = &root.kind {
        let members = View { node: root, shape }.members(map, typed);
        for (key, view) in members {
            if !(typed && is_empty_section(key, view.node)) {
                Writer { out: &mut out, typed }.member(key, &view, 0);
            }
        }
    }
    out
}

struct Writer<'a> {
    out: &'a mut String,
    typed: bool,
}

impl Writer<'_> {
    fn member(&mut self, key: &str, view: &View<'_>, depth: usize) {
        indent(self.out, depth);
        self.out.push_str(&text(&escape(key, self.typed), true));
        self.out.push(':');
        self.value(view, depth);
    }

    /// Writes what stands behind a key or a dash; `depth` is that of the line.
    fn value(&mut self, view: &View<'_>, depth: usize) {
        match &view.node.kind {
            Kind::Map(map) if map.is_empty() => self.out.push_str(" {}\n"),
            Kind::List(list) if list.is_empty() => self.out.push_str(" []\n"),
            Kind::Map(map) => {
                self.out.push('\n');
                self.mapping(view, map, depth + 1);
            }
            Kind::List(list) => {
                self.out.push('\n');
                self.sequence(view, list, depth + 1);
            }
            _ => {
                self.out.push(' ');
                self.scalar(view.node, depth + 1);
            }
        }
    }

    fn mapping(&mut self, view: &View<'_>, map: &Map, depth: usize) {
        for (key, view) in view.members(map, self.typed) {
            self.member(key, &view, depth);
        }
    }

    fn sequence(&mut self, view: &View<'_>, list: &[Node], depth: usize) {
        for item in view.items(list, self.typed) {
            indent(self.out, depth);
            self.out.push('-');
            let mut block = String::new();
            let mut inner = Writer { out: &mut block, typed: self.typed };
            match &item.node.kind {
                Kind::Map(map) if !map.is_empty() => inner.mapping(&item, map, depth + 1),
                Kind::List(list) if !list.is_empty() => inner.sequence(&item, list, depth + 1),
                _ => {
                    self.value(&item, depth);
                    continue;
                }
            }
            // The first member stands on the line of the dash.
            self.out.push(' ');
            self.out.push_str(block.trim_start_matches(' '));
        }
    }

    fn scalar(&mut self, node: &Node, depth: usize) {
        match &node.kind {
            Kind::Str(value) => {
                let value = escape(value, self.typed);
                if value.contains('\n') && is_block(&value) {
                    block(self.out, &value, depth);
                    return;
                }
                self.out.push_str(&text(&value, false));
            }
            Kind::Date(text) => self.out.push_str(&date::printed(text)),
            Kind::Null => self.out.push_str("null"),
            Kind::Float(f) if f.is_infinite() => self.out.push_str(if *f > 0.0 { ".inf" } else { "-.inf" }),
            Kind::Float(f) if f.is_nan() => self.out.push_str(".nan"),
            kind => self.out.push_str(&scalar::text(kind).unwrap_or_default()),
        }
        self.out.push('\n');
    }
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Can a text of several lines be written as a block?
fn is_block(text: &str) -> bool {
    !text.ends_with(' ')
        && !text.contains(" \n")
        && text.chars().all(|c| c == '\n' || !is_special(c))
        && !text.split('\n').any(|l| l.ends_with('\r'))
}

fn is_special(c: char) -> bool {
    (c.is_control() && c != '\t')
        || c > '\u{ffff}'
        || ('\u{fffe}'..='\u{ffff}').contains(&c)
        || c == '\u{feff}'
        || c == '\u{85}'
}

fn block(out: &mut String, text: &str, depth: usize) {
    let body = text.trim_end_matches('\n');
    out.push('|');
    if text.starts_with([' ', '\n']) {
        out.push('2');
    }
    match text.len() - body.len() {
        0 => out.push('-'),
        1 if !body.is_empty() => {}
        _ => out.push('+'),
    }
    out.push('\n');
    let lines = text.strip_suffix('\n').unwrap_or(text);
    for line in lines.split('\n') {
        if !line.is_empty() {
            indent(out, depth);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// A text on one line: plain, in single quotes or in double quotes.
fn text(value: &str, is_key: bool) -> String {
    if value.chars().any(|c| is_special(c) || c == '\n' || c == '\t') {
        return double(value);
    }
    if !matches!(scalar::plain(value), Kind::Str(_))
        || is_old_bool(value)
        || is_base60(value)
        || (is_key && value == "<<")
    {
        return double(value);
    }
    if is_plain(value) { value.to_owned() } else { format!("'{}'", value.replace('\'', "''")) }
}

/// Words and times that older YAML takes for booleans and numbers.
fn is_old_bool(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "y" | "yes" | "on" | "n" | "no" | "off")
}

fn is_base60(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = body.split(':');
    let first = parts.next().unwrap_or_default();
    let number =
        |t: &str| t.starts_with(|c: char| c.is_ascii_digit()) && t.chars().all(|c| c.is_ascii_digit() || c == '_');
    let rest: Vec<&str> = parts.collect();
    let last_ok = |t: &str| {
        let t = t.split('.').next().unwrap_or_default();
        matches!(t.len(), 1 | 2) && t.chars().all(|c| c.is_ascii_digit()) && (t.len() == 1 || t.as_bytes()[0] < b'6')
    };
    number(first) && !rest.is_empty() && rest.iter().all(|part| last_ok(part))
}

fn is_plain(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().unwrap_or(' ');
    let second = chars.next();
    let starts_badly = match first {
        '-' | '?' | ':' => second.is_none_or(char::is_whitespace),
        c => c.is_whitespace() || ",[]{}#&*!|>'\"%@`".contains(c),
    };
    !(starts_badly
        || text.ends_with([' ', '\t', ':'])
        || text.contains(": ")
        || text.contains(":\t")
        || text.contains(" #")
        || text.contains("\t#")
        || text.starts_with("---")
        || text.starts_with("..."))
}

fn double(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_special(c) => match u32::from(c) {
                code @ 0..=0xff => {
                    let _ = write!(out, "\\x{code:02X}");
                }
                code @ 0x100..=0xffff => {
                    let _ = write!(out, "\\u{code:04X}");
                }
                code => {
                    let _ = write!(out, "\\U{code:08X}");
                }
            },
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
