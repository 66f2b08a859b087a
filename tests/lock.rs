//! The lock file and `diff`, end to end: a registry whose tags move, containers made of what it serves.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

#[path = "lock/compared.rs"]
mod compared;
#[path = "lock/example.rs"]
mod example;
#[path = "lock/refresh.rs"]
mod refresh;
#[path = "support/registry/mod.rs"]
mod registry;
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use registry::{Image, Registry, file, symlink};
use serde_json::{Value, json};
use support::image::{busybox, load, load_as, project};
use support::world::World;
use tokio::runtime::Runtime;

const ARCH: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };

/// A world whose registries go by no other name.
fn quiet() -> World {
    let world = World::new();
    fs::write(world.path().join("registries.conf"), "").unwrap();
    world
}

/// A world with a registry in it, which answers while windlass runs.
struct Shop {
    world: World,
    runtime: Runtime,
    registry: Option<Registry>,
    host: String,
}

impl Shop {
    fn new() -> Self {
        let world = quiet();
        // Made after the world, so that its threads are in the world's network.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let registry = runtime.block_on(Registry::start());
        let host = registry.host();
        Self { world, runtime, registry: Some(registry), host }
    }

    /// Makes a tag mean an image that says `text`, for two platforms; digest of the index, and of our platform's manifest.
    fn push(&self, repository: &str, tag: &str, text: &str) -> (String, String) {
        let (ours, other) = (image(text), image(text).arch("s390x"));
        let registry = self.registry.as_ref().unwrap();
        let index = registry.push_index(repository, tag, &[("linux", ARCH, "", &ours), ("linux", "s390x", "", &other)]);
        (index, registry::digest(&ours.manifest()))
    }

    fn stop_registry(&mut self) {
        self.registry = None;
        let host = self.host.clone();
        self.world.wait_for("the registry's end", || std::net::TcpStream::connect(&host).is_err());
    }

    fn wipe(&self) {
        fs::remove_dir_all(self.world.path().join("root")).unwrap();
    }

    fn project(&self, text: &str) -> PathBuf {
        project(&self.world, "shop", &text.replace("HOST", &self.host))
    }

    /// The manifest digest of the image that the only container was made of.
    fn runs(&self, folder: &Path) -> String {
        let spec = self.world.sh("cat root/containers/*/spec.json").ok().stdout;
        let body: Value = serde_json::from_str(spec.lines().last().unwrap()).unwrap();
        let said = self.world.windlass(folder, &["exec", "-T", "app", "cat", "/etc/motd"]).ok().stdout;
        let manifest = body.pointer("/spec/image/manifest").or_else(|| body.pointer("/image/manifest"));
        format!("{} {said}", manifest.and_then(Value::as_str).unwrap_or_else(|| panic!("{body}")))
    }
}

