#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::compose::model::{Mount, MountKind, Preparation, Project, Service};

fn pin(digit: char) -> Pin {
    Pin::try_from(format!("sha256:{}", digit.to_string().repeat(64))).unwrap()
}

fn revision(digit: &str) -> Revision {
    Revision::try_from(digit.repeat(40)).unwrap()
}

fn image(index: char, amd64: char) -> LockedImage {
    LockedImage { digest: pin(index), platforms: [("linux/amd64".to_owned(), pin(amd64))].into() }
}

fn sample() -> Lock {
    let inputs = Inputs {
        variables: ["TAG", "DB_PASSWORD"].map(str::to_owned).into(),
        env_files: [(".env".to_owned(), pin('1'))].into(),
        remotes: [("https://host/team/base.git#main", "4"), ("oci://host/app:1", "5")]
            .map(|(name, digit)| (name.to_owned(), revision(digit)))
            .into(),
        configs: [("nginx".to_owned(), pin('2'))].into(),
        builds: [("web".to_owned(), pin('3'))].into(),
    };
    Lock::new(inputs, [("redis:7".to_owned(), image('a', 'b')), ("ghcr.io/x/y:1.2".to_owned(), image('c', 'd'))].into())
}

/// Answers from a table, and writes down what it was asked.
struct Table {
    images: BTreeMap<&'static str, LockedImage>,
    asked: RefCell<Vec<String>>,
}

impl Table {
    fn new(images: impl Into<BTreeMap<&'static str, LockedImage>>) -> Self {
        Self { images: images.into(), asked: RefCell::default() }
    }
}

impl Registry for Table {
    async fn pin(&self, reference: &str) -> Result<LockedImage, RegistryError> {
        self.asked.borrow_mut().push(reference.to_owned());
        let missing = || RegistryError { reference: reference.to_owned(), message: format!("no image {reference}") };
        self.images.get(reference).cloned().ok_or_else(missing)
    }

    async fn digest(&self, reference: &str) -> Result<Pin, RegistryError> {
        self.pin(reference).await.map(|image| image.digest)
    }
}

#[test]
fn the_text_is_stable_and_reads_back() {
    let text = render(&sample()).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(text);
    assert_eq!(parse("windlass.lock", &render(&sample())).unwrap(), sample());
    let empty = Lock::new(Inputs::default(), BTreeMap::new());
    assert_eq!(parse("windlass.lock", &render(&empty)).unwrap(), empty);
}

#[test]
fn a_damaged_newer_or_foreign_file_is_refused_at_its_place() {
    let good = render(&sample());
    let cases = [
        good.replacen("schema = 1", "schema = 2", 1),
        good.replacen("schema = 1", "schema = \"1\"", 1),
        good.replacen("schema = 1\n", "", 1),
        good.replacen("digest = \"sha256:a", "digest = \"sha256:x", 1),
        good.replacen("digest =", "digets =", 1),
        good.replacen("= \"444", "= \"44g", 1),
        good.replacen("[env_files]", "[env_file]", 1),
        good.replacen("[configs]", "<<<<<<< HEAD\n[configs]", 1),
        good.replacen("[images.\"redis:7\"]\ndigest", "[images.\"ghcr.io/x/y:1.2\"]\ndigest", 1),
        "services:\n  web: {image: redis}\n".to_owned(),
        String::new(),
    ];
    let errors: Vec<String> = cases.iter().map(|text| parse("windlass.lock", text).unwrap_err().to_string()).collect();
    insta::assert_snapshot!(errors.join("\n"));
}

/// References of one user each; those with a `+` may be built.
fn references(names: &[&str]) -> BTreeMap<String, Wanted> {
    let one = |name: &&str| {
        let wanted = Wanted { users: ["web".into()].into(), may_be_built: name.ends_with('+') };
        (name.trim_end_matches('+').to_owned(), wanted)
    };
    names.iter().map(one).collect()
}

