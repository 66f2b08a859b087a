//! Artifacts of `docker compose publish`.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::registry::{Auth, Fault, MANIFEST, Registry, digest};
use crate::support::world::World;
use crate::with;

const FILE: &str = "application/vnd.docker.compose.file+yaml";
const ENV: &str = "application/vnd.docker.compose.envfile";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// A world with a registry.
pub struct Shop {
    pub world: World,
    pub registry: Option<Registry>,
    pub host: String,
    runtime: Runtime,
}

impl Shop {
    pub fn new() -> Self {
        let world = World::new();
        // Made after the world, so that its threads are in the world's network.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let registry = runtime.block_on(Registry::start());
        let host = registry.host();
        Self { world, registry: Some(registry), host, runtime }
    }

    pub fn registry(&self) -> &Registry {
        self.registry.as_ref().unwrap()
    }

    /// Nobody answers any more.
    pub fn close(&mut self) {
        self.registry = None;
        let host = self.host.clone();
        self.world.wait_for("the registry's end", || std::net::TcpStream::connect(&host).is_err());
    }

    fn layer(&self, (kind, annotations, text): &(&str, Value, &str)) -> Value {
        let name = digest(text.as_bytes());
        self.registry().put_blob(&name, text.as_bytes().to_vec());
        json!({ "mediaType": kind, "digest": name, "size": text.len(), "annotations": annotations })
    }

    /// Puts an artifact under a tag; its digest.
    pub fn publish(&self, tag: &str, layers: &[(&str, Value, &str)]) -> String {
        let layers: Vec<Value> = layers.iter().map(|layer| self.layer(layer)).collect();
        self.put(tag, &json!({ "artifactType": "application/vnd.docker.compose.project", "layers": layers }))
    }

    fn put(&self, tag: &str, more: &Value) -> String {
        let mut manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": self.layer(&(EMPTY, json!({}), "{}")) });
        manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let bytes = manifest.to_string().into_bytes();
        let name = digest(&bytes);
        self.registry().put_manifest("team/app", tag, MANIFEST, bytes);
        name
    }

    pub fn include(&self, name: &str) -> PathBuf {
        self.world.project("shop", &[("compose.yaml", &format!("include:\n  - oci://{}/{name}\n", self.host))])
    }

    fn cache(&self) -> PathBuf {
        self.world.path().join("home/.cache/windlass/remote/oci")
    }
}

/// A part of the project's own.
pub fn file(text: &str) -> (&'static str, Value, &str) {
    (FILE, json!({ "com.docker.compose.file": "compose.yaml" }), text)
}

fn extended<'a>(name: &str, text: &'a str) -> (&'static str, Value, &'a str) {
    (FILE, json!({ "com.docker.compose.extends": "true", "com.docker.compose.file": name }), text)
}

fn env<'a>(name: &str, text: &'a str) -> (&'static str, Value, &'a str) {
    (ENV, json!({ "com.docker.compose.envfile": name }), text)
}

#[test]
fn an_artifact_is_named_by_each_way_that_a_file_is() {
    let shop = Shop::new();
    let main = "services:\n  app:\n    extends: {file: f00.yaml, service: base}\n    env_file: f00.env\n    volumes: ['./data:/data']\n";
    let name = shop.publish(
        "1",
        &[
            file(main),
            file("services: {app: {user: over}}\n"),
            extended("f00.yaml", "services: {base: {image: base}}\n"),
            env("f00.env", "FROM=env\n"),
        ],
    );
    let at = format!("source: {}/{}/data", shop.cache().display(), name.trim_start_matches("sha256:"));
    let empty = shop.world.project("empty", &[("x", "")]);
    let address = format!("oci://{}/team/app:1", shop.host);
    for ran in [
        shop.world.windlass(&shop.include("team/app:1"), &["config"]),
        shop.world.windlass(&shop.include(&format!("team/app@{name}")), &["config"]),
        shop.world.windlass(&empty, &["-f", &address, "config"]),
        with(&shop.world, &empty, &[("COMPOSE_FILE", &address)], &["config"]),
        shop.world.windlass(
            &shop.world.project(
                "extends",
                &[("compose.yaml", &format!("services: {{own: {{extends: {{file: '{address}', service: app}}}}}}\n"))],
            ),
            &["config"],
        ),
    ] {
        ran.ok().says("image: base").says("user: over").says("FROM: env").says(&at);
    }
    assert_eq!(shop.registry().count("GET", "/blobs/"), 4, "each part was fetched once");
    // As those have it that were made before artifacts had a type, and below an index.
    let layer = shop.layer(&file("services: {old: {image: old}}\n"));
    let config = json!({ "mediaType": "application/vnd.docker.compose.config.empty.v1+json", "digest": digest(b"{}"), "size": 2 });
    shop.put("old", &json!({ "config": config, "layers": [layer] }));
    shop.world.windlass(&shop.include("team/app:old"), &["config"]).ok().says("image: old");
    let entry = json!({ "mediaType": MANIFEST, "artifactType": "application/vnd.docker.compose.project", "digest": name, "size": 2000 });
    let index = json!({ "schemaVersion": 2, "manifests": [entry] }).to_string().into_bytes();
    shop.registry().put_manifest("team/app", "index", crate::registry::INDEX, index);
    shop.world.windlass(&shop.include("team/app:index"), &["config"]).ok().says("user: over");
    shop.world.assert_clean();
}

