//! What the store keeps, lists, loads, makes and removes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

#[path = "support/registry/mod.rs"]
mod registry;
#[path = "support/store.rs"]
mod world;

use std::collections::BTreeSet;
use std::io::Cursor;

use registry::{Image, Packing, Registry, digest, file, folder, gzip, symlink, tar};
use serde_json::json;
use windlass::host::image::{Content, ImageError, NewFile, NewImage, PullPolicy, Removal};
use windlass::name::Digest;
use world::World;

fn image(text: &str) -> Image {
    Image::new().layer(vec![file("base", b"base")]).layer(vec![file("text", text.as_bytes())])
}

fn none() -> BTreeSet<Digest> {
    BTreeSet::new()
}

#[tokio::test]
async fn the_policy_decides_when_the_registry_is_asked() {
    let (world, registry) = (World::new(), Registry::start().await);
    registry.push("app", "1", &image("one"));
    let name = format!("{}/app:1", registry.host());
    let error = world.resolve(&name, PullPolicy::Never).await.unwrap_err();
    assert!(matches!(error, ImageError::NotLocal { .. }), "{error}");
    assert!(registry.requests().is_empty());
    let one = world.pull(&name).await.unwrap();
    registry.push("app", "1", &image("two"));
    let before = registry.requests().len();
    for policy in [PullPolicy::Missing, PullPolicy::Never, PullPolicy::parse("daily").unwrap()] {
        assert_eq!(world.resolve(&name, policy).await.unwrap(), one);
    }
    assert_eq!(registry.requests().len(), before);
    let two = world.resolve(&name, PullPolicy::Every(std::time::Duration::ZERO)).await.unwrap();
    assert_ne!(two.spec.id, one.spec.id);
    assert_eq!(world.store.local(&name, None).unwrap().unwrap(), one, "the name moves when all layers are here");
    world.pull(&name).await.unwrap();
    assert_eq!(world.store.local(&name, None).unwrap().unwrap(), two);
    let gets = registry.count("GET", "/manifests/");
    world.pull(&name).await.unwrap();
    assert_eq!(registry.count("GET", "/manifests/"), gets, "an unchanged tag costs a HEAD only");
}

#[test]
fn policies_are_compose_words() {
    let seconds = |text: &str| match PullPolicy::parse(text).unwrap() {
        PullPolicy::Every(time) => time.as_secs(),
        other => panic!("{other:?}"),
    };
    assert_eq!((seconds("daily"), seconds("weekly"), seconds("every_1d2h3m4s")), (86400, 604_800, 93784));
    assert_eq!(PullPolicy::parse("if_not_present").unwrap(), PullPolicy::Missing);
    for bad in ["", "often", "every_", "every_5", "every_h", "every_99999999999999999999w"] {
        assert!(matches!(PullPolicy::parse(bad), Err(ImageError::BadPolicy { .. })), "{bad}");
    }
}

#[tokio::test]
async fn a_moved_name_leaves_a_nameless_image_that_prune_removes() {
    let (world, registry) = (World::new(), Registry::start().await);
    let name = format!("{}/app:1", registry.host());
    registry.push("app", "1", &image("one"));
    let one = world.pull(&name).await.unwrap();
    registry.push("app", "1", &image("two"));
    let two = world.pull(&name).await.unwrap();
    let listed = world.store.list();
    assert_eq!(listed.len(), 2);
    assert_eq!((listed[0].names.len(), listed[0].id.clone(), listed[1].names.len()), (1, two.spec.id.clone(), 0));
    assert!(listed.iter().all(|image| image.complete && image.size > 0));
    let used = BTreeSet::from([one.spec.id.clone()]);
    assert_eq!(world.store.prune(Removal::Nameless, &used).unwrap().deleted, []);
    assert!(world.store.layers_present(&one.spec));
    let removed = world.store.prune(Removal::Nameless, &none()).unwrap();
    assert_eq!(removed.deleted, std::slice::from_ref(&one.spec.id));
    assert!(removed.bytes > 0 && !world.store.layers_present(&one.spec));
    assert!(world.store.layers_present(&two.spec), "the shared layer stays");
    assert_eq!(world.store.prune(Removal::Unused, &none()).unwrap().untagged.len(), 1);
    assert!(
        world::names(&world.path("images/layers")).is_empty() && world::names(&world.path("images/refs")).is_empty()
    );
    world.assert_tidy();
}

