//! The part of Go's templates that scripts use with `--format`: fields, strings, numbers, pipes, `if`, `range`, `with` and the
//! functions of [`FUNCTIONS`]. Anything else is an error that names it.

mod function;
mod parse;

use serde_json::Value;

pub use function::{FUNCTIONS, display};

use super::{plain, table};
use function::{call, is_true, label};

/// A template, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Pipe(Pipe),
    If { over: Pipe, body: Vec<Node>, otherwise: Vec<Node> },
    With { over: Pipe, body: Vec<Node>, otherwise: Vec<Node> },
    Range { variables: Vec<String>, over: Pipe, body: Vec<Node>, otherwise: Vec<Node> },
}

/// Commands, each of which gets the result of the one before.
type Pipe = Vec<Vec<Word>>;

#[derive(Clone, Debug, PartialEq)]
enum Word {
    Field(Vec<String>),
    /// `$name.Field`; without a name, the object that the template began with.
    Variable(String, Vec<String>),
    Text(String),
    Number(i64),
    Truth(bool),
    Nested(Pipe),
    Name(String),
}

/// What a part of a template is filled from.
#[derive(Clone)]
struct Scope<'a> {
    dot: &'a Value,
    root: &'a Value,
    variables: Vec<(&'a str, Value)>,
}

impl Template {
    /// Parses a template; `\t` and `\n` stand for tab and line end, as in docker.
    ///
    /// # Errors
    /// What is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace("\\t", "\t").replace("\\n", "\n");
        Ok(Self { nodes: parse::Parser::new(&text).nodes()? })
    }

    /// Fills the template from one object.
    ///
    /// # Errors
    /// A field that the object does not have; a function with the wrong arguments.
    pub fn fill(&self, row: &Value) -> Result<String, String> {
        let mut text = String::new();
        fill(&self.nodes, &Scope { dot: row, root: row, variables: Vec::new() }, &mut text)?;
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
        for node in &self.nodes {
            match node {
                Node::Text(part) => text.push_str(part),
                Node::Pipe(commands) | Node::If { over: commands, .. } | Node::With { over: commands, .. } => {
                    text.push_str(&field(commands).map(&heading).unwrap_or_default());
                }
                Node::Range { over, .. } => text.push_str(&field(over).map(&heading).unwrap_or_default()),
            }
        }
        text
    }
}

/// The first field that a pipe names.
fn field(commands: &Pipe) -> Option<&str> {
    commands.iter().flatten().find_map(|word| match word {
        Word::Field(path) => path.last().map(String::as_str),
        Word::Nested(inner) => field(inner),
        _ => None,
    })
}

fn fill(nodes: &[Node], scope: &Scope<'_>, text: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(part) => text.push_str(part),
            Node::Pipe(commands) => text.push_str(&plain::text(&display(&run(commands, scope)?))),
            Node::If { over, body, otherwise } => {
                let chosen = if is_true(&run(over, scope)?) { body } else { otherwise };
                fill(chosen, scope, text)?;
            }
            Node::With { over, body, otherwise } => {
                let value = run(over, scope)?;
                match is_true(&value) {
                    true => fill(body, &Scope { dot: &value, ..scope.clone() }, text)?,
                    false => fill(otherwise, scope, text)?,
                }
            }
            Node::Range { variables, over, body, otherwise } => {
                let items = items(run(over, scope)?)?;
                if items.is_empty() {
                    fill(otherwise, scope, text)?;
                }
                for (key, value) in items {
                    fill(body, &scope.item(variables, &key, &value), text)?;
                }
            }
        }
    }
    Ok(())
}

/// What `range` goes over, each with its number or key.
fn items(value: Value) -> Result<Vec<(Value, Value)>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok(items.into_iter().enumerate().map(|(at, item)| (Value::from(at), item)).collect()),
        Value::Object(fields) => Ok(fields.into_iter().map(|(key, item)| (Value::from(key), item)).collect()),
        other => Err(format!("`range` needs a list, not `{}`", display(&other))),
    }
}

