//! The JSON Schema of what `config --format json` prints, from the table of attributes: long forms and final types only.

use serde_json::{Map, Value, json};

use super::{ANY, Form, Keys, Out, PROJECT, Shape};

/// schemas/config.json.
pub fn canonical_schema() -> Value {
    let mut schema = convert(&PROJECT);
    let blkio = "/properties/services/additionalProperties/properties/blkio_config/properties";
    // The peer prints the members of these as Go has them.
    for device in schema.pointer_mut(blkio).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        let Some(members) = device.pointer_mut("/items/properties").and_then(Value::as_object_mut) else { continue };
        for (key, name) in [("path", "Path"), ("weight", "Weight"), ("rate", "Rate")] {
            if let Some(row) = members.remove(key) {
                members.insert(name.to_owned(), row);
            }
        }
    }
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".to_owned(), json!("windlass config"));
    }
    schema
}

fn convert(shape: &Shape) -> Value {
    if shape.scalars == ANY.scalars && shape.out == Out::As {
        return json!({});
    }
    let text = || json!({ "type": "string" });
    let list = || json!({ "type": "array", "items": text() });
    let object = |value: Value| json!({ "type": "object", "additionalProperties": value });
    match shape.out {
        Out::Text | Out::Bytes | Out::Duration | Out::Mode => text(),
        Out::Bool => json!({ "type": "boolean" }),
        Out::Int | Out::Count | Out::CountOrAll => json!({ "type": "integer" }),
        Out::Float => json!({ "type": "number" }),
        Out::Command => json!({ "type": ["array", "null"], "items": text() }),
        Out::HealthTest | Out::TextList | Out::Hosts | Out::Ssh => list(),
        Out::TextMap => object(text()),
        Out::EnvMap => object(json!({ "type": ["string", "null"] })),
        Out::ListMap => object(list()),
        Out::Ulimit => json!({ "anyOf": [{ "type": "integer" }, structure(shape)] }),
        Out::As | Out::Hidden => structure(shape),
    }
}

/// A mapping, a list or a text; which of them is decided where an attribute has short forms.
fn structure(shape: &Shape) -> Value {
    let null = shape.scalars & super::takes::NULL != 0;
    let own = |value: &Shape| json!({ "type": "object", "additionalProperties": convert(value) });
    match (shape.keys, shape.items) {
        (Keys::Own(value), _) => own(value),
        (Keys::Fields(fields), _) => {
            let shown = fields.iter().filter(|(_, row)| row.out != Out::Hidden);
            let properties: Map<String, Value> = shown.map(|(name, row)| ((*name).to_owned(), convert(row))).collect();
            let kind = if null || shape.form == Form::External { json!(["object", "null"]) } else { json!("object") };
            let mut map = json!({ "type": kind, "properties": properties, "additionalProperties": false });
            if shape.extensions {
                map["patternProperties"] = json!({ "^x-": {} });
            }
            map
        }
        (Keys::No, Some(items)) => json!({ "type": "array", "items": convert(items) }),
        (Keys::No, None) => scalar(shape),
    }
}

fn scalar(shape: &Shape) -> Value {
    use super::takes::{BOOL, INT, NULL, NUM, STR};
    let kinds = [(STR, "string"), (NUM, "number"), (INT, "integer"), (BOOL, "boolean"), (NULL, "null")];
    let names: Vec<&str> = kinds.iter().filter(|(bit, _)| shape.scalars & bit != 0).map(|(_, name)| *name).collect();
    match (shape.values, names.as_slice()) {
        ([], [one]) => json!({ "type": one }),
        ([], names) => json!({ "type": names }),
        (values, _) => json!({ "enum": values }),
    }
}
