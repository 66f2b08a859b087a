//! The functions of templates, and how Go prints and judges values.

use std::cmp::Ordering;

use serde_json::Value;

/// The functions that there are.
pub const FUNCTIONS: &[&str] = &[
    "json", "upper", "lower", "title", "join", "split", "truncate", "pad", "print", "println", "index", "len", "eq",
    "ne", "lt", "le", "gt", "ge", "and", "or", "not",
];

/// The result of a function.
///
/// # Errors
/// Arguments that it can't work with.
pub fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match name {
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => return compare(name, arguments).map(Value::from),
        "and" | "or" => return choose(name, arguments),
        "not" => return Ok(Value::from(!arguments.first().is_some_and(is_true))),
        _ => {}
    }
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
        "print" => Value::from(arguments.iter().map(display).collect::<Vec<_>>().join(" ")),
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

/// Whether a value counts as true: neither zero nor empty.
pub fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// `eq` takes any number of values to compare the first with, the others one.
fn compare(name: &str, arguments: &[Value]) -> Result<bool, String> {
    let Some((first, others)) = arguments.split_first().filter(|(_, others)| !others.is_empty()) else {
        return Err(format!("`{name}` needs two values"));
    };
    let orders = others.iter().map(|other| order(name, first, other)).collect::<Result<Vec<Ordering>, String>>()?;
    Ok(match name {
        "eq" => orders.iter().any(|order| order.is_eq()),
        "ne" => orders[0].is_ne(),
        "lt" => orders[0].is_lt(),
        "le" => orders[0].is_le(),
        "gt" => orders[0].is_gt(),
        _ => orders[0].is_ge(),
    })
}

fn order(name: &str, one: &Value, other: &Value) -> Result<Ordering, String> {
    let found = match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64().partial_cmp(&other.as_f64()),
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    };
    found.ok_or_else(|| format!("`{name}` can't compare `{}` with `{}`", display(one), display(other)))
}

/// The first value that decides, or the last.
fn choose(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let decides = |value: &&Value| is_true(value) == (name == "or");
    arguments.iter().find(decides).or(arguments.last()).cloned().ok_or_else(|| format!("`{name}` needs an argument"))
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
pub fn label(row: &Value, arguments: &[Value]) -> Value {
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
