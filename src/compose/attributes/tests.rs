use super::{Keys, PROJECT, Shape};

fn each(shape: &'static Shape, path: &str, depth: usize, see: &mut dyn FnMut(&str, &'static Shape)) {
    see(path, shape);
    if depth == 0 {
        return;
    }
    if let Some(items) = shape.items {
        each(items, &format!("{path}[]"), depth - 1, see);
    }
    match shape.keys {
        Keys::No => {}
        Keys::Own(value) => each(value, &format!("{path}.*"), depth - 1, see),
        Keys::Fields(fields) => {
            fields.iter().for_each(|(name, row)| each(row, &format!("{path}.{name}"), depth - 1, see))
        }
    }
}

#[test]
fn no_key_stands_twice_and_required_keys_exist() {
    each(&PROJECT, "", 9, &mut |path, shape| {
        let Keys::Fields(fields) = shape.keys else { return };
        for (i, (name, _)) in fields.iter().enumerate() {
            assert!(fields[i + 1..].iter().all(|(other, _)| other != name), "{path}.{name} stands twice");
        }
        for name in shape.required {
            assert!(fields.iter().any(|(known, _)| known == name), "{path} requires the unknown {name}");
        }
    });
}

#[test]
fn extensions_are_taken_where_keys_are_ours() {
    let services = PROJECT.field("services").and_then(|s| s.field("x-anything"));
    assert!(services.is_some(), "under services every key is a service");
    assert!(PROJECT.field("x-mine").is_some());
    assert!(PROJECT.field("mine").is_none());
}