#[tokio::test]
async fn remove_takes_names_first_and_spares_what_is_used() {
    let (world, registry) = (World::new(), Registry::start().await);
    registry.push("app", "1", &image("one"));
    let name = format!("{}/app:1", registry.host());
    let pulled = world.pull(&name).await.unwrap();
    world.store.tag(&name, "mine:2").unwrap();
    let used = BTreeSet::from([pulled.spec.id.clone()]);
    let first = world.store.remove("mine:2", &used, false).unwrap();
    assert_eq!((first.untagged.as_slice(), first.deleted.len()), (["mine:2".to_owned()].as_slice(), 0));
    assert!(matches!(world.store.remove(&name, &used, false), Err(ImageError::InUse { .. })));
    world.store.remove(&name, &used, true).unwrap();
    assert!(world.store.layers_present(&pulled.spec), "its container goes on");
    assert_eq!(world.store.list()[0].names.len(), 0);
    let last = world.store.remove(&pulled.spec.id.hex()[..12], &none(), false).unwrap();
    assert_eq!(last.deleted, std::slice::from_ref(&pulled.spec.id));
    assert!(!world.store.layers_present(&pulled.spec));
    assert!(matches!(world.store.remove(&name, &none(), false), Err(ImageError::NoSuchImage { .. })));
}

#[tokio::test]
async fn images_are_found_by_name_digest_and_id() {
    let (world, registry) = (World::new(), Registry::start().await);
    let digest = registry.push("app", "1", &image("one"));
    let pulled = world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
    let id = pulled.spec.id.clone();
    let words = [
        format!("{}/app@{digest}", registry.host()),
        format!("{}/app:other@{digest}", registry.host()),
        id.to_string(),
        id.hex()[..12].to_owned(),
    ];
    for word in &words {
        let found = world.store.local(word, None).unwrap().unwrap_or_else(|| panic!("{word}"));
        assert_eq!(found.spec.id, id);
        assert_eq!(world.resolve(word, PullPolicy::Missing).await.unwrap().spec.id, id);
    }
    let shown = serde_json::to_value(world.store.inspect(&words[3]).unwrap()).unwrap();
    assert_eq!(shown["Id"], json!(id));
    assert_eq!(shown["RepoDigests"], json!([format!("{}/app@{digest}", registry.host())]));
    assert_eq!(shown["RootFS"]["Layers"].as_array().unwrap().len(), 2);
    assert!(world.store.local("app:1", None).unwrap().is_none());
}

#[tokio::test]
async fn damaged_records_and_blobs_stop_nobody() {
    let (world, registry) = (World::new(), Registry::start().await);
    for name in ["one", "two"] {
        registry.push(name, "1", &image(name));
        world.pull(&format!("{}/{name}:1", registry.host())).await.unwrap();
    }
    let refs = world.path("images/refs");
    let first = refs.join(&world::names(&refs)[0]);
    let text = std::fs::read_to_string(&first).unwrap().replace("amd64", "arm64").replace("aarch64", "x");
    std::fs::write(&first, text).unwrap();
    assert_eq!(world.store.list().len(), 1);
    assert!(first.with_extension("bad").exists());
    for blob in world::names(&world.path("images/blobs/sha256")) {
        std::fs::write(world.path("images/blobs/sha256").join(blob), "rubbish").unwrap();
    }
    for name in ["one", "two"] {
        world.pull(&format!("{}/{name}:1", registry.host())).await.unwrap();
    }
}