#[test]
fn cve_2025_62725_no_annotation_leads_out_of_the_cache() {
    let shop = Shop::new();
    let main = file("services: {app: {image: x}}\n");
    for name in ["../../x", "../../../../../../etc/cron.d/x", "/etc/cron.d/x", "a/b", ".."] {
        for hostile in [env(name, "X=1\n"), extended(name, "services: {}\n")] {
            shop.publish("1", &[main.clone(), hostile]);
            let folder = shop.include("team/app:1");
            shop.world.windlass(&folder, &["ps"]).code(1).says("nobody is asked");
            shop.world.windlass(&folder, &["config"]).code(1).says("hostile or broken").says("compose.yaml:2:5");
            assert_eq!(fs::read_dir(shop.cache()).unwrap().count(), 0, "{name} left something");
        }
    }
    assert!(!shop.world.path().join("home/.cache/windlass/x").exists());
    // The name of the project's own file is not used at all.
    shop.publish("1", &[(FILE, json!({ "com.docker.compose.file": "../../x" }), "services: {app: {image: fine}}\n")]);
    shop.world.windlass(&shop.include("team/app:1"), &["config"]).ok().says("image: fine");
    shop.world.assert_clean();
}

#[test]
fn what_a_registry_sends_is_verified_and_bounded() {
    let shop = Shop::new();
    let text = "services: {app: {image: x}}\n";
    let told = |why: &str| {
        let quick = [("WINDLASS_PULL_TIMEOUT", "1")];
        with(&shop.world, &shop.include("team/app:1"), &quick, &["config"]).code(1).says(why).says("compose.yaml:2:5");
        assert!(!shop.cache().exists() || fs::read_dir(shop.cache()).unwrap().count() == 0, "{why}");
    };
    told("has no image");
    shop.publish("1", &[file(text)]);
    let blob = digest(text.as_bytes());
    shop.registry().fault(&blob, Fault::Body(text.replace('x', "y").into_bytes()), 1);
    told("is not what its digest says");
    shop.registry().fault(&blob, Fault::Endless, 1);
    told("longer than");
    shop.registry().fault(&blob, Fault::StallAfter(5), 1);
    told("in time");
    shop.put(
        "1",
        &json!({ "artifactType": "application/vnd.docker.compose.project", "layers": [
            { "mediaType": FILE, "digest": blob, "size": 20 << 20 },
        ]}),
    );
    told("more than 10485760");
    shop.put("1", &json!({ "artifactType": "application/x.other", "layers": [] }));
    told("`application/x.other`");
    shop.publish("1", &[]);
    told("0 files");
    shop.publish("1", &[file(text)]);
    shop.registry().auth(Auth::Basic("me", "hunter2"));
    told("refuses access");
    let key = "bWU6aHVudGVyMg==";
    let config = json!({ "auths": { &shop.host: { "auth": key } } }).to_string();
    fs::write(shop.world.path().join("home/.docker/config.json"), config).unwrap();
    shop.world.windlass(&shop.include("team/app:1"), &["config"]).ok().says("image: x");
    let switch = "COMPOSE_EXPERIMENTAL_OCI_REMOTE";
    with(&shop.world, &shop.include("team/app:1"), &[(switch, "0")], &["config"]).code(1).says(switch);
    shop.world.windlass(&shop.include("Team/app:1"), &["config"]).code(1).says("lower case").says("E0105");
    shop.world.assert_clean();
}
