//! `.env` files, `--env-file` and `env_file` (spec.md 10.6).

use std::collections::BTreeMap;
use std::ops::Range;

use super::template::{self, Lookup, TemplateError};

/// What is wrong with an env file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct DotenvError {
    /// Its bytes.
    pub place: Range<usize>,
    /// What is wrong.
    pub problem: String,
}

/// Who is asked for the value of a name.
pub type Ask<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dotenv {
    /// Its values.
    pub values: BTreeMap<String, String>,
    /// The lines that they stand in, from 1.
    pub lines: BTreeMap<String, usize>,
    /// The bytes that its values stand in; those of the name where it has no value of its own.
    pub places: BTreeMap<String, Range<usize>>,
    /// Variables that its values use and nobody sets.
    pub unset: Vec<String>,
}

/// Values of a file in compose's own dialect. `lookup` is asked first for variables in values and for keys without one;
/// then the file itself, then those that were read before it, `earlier`.
///
/// # Errors
/// All that is wrong, in the order of the file; never nothing.
pub fn parse(text: &str, lookup: Ask<'_>, earlier: Ask<'_>) -> Result<Dotenv, Vec<DotenvError>> {
    let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut file = File { rest, end: text.len(), line: 1, found: Dotenv::default(), lookup, earlier };
    let mut errors = Vec::new();
    while file.skip_to_statement() {
        if let Err(error) = file.statement() {
            errors.push(error);
            file.skip_line();
        }
    }
    if errors.is_empty() { Ok(file.found) } else { Err(errors) }
}

/// Values of a file in the dialect of `docker run --env-file` (`format: raw`): no quotes, no variables, no `export`.
///
/// # Errors
/// As [`parse`].
pub fn parse_raw(text: &str, lookup: Ask<'_>) -> Result<Dotenv, Vec<DotenvError>> {
    let (mut found, mut errors) = (Dotenv::default(), Vec::new());
    let mut begin = text.len() - text.strip_prefix('\u{feff}').unwrap_or(text).len();
    for whole in text[begin..].split_inclusive('\n') {
        let line = whole.trim_end_matches(['\n', '\r']).trim_start();
        let at = begin + whole.len() - whole.trim_start().len();
        begin += whole.len();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value)));
        if key.is_empty() || key.contains(char::is_whitespace) {
            let place = at..at + key.len().max(1);
            errors.push(DotenvError { place, problem: format!("`{key}` is no name of a variable") });
            continue;
        }
        let place = value.map_or(at..at + key.len(), |value| at + line.len() - value.len()..at + line.len());
        if let Some(value) = value.map(str::to_owned).or_else(|| lookup(key)) {
            found.values.insert(key.to_owned(), value);
            found.places.insert(key.to_owned(), place);
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

struct File<'a> {
    rest: &'a str,
    /// How long the whole text is.
    end: usize,
    line: usize,
    found: Dotenv,
    lookup: Ask<'a>,
    earlier: Ask<'a>,
}