#[test]
fn references_of_services_and_mounts_are_locked_but_not_what_is_only_built_or_never_pulled() {
    let mut project = Project::default();
    let service = |image: Option<&str>| Service { image: image.map(str::to_owned), ..Service::default() };
    let step = |image: &str| Preparation { image: Some(image.into()), ..Preparation::default() };
    let mount = Mount { kind: MountKind::Image, source: Some("data:1".into()), ..Mount::default() };
    let all = [
        ("db", service(Some("redis:7"))),
        ("cache", Service { volumes: vec![mount], ..service(Some("redis:7")) }),
        ("web", Service { build: Some(Default::default()), ..service(Some("web:dev")) }),
        ("worker", service(Some("web:dev"))),
        ("own-build", Service { build: Some(Default::default()), ..service(None) }),
        (
            "always",
            Service { build: Some(Default::default()), pull_policy: Some("build".into()), ..service(Some("b:1")) },
        ),
        ("api", Service { pre_start: vec![step("tool:1"), step("-own-build"), step("b:1")], ..service(None) }),
        ("own", Service { pull_policy: Some("never".into()), ..service(Some("mine")) }),
    ];
    project.services.extend(all.map(|(name, service)| (name.into(), service)));
    let wanted = wanted(&project);
    let names: Vec<&String> = wanted.keys().collect();
    assert_eq!(names, ["data:1", "redis:7", "tool:1", "web:dev"]);
    assert_eq!(wanted["redis:7"], Wanted { users: ["cache", "db"].map(Into::into).into(), may_be_built: false });
    assert_eq!(wanted["web:dev"], Wanted { users: ["web", "worker"].map(Into::into).into(), may_be_built: true });
}

#[tokio::test]
async fn a_new_lock_keeps_what_is_locked_and_asks_for_the_rest() {
    let table = Table::new([("redis:7", image('e', 'f')), ("new:1", image('0', '1'))]);
    let wanted = references(&["redis:7", "new:1"]);
    let none = BTreeSet::new();
    let lock = renew(Some(&sample()), &wanted, &none, Inputs::default(), &table).await.unwrap().lock;
    assert_eq!(*table.asked.borrow(), ["new:1"], "what is locked is not asked for");
    assert_eq!(lock.images["redis:7"], image('a', 'b'));
    assert_eq!(lock.images.keys().collect::<Vec<_>>(), ["new:1", "redis:7"], "what is not used any more goes");
    let update: BTreeSet<String> = ["redis:7".to_owned()].into();
    let lock = renew(Some(&lock), &wanted, &update, Inputs::default(), &table).await.unwrap().lock;
    assert_eq!((&lock.images["redis:7"], &lock.images["new:1"]), (&image('e', 'f'), &image('0', '1')));
    let wanted = references(&["x", "new:1", "y", "z+"]);
    let errors = renew(None, &wanted, &none, Inputs::default(), &table).await.unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["no image x", "no image y"], "all that fails is told at once");
    let renewed = renew(None, &references(&["new:1+", "z+"]), &none, Inputs::default(), &table).await.unwrap();
    assert_eq!(
        renewed.lock.images.keys().collect::<Vec<_>>(),
        ["new:1"],
        "what can be built is locked where it can be"
    );
    assert_eq!(lines(&renewed.left_out), ["no image z"]);
}

#[tokio::test]
async fn drift_is_told_thing_by_thing() {
    let lock = sample();
    let now = Inputs {
        variables: ["TAG", "PORT"].map(str::to_owned).into(),
        env_files: [(".env".to_owned(), pin('9'))].into(),
        remotes: [("https://host/team/base.git#main", "6"), ("git://host/x.git", "7")]
            .map(|(name, digit)| (name.to_owned(), revision(digit)))
            .into(),
        configs: BTreeMap::new(),
        builds: [("web".to_owned(), pin('3')), ("api".to_owned(), pin('4'))].into(),
    };
    let wanted = references(&["redis:7", "new:1", "built:1+"]);
    let table = Table::new([("redis:7", image('e', 'f'))]);
    let mut drift = references_drift(&lock, &wanted);
    let (moved, errors) = moved(&lock, wanted.keys(), &table).await;
    drift.extend(moved);
    drift.extend(inputs_drift(&lock, &now));
    assert!(errors.is_empty());
    let text: Vec<String> = drift.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text.join("\n"));
    assert!(inputs_drift(&lock, &lock.inputs()).is_empty());
}

#[test]
fn references_that_failed_for_one_reason_share_a_line() {
    let error = |reference: &str, message: &str| RegistryError { reference: reference.into(), message: message.into() };
    let errors = [error("a:1", "r can't be reached"), error("b:1", "no image b:1"), error("c:1", "r can't be reached")];
    assert_eq!(lines(&errors), ["a:1, c:1: r can't be reached", "no image b:1"]);
}

#[test]
fn the_schema_is_that_of_the_type() {
    let mut schema = serde_json::to_string_pretty(&schemars::schema_for!(Lock)).unwrap();
    schema.push('\n');
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/windlass.lock.json");
    if std::env::var_os("WINDLASS_WRITE").is_some() {
        std::fs::write(file, &schema).unwrap();
    }
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert!(there == schema, "{file} is not that of the type: run this test with WINDLASS_WRITE=1");
}
