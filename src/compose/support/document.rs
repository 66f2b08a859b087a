//! docs/compose-support.md, from the table of attributes and that of their fates.

use std::fmt::Write;

use super::{FATES, Fate, seen};
use crate::compose::attributes::{Keys, PROJECT, Shape, takes};

/// Where the peer departs from the specification, and what is done here.
const DEPARTURES: &[(&str, &str)] = &[
    (
        "a thing that is included and declared again",
        "The specification warns; docker compose refuses it unless both are equal. So do we.",
    ),
    ("`extends` and `include` in one file", "docker compose extends first, then includes. So do we."),
    (
        "`bind: {…}` without `create_host_path` in the long form",
        "The specification creates the path; docker compose does not. So do we: the short form creates it, and the long one without \
         `bind`.",
    ),
    (
        "an empty `command` beside no `entrypoint`",
        "The specification has no command then; docker takes the image's. So do we.",
    ),
    (
        "`env_file` in the output of `config`",
        "It is not printed, as its values stand under `environment`, also with `--no-env-resolution`.",
    ),
    (
        "a negative size as text, `\"-1\"`",
        "It is refused, as docker compose does; the number `-1` is taken where it means `no limit`.",
    ),
    ("`depends_on.*.required` as text", "It is refused; it must be a boolean."),
    (
        "an IPv6 address without brackets in `ports`",
        "The specification allows it; docker compose refuses it. So do we, and the message says how to write it.",
    ),
    ("`version: 3.8`", "It must be text, and has no meaning."),
    ("images tagged `latest`", "The specification pulls them each time; docker compose does not. So do we."),
    ("the variable with a model's name", "The specification says `<KEY>`; docker compose sets `<KEY>_MODEL`."),
    (
        "`docker-compose.yml` beside `docker-compose.yaml`",
        "The specification prefers `.yaml`; docker compose takes `.yml`. So do we.",
    ),
    ("`models` in JSON output", "docker compose leaves the top level out; YAML has it."),
    ("`x-*` in JSON output", "docker compose prints those of the top level only; YAML has all."),
    (
        "networks of a service whose names begin with `x-`",
        "docker compose takes them for extensions and refuses the service. Here they are networks; only `config --no-consistency` prints `#extensions` as docker compose does.",
    ),
    (
        "an alias under `a.b` beside the same one under `a`",
        "It is good YAML; docker compose takes it for a circle. So do we, with a message that says so.",
    ),
    (
        "aliases that grow without end",
        "docker compose works at them without end. Here a file may grow by 200 000 values.",
    ),
    ("the order in which services are extended", "It is by chance in docker compose; here it is by name."),
    (
        "external networks, secrets and configs that are described",
        "docker compose takes more keys than `name` without a word for all but volumes. Here a warning tells it.",
    ),
    (
        "labels, variables and options whose names begin with `x-`",
        "Where they stand in a mapping, docker compose takes them for extensions and makes one `#extensions` of them. Here they are what they are.",
    ),
    (
        "`%YAML 1.2`, and anchors with dots and other signs in their names",
        "They are good YAML of today; docker compose knows YAML 1.1 and refuses them. Here both are read.",
    ),
    (
        "lists and mappings inside each other",
        "docker compose follows them through 10 000 levels, the specification names no number. Here a file may have 120.",
    ),
    (
        "`networks`, `depends_on` or `models` of a service as text in a later file",
        "docker compose passes over it without a word, and refuses it in the first file. Here it is refused in each.",
    ),
    (
        "numbers of 64 bits and more",
        "docker compose takes them for negative ones where a number counts. Here they are refused; as text they stay what they are.",
    ),
    (
        "a size that is a number with a point, `mem_limit: 1.5`",
        "docker compose leaves it out without a word. So do we, with a warning.",
    ),
    (
        "a key of an entry of `gpus` that is none",
        "docker compose leaves it out without a word. So do we, with a warning.",
    ),
    (
        "`command: !override null`",
        "docker compose makes the word `null` of it. Here it is nothing: the command is the image's.",
    ),
    (
        "a negative `mode` of a secret or config",
        "docker compose prints `0-1`. Here its bits are printed, and `plan` and `up` refuse it.",
    ),
];

