//! `.env` files, `--env-file` and `env_file` (spec.md 10.6).

use std::collections::BTreeMap;

use super::template::{self, Lookup, TemplateError};

/// What is wrong with an env file, and in which line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct DotenvError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dotenv {
    /// Its values.
    pub values: BTreeMap<String, String>,
    /// The lines that they stand in, from 1.
    pub lines: BTreeMap<String, usize>,
    /// Variables that its values use and nobody sets.
    pub unset: Vec<String>,
}

/// Values of a file in compose's own dialect. `lookup` is asked first for variables in values and for keys without one.
pub fn parse(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Dotenv, DotenvError> {
    let mut file =
        File { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, found: Dotenv::default(), lookup };
    while file.skip_to_statement() {
        file.statement()?;
    }
    Ok(file.found)
}

/// Values of a file in the dialect of `docker run --env-file` (`format: raw`): no quotes, no variables, no `export`.
pub fn parse_raw(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Dotenv, DotenvError> {
    let mut values = BTreeMap::new();
    for (at, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').map_or((line, None), |(key, value)| (key, Some(value)));
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(DotenvError { line: at + 1, problem: format!("`{key}` is no name of a variable") });
        }
        if let Some(value) = value.map(str::to_owned).or_else(|| lookup(key)) {
            values.insert(key.to_owned(), value);
        }
    }
    Ok(Dotenv { values, ..Dotenv::default() })
}

struct File<'a> {
    rest: &'a str,
    line: usize,
    found: Dotenv,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> File<'a> {
    fn error(&self, problem: impl Into<String>) -> DotenvError {
        DotenvError { line: self.line, problem: problem.into() }
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

    fn statement(&mut self) -> Result<(), DotenvError> {
        if let Some(rest) = self.rest.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])) {
            let skipped = self.rest.len() - rest.trim_start_matches([' ', '\t']).len();
            self.take(skipped);
        }
        let end = self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len());
        let key = self.rest[..end].trim();
        if let Some(bad) = key.chars().find(|c| !(c.is_alphanumeric() || "_.-[]".contains(*c))) {
            let problem = if bad.is_whitespace() { "a blank".to_owned() } else { format!("`{bad}`") };
            return Err(self.error(format!("{problem} stands in the name of a variable, `{key}`")));
        }
        let line = self.line;
        let inherited = !self.rest[end..].starts_with(['=', ':']);
        if key.is_empty() {
            return Err(self.error("a name is missing before the value"));
        }
        self.take((end + 1).min(self.rest.len()));
        let value = if inherited { (self.lookup)(key) } else { Some(self.value()?) };
        if let Some(value) = value {
            self.found.values.insert(key.to_owned(), value);
            self.found.lines.insert(key.to_owned(), line);
        }
        Ok(())
    }

    fn value(&mut self) -> Result<String, DotenvError> {
        let blanks = self.rest.len() - self.rest.trim_start_matches([' ', '\t', '\r']).len();
        self.take(blanks);
        match self.rest.as_bytes().first() {
            Some(b'"') => {
                let text = self.quoted('"')?;
                self.expand(&escapes(&text))
            }
            Some(b'\'') => self.quoted('\''),
            _ => {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                let line = &self.rest[..end];
                let value = line.split_once(" #").map_or(line, |(value, _)| value).trim_end();
                let value = self.expand(value)?;
                self.take(end);
                Ok(value)
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
        Err(self.error(format!("the quote {quote} is never closed")))
    }

    fn expand(&mut self, text: &str) -> Result<String, DotenvError> {
        let get = |name: &str| (self.lookup)(name).or_else(|| self.found.values.get(name).cloned());
        let mut lookup = Lookup::new(&get);
        let expanded = template::substitute(text, &mut lookup);
        let unset = lookup.unset;
        self.found.unset.extend(unset);
        // The value may be a secret, so the error does not repeat it.
        expanded.map_err(|error| match error {
            TemplateError::Invalid(_) => {
                self.error("a `$` in the value starts no valid variable; write `$$` for the sign itself")
            }
            required => self.error(required.to_string()),
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
