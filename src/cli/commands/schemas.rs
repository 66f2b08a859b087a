//! schemas/: one of each JSON that the verbs print, from its type; and what they print is right by it.

#[path = "../../../tests/generated/validate.rs"]
mod validate;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::fake::{Fake, run};
use super::{diff, events, image, images, ls, plan, ps, stats, version, volume};
use crate::cli::backend::{Event, StoredImage, StoredVolume, Usage};
use crate::cli::output::Output;
use crate::cli::progress::{Kind, Phase, Report, draw};
use crate::compose::compare::compare;
use crate::desired::VolumeSpec;
use crate::host::image::ImageDetails;

/// The schema of a type, which is that of schemas/NAME.json.
fn schema<T: JsonSchema>(name: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let mut schema = schema;
    schema["title"] = format!("windlass {name}").into();
    let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
    let file = format!("{}/schemas/{}.json", env!("CARGO_MANIFEST_DIR"), name.replace(' ', "-"));
    if std::env::var_os("WINDLASS_WRITE").is_some() {
        std::fs::write(&file, &text).expect("the folder is there");
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "{file} is not that of the type: run this test with WINDLASS_WRITE=1");
    schema
}

/// Holds what a verb printed, one value a line or all in one, to the schema of one thing.
#[track_caller]
fn holds(schema: &Value, printed: &str) {
    let whole: Option<Value> = serde_json::from_str(printed).ok();
    let values: Vec<Value> = match whole {
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
        None => printed.lines().map(|line| serde_json::from_str(line).expect(line)).collect(),
    };
    assert!(!values.is_empty(), "nothing was printed");
    for value in values {
        assert_eq!(validate::validate(&value, schema, ""), Vec::<String>::new(), "{value}");
    }
}

fn shop() -> Fake {
    let mut fake = Fake::shop();
    let container = fake.observed.containers.values().next().expect("there are some").clone();
    fake.images = vec![StoredImage {
        id: container.spec.image.id.clone(),
        names: vec!["db:1".into()],
        digest: None,
        created: Some(0),
        size: 12_000_000,
        platform: "linux/amd64".into(),
    }];
    fake.volumes = vec![StoredVolume {
        spec: VolumeSpec { name: "data".into(), driver: "local".into(), ..VolumeSpec::default() },
        mountpoint: "/v/data".into(),
        created: Some(0),
        users: [container.spec.name.to_string()].into(),
    }];
    fake.usage.insert(container.id, Usage { memory: 7, pids: 2, ..Usage::default() });
    fake
}

#[tokio::test]
async fn lists() {
    let fake = shop();
    let printed = async |words: &[&str]| run(&fake, words).await.out;
    holds(&schema::<ps::Row>("ps"), &printed(&["ps", "-a", "--format", "json"]).await);
    holds(&schema::<ls::Row>("ls"), &printed(&["ls", "-a", "--format", "json"]).await);
    holds(&schema::<images::Row>("images"), &printed(&["images", "--format", "json"]).await);
    holds(&schema::<image::Row>("image ls"), &printed(&["image", "ls", "--format", "json"]).await);
    holds(&schema::<ImageDetails>("image inspect"), &printed(&["image", "inspect", "db:1"]).await);
    let volumes = schema::<volume::Row>("volumes");
    holds(&volumes, &printed(&["volume", "ls", "--format", "json"]).await);
    holds(&schema::<volume::Described<'_>>("volume inspect"), &printed(&["volume", "inspect", "data"]).await);
    holds(&schema::<stats::Row>("stats"), &printed(&["stats", "--no-stream", "--format", "json"]).await);
    holds(&schema::<plan::Told<'_>>("plan"), &printed(&["plan", "--format", "json"]).await);
}

#[tokio::test]
async fn events_as_they_come() {
    let fake = shop();
    let sender = fake.events_from();
    let container = fake.observed.containers.values().next().expect("there are some");
    let event = |exit_code| Event {
        time: 1_001_000_000_000,
        action: "die".into(),
        id: container.id.clone(),
        service: container.spec.service.clone(),
        name: container.spec.name.to_string(),
        attributes: [("image".into(), "db:1".into()), ("org.example".into(), "x".into())].into(),
        exit_code,
        again: false,
        policy: false,
        oneoff: false,
    };
    sender.send(event(None)).expect("somebody listens");
    sender.send(event(Some(3))).expect("somebody listens");
    drop(sender);
    holds(&schema::<events::Told<'_>>("events"), &run(&fake, &["events", "--json"]).await.out);
}

#[test]
fn what_needs_no_back_end() {
    let (output, out, _) = Output::captured(false);
    version::run(&output, &version::Version { format: "json".into(), short: false }).expect("printed");
    holds(&schema::<version::Told>("version"), &out.text());

    let mut report = Report::new(Kind::Container, "shop-web-1", Phase::Working, "Starting");
    let progress = schema::<draw::Told<'_>>("progress");
    holds(&progress, &draw::json(&report));
    (report.detail, report.amount, report.phase) = (Some("d".into()), Some((1, 2)), Phase::Failed);
    holds(&progress, &draw::json(&report));

    let of = |image: &str| json!({ "services": { "web": { "image": image, "environment": { "A": image } } } });
    let differences = compare(&of("one"), &of("two"), false);
    let told = diff::Told { a: "one", b: "running", differences: &differences };
    holds(&schema::<diff::Told<'_>>("diff"), &serde_json::to_string(&told).expect("JSON"));
}
