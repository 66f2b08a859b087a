//! `windlass diff`: two environments, field by field.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::Value;

use crate::compose::compare::{Change, Difference, compare};

use super::super::backend::{Backend, LockUse, Side};
use super::super::context::Context;
use super::super::error::{CliError, ExitStatus};

/// Longer values are told of, not shown.
const WIDEST: usize = 120;

/// Flags of `diff`.
#[derive(Args, Debug)]
#[command(after_help = "\
A and B are each one of:
  compose.yaml,compose.prod.yaml,env=prod.env,profile=ops   files, env files and profiles, joined by commas
  FOLDER                                                    the compose files found there
  running                                                   what runs of the project
Flags before `diff` hold for both: `windlass -f compose.yaml diff compose.dev.yaml compose.prod.yaml`.

Exit code: 0 the same, 2 different, 1 an error.")]
pub struct Diff {
    /// The one environment
    pub a: String,
    /// The other environment
    pub b: String,
    /// How it is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub format: Form,
    /// Leave lock files aside
    #[arg(long)]
    pub no_lock: bool,
    /// Show the values of environment variables, labels and build arguments too
    #[arg(long)]
    pub show_values: bool,
}

/// `--format`.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Diff {
    /// Whether it looks at what runs.
    pub fn looks_at_machine(&self) -> bool {
        self.a == "running" || self.b == "running"
    }
}

/// What `diff --format json` prints.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told<'a> {
    /// The first environment, as it was named.
    pub a: &'a str,
    /// The second.
    pub b: &'a str,
    /// What differs, by path.
    pub differences: &'a [Difference],
}

/// Compares two environments.
///
/// # Errors
/// Files that are wrong; a project that is not up.
pub fn run<B: Backend>(cx: &Context<'_, B>, args: &Diff) -> Result<ExitStatus, CliError> {
    let common = &cx.settings.project;
    let lock = if args.no_lock { LockUse::Ignore } else { LockUse::IfThere };
    let mut models = Vec::new();
    for text in [&args.a, &args.b] {
        let environment = cx.backend.environment(&Side::parse(text, common)?, common, lock)?;
        environment.warnings.iter().try_for_each(|warning| cx.output.note(warning.trim_end()))?;
        models.push(environment.model);
    }
    comparable_digests(&mut models);
    let differences = compare(&models[0], &models[1], args.show_values);
    match args.format {
        Form::Json => cx.output.json_pretty(&Told { a: &args.a, b: &args.b, differences: &differences })?,
        Form::Text if differences.is_empty() => cx.output.line(&format!("{} and {} are the same", args.a, args.b))?,
        Form::Text => {
            cx.output.line(&format!("--- {}\n+++ {}", args.a, args.b))?;
            differences.iter().try_for_each(|one| cx.output.line(&line(one)))?;
        }
    }
    Ok(if differences.is_empty() { ExitStatus::DONE } else { ExitStatus::CHANGES })
}

/// Which content an image, a config, a secret or a build context has is compared where both sides know it: from a file, a lock file, or
/// because it runs.
fn comparable_digests(models: &mut [Value]) {
    let places: BTreeSet<Vec<String>> = models.iter().flat_map(digests).collect();
    for place in places {
        let pointer = |key: &str| place.iter().map(|part| format!("/{}", escape(part))).collect::<String>() + key;
        if models.iter().all(|model| model.pointer(&pointer("/digest")).is_some()) {
            continue;
        }
        for holder in models.iter_mut().filter_map(|model| model.pointer_mut(&pointer(""))?.as_object_mut()) {
            holder.remove("digest");
        }
    }
}

/// What of a model has a digest.
fn digests(model: &Value) -> Vec<Vec<String>> {
    let names = |section: &str| -> Vec<String> {
        model[section].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
    };
    let services = names("services").into_iter().flat_map(|name| {
        let own = vec!["services".to_owned(), name];
        let build = [own.as_slice(), &["build".to_owned()]].concat();
        [own, build]
    });
    let objects = |section: &'static str| names(section).into_iter().map(|name| vec![section.to_owned(), name]);
    services.chain(objects("configs")).chain(objects("secrets")).collect()
}

/// A part of a JSON pointer.
fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

fn line(one: &Difference) -> String {
    let mark = match one.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Changed => '~',
    };
    let shown = |value: &Option<Value>| value.as_ref().map(text).filter(|text| text.chars().count() <= WIDEST);
    match (one.change, shown(&one.a), shown(&one.b)) {
        (Change::Changed, Some(a), Some(b)) => format!("{mark} {}: {a} → {b}", one.path),
        (Change::Added, _, Some(value)) | (Change::Removed, Some(value), _) => format!("{mark} {}: {value}", one.path),
        _ => format!("{mark} {}", one.path),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{key}={}", text(value))).collect::<Vec<_>>().join(" ")
        }
        value => value.to_string(),
    }
}