/// docs/compose-support.md.
pub fn document() -> String {
    let mut out = String::from(
        "# What of the Compose Specification is done\n\nEvery attribute, and what becomes of it on one Linux host. `config` \
         reads and prints all of them; `plan` and `up` tell\nof those that are refused or have no effect, at their place in \
         the file.\n\nA name behind *done* is that of the test that sees the effect, inside or outside the container; one \
         with a slash is a case\nof tests/compose, for what has its effect on the project alone.\n\nWritten by a test from src/compose/attributes and src/compose/support.rs; do not edit.\n\n\
         `*` stands for a name of yours, `[]` for an entry of a list. *Merge* is what a later file, or a service that extends \
         another, does\nto the value; `x-*` is taken everywhere but where it says so.\n",
    );
    let Keys::Fields(fields) = PROJECT.keys else { return out };
    for (name, shape) in fields {
        let _ = write!(out, "\n## {name}\n\n| attribute | takes | merge | state |\n| --- | --- | --- | --- |\n");
        rows(&mut out, shape, name, name);
    }
    out.push_str("\n## Where docker compose departs from the specification\n\n| what | here |\n| --- | --- |\n");
    for (what, here) in DEPARTURES {
        let _ = writeln!(out, "| {what} | {here} |");
    }
    out
}

/// `path` as the user reads it, `pattern` as [`FATES`] has it.
fn rows(out: &mut String, shape: &Shape, path: &str, pattern: &str) {
    let state = match fate(pattern) {
        None => seen(pattern).map_or_else(|| "done".to_owned(), |(test, _)| format!("done: `{test}`")),
        Some(Fate::Refused(why)) => format!("**refused**: {why}"),
        Some(Fate::Only(values, why)) => {
            let values: Vec<String> = values.iter().filter(|v| !v.is_empty()).map(|v| format!("`{v}`")).collect();
            format!("only {}: {why}", values.join(", "))
        }
        Some(Fate::NoEffect(why)) => format!("no effect: {why}"),
        Some(Fate::Untested(why)) => format!("*untested on our machines*: {why}"),
        Some(Fate::But(why)) => why.to_owned(),
    };
    let takes = takes(shape);
    let _ = writeln!(out, "| `{path}` | {takes} | {} | {state} |", super::super::explain::rule(shape));
    if let Keys::Fields(fields) = shape.keys {
        fields.iter().for_each(|(name, row)| rows(out, row, &format!("{path}.{name}"), &format!("{pattern}.{name}")));
    }
    if let Keys::Own(value) = shape.keys
        && !is_leaf(value)
    {
        rows(out, value, &format!("{path}.*"), &format!("{pattern}.*"));
    }
    if let Some(items) = shape.items
        && !is_leaf(items)
    {
        rows(out, items, &format!("{path}[]"), &format!("{pattern}.*"));
    }
}

fn is_leaf(shape: &Shape) -> bool {
    matches!(shape.keys, Keys::No) && shape.items.is_none()
}

fn fate(pattern: &str) -> Option<Fate> {
    let covers = |known: &str| pattern.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    FATES.iter().find(|(known, _)| covers(known)).map(|(_, fate)| *fate)
}

fn takes(shape: &Shape) -> String {
    if shape.scalars == takes::ANY {
        return "anything".to_owned();
    }
    let mut words = Vec::new();
    if !shape.values.is_empty() {
        words.extend(shape.values.iter().map(|value| format!("`{value}`")));
    } else {
        let kinds = [
            (takes::STR, "text"),
            (takes::NUM, "number"),
            (takes::INT, "whole number"),
            (takes::BOOL, "boolean"),
            (takes::NULL, "nothing"),
        ];
        words.extend(kinds.iter().filter(|(bit, _)| shape.scalars & bit != 0).map(|(_, word)| (*word).to_owned()));
    }
    if shape.items.is_some() {
        words.push("list".to_owned());
    }
    if !matches!(shape.keys, Keys::No) {
        words.push("mapping".to_owned());
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fate_is_of_an_attribute() {
        for (pattern, _) in FATES {
            let mut shape: &'static Shape = &PROJECT;
            for step in pattern.split('.') {
                let next = match step {
                    "*" => match shape.keys {
                        Keys::Own(value) => Some(value),
                        _ => shape.items,
                    },
                    step => shape.field(step),
                };
                let Some(next) = next else { panic!("{pattern}: no {step}") };
                shape = next;
            }
        }
    }
}