impl<'a> Scope<'a> {
    /// For one item of a `range`: a single variable is the item, of two the first is its number or key.
    fn item<'b>(&self, names: &'b [String], key: &Value, value: &'b Value) -> Scope<'b>
    where
        'a: 'b,
    {
        let values = if names.len() == 2 { vec![key.clone(), value.clone()] } else { vec![value.clone()] };
        let mut variables: Vec<(&'b str, Value)> = self.variables.clone();
        variables.extend(names.iter().map(String::as_str).zip(values));
        Scope { dot: value, root: self.root, variables }
    }

    fn variable(&self, name: &str) -> Result<&Value, String> {
        if name.is_empty() {
            return Ok(self.root);
        }
        let found = self.variables.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, value)| value).ok_or_else(|| format!("there is no variable `${name}` here"))
    }
}

fn run(commands: &Pipe, scope: &Scope<'_>) -> Result<Value, String> {
    let mut carried: Option<Value> = None;
    for command in commands {
        let Some((first, rest)) = command.split_first() else { continue };
        let mut arguments = rest.iter().map(|word| value(word, scope)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(carried.take());
        carried = Some(match first {
            Word::Name(name) => call(name, &arguments)?,
            // A method of docker's contexts: the value of one label.
            Word::Field(path) if path.last().is_some_and(|name| name == "Label") => label(scope.dot, &arguments),
            word if arguments.is_empty() => value(word, scope)?,
            _ => return Err("only a function takes arguments".into()),
        });
    }
    Ok(carried.unwrap_or(Value::Null))
}

fn value(word: &Word, scope: &Scope<'_>) -> Result<Value, String> {
    match word {
        Word::Text(text) => Ok(Value::from(text.clone())),
        Word::Number(number) => Ok(Value::from(*number)),
        Word::Truth(truth) => Ok(Value::from(*truth)),
        Word::Name(name) => call(name, &[]),
        Word::Nested(commands) => run(commands, scope),
        Word::Field(path) => part(scope.dot, path),
        Word::Variable(name, path) => part(scope.variable(name)?, path),
    }
}

fn part(value: &Value, path: &[String]) -> Result<Value, String> {
    path.iter().try_fold(value.clone(), |value, name| match value.get(name) {
        Some(value) => Ok(value.clone()),
        None => Err(format!("there is no `.{name}` here; there are {}", names(&value))),
    })
}

fn names(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields.keys().map(|key| format!("`.{key}`")).collect::<Vec<_>>().join(", "),
        _ => "no fields".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fill(template: &str) -> Result<String, String> {
        let row = json!({"ID": "abc", "Name": "web", "N": 3, "Labels": "a=1,b=2", "State": {"Status": "up"}, "L": ["x", "y"], "None": []});
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
            ("{{range .L}}<{{.}} of {{$.Name}}>{{end}}", "<x of web><y of web>"),
            ("{{range $i, $v := .L}}{{if $i}}, {{end}}{{$i}}={{$v}}{{end}}", "0=x, 1=y"),
            ("{{range $k, $v := .State}}{{$k}}:{{$v}}{{end}}", "Status:up"),
            ("{{range .None}}{{.}}{{else}}none{{end}}", "none"),
            ("{{if eq .Name \"db\" \"web\"}}yes{{else}}no{{end}}", "yes"),
            ("{{if and (gt .N 2) (not .None)}}many{{else if .N}}few{{else}}no{{end}}", "many"),
            ("{{if false}}a{{else if ge .N 4}}b{{else}}c{{end}}", "c"),
            ("{{with .State}}{{.Status}}{{end}}{{with .None}}some{{else}} {{.ID}}{{end}}", "up abc"),
            ("{{\"}}\" | len}}", "2"),
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
            ("{{range .L}}", "without `{{end}}`"),
            ("{{end}}", "without `{{if}}`"),
            ("{{if .ID}}a{{else}}", "without `{{end}}`"),
            ("{{range .ID}}{{end}}", "needs a list"),
            ("{{$x}}", "no variable `$x`"),
            ("{{template \"x\"}}", "`template` is not understood"),
            ("{{if (eq .N 1}}{{end}}", "without its `)`"),
            ("{{if eq .N \"1\"}}{{end}}", "can't compare"),
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
