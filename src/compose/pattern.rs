//! Patterns as in a `.dockerignore` file, which are not those of a `.gitignore`: anchored at their folder, Go's
//! `filepath.Match` with `**` in addition, `!` takes back, the last one that matches wins, and what matches a folder
//! matches all below it.

use std::path::{Component, Path, PathBuf};

use regex::bytes::Regex;

/// A pattern that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no pattern: {why}")]
pub struct PatternError {
    /// As it was written.
    pub pattern: String,
    /// What is wrong.
    pub why: String,
}

/// Patterns in their order.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    list: Vec<Pattern>,
    /// All of them as one, where none takes anything back: asked once a path, not once a pattern.
    any: Option<Regex>,
}

#[derive(Clone, Debug)]
struct Pattern {
    regex: Regex,
    /// `!`: what it matches is not matched any more.
    takes_back: bool,
    /// Its first components, up to the first that has a wildcard in it.
    fixed: PathBuf,
    /// No component has a wildcard.
    whole: bool,
}

impl Patterns {
    /// Patterns of a list in a compose file.
    ///
    /// # Errors
    /// The first that is none.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, PatternError> {
        let parsed = patterns.into_iter().filter_map(|text| parse(text.as_ref().trim()).transpose());
        let list: Vec<Pattern> = parsed.collect::<Result<_, _>>()?;
        let each = || list.iter().map(|pattern| pattern.regex.as_str());
        let only_adds = !list.iter().any(|pattern| pattern.takes_back);
        // One that is too large as a whole is asked pattern by pattern.
        let any = Regex::new(&each().collect::<Vec<_>>().join("|")).ok().filter(|_| only_adds && !list.is_empty());
        Ok(Self { list, any })
    }

    /// The text of a `.dockerignore`: a pattern a line; a line that begins with `#` is a comment.
    ///
    /// # Errors
    /// The first line that is no pattern.
    pub fn of_file(text: &str) -> Result<Self, PatternError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self::new(text.lines().filter(|line| !line.starts_with('#')))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether a path, relative to the patterns' folder, or a folder above it, is matched.
    pub fn matches(&self, path: &Path) -> bool {
        if let Some(any) = &self.any {
            return path.ancestors().any(|path| is_match(any, path));
        }
        let mut matched = false;
        for pattern in &self.list {
            // A pattern that could not change the answer is not asked.
            if pattern.takes_back == matched && path.ancestors().any(|path| is_match(&pattern.regex, path)) {
                matched = !pattern.takes_back;
            }
        }
        matched
    }

    /// Whether a folder and all that can ever be in it is matched, so that nobody has to look into it.
    pub fn covers(&self, folder: &Path) -> bool {
        self.matches(folder) && !self.list.iter().any(|pattern| pattern.takes_back && pattern.may_match_below(folder))
    }

    /// Whether anything below a folder may be matched, or the folder is itself.
    pub fn may_match_below(&self, folder: &Path) -> bool {
        self.matches(folder) || self.list.iter().any(|pattern| !pattern.takes_back && pattern.may_match_below(folder))
    }
}

impl Pattern {
    fn may_match_below(&self, folder: &Path) -> bool {
        if self.whole {
            self.fixed.starts_with(folder)
        } else {
            self.fixed.starts_with(folder) || folder.starts_with(&self.fixed)
        }
    }
}

fn is_match(regex: &Regex, path: &Path) -> bool {
    !path.as_os_str().is_empty() && regex.is_match(path.as_os_str().as_encoded_bytes())
}

/// One pattern; `None`: an empty one, which is none.
fn parse(text: &str) -> Result<Option<Pattern>, PatternError> {
    let error = |why: String| PatternError { pattern: text.to_owned(), why };
    let (takes_back, rest) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    if takes_back && rest.is_empty() {
        return Err(error("there is nothing behind the `!`".to_owned()));
    }
    let cleaned = clean(rest);
    if rest.is_empty() || cleaned.is_empty() {
        return Ok(None);
    }
    let expression = expression(&cleaned).map_err(|why| error(why.to_owned()))?;
    let regex = Regex::new(&expression).map_err(|_| error("its `[…]` can't be understood".to_owned()))?;
    let is_fixed = |part: &&str| !part.contains(['*', '?', '[', '\\']);
    let parts: Vec<&str> = cleaned.split('/').collect();
    let fixed: Vec<&str> = parts.iter().copied().take_while(is_fixed).collect();
    Ok(Some(Pattern { regex, takes_back, whole: fixed.len() == parts.len(), fixed: fixed.iter().collect() }))
}

/// As Go's `filepath.Clean`, and without a leading slash: patterns are relative to their folder anyway.
fn clean(text: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str().unwrap_or_default()),
            Component::ParentDir => match parts.last() {
                Some(&"..") | None => parts.push(".."),
                Some(_) => {
                    parts.pop();
                }
            },
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    parts.join("/")
}

/// The regular expression for a pattern: `**` crosses slashes and takes the one behind it along, `*` and `?` don't.
fn expression(pattern: &str) -> Result<String, &'static str> {
    let mut out = String::from(r"(?s-u:\A");
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                while chars.next_if_eq(&'*').is_some() {}
                chars.next_if_eq(&'/');
                out.push_str(if chars.peek().is_none() { ".*" } else { "(?:.*/)?" });
            }
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '[' => class(&mut chars, &mut out)?,
            '\\' => literal(chars.next().ok_or("nothing follows the `\\`")?, &mut out),
            c => literal(c, &mut out),
        }
    }
    out.push_str(r"\z)");
    Ok(out)
}

/// Text as bytes: the expression knows nothing of Unicode, as a path need not be of it.
fn literal(c: char, out: &mut String) {
    let mut buffer = [0; 4];
    for byte in c.encode_utf8(&mut buffer).bytes() {
        out.push_str(&format!(r"\x{byte:02x}"));
    }
}

/// `[a-z]`, `[^a-z]`, with `\` before what is meant literally.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Result<(), &'static str> {
    const OPEN: &str = "its `[` is never closed";
    let negated = chars.next_if_eq(&'^').is_some();
    // A slash is matched by none.
    out.push_str(if negated { "[^/" } else { "[" });
    let mut empty = true;
    loop {
        let low = match chars.next().ok_or(OPEN)? {
            ']' if !empty => break,
            ']' => return Err("its `[]` is empty"),
            '\\' => chars.next().ok_or(OPEN)?,
            c => c,
        };
        empty = false;
        single(low, out)?;
        if chars.next_if_eq(&'-').is_some() {
            let high = match chars.next().ok_or(OPEN)? {
                '\\' => chars.next().ok_or(OPEN)?,
                ']' => return Err("its `[…-]` has no end"),
                c => c,
            };
            out.push('-');
            single(high, out)?;
        }
    }
    out.push(']');
    Ok(())
}

fn single(c: char, out: &mut String) -> Result<(), &'static str> {
    if !c.is_ascii() {
        return Err("only ASCII can stand in `[…]`");
    }
    literal(c, out);
    Ok(())
}

#[cfg(test)]
mod tests;
