//! From the text of a template to its nodes.

use super::function::FUNCTIONS;
use super::{Node, Pipe, Word};

/// What there is between two `{{ }}`, and what follows the last.
pub struct Parser<'a> {
    rest: &'a str,
}

/// What ends a list of nodes.
enum Until {
    Text,
    End,
    /// `else`, and what may follow it.
    Else(String),
}

impl<'a> Parser<'a> {
    /// For a text in which `\t` and `\n` are replaced.
    pub fn new(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The nodes of the whole text.
    ///
    /// # Errors
    /// What is not understood.
    pub fn nodes(mut self) -> Result<Vec<Node>, String> {
        match self.list()? {
            (nodes, Until::Text) => Ok(nodes),
            (_, Until::End) => Err("`{{end}}` without `{{if}}`, `{{range}}` or `{{with}}`".into()),
            (_, Until::Else(_)) => Err("`{{else}}` without `{{if}}`, `{{range}}` or `{{with}}`".into()),
        }
    }

    fn list(&mut self) -> Result<(Vec<Node>, Until), String> {
        let mut nodes = Vec::new();
        while let Some((before, after)) = self.rest.split_once("{{") {
            let (inside, behind) = split(after).ok_or("`{{` without `}}`")?;
            let (before, inside, behind) = trim(before, inside, behind);
            if !before.is_empty() {
                nodes.push(Node::Text(before.to_owned()));
            }
            self.rest = behind;
            let (word, arguments) = inside.split_once(char::is_whitespace).unwrap_or((inside, ""));
            match word {
                _ if inside.starts_with("/*") => {}
                "end" => return Ok((nodes, Until::End)),
                "else" => return Ok((nodes, Until::Else(arguments.trim().to_owned()))),
                "if" | "with" | "range" => nodes.push(self.block(word, arguments)?),
                _ => nodes.push(Node::Pipe(pipe(inside)?)),
            }
        }
        if !self.rest.is_empty() {
            nodes.push(Node::Text(std::mem::take(&mut self.rest).to_owned()));
        }
        Ok((nodes, Until::Text))
    }

    /// A block, behind its first word.
    fn block(&mut self, word: &str, arguments: &str) -> Result<Node, String> {
        let (variables, over) = variables(word, arguments)?;
        let over = pipe(over).map_err(|error| format!("`{{{{{word}}}}}`: {error}"))?;
        let (body, end) = self.list()?;
        let otherwise = match end {
            Until::Text => return Err(format!("`{{{{{word}}}}}` without `{{{{end}}}}`")),
            Until::End => Vec::new(),
            Until::Else(more) => match more.split_once(char::is_whitespace) {
                Some((next @ ("if" | "with"), arguments)) => vec![self.block(next, arguments)?],
                None if more.is_empty() => match self.list()? {
                    (nodes, Until::End) => nodes,
                    _ => return Err("`{{else}}` without `{{end}}`".into()),
                },
                _ => return Err(format!("`{{{{else {more}}}}}` is not understood")),
            },
        };
        Ok(match word {
            "if" => Node::If { over, body, otherwise },
            "with" => Node::With { over, body, otherwise },
            _ => Node::Range { variables, over, body, otherwise },
        })
    }
}

/// What stands before the next `}}` that is in no quotes, and what behind it.
fn split(text: &str) -> Option<(&str, &str)> {
    let (mut quote, mut escaped) = (None, false);
    for (at, ch) in text.char_indices() {
        match quote {
            _ if escaped => escaped = false,
            Some('"') if ch == '\\' => escaped = true,
            Some(open) if ch == open => quote = None,
            Some(_) => {}
            None if ch == '"' || ch == '`' => quote = Some(ch),
            None if text[at..].starts_with("}}") => return Some((&text[..at], &text[at + 2..])),
            None => {}
        }
    }
    // A quote that does not end is told by its own message.
    text.split_once("}}")
}

/// `{{-` and `-}}` take the blanks beside them away.
fn trim<'a>(before: &'a str, inside: &'a str, behind: &'a str) -> (&'a str, &'a str, &'a str) {
    let (before, inside) = match inside.strip_prefix("- ") {
        Some(inside) => (before.trim_end(), inside),
        None => (before, inside),
    };
    match inside.strip_suffix(" -") {
        Some(inside) => (before, inside.trim(), behind.trim_start()),
        None => (before, inside.trim(), behind),
    }
}

