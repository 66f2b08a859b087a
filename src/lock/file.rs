//! The text of a lock file: TOML, so that a review sees one line for each thing that moved.

use serde::Deserialize;

use super::{FILE, Lock, SCHEMA};
use crate::diag::{Code, Diagnostic, Diagnostics, FileId, SourceMap, Span, nearest};

const HEAD: &str = "\
# windlass.lock: made by `windlass lock`, to be committed beside the compose file. Not to be edited by hand:
# `windlass lock` adds and removes, `windlass lock --update [SERVICE...]` takes what the tags mean by then.
";

/// The text of a lock; the same lock gives the same text.
pub fn render(lock: &Lock) -> String {
    // Maps of texts and digests: there is nothing that TOML can't hold.
    let body = toml::to_string_pretty(lock).unwrap_or_default();
    format!("{HEAD}{body}")
}

/// Reads a lock; `name` is what people know the file by.
///
/// # Errors
/// What is wrong with it, at its place.
pub fn parse(name: &str, text: &str) -> Result<Lock, Diagnostics> {
    let mut sources = SourceMap::default();
    let file = sources.add(name, text);
    let parsed = version(file, text).and_then(|()| toml::from_str(text).map_err(|error| describe(file, text, &error)));
    parsed.map_err(|diagnostic| Diagnostics::new(vec![diagnostic], sources))
}

/// The version stands in front of all else: a newer file may mean other things by the same words.
fn version(file: FileId, text: &str) -> Result<(), Diagnostic> {
    #[derive(Deserialize)]
    struct Head {
        schema: Option<toml::Spanned<u32>>,
    }
    let head: Head = toml::from_str(text).map_err(|error| describe(file, text, &error))?;
    let Some(schema) = head.schema else {
        return Err(Diagnostic::new(
            Code::LockFile,
            format!("this is no lock file of windlass: it does not say `schema = {SCHEMA}`"),
        )
        .at(Span::new(file, 0, 0), "")
        .help(again()));
    };
    let span = Span::new(file, schema.span().start, schema.span().end);
    match schema.into_inner() {
        SCHEMA => Ok(()),
        0 => Err(Diagnostic::new(Code::LockFile, "a lock file's schema begins with 1").at(span, "").help(again())),
        newer => Err(Diagnostic::new(
            Code::LockFile,
            format!(
                "this lock file was written by a newer windlass: its schema is {newer}, this windlass knows {SCHEMA}"
            ),
        )
        .at(span, "")
        .help("use that windlass, or leave the file aside with `--no-lock`")),
    }
}

fn again() -> String {
    format!("take {FILE} from version control again, or remove it and run `windlass lock`")
}

fn describe(file: FileId, text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let message = error.message().lines().next().unwrap_or_default();
    let diagnostic = Diagnostic::new(Code::LockFile, format!("the lock file can't be read: {message}"));
    let diagnostic = diagnostic.at(Span::new(file, span.start, span.end), "");
    let word = text.get(span).unwrap_or_default();
    if text.lines().any(|line| line.starts_with("<<<<<<< ")) {
        return diagnostic.help("it is half merged: take either side whole, then run `windlass lock`");
    }
    match nearest(word, KEYS).filter(|key| *key != word) {
        Some(key) => diagnostic.help(format!("did you mean `{key}`?")),
        None => diagnostic.help(again()),
    }
}

/// The keys of a lock file.
const KEYS: [&str; 10] =
    ["schema", "windlass", "variables", "env_files", "remotes", "configs", "builds", "images", "digest", "platforms"];
