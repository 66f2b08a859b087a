//! As much of JSON Schema as our schemas use.

use serde_json::Value;

/// What is wrong with a value, with its path; empty: nothing.
pub fn validate(value: &Value, schema: &Value, path: &str) -> Vec<String> {
    if let Some(forms) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let tries: Vec<Vec<String>> = forms.iter().map(|form| validate(value, form, path)).collect();
        // The form that came nearest says most.
        return tries.into_iter().min_by_key(Vec::len).unwrap_or_default();
    }
    let mut wrong = Vec::new();
    if schema.get("const").is_some_and(|only| only != value) {
        wrong.push(format!("{path}: {value} is not {}", schema["const"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        wrong.push(format!("{path}: {value} is none of {words:?}"));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(value, kind)) {
        wrong.push(format!("{path}: {value} is not {kinds:?}"));
        return wrong;
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        list.iter().enumerate().for_each(|(at, item)| wrong.extend(validate(item, items, &format!("{path}[{at}]"))));
    }
    members(value, schema, path, &mut wrong);
    wrong
}

fn members(value: &Value, schema: &Value, path: &str, wrong: &mut Vec<String>) {
    let Some(map) = value.as_object() else { return };
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(key) {
            wrong.push(format!("{path}: {key} is missing"));
        }
    }
    for (key, member) in map {
        let path = format!("{path}.{key}");
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(row), _) => wrong.extend(validate(member, row, &path)),
            (None, Value::Bool(false)) if !(key.starts_with("x-") && schema.get("patternProperties").is_some()) => {
                wrong.push(format!("{path}: unknown"));
            }
            (None, row @ Value::Object(_)) => wrong.extend(validate(member, row, &path)),
            _ => {}
        }
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}
