//! `$VAR` and `${VAR:-default}` in one text (spec.md 10.1).

use std::collections::BTreeMap;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error("`{0}` is no valid use of a variable")]
    Invalid(String),
    /// `${VAR:?text}` and it is not there.
    #[error("the variable `{name}` must be set{}", if text.is_empty() { String::new() } else { format!(": {text}") })]
    Required {
        /// The variable.
        name: String,
        /// What the file says about it.
        text: String,
    },
}

/// How a text uses a variable; for `config --variables`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// It must be set.
    pub required: bool,
    /// Text behind `-` or `:-`.
    pub default: String,
    /// Text behind `+` or `:+`.
    pub alternate: String,
}

/// Where variables come from, and which of them were asked for in vain.
pub struct Lookup<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    /// Names without a value and without a default.
    pub unset: Vec<String>,
    /// The variables that decided about the text, in their order.
    pub uses: Vec<(String, Taken)>,
    /// How many defaults are open inside each other.
    depth: usize,
}

/// What was taken for a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its value.
    Value,
    /// The default of the file, as it has none.
    Default,
    /// Nothing: it has neither.
    Nothing,
}

/// How deep defaults may be nested.
const DEEPEST: usize = 64;

impl<'a> Lookup<'a> {
    /// Takes values from this function.
    pub fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, unset: Vec::new(), uses: Vec::new(), depth: 0 }
    }
}

/// The text with its variables replaced.
pub fn substitute(text: &str, lookup: &mut Lookup<'_>) -> Result<String, TemplateError> {
    if lookup.depth > DEEPEST {
        return Err(TemplateError::Invalid("more than 64 defaults inside each other".to_owned()));
    }
    lookup.depth += 1;
    let mut out = String::with_capacity(text.len());
    for piece in Pieces(text) {
        match piece? {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable { name, operator: None } => match (lookup.get)(name) {
                Some(value) => {
                    lookup.uses.push((name.to_owned(), Taken::Value));
                    out.push_str(&value);
                }
                None => {
                    lookup.uses.push((name.to_owned(), Taken::Nothing));
                    lookup.unset.push(name.to_owned());
                }
            },
            Piece::Variable { name, operator: Some(operator) } => out.push_str(&apply(name, &operator, lookup)?),
        }
    }
    lookup.depth -= 1;
    Ok(out)
}

/// The variables that a text uses.
pub fn variables(text: &str, found: &mut BTreeMap<String, Use>) {
    nested_variables(text, found, 0);
}

fn nested_variables(text: &str, found: &mut BTreeMap<String, Use>, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    for piece in Pieces(text) {
        let Ok(Piece::Variable { name, operator }) = piece else { continue };
        let entry = found.entry(name.to_owned()).or_default();
        let Some(operator) = operator else { continue };
        match operator.kind {
            b'-' => operator.word.clone_into(&mut entry.default),
            b'+' => operator.word.clone_into(&mut entry.alternate),
            _ => entry.required = true,
        }
        nested_variables(operator.word, found, depth + 1);
    }
}

/// What stands for a variable with an operator. As in docker compose the text behind the operator must be right even where
/// it is not taken: a variable that is required inside a default is required.
fn apply(name: &str, operator: &Operator<'_>, lookup: &mut Lookup<'_>) -> Result<String, TemplateError> {
    let value = (lookup.get)(name);
    let there = value.as_ref().is_some_and(|value| !(operator.colon && value.is_empty()));
    let taken = if there { Taken::Value } else { Taken::Default };
    lookup.uses.push((name.to_owned(), taken));
    let (uses, unset) = (lookup.uses.len(), lookup.unset.len());
    let word = substitute(operator.word, lookup)?;
    match (operator.kind, there) {
        (b'+', true) | (b'-', false) => return Ok(word),
        (b'?', false) => return Err(TemplateError::Required { name: name.to_owned(), text: word }),
        _ => {}
    }
    // What is not taken decides nothing, and nobody is told what it lacks.
    lookup.uses.truncate(uses);
    lookup.unset.truncate(unset);
    match operator.kind {
        b'+' => Ok(String::new()),
        _ => Ok(value.unwrap_or_default()),
    }
}

struct Operator<'a> {
    /// `-`, `?` or `+`.
    kind: u8,
    /// Empty counts as unset.
    colon: bool,
    word: &'a str,
}

enum Piece<'a> {
    Text(&'a str),
    Variable { name: &'a str, operator: Option<Operator<'a>> },
}

/// Cuts a text into literal parts and variables.
struct Pieces<'a>(&'a str);

impl<'a> Pieces<'a> {
    fn literal(&mut self, shown: std::ops::Range<usize>, used: usize) -> Piece<'a> {
        let piece = Piece::Text(&self.0[shown]);
        self.0 = &self.0[used..];
        piece
    }

    fn braced(&mut self) -> Result<Piece<'a>, TemplateError> {
        let whole = self.0;
        let line = &whole[..whole.find('\n').unwrap_or(whole.len())];
        let end = closing_brace(line).ok_or_else(|| TemplateError::Invalid(line.to_owned()))?;
        let (inner, shown) = (&whole[2..end], &whole[..=end]);
        let invalid = || TemplateError::Invalid(shown.to_owned());
        let length = name_length(inner);
        let (name, rest) = inner.split_at(length);
        if name.is_empty() {
            return Err(invalid());
        }
        let (colon, sign) = match rest.strip_prefix(':') {
            Some(sign) => (true, sign),
            None => (false, rest),
        };
        let operator = match sign.as_bytes().first() {
            None if !colon => None,
            Some(kind @ (b'-' | b'?' | b'+')) => Some(Operator { kind: *kind, colon, word: &sign[1..] }),
            _ => return Err(invalid()),
        };
        self.0 = &whole[end + 1..];
        Ok(Piece::Variable { name, operator })
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, TemplateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some(dollar) = self.0.find('$') else { return Some(Ok(self.literal(0..self.0.len(), self.0.len()))) };
        if dollar > 0 {
            return Some(Ok(self.literal(0..dollar, dollar)));
        }
        match self.0.as_bytes().get(1) {
            Some(b'$') => Some(Ok(self.literal(0..1, 2))),
            Some(b'{') => {
                let piece = self.braced();
                if piece.is_err() {
                    self.0 = "";
                }
                Some(piece)
            }
            _ => match name_length(&self.0[1..]) {
                0 => Some(Ok(self.literal(0..1, 1))),
                length => {
                    let name = &self.0[1..=length];
                    self.0 = &self.0[length + 1..];
                    Some(Ok(Piece::Variable { name, operator: None }))
                }
            },
        }
    }
}

fn name_length(text: &str) -> usize {
    let length = text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    if text.as_bytes().first().is_some_and(u8::is_ascii_digit) { 0 } else { length }
}

/// Where the brace that opens the second character of a line is closed: braces inside are counted, and where they do not
/// fit together, the line's last one closes it. As docker compose counts, a brace right behind one that opens says nothing.
fn closing_brace(line: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut bytes = line.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' => {
                open += 1;
                bytes.next();
            }
            b'}' => {
                open = open.saturating_sub(1);
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    line.rfind('}')
}
