//! The JSON Schema of compose files, from the table of attributes: for editors.

use serde_json::{Map, Value, json};

use super::{ANY, Keys, PROJECT, Shape, takes};

/// schemas/compose.json.
pub fn json_schema() -> Value {
    let mut schema = convert(&PROJECT);
    if let Some(map) = schema.as_object_mut() {
        map.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        map.insert("title".to_owned(), json!("Compose file"));
    }
    schema
}

fn convert(shape: &Shape) -> Value {
    if shape.scalars == ANY.scalars {
        return json!({});
    }
    let mut forms: Vec<Value> = Vec::new();
    if !shape.values.is_empty() {
        forms.push(json!({ "enum": shape.values }));
    } else if shape.scalars != 0 {
        forms.push(scalar(shape));
    }
    if let Some(items) = shape.items {
        let mut list = json!({ "type": "array", "items": convert(items) });
        if shape.distinct {
            list["uniqueItems"] = json!(true);
        }
        forms.push(list);
    }
    if let Some(mapping) = mapping(shape) {
        forms.push(mapping);
    }
    match <[Value; 1]>::try_from(forms) {
        Ok([form]) => form,
        Err(forms) => json!({ "anyOf": forms }),
    }
}

/// `${…}` may stand where a number or a boolean is cast, so text is always taken beside them.
fn scalar(shape: &Shape) -> Value {
    let kinds = [
        (takes::STR, "string"),
        (takes::NUM, "number"),
        (takes::INT, "integer"),
        (takes::BOOL, "boolean"),
        (takes::NULL, "null"),
    ];
    let mut names: Vec<&str> =
        kinds.iter().filter(|(bit, _)| shape.scalars & bit != 0).map(|(_, name)| *name).collect();
    if names.contains(&"number") {
        names.retain(|name| *name != "integer");
    }
    let mut schema = Map::new();
    let kind = if let [one] = names.as_slice() { json!(one) } else { json!(names) };
    schema.insert("type".to_owned(), kind);
    if shape.least != i64::MIN {
        schema.insert("minimum".to_owned(), json!(shape.least));
    }
    Value::Object(schema)
}

fn mapping(shape: &Shape) -> Option<Value> {
    let mut map = json!({ "type": "object" });
    match shape.keys {
        Keys::No => return None,
        Keys::Own(value) => {
            map["additionalProperties"] = convert(value);
            if shape.names {
                map["propertyNames"] = json!({ "pattern": "^[a-zA-Z0-9._-]+$" });
            }
        }
        Keys::Fields(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|(name, row)| ((*name).to_owned(), convert(row))).collect();
            map["properties"] = Value::Object(properties);
            map["additionalProperties"] = json!(shape.open);
            if shape.extensions {
                map["patternProperties"] = json!({ "^x-": {} });
            }
            if !shape.required.is_empty() {
                map["required"] = json!(shape.required);
            }
        }
    }
    Some(map)
}
