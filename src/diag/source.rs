//! Texts that diagnostics point into.

use std::sync::{Arc, OnceLock};

/// A file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FileId(u32);

/// A piece of a file, in bytes. The default one is no place at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span {
    /// Which file; 0: none.
    file: FileId,
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

impl Span {
    /// A piece of a file.
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let cut = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { file, start: cut(start), end: cut(end) }
    }

    /// Does it point anywhere?
    pub fn is_known(self) -> bool {
        self.file.0 != 0
    }

    /// Do the two have a byte in common, or one place?
    pub fn meets(self, other: Span) -> bool {
        let one = self.file == other.file;
        one && (self.start < other.end && other.start < self.end || self.start == other.start)
    }

    /// A part of it, counted from its start.
    pub fn part(self, start: usize, end: usize) -> Self {
        let base = self.start as usize;
        let part = Self::new(self.file, base + start, base + end);
        Self { end: part.end.min(self.end), ..part }
    }

    /// The file.
    pub fn file(self) -> FileId {
        self.file
    }
}

/// A place as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The file's name.
    pub file: &'a str,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The whole line, without its end.
    pub text: &'a str,
    /// How many characters of the line the span covers, at least 1.
    pub width: usize,
}

/// The texts; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<Arc<Source>>,
}

#[derive(Debug)]
struct Source {
    name: String,
    text: String,
    /// Where lines begin; found when a place is first asked for.
    lines: OnceLock<Vec<usize>>,
}

impl Source {
    /// The line that a byte stands in, from 0, and where it begins.
    fn line(&self, at: usize) -> (usize, usize) {
        let lines = self.lines.get_or_init(|| {
            let ends = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        });
        let line = lines.partition_point(|start| *start <= at) - 1;
        (line, lines[line])
    }
}

impl SourceMap {
    /// Adds a text under the name that people know it by.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        self.files.push(Arc::new(Source { name: name.into(), text: text.into(), lines: OnceLock::new() }));
        FileId(u32::try_from(self.files.len()).unwrap_or_default())
    }

    /// Gives files other names, where `name` knows one.
    pub fn rename(&mut self, name: impl Fn(&str) -> Option<String>) {
        for source in &mut self.files {
            if let Some(name) = name(&source.name) {
                let text = source.text.clone();
                *source = Arc::new(Source { name, text, lines: OnceLock::new() });
            }
        }
    }

    /// The name of a file.
    pub fn name(&self, file: FileId) -> Option<&str> {
        self.get(file).map(|source| source.name.as_str())
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> Option<&str> {
        self.get(file).map(|source| source.text.as_str())
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        let index = (file.0 as usize).checked_sub(1)?;
        self.files.get(index).map(Arc::as_ref)
    }

    /// Where a span begins, as people count.
    pub fn place(&self, span: Span) -> Option<Place<'_>> {
        let source = self.get(span.file)?;
        let floor = |mut at: usize| {
            while !source.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = floor((span.start as usize).min(source.text.len()));
        let (line, line_start) = source.line(start);
        let line_end = source.text[start..].find('\n').map_or(source.text.len(), |at| start + at);
        let end = floor((span.end as usize).clamp(start, line_end));
        Some(Place {
            file: &source.name,
            line: line + 1,
            column: source.text[line_start..start].chars().count() + 1,
            text: source.text[line_start..line_end].trim_end_matches('\r'),
            width: source.text[start..end].trim_end().chars().count().max(1),
        })
    }
}