fn image(text: &str) -> Image {
    let tools = ["sh", "sleep", "cat", "env"].map(|name| symlink(&format!("bin/{name}"), "busybox"));
    let program = file("bin/busybox", &fs::read(busybox()).unwrap()).mode(0o755);
    let files = [program, file("etc/motd", text.as_bytes())].into_iter().chain(tools).collect();
    Image::new().layer(files).config(json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin"] }))
}

const APP: &str = "services:\n  app: {image: 'HOST/team/app:1', stop_signal: SIGKILL}\n";

#[test]
fn what_was_locked_comes_back_on_an_empty_machine_and_a_moved_tag_is_refused() {
    let shop = Shop::new();
    let (index, manifest) = shop.push("team/app", "1", "one");
    let folder = shop.project(APP);
    let windlass = |arguments: &[&str]| shop.world.windlass(&folder, arguments);
    windlass(&["lock"]).ok().says(&index).says(&format!("(linux/{ARCH}, linux/s390x)")).says("1 image");
    let text = fs::read_to_string(folder.join("windlass.lock")).unwrap();
    assert!(text.contains(&format!("digest = \"{index}\"")) && text.contains(&manifest), "{text}");
    windlass(&["lock"]).ok().says("up to date");
    windlass(&["lock", "--check"]).ok();
    windlass(&["up", "-d", "--locked"]).ok();
    assert_eq!(shop.runs(&folder), format!("{manifest} one"));
    windlass(&["ps"]).ok().says("team/app:1");
    windlass(&["down"]).ok();
    shop.wipe();
    windlass(&["up", "-d", "--locked"]).ok();
    assert_eq!(shop.runs(&folder), format!("{manifest} one"), "the same digests on an empty machine");

    let (moved, _) = shop.push("team/app", "1", "two");
    let refused = windlass(&["up", "-d", "--locked"]).code(1).says(&index).says(&moved);
    assert!(refused.stderr.contains("has moved in its registry"), "{}", refused.stderr);
    windlass(&["lock", "--check"]).code(1).says(&format!("{index} → {moved}"));
    windlass(&["plan", "--detailed-exitcode"]).code(0).says("nothing to do").says(&moved).says("lock --update app");
    windlass(&["up", "-d", "--pull", "always"]).ok();
    windlass(&["pull"]).ok();
    windlass(&["down"]).ok();
    shop.wipe();
    windlass(&["up", "-d"]).ok();
    assert_eq!(shop.runs(&folder), format!("{manifest} one"), "without a flag, too, the lock file holds");
    assert_eq!(fs::read_to_string(folder.join("windlass.lock")).unwrap(), text, "`up` never writes it");

    windlass(&["--dry-run", "lock", "--update"]).ok().says("would have");
    assert_eq!(fs::read_to_string(folder.join("windlass.lock")).unwrap(), text);
    windlass(&["lock", "--update", "app"]).ok().says(&format!("{index} → {moved}"));
    windlass(&["plan", "--detailed-exitcode"]).code(2);
    windlass(&["up", "-d", "--locked"]).ok();
    assert!(shop.runs(&folder).ends_with(" two"));
    windlass(&["down"]).ok();
    shop.world.assert_clean();
}

#[test]
fn config_prints_the_digests_of_the_lock_file_else_of_the_registry() {
    let shop = Shop::new();
    let (one, _) = shop.push("team/app", "1", "one");
    let (other, _) = shop.push("team/other", "2", "other");
    let folder = shop.project(APP);
    let windlass = |arguments: &[&str]| shop.world.windlass(&folder, arguments);
    let app = |digest: &str| format!("{}/team/app:1@{digest}", shop.host);
    windlass(&["config", "--resolve-image-digests"]).ok().says(&format!("image: {}", app(&one)));
    windlass(&["lock"]).ok();
    let (two, _) = shop.push("team/app", "1", "two");
    let text = format!("{APP}  other: {{image: 'HOST/team/other:2', command: [env]}}\n").replace("HOST", &shop.host);
    fs::write(folder.join("compose.yaml"), text).unwrap();
    windlass(&["config", "--resolve-image-digests"]).ok().says(&app(&one)).says(&other).says("command:");
    let only = windlass(&["config", "--lock-image-digests"]).ok().says(&app(&one)).says(&other);
    assert!(!only.stdout.contains("command:") && !only.stdout.contains("networks:"), "{}", only.stdout);
    // An override file of its own: with it, another machine needs no lock file.
    fs::write(folder.join("digests.yaml"), &only.stdout).unwrap();
    fs::remove_file(folder.join("windlass.lock")).unwrap();
    windlass(&["config", "--resolve-image-digests"]).ok().says(&app(&two));
    windlass(&["-f", "compose.yaml", "-f", "digests.yaml", "config", "--images"]).ok().says(&app(&one)).says(&other);
    shop.world.assert_clean();
}

#[test]
fn frozen_needs_no_registry_but_all_images() {
    let mut shop = Shop::new();
    let (_, manifest) = shop.push("team/app", "1", "one");
    let folder = shop.project(APP);
    shop.world.windlass(&folder, &["lock"]).ok();
    shop.world.windlass(&folder, &["up", "-d", "--frozen"]).code(1).says("is not on this machine");
    shop.world.windlass(&folder, &["pull"]).ok();
    // Another project takes what the tag means by now: the locked image stays, by its digest.
    shop.push("team/app", "1", "two");
    shop.world.windlass(&folder, &["pull", "--no-lock"]).ok();
    let asked = shop.registry.as_ref().unwrap().requests().len();
    shop.world.windlass(&folder, &["up", "-d", "--frozen"]).ok();
    assert_eq!(shop.registry.as_ref().unwrap().requests().len(), asked, "nobody was asked");
    shop.world.windlass(&folder, &["down"]).ok();
    shop.stop_registry();
    shop.world.windlass(&folder, &["up", "-d", "--locked"]).code(1).says("can't be reached").says("up --frozen");
    shop.world.windlass(&folder, &["up", "-d", "--frozen"]).ok();
    assert_eq!(shop.runs(&folder), format!("{manifest} one"));
    shop.world.windlass(&folder, &["plan"]).ok().says("nothing to do").says("can't tell whether");
    shop.world.windlass(&folder, &["up", "-d", "--frozen", "--pull", "always"]).code(1).says("pulls nothing");
    shop.world.windlass(&folder, &["down"]).ok();
    shop.world.assert_clean();
}

#[test]
fn what_an_unlocked_pull_left_nameless_is_still_the_locked_image() {
    let mut shop = Shop::new();
    let (_, manifest) = shop.push("team/app", "1", "one");
    let folder = shop.project(APP);
    shop.world.windlass(&folder, &["pull"]).ok();
    shop.world.windlass(&folder, &["lock"]).ok();
    shop.push("team/app", "1", "two");
    shop.world.windlass(&folder, &["pull", "--no-lock"]).ok();
    shop.stop_registry();
    shop.world.windlass(&folder, &["up", "-d", "--frozen"]).ok();
    assert_eq!(shop.runs(&folder), format!("{manifest} one"));
    shop.world.windlass(&folder, &["up", "-d", "--no-lock"]).ok();
    assert!(shop.runs(&folder).ends_with(" two"), "without the lock file, the tag is what it is here");
    shop.world.windlass(&folder, &["down"]).ok();
    shop.world.assert_clean();
}

#[test]
fn a_reference_that_the_lock_lacks_is_resolved_and_told() {
    let shop = Shop::new();
    shop.push("team/app", "1", "one");
    let folder = shop.project(APP);
    let windlass = |arguments: &[&str]| shop.world.windlass(&folder, arguments);
    windlass(&["up", "-d", "--locked"]).code(1).says("there is no lock file windlass.lock").says("`windlass lock`");
    windlass(&["lock"]).ok();
    let before = fs::read_to_string(folder.join("windlass.lock")).unwrap();
    shop.push("team/more", "1", "more");
    let more = format!("  more: {{image: '{}/team/more:1', stop_signal: SIGKILL}}\n", shop.host);
    support::image::append(&folder.join("compose.yaml"), &more);
    windlass(&["up", "-d"]).ok().says("team/more:1").says("`windlass lock` adds what is missing");
    assert_eq!(fs::read_to_string(folder.join("windlass.lock")).unwrap(), before);
    windlass(&["up", "-d", "--locked"]).code(1).says("team/more:1 is not in the lock file");
    windlass(&["lock"]).ok().says("+ image").says("team/more:1");
    windlass(&["up", "-d", "--locked"]).ok();
    windlass(&["down"]).ok();
    shop.world.assert_clean();
}

#[test]
fn services_of_every_profile_and_mounted_images_are_locked() {
    let shop = Shop::new();
    let ((one, _), (two, _), (three, _)) =
        (shop.push("a", "1", "one"), shop.push("b", "1", "two"), shop.push("c", "1", "three"));
    let folder = shop.project(
        "services:\n  app:\n    image: 'HOST/a:1'\n    stop_signal: SIGKILL\n    volumes: [{type: image, source: 'HOST/c:1', \
         target: /more}]\n  tool: {image: 'HOST/b:1', profiles: [tools]}\n",
    );
    let windlass = |arguments: &[&str]| shop.world.windlass(&folder, arguments);
    windlass(&["lock"]).ok().says(&one).says(&two).says(&three).says("3 images");
    shop.push("c", "1", "four");
    windlass(&["up", "-d"]).ok();
    windlass(&["exec", "-T", "app", "cat", "/more/etc/motd"]).ok().says("three");
    windlass(&["lock", "--update", "tool"]).ok().says("up to date");
    windlass(&["lock", "--update", "tolo"]).code(1).says("tool");
    windlass(&["lock", "tool"]).code(1).says("--update");
    windlass(&["down"]).ok();
    shop.world.assert_clean();
}

#[test]
fn env_files_configs_builds_and_variables_are_locked_and_drift_is_named() {
    let world = quiet();
    let compose = "services:\n  web:\n    build: .\n    env_file: web.env\n    environment: [HOME, 'PORT=${PORT:-80}']\n    \
                   configs: [site]\n    secrets: [key]\nconfigs: {site: {file: site.conf}}\nsecrets: {key: {environment: KEY}}\n";
    let files = [
        ("compose.yaml", compose),
        ("web.env", "TOKEN=geheim\n"),
        ("site.conf", "listen 80\n"),
        ("Dockerfile", "FROM scratch\nCOPY . /\n"),
        (".dockerignore", "*.tmp\n"),
        ("src/main.c", "int main;\n"),
    ];
    let folder = world.project("inputs", &files);
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    windlass(&["lock"]).ok().says("1 env file, 1 config, 1 build, 3 variables");
    let text = fs::read_to_string(folder.join("windlass.lock")).unwrap();
    assert!(!text.contains("geheim"), "{text}");
    for name in ["HOME", "KEY", "PORT"] {
        assert!(text.contains(&format!("\"{name}\"")), "{text}");
    }
    windlass(&["lock", "--check"]).ok();
    let change = |file: &str, text: &str| fs::write(folder.join(file), text).unwrap();
    change("notes.tmp", "not part of the build");
    fs::create_dir(folder.join(".git")).unwrap();
    change(".git/HEAD", "differs in every clone");
    windlass(&["lock", "--check"]).ok();
    for (file, text, says) in [
        ("web.env", "TOKEN=other\n", "env file web.env has changed: sha256:"),
        ("site.conf", "listen 81\n", "config site has changed: sha256:"),
        ("src/main.c", "int main(){}\n", "build web has changed: sha256:"),
        ("Dockerfile", "FROM scratch\n", "build web has changed: sha256:"),
    ] {
        let before = fs::read_to_string(folder.join(file)).unwrap();
        change(file, text);
        windlass(&["lock", "--check"]).code(1).says(says);
        windlass(&["up", "-d", "--frozen"]).code(1).says(says);
        change(file, &before);
    }
    change("compose.yaml", &compose.replace("${PORT:-80}", "${PORT:-80}${NEW:-}"));
    windlass(&["lock", "--check"]).code(1).says("variable NEW is not in the lock file");
    change("compose.yaml", compose);
    change("src/more.c", "");
    windlass(&["lock", "--check"]).code(1).says("build web has changed");
    windlass(&["lock"]).ok().says("~ build web");
    windlass(&["lock", "--check"]).ok();
    world.assert_clean();
}

#[test]
fn a_bad_lock_file_is_told_at_its_place_and_can_be_left_aside() {
    let world = quiet();
    load(&world);
    let folder = project(&world, "bad", "services:\n  app: {image: test, stop_signal: SIGKILL}\n");
    fs::write(folder.join("windlass.lock"), "schema = 7\n").unwrap();
    world.windlass(&folder, &["up", "-d"]).code(1).says("newer windlass").says("windlass.lock:1:10").says("--no-lock");
    fs::write(folder.join("windlass.lock"), "schema = 1\nwindlass = \"0\"\n[images.test]\ndigest = \"x\"\n").unwrap();
    for verb in [&["up", "-d"][..], &["plan"], &["lock"], &["lock", "--check"], &["pull"]] {
        let ran = world.windlass(&folder, verb);
        assert_eq!(ran.code, 1, "{verb:?}");
        assert!(ran.stdout.contains("windlass.lock:4:10") || ran.stderr.contains("windlass.lock:4:10"), "{verb:?}");
    }
    world.windlass(&folder, &["up", "-d", "--no-lock"]).ok();
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn an_image_that_may_be_built_is_locked_where_a_registry_has_it() {
    let shop = Shop::new();
    let (index, manifest) = shop.push("team/app", "1", "one");
    let text = APP.replace("stop_signal", "build: ./src, stop_signal")
        + "  own: {image: 'HOST/team/own:1', build: ./src, profiles: [own]}\n";
    let folder = shop.project(&text);
    let sleeping = json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin"] });
    let windlass = |arguments: &[&str]| shop.world.windlass(&folder, arguments);
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/Dockerfile"), "FROM scratch\nRUN no-such-program\n").unwrap();
    let locked = windlass(&["lock"]).ok().says(&index).says("1 image").says("team/own:1");
    assert!(locked.stderr.contains("not locked, but what it is built from is"), "{}", locked.stderr);
    windlass(&["lock", "--check"]).ok();
    // Neither is it built, which would fail, nor is it what the tag means by now.
    let (moved, _) = shop.push("team/app", "1", "two");
    windlass(&["up", "-d"]).ok();
    assert_eq!(shop.runs(&folder), format!("{manifest} one"));
    windlass(&["up", "-d", "--frozen"]).ok();
    windlass(&["down"]).ok();
    windlass(&["up", "-d", "--locked", "--build"]).code(1).says(&format!("{index} → {moved}"));
    // Built ones have their name for themselves, unless nothing but what is locked will do.
    load_as(&shop.world, &format!("{}/team/app:1", shop.host), &sleeping);
    windlass(&["up", "-d"]).ok();
    windlass(&["exec", "-T", "app", "cat", "/etc/motd"]).code(1);
    windlass(&["up", "-d", "--frozen"]).ok();
    assert_eq!(shop.runs(&folder), format!("{manifest} one"));
    windlass(&["down"]).ok();
    shop.world.assert_clean();
}

#[test]
fn nothing_is_built_before_the_lock_file_is_seen_to_hold_and_only_what_comes_up() {
    let mut shop = Shop::new();
    shop.push("team/app", "1", "one");
    let folder = shop.project(&format!("{APP}  built: {{build: ./src, network_mode: none}}\n"));
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/Dockerfile"), "FROM scratch\nRUN no-such-program\n").unwrap();
    let sleeping = json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin"] });
    let windlass = |shop: &Shop, arguments: &[&str]| shop.world.windlass(&folder, arguments);
    windlass(&shop, &["lock"]).ok();
    fs::write(folder.join("src/more"), "").unwrap();
    let refused = windlass(&shop, &["up", "-d", "--locked"]).code(1).says("build built has changed");
    assert!(!refused.stderr.contains("Building"), "{}", refused.stderr);
    // A registry that is silent hides nothing of what has changed here.
    shop.stop_registry();
    for verb in [&["up", "-d", "--locked"][..], &["lock", "--check"]] {
        windlass(&shop, verb).code(1).says("build built has changed").says("can't be reached");
    }
    let frozen = windlass(&shop, &["up", "-d", "--frozen", "app"]).code(1).says("without `--frozen`");
    assert!(!frozen.stderr.contains("Pulling"), "{}", frozen.stderr);
    // `watch` holds to the lock file as `up` does.
    let watched = folder.join("compose.yaml");
    let text = fs::read_to_string(&watched).unwrap();
    let rule = "stop_signal: SIGKILL, develop: {watch: [{action: sync, path: ./src, target: /src}]}}";
    fs::write(&watched, text.replace("stop_signal: SIGKILL}", rule)).unwrap();
    windlass(&shop, &["watch", "--frozen"]).code(1).says("build built has changed");
    fs::write(&watched, text).unwrap();
    windlass(&shop, &["lock"]).ok();
    windlass(&shop, &["up", "-d", "--frozen", "app"]).code(1).says("neither pulls nor builds").says("compose.yaml:2:");
    load_as(&shop.world, &format!("{}/team/app:1", shop.host), &sleeping);
    windlass(&shop, &["up", "-d", "--no-lock", "app"]).ok();
    windlass(&shop, &["down"]).ok();
    shop.world.assert_clean();
}

#[test]
fn a_plan_pulls_nothing_and_says_what_up_would_pull() {
    let shop = Shop::new();
    shop.push("team/app", "1", "one");
    let folder = shop.project(APP);
    let pull = format!("pull image        {}/team/app:1", shop.host);
    for words in [&["plan"][..], &["--dry-run", "up", "-d"], &["--dry-run", "create"]] {
        shop.world.windlass(&folder, words).ok().says(&pull).says("create container");
        assert_eq!(shop.world.windlass(&folder, &["image", "ls", "-q"]).ok().stdout, "", "{words:?}");
        shop.world.sh("ls root/images/refs root/images/pending root/images/layers | grep -v : | grep .").code(1);
    }
    shop.world.windlass(&folder, &["up", "-d"]).ok();
    shop.world.windlass(&folder, &["plan"]).ok().says("nothing to do");
    // What the tag means by now is told, but not taken.
    shop.push("team/app", "1", "two");
    let always = APP.replace("stop_signal", "pull_policy: always, stop_signal");
    let folder = shop.project(&always);
    shop.world.windlass(&folder, &["plan"]).ok().says(&pull);
    shop.world.windlass(&folder, &["exec", "-T", "app", "cat", "/etc/motd"]).ok().says("one");
    shop.world.windlass(&folder, &["down"]).ok();
    shop.world.assert_clean();
}