impl<'a> File<'a> {
    /// Where what is left begins.
    fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    /// An error of so many bytes from here on.
    fn error(&self, length: usize, problem: impl Into<String>) -> DotenvError {
        DotenvError { place: self.at()..self.at() + length.max(1), problem: problem.into() }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Goes past blanks and comments; `false` at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start().len();
            self.take(blanks);
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            let comment = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(comment);
        }
    }

    fn skip_line(&mut self) {
        let line = self.rest.find('\n').unwrap_or(self.rest.len());
        self.take(line);
    }

    /// An error in a name. Goes to the end of its value, which may have several lines.
    fn bad_name(&mut self, length: usize, problem: impl Into<String>) -> DotenvError {
        let error = self.error(length, problem);
        if let Some(sign) = self.rest.find(['=', ':', '\n']).filter(|at| !self.rest[*at..].starts_with('\n')) {
            self.take(sign + 1);
            self.skip_blanks();
            if let Some(quote) = self.rest.chars().next().filter(|first| ['"', '\''].contains(first)) {
                // That it is never closed would only be told once more.
                let _ = self.quoted(quote);
            }
        }
        error
    }

    fn statement(&mut self) -> Result<(), DotenvError> {
        if let Some(rest) = self.rest.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])) {
            let skipped = self.rest.len() - rest.trim_start_matches([' ', '\t']).len();
            self.take(skipped);
        }
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let key = self.rest[..end].trim();
        if let Some(bad) = key.chars().find(|c| !(c.is_alphanumeric() || "_.-[]".contains(*c))) {
            let before = key.find(bad).unwrap_or_default();
            self.take(before);
            let problem = if bad.is_whitespace() { "a blank".to_owned() } else { format!("`{bad}`") };
            return Err(self.bad_name(bad.len_utf8(), format!("{problem} stands in the name of a variable, `{key}`")));
        }
        let (line, mut place) = (self.line, self.at()..self.at() + key.len());
        let inherited = !self.rest[end..].starts_with(['=', ':']);
        self.take((end + 1).min(self.rest.len()));
        let value = if inherited {
            (self.lookup)(key)
        } else {
            self.skip_blanks();
            place = self.at()..self.end;
            let plain = !self.rest.starts_with(['"', '\'']);
            let value = self.value()?;
            place.end = self.at();
            if plain {
                // A comment, or blanks.
                self.skip_line();
            }
            Some(value)
        };
        if let Some(value) = value {
            self.found.values.insert(key.to_owned(), value);
            self.found.lines.insert(key.to_owned(), line);
            self.found.places.insert(key.to_owned(), place);
        }
        Ok(())
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r']).len();
        self.take(blanks);
    }

    fn value(&mut self) -> Result<String, DotenvError> {
        match self.rest.as_bytes().first() {
            Some(b'"') => {
                let whole = self.rest;
                let text = self.quoted('"')?;
                let raw = &whole[..whole.len() - self.rest.len()];
                self.expand(&escapes(&text), raw, self.at() - raw.len())
            }
            Some(b'\'') => self.quoted('\''),
            _ => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                let line = &self.rest[..end];
                let value = line.split_once(" #").map_or(line, |(value, _)| value).trim_end();
                let expanded = self.expand(value, value, self.at())?;
                self.take(value.len());
                Ok(expanded)
            }
        }
    }

    /// Text up to the closing quote; only the quote itself can be escaped here.
    fn quoted(&mut self, quote: char) -> Result<String, DotenvError> {
        let mut out = String::new();
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            if c == quote && !escaped {
                self.take(at + 1);
                return Ok(out);
            }
            if c == '\\' && !escaped {
                escaped = true;
                continue;
            }
            if escaped && c != quote {
                out.push('\\');
            }
            escaped = false;
            out.push(c);
        }
        let line = self.rest.find(['\r', '\n']).unwrap_or(self.rest.len());
        Err(self.error(line, format!("the quote {quote} is never closed")))
    }

    /// The text with its variables replaced; `raw` is what stands for it in the file, from byte `at` on.
    fn expand(&mut self, text: &str, raw: &str, at: usize) -> Result<String, DotenvError> {
        let own = |name: &str| self.found.values.get(name).cloned();
        let get = |name: &str| (self.lookup)(name).or_else(|| own(name)).or_else(|| (self.earlier)(name));
        let mut lookup = Lookup::new(&get);
        let expanded = template::substitute(text, &mut lookup);
        let unset = lookup.unset;
        self.found.unset.extend(unset);
        let place = |word: &str| match raw.find(word) {
            Some(found) => at + found..at + found + word.len(),
            None => at..at + raw.find('\n').unwrap_or(raw.len()).max(1),
        };
        // The value may be a secret, so the error does not repeat it.
        expanded.map_err(|error| match &error {
            TemplateError::Invalid(text) => DotenvError {
                place: place(text),
                problem: "a `$` in the value starts no valid variable; write `$$` for the sign itself".to_owned(),
            },
            TemplateError::Required { name, .. } => DotenvError { place: place(name), problem: error.to_string() },
        })
    }
}

/// Escape sequences of double quotes; `\$` becomes `$$`, which interpolation turns into one dollar sign.
fn escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (replacement, used) = match after.as_bytes().first() {
            Some(b'$') => ("$$".to_owned(), 1),
            Some(b'a') => ("\u{7}".to_owned(), 1),
            Some(b'b') => ("\u{8}".to_owned(), 1),
            Some(b'c') => (String::new(), 1),
            Some(b'f') => ("\u{c}".to_owned(), 1),
            Some(b'n') => ("\n".to_owned(), 1),
            Some(b'r') => ("\r".to_owned(), 1),
            Some(b't') => ("\t".to_owned(), 1),
            Some(b'v') => ("\u{b}".to_owned(), 1),
            Some(b'"') => ("\"".to_owned(), 1),
            Some(b'\\') => ("\\".to_owned(), 1),
            Some(b'0') => octal(after),
            _ => ("\\".to_owned(), 0),
        };
        out.push_str(&replacement);
        rest = &after[used..];
    }
    out + rest
}

/// `0` and up to three octal digits: one character.
fn octal(text: &str) -> (String, usize) {
    let digits = text[1..].bytes().take(3).take_while(|b| (b'0'..b'8').contains(b)).count();
    let code = u32::from_str_radix(&text[..=digits], 8).unwrap_or(0);
    (char::from_u32(code).map(String::from).unwrap_or_default(), digits + 1)
}
