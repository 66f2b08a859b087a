//! The part of Go's templates that scripts use with `--format`: fields, strings, numbers, pipes and the functions of
//! [`FUNCTIONS`]. Anything else is an error that names it.

use serde_json::Value;

use super::table;

/// The functions that there are.
pub const FUNCTIONS: &[&str] =
    &["json", "upper", "lower", "title", "join", "split", "truncate", "pad", "println", "index", "len"];

/// A template, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Pipe(Vec<Vec<Word>>),
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Field(Vec<String>),
    Text(String),
    Number(i64),
    Name(String),
}

impl Template {
    /// Parses a template; `\t` and `\n` stand for tab and line end, as in docker.
    ///
    /// # Errors
    /// What is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, behind) = after.split_once("}}").ok_or("`{{` without `}}`")?;
            let (before, inside, behind) = trim(before, inside, behind);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if !inside.starts_with("/*") {
                parts.push(Part::Pipe(pipe(inside)?));
            }
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// Fills the template from one object.
    ///
    /// # Errors
    /// A field that the object does not have; a function with the wrong arguments.
    pub fn fill(&self, row: &Value) -> Result<String, String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Pipe(commands) => text.push_str(&display(&run(commands, row)?)),
            }
        }
        Ok(text)
    }

    /// Fills the template from each object, as a table with headings (`table TEMPLATE`).
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn table(&self, heading: impl Fn(&str) -> String, rows: &[Value]) -> Result<String, String> {
        let titles: Vec<String> = self.headings(heading).split('\t').map(ToOwned::to_owned).collect();
        let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
        let cells = rows
            .iter()
            .map(|row| Ok(self.fill(row)?.split('\t').map(ToOwned::to_owned).collect()))
            .collect::<Result<Vec<Vec<String>>, String>>()?;
        Ok(table::render(&titles, &cells))
    }

    fn headings(&self, heading: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Pipe(commands) => {
                    let field = commands.iter().flatten().find_map(|word| match word {
                        Word::Field(path) => path.last(),
                        _ => None,
                    });
                    text.push_str(&field.map(|field| heading(field)).unwrap_or_default());
                }
            }
        }
        text
    }
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

fn pipe(text: &str) -> Result<Vec<Vec<Word>>, String> {
    let mut commands = vec![Vec::new()];
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, behind) = match first {
            '|' => {
                commands.push(Vec::new());
                rest = rest[1..].trim_start();
                continue;
            }
            '"' | '`' => quoted(rest, first)?,
            _ => plain(rest)?,
        };
        if let Some(command) = commands.last_mut() {
            command.push(word);
        }
        rest = behind.trim_start();
    }
    if commands.iter().any(Vec::is_empty) { Err(format!("`{{{{{text}}}}}` is empty")) } else { Ok(commands) }
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
    let end = text.find(|ch: char| ch.is_whitespace() || ch == '|').unwrap_or(text.len());
    let (word, behind) = text.split_at(end);
    let parsed = if word == "." {
        Word::Field(Vec::new())
    } else if let Some(path) = word.strip_prefix('.') {
        Word::Field(path.split('.').map(ToOwned::to_owned).collect())
    } else if let Ok(number) = word.parse() {
        Word::Number(number)
    } else if FUNCTIONS.contains(&word) {
        Word::Name(word.to_owned())
    } else {
        return Err(format!(
            "`{word}` is not understood here; there are fields (`.Name`) and {}",
            FUNCTIONS.join(", ")
        ));
    };
    Ok((parsed, behind))
}

fn run(commands: &[Vec<Word>], row: &Value) -> Result<Value, String> {
    let mut carried: Option<Value> = None;
    for command in commands {
        let Some((first, rest)) = command.split_first() else { continue };
        let mut arguments = rest.iter().map(|word| value(word, row)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(carried.take());
        carried = Some(match first {
            Word::Name(name) => call(name, &arguments)?,
            // A method of docker's contexts: the value of one label.
            Word::Field(path) if path.last().is_some_and(|name| name == "Label") => label(row, &arguments),
            word if arguments.is_empty() => value(word, row)?,
            _ => return Err("only a function takes arguments".into()),
        });
    }
    Ok(carried.unwrap_or(Value::Null))
}

fn value(word: &Word, row: &Value) -> Result<Value, String> {
    match word {
        Word::Text(text) => Ok(Value::from(text.clone())),
        Word::Number(number) => Ok(Value::from(*number)),
        Word::Name(name) => call(name, &[]),
        Word::Field(path) => path.iter().try_fold(row.clone(), |value, name| match value.get(name) {
            Some(value) => Ok(value.clone()),
            None => Err(format!("there is no `.{name}` here; there are {}", names(&value))),
        }),
    }
}

fn names(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields.keys().map(|key| format!("`.{key}`")).collect::<Vec<_>>().join(", "),
        _ => "no fields".into(),
    }
}

fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let text = |at: usize| arguments.get(at).map(display).ok_or_else(|| format!("`{name}` needs an argument"));
    let number = |at: usize| {
        let number = arguments.get(at).and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| format!("`{name}` needs a number"))
    };
    Ok(match name {
        "json" => Value::from(arguments.first().map(ToString::to_string).ok_or("`json` needs an argument")?),
        "upper" => Value::from(text(0)?.to_uppercase()),
        "lower" => Value::from(text(0)?.to_lowercase()),
        "title" => Value::from(title(&text(0)?)),
        "println" => Value::from(arguments.iter().map(display).collect::<Vec<_>>().join(" ") + "\n"),
        "join" => match &arguments {
            [Value::Array(items), by] => Value::from(items.iter().map(display).collect::<Vec<_>>().join(&display(by))),
            _ => return Err("`join` needs a list and a text".into()),
        },
        "split" => Value::from(text(0)?.split(&text(1)?).map(ToOwned::to_owned).collect::<Vec<_>>()),
        "truncate" => Value::from(text(0)?.chars().take(number(1)?).collect::<String>()),
        "pad" => Value::from(format!("{}{}{}", " ".repeat(number(1)?), text(0)?, " ".repeat(number(2)?))),
        "index" => index(arguments)?,
        _ => Value::from(arguments.first().map_or(0, length)),
    })
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        value => display(value).len(),
    }
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let (first, keys) = arguments.split_first().ok_or("`index` needs a value")?;
    let mut found = first.clone();
    for key in keys {
        found = match key.as_u64().and_then(|at| usize::try_from(at).ok()) {
            Some(at) => found.get(at).cloned().ok_or_else(|| format!("`index`: there is no item {at}"))?,
            None => found.get(display(key)).cloned().unwrap_or(Value::Null),
        };
    }
    Ok(found)
}

/// The value of one label in docker's `a=b,c=d`.
fn label(row: &Value, arguments: &[Value]) -> Value {
    let (labels, wanted) = (row.get("Labels").map(display).unwrap_or_default(), arguments.first().map(display));
    let found =
        labels.split(',').filter_map(|pair| pair.split_once('=')).find(|(key, _)| Some(*key) == wanted.as_deref());
    Value::from(found.map(|(_, value)| value.to_owned()).unwrap_or_default())
}

/// A value as Go prints it.
pub fn display(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(display).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{}", display(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fill(template: &str) -> Result<String, String> {
        let row = json!({"ID": "abc", "Name": "web", "N": 3, "Labels": "a=1,b=2", "State": {"Status": "up"}, "L": ["x", "y"]});
        Template::parse(template)?.fill(&row)
    }

    #[test]
    fn the_forms_that_scripts_use() {
        let cases = [
            ("{{.ID}}", "abc"),
            ("{{ .ID }}\\t{{.Name}}", "abc\tweb"),
            ("{{json .ID}}", "\"abc\""),
            ("{{.Name | upper}}", "WEB"),
            ("{{upper .Name | json}}", "\"WEB\""),
            ("{{.Label \"b\"}}", "2"),
            ("{{.State.Status}}", "up"),
            ("{{join .L \",\"}}", "x,y"),
            ("{{truncate .ID 2}}", "ab"),
            ("{{index .L 1}}{{len .L}}", "y2"),
            ("{{.L}}", "[x y]"),
            ("a {{- .N -}} b", "a3b"),
            ("a {{- /* no */ -}} b", "ab"),
            ("{{println .ID .N}}", "abc 3\n"),
        ];
        for (template, text) in cases {
            assert_eq!(fill(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn the_whole_object_as_json() {
        assert_eq!(Template::parse("{{json .}}").and_then(|t| t.fill(&json!({"a": 1}))).as_deref(), Ok("{\"a\":1}"));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (template, message) in [
            ("{{range .}}", "`range`"),
            ("{{.Nam}}", "`.Nam`"),
            ("{{.ID", "without"),
            ("{{}}", "empty"),
            ("{{join .ID}}", "`join`"),
            ("{{\"a}}", "quote"),
        ] {
            let error = fill(template).expect_err(template);
            assert!(error.contains(message), "{template}: {error}");
        }
    }
}