/// An OCI layout as buildctl and skopeo write it.
fn oci_archive(image: &Image, annotation: Option<(&str, &str)>) -> Vec<u8> {
    let manifest = image.manifest();
    let annotations = annotation.map(|(key, value)| json!({ key: value }));
    let entry = json!({
        "mediaType": registry::MANIFEST, "digest": digest(&manifest), "size": manifest.len(), "annotations": annotations,
    });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string();
    let mut members =
        vec![file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#), file("index.json", index.as_bytes())];
    for blob in image.blobs().into_iter().chain([manifest]) {
        members.push(file(&format!("blobs/sha256/{}", &digest(&blob)[7..]), &blob));
    }
    tar(&members)
}

#[tokio::test]
async fn oci_archives_are_loaded() {
    let world = World::new();
    let made = image("one");
    let named = ("io.containerd.image.name", "docker.io/library/built:1");
    let bytes = gzip(&oci_archive(&made, Some(named)));
    let loaded = world.store.load(Cursor::new(bytes), None, &world.watcher()).await.unwrap();
    assert_eq!(loaded[0].spec.id.as_str(), made.id());
    assert_eq!(world.store.local("built:1", None).unwrap().unwrap().spec.layers, loaded[0].spec.layers);
    assert_eq!(std::fs::read(world.in_layer(&loaded[0], 1, "text")).unwrap(), b"one");
    let tagged =
        world.store.load(Cursor::new(oci_archive(&made, None)), Some("mine/app:3"), &world.watcher()).await.unwrap();
    assert_eq!(tagged[0].spec.name, "mine/app:3");
    assert_eq!(world.store.list().len(), 1, "the same image under two names");
    let other = image("two");
    let bytes = oci_archive(&other, Some(("org.opencontainers.image.ref.name", "latest")));
    let id = world.store.load(Cursor::new(bytes), None, &world.watcher()).await.unwrap()[0].spec.id.clone();
    assert!(world.store.local(&id, None).unwrap().is_some(), "nameless, but found by its id");
    world.assert_tidy();
}

#[tokio::test]
async fn docker_archives_are_loaded() {
    let world = World::new();
    let layer = tar(&[file("x", b"x")]);
    let config = json!({ "os": "linux", "architecture": Image::new().config_arch(), "config": { "Cmd": ["a"] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer), digest(&layer)] } })
    .to_string();
    let manifest =
        json!([{ "Config": "c.json", "RepoTags": ["old:1", "old:2"], "Layers": ["a/layer.tar", "b/layer.tar"] }]);
    let archive = tar(&[
        folder("a/"),
        file("a/layer.tar", &layer),
        folder("b/"),
        symlink("b/layer.tar", "../a/layer.tar"),
        file("c.json", config.as_bytes()),
        file("manifest.json", manifest.to_string().as_bytes()),
    ]);
    let loaded = world.store.load(Cursor::new(archive), None, &world.watcher()).await.unwrap();
    assert_eq!(loaded[0].cmd, ["a"]);
    assert!(world.store.layers_present(&loaded[0].spec));
    assert_eq!(world.store.list()[0].names, ["old:1", "old:2"]);
}

#[tokio::test]
async fn bad_archives_are_refused() {
    let world = World::new();
    let lie = {
        let made = Image::new().raw_layer(&tar(&[file("x", b"x")]), Packing::Plain);
        let mut bytes = oci_archive(&made, None);
        let at = bytes.windows(514).position(|window| window[512..] == *b"x\0" && window[0] == b'x').unwrap() + 512;
        bytes[at] = b'y';
        bytes
    };
    let cases = [
        ("empty", vec![]),
        ("no tar", b"hello, this is no tar at all".repeat(100)),
        ("xz", b"\xfd7zXZ\0rest".to_vec()),
        ("nothing in it", tar(&[file("a", b"a")])),
        ("broken json", tar(&[file("index.json", b"{")])),
        ("cut", oci_archive(&image("x"), None)[..3000].to_vec()),
        ("a lie", lie),
    ];
    for (what, bytes) in cases {
        let result = world.store.load(Cursor::new(bytes), None, &world.watcher()).await;
        assert!(result.is_err(), "{what}");
    }
    assert!(world.store.list().is_empty());
    assert!(world::names(&world.path("images/layers")).is_empty());
    world.assert_tidy();
}

#[tokio::test]
async fn an_image_is_made_of_files() {
    let world = World::new();
    let new = || NewImage {
        name: "windlass/demo".into(),
        files: vec![
            NewFile { path: "/bin".into(), mode: 0o755, content: Content::Folder },
            NewFile { path: "/bin/app".into(), mode: 0o755, content: Content::File("/proc/self/exe".into()) },
            NewFile { path: "/etc/motd".into(), mode: 0o600, content: Content::Bytes(b"hi".to_vec()) },
            NewFile { path: "/sh".into(), mode: 0o777, content: Content::Symlink("bin/app".into()) },
        ],
        config: json!({ "Entrypoint": ["/bin/app"] }),
    };
    let made = world.store.make(new(), &world.watcher()).await.unwrap();
    assert_eq!(made.entrypoint, ["/bin/app"]);
    let own = std::fs::metadata("/proc/self/exe").unwrap().len();
    assert_eq!(std::fs::metadata(world.in_layer(&made, 0, "sh")).unwrap().len(), own);
    assert_eq!(world.store.make(new(), &world.watcher()).await.unwrap(), made, "the same again");
    assert_eq!(world.resolve("windlass/demo:latest", PullPolicy::Missing).await.unwrap().spec.id, made.spec.id);
}
