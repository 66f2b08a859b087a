//! Splits a command line into words as a shell does: quotes and backslashes, nothing is expanded or run (spec.md 10.10).

/// A command line, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words.
    pub list: Vec<String>,
    /// What stands from the first `;`, `&`, `|`, `<` or `>` on, which only a shell could carry out.
    pub rest: String,
}

#[derive(Default)]
struct State {
    words: Words,
    word: String,
    inside: bool,
    escaped: bool,
    /// The open quote: `'`, `"`, a backtick, or `(` for `$(`.
    quote: Option<char>,
}

/// The words of a command line. Fails on a quote that is not closed.
pub fn split(text: &str) -> Result<Words, String> {
    let mut state = State::default();
    for (at, c) in text.char_indices() {
        if !state.take(c).map_err(|problem| format!("{problem} in `{text}`"))? {
            text[at..].clone_into(&mut state.words.rest);
            break;
        }
    }
    if state.quote.is_some() || state.escaped {
        return Err(format!("a quote is not closed in `{text}`"));
    }
    state.end_word();
    Ok(state.words)
}

impl State {
    fn end_word(&mut self) {
        if self.inside {
            self.words.list.push(std::mem::take(&mut self.word));
        }
        self.inside = false;
    }

    fn push(&mut self, c: char) {
        self.word.push(c);
        self.inside = true;
    }

    /// Takes one character; `false` when only a shell could go on.
    fn take(&mut self, c: char) -> Result<bool, &'static str> {
        if self.escaped {
            self.escaped = false;
            self.push(c);
            return Ok(true);
        }
        match (c, self.quote) {
            ('\'', Some('\'')) | ('"', Some('"')) => {
                self.quote = None;
                self.inside = true;
            }
            (c, Some('\'')) => self.push(c),
            ('\\', _) => self.escaped = true,
            ('`', Some('`')) | (')', Some('(')) => {
                self.quote = None;
                self.push(c);
            }
            (c, Some(_)) => self.push(c),
            ('\'' | '"', None) => {
                self.quote = Some(c);
                self.inside = true;
            }
            ('`', None) => {
                self.quote = Some(c);
                self.push(c);
            }
            ('(', None) if self.word.ends_with('$') => {
                self.quote = Some(c);
                self.push(c);
            }
            ('(' | ')', None) => return Err("a bracket needs quotes"),
            (';' | '&' | '|' | '<' | '>', None) => {
                // The number of a redirection belongs to it.
                if c == '>' && self.word.starts_with(|c: char| c.is_ascii_digit()) {
                    self.word.clear();
                    self.inside = false;
                }
                return Ok(false);
            }
            (c, None) if c.is_whitespace() => self.end_word(),
            (c, None) => self.push(c),
        }
        Ok(true)
    }
}