/// The variables of `range $key, $value := …`, and the rest.
fn variables<'a>(word: &str, arguments: &'a str) -> Result<(Vec<String>, &'a str), String> {
    let Some((names, over)) = arguments.split_once(":=") else { return Ok((Vec::new(), arguments)) };
    let names: Option<Vec<String>> =
        names.split(',').map(|name| name.trim().strip_prefix('$').map(ToOwned::to_owned)).collect();
    match names {
        Some(names) if word == "range" && names.len() <= 2 && names.iter().all(|name| !name.is_empty()) => {
            Ok((names, over))
        }
        _ => Err(format!("`{{{{{word} {arguments}}}}}`: only `range` has variables, one or two")),
    }
}

fn pipe(text: &str) -> Result<Pipe, String> {
    match commands(text)? {
        (commands, "") => Ok(commands),
        (_, rest) => Err(format!("`{rest}`: a `)` without its `(`")),
    }
}

/// Up to the end, or to the `)` that ends it.
fn commands(text: &str) -> Result<(Pipe, &str), String> {
    let mut commands = vec![Vec::new()];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next().filter(|first| *first != ')') {
        let (word, behind) = match first {
            '|' => {
                commands.push(Vec::new());
                rest = rest[1..].trim_start();
                continue;
            }
            '(' => match self::commands(&rest[1..])? {
                (inner, behind) if behind.starts_with(')') => (Word::Nested(inner), &behind[1..]),
                _ => return Err(format!("`{rest}`: a `(` without its `)`")),
            },
            '"' | '`' => quoted(rest, first)?,
            _ => plain(rest)?,
        };
        if let Some(command) = commands.last_mut() {
            command.push(word);
        }
        rest = behind.trim_start();
    }
    if commands.iter().any(Vec::is_empty) {
        return Err(format!("`{{{{{text}}}}}` is empty"));
    }
    Ok((commands, rest))
}

fn quoted(text: &str, quote: char) -> Result<(Word, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, ch)) = chars.next() {
        match ch {
            '\\' if quote == '"' => match chars.next() {
                Some((_, 't')) => value.push('\t'),
                Some((_, 'n')) => value.push('\n'),
                Some((_, ch)) => value.push(ch),
                None => break,
            },
            ch if ch == quote => return Ok((Word::Text(value), &text[at + 1..])),
            ch => value.push(ch),
        }
    }
    Err(format!("`{text}`: a quote without its end"))
}

fn plain(text: &str) -> Result<(Word, &str), String> {
    let end = text.find(|ch: char| ch.is_whitespace() || "|()".contains(ch)).unwrap_or(text.len());
    let (word, behind) = text.split_at(end);
    let path = |text: &str| text.split('.').filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect();
    let parsed = if let Some(fields) = word.strip_prefix('.') {
        Word::Field(path(fields))
    } else if let Some(variable) = word.strip_prefix('$') {
        let (name, fields) = variable.split_once('.').unwrap_or((variable, ""));
        Word::Variable(name.to_owned(), path(fields))
    } else if let Ok(number) = word.parse() {
        Word::Number(number)
    } else if let "true" | "false" = word {
        Word::Truth(word == "true")
    } else if FUNCTIONS.contains(&word) {
        Word::Name(word.to_owned())
    } else {
        return Err(format!(
            "`{word}` is not understood here; there are fields (`.Name`), `if`, `range`, `with` and {}",
            FUNCTIONS.join(", ")
        ));
    };
    Ok((parsed, behind))
}
