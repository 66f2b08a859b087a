//! What is told to people about their files: a message, the place, what to do. [`render`] draws it, [`Diagnostic::to_json`]
//! gives it to programs.

mod code;
mod render;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;

pub use code::Code;
pub use render::render;
pub use source::{FileId, Place, SourceMap, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot go on.
    Error,
    /// It goes on.
    Warning,
}

/// A place and what to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A few words, or nothing.
    pub text: String,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Which kind of message; it says how bad it is too.
    pub code: Code,
    /// One line: what is wrong with what.
    pub message: String,
    /// Where; the first is the main place, the others are what it has to do with.
    pub labels: Vec<Label>,
    /// What has to do with it, such as where a value came from.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// Told once for each change of the project, not by every verb that reads its files.
    pub once: bool,
}

impl Diagnostic {
    /// A message without a place yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), labels: Vec::new(), notes: Vec::new(), help: None, once: false }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Is it an error?
    pub fn is_error(&self) -> bool {
        self.severity() == Severity::Error
    }

    /// Adds something to know, such as where a value came from.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds a place.
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        if span.is_known() {
            self.labels.push(Label { span, text: text.into() });
        }
        self
    }

    /// Told once for each change of the project.
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Adds what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds `did you mean …?` when one of the known words is near.
    pub fn did_you_mean<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, known) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// The main place.
    pub fn span(&self) -> Option<Span> {
        self.labels.first().map(|label| label.span)
    }

    /// For programs: code, severity, message, places (file, line, column, width in characters), notes and help.
    pub fn to_json(&self, sources: &SourceMap) -> serde_json::Value {
        let labels = self.labels.iter().map(|label| {
            let place = sources.place(label.span);
            serde_json::json!({
                "file": place.as_ref().map(|p| p.file), "line": place.as_ref().map(|p| p.line),
                "column": place.as_ref().map(|p| p.column), "width": place.as_ref().map(|p| p.width),
                "text": label.text,
            })
        });
        serde_json::json!({
            "code": self.code.number(), "severity": self.severity().to_string(), "message": self.message,
            "labels": labels.collect::<Vec<_>>(), "notes": self.notes, "help": self.help,
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// The known word that a mistyped one most probably stands for.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    // A word of one letter is near to every other one.
    let limit = (1 + length / 4).min(length.saturating_sub(1));
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many are shown at once: nobody reads more, and a file made to hurt has millions.
const SHOWN: usize = 200;

/// All that is wrong, with the texts it points into. As an error it prints itself in the look of [`render`].
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// In the order of the files.
    pub list: Vec<Diagnostic>,
    /// The texts.
    pub sources: SourceMap,
}

impl Diagnostics {
    /// Sorts by place, drops repetitions.
    pub fn new(mut list: Vec<Diagnostic>, sources: SourceMap) -> Self {
        list.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.severity(), d.span().unwrap_or_default());
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        list.dedup();
        Self { list, sources }
    }

    /// Is one of them an error?
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }

    /// The JSON Schema of [`Diagnostics::to_json`].
    pub fn json_schema() -> serde_json::Value {
        let text = || serde_json::json!({ "type": "string" });
        let number =
            || serde_json::json!({ "type": ["integer", "null"], "description": "from 1; null without a place" });
        let object = |properties: serde_json::Value| {
            let required: Vec<String> =
                properties.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
            serde_json::json!({
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
            })
        };
        let label = object(serde_json::json!({
            "file": { "type": ["string", "null"] }, "line": number(), "column": number(), "width": number(), "text": text(),
        }));
        let one = object(serde_json::json!({
            "code": { "type": "string", "enum": Code::ALL.iter().map(|code| code.number()).collect::<Vec<_>>() },
            "severity": { "enum": ["error", "warning"] }, "message": text(),
            "labels": { "type": "array", "items": label, "description": "the first is the main place" },
            "notes": { "type": "array", "items": text() }, "help": { "type": ["string", "null"] },
        }));
        let mut whole = object(serde_json::json!({ "diagnostics": { "type": "array", "items": one } }));
        whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        whole["title"] = "Diagnostics of windlass".into();
        whole
    }

    /// For programs: `{"diagnostics": […]}`.
    pub fn to_json(&self) -> serde_json::Value {
        let list: Vec<_> = self.list.iter().take(SHOWN).map(|d| d.to_json(&self.sources)).collect();
        serde_json::json!({ "diagnostics": list })
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.list.iter().take(SHOWN).enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&render(diagnostic, &self.sources))?;
        }
        match self.list.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}
