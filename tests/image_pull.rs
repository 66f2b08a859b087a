//! Pulling from a registry that may lie, stall, cut, and ask for a password.

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

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use registry::{Auth, Fault, Image, Packing, Registry, TarFile, file, folder};
use serde_json::json;
use windlass::host::image::{ImageError, Phase, PullPolicy, login, logout};
use world::World;

/// Bytes that no packer makes smaller.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn big(count: usize) -> TarFile {
    file("big", &noise(count))
}

fn app() -> Image {
    Image::new().layer(vec![folder("etc/"), file("etc/motd", b"hello")]).layer(vec![big(300_000)])
}

#[tokio::test]
async fn a_pull_brings_defaults_and_layers() {
    let (world, registry) = (World::new(), Registry::start().await);
    let config = json!({
        "Entrypoint": ["/app"], "Cmd": ["-v"], "Env": ["A=1", "bad", "=x", "B=a=b"], "User": "1:2", "WorkingDir": "/w",
        "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/data": {} }, "Labels": { "k": "v" }, "StopSignal": "SIGINT",
        "Healthcheck": { "Test": ["CMD", "true"], "Interval": 1_500_000_000_i64, "Retries": 0, "Timeout": -1 },
    });
    let image = app().config(config);
    registry.push("team/app", "1", &image);
    let name = format!("{}/team/app:1", registry.host());
    let resolved = world.resolve(&name, PullPolicy::Missing).await.unwrap();
    assert!(world.store.local(&name, None).unwrap().is_none(), "not before its layers are here");
    assert!(world.store.list().is_empty());
    let mode = std::fs::metadata(world.path("images")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700, "no other user may reach a setuid program in a layer");
    let pulled = world.pull(&name).await.unwrap();
    assert_eq!(resolved, pulled);
    assert_eq!(pulled.spec.id.as_str(), image.id());
    assert_eq!(pulled.env, ["A=1", "B=a=b"]);
    assert_eq!((pulled.user.as_str(), pulled.working_dir.as_str()), ("1:2", "/w"));
    let health = pulled.healthcheck.clone().unwrap();
    assert_eq!((health.interval, health.timeout, health.retries), (Some(Duration::from_millis(1500)), None, None));
    assert_eq!(std::fs::read(world.in_layer(&pulled, 0, "etc/motd")).unwrap(), b"hello");
    assert_eq!(world.store.local(&name, None).unwrap().unwrap(), pulled);
    world.assert_tidy();
    assert!(world::names(&world.path("images/partial")).is_empty());
    let done = world.seen.all().iter().filter(|step| step.phase == Phase::Done && step.layer.is_some()).count();
    assert_eq!(done, 2);
}

#[tokio::test]
async fn the_platform_of_this_machine_is_chosen() {
    let (world, registry) = (World::new(), Registry::start().await);
    let (ours, other) = (app(), app().arch("s390x"));
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    registry.push_index(
        "multi",
        "1",
        &[("linux", "s390x", "", &other), ("windows", arch, "", &other), ("linux", arch, "", &ours)],
    );
    registry.push_index("foreign", "1", &[("linux", "s390x", "", &other), ("unknown", "unknown", "", &other)]);
    registry.push("single", "1", &other);
    let host = registry.host();
    assert_eq!(world.pull(&format!("{host}/multi:1")).await.unwrap().spec.id.as_str(), ours.id());
    let error = world.pull(&format!("{host}/foreign:1")).await.unwrap_err().to_string();
    assert!(error.contains("it is for linux/s390x;"), "{error}");
    assert!(matches!(world.pull(&format!("{host}/single:1")).await, Err(ImageError::NoPlatform { .. })));
    let client = world.client();
    let name = format!("{host}/multi:1");
    let asked =
        world.store.resolve(&client, &name, Some("linux/s390x"), PullPolicy::Missing, &world.watcher()).await.unwrap();
    assert_eq!(asked.spec.id.as_str(), other.id());
}

#[tokio::test]
async fn a_cut_connection_is_gone_on_with() {
    let (world, registry) = (World::new(), Registry::start().await);
    let image = app();
    registry.push("app", "1", &image);
    registry.fault(&image.blob(1), Fault::CutAfter(100_000), 2);
    world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
    let asked: Vec<Option<String>> = registry
        .requests()
        .iter()
        .filter(|request| request.path.contains(&image.blob(1)))
        .map(|request| request.headers.get("range").cloned())
        .collect();
    assert_eq!(asked, [None, Some("bytes=100000-".into()), Some("bytes=200000-".into())]);
    assert!(world.seen.all().iter().any(|step| step.phase == Phase::Retrying));
}

#[tokio::test]
async fn what_a_failed_pull_has_is_used_by_the_next_one() {
    let (world, registry) = (World::new(), Registry::start().await);
    let image = app();
    registry.push("app", "1", &image);
    registry.fault(&image.blob(1), Fault::CutAfter(250_000), 1);
    registry.fault(&image.blob(1), Fault::CutAfter(0), 4);
    let name = format!("{}/app:1", registry.host());
    let error = world.pull(&name).await.unwrap_err();
    assert!(matches!(&error, ImageError::Broken { got: 250_000, .. }), "{error}");
    assert!(error.transient());
    let before = registry.requests().len();
    world.pull(&name).await.unwrap();
    let after = &registry.requests()[before..];
    let blobs: Vec<_> = after.iter().filter(|request| request.path.contains(&image.blob(1))).collect();
    assert_eq!(blobs.len(), 1);
    assert_eq!(blobs[0].headers["range"], "bytes=250000-");
}

#[tokio::test]
async fn a_registry_without_ranges_is_no_obstacle() {
    let (world, registry) = (World::new(), Registry::start().await);
    let image = app();
    registry.push("app", "1", &image);
    registry.ranges(false);
    registry.fault(&image.blob(1), Fault::CutAfter(100_000), 1);
    world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
}

#[tokio::test]
async fn a_stalled_transfer_is_cut_and_gone_on_with() {
    let (world, registry) = (World::new(), Registry::start().await);
    let image = app();
    registry.push("app", "1", &image);
    registry.fault(&image.blob(1), Fault::StallAfter(100_000), 1);
    world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
    assert_eq!(registry.count("GET", &image.blob(1)), 2);
}

#[tokio::test]
async fn a_damaged_part_of_an_earlier_pull_is_thrown_away() {
    let (world, registry) = (World::new(), Registry::start().await);
    let image = app();
    registry.push("app", "1", &image);
    let partial = world.path("images/partial").join(&image.blob(1)[7..]);
    std::fs::write(&partial, noise(5000)).unwrap();
    world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
}

#[tokio::test]
async fn lies_are_found_out_and_nothing_of_them_is_seen() {
    let registry = Registry::start().await;
    let image = app();
    registry.push("app", "1", &image);
    let name = format!("{}/app:1", registry.host());
    let mut flipped = image.bytes(1).to_vec();
    flipped[1000] ^= 1;
    let longer = [image.bytes(1), b"more"].concat();
    type Expected = fn(&ImageError) -> bool;
    let cases: [(&str, Fault, Expected); 5] = [
        ("one bit", Fault::Body(flipped), |error| matches!(error, ImageError::WrongDigest { .. })),
        ("shorter", Fault::Body(noise(1000)), |error| matches!(error, ImageError::WrongSize { got: 1000, .. })),
        ("longer", Fault::Body(longer), |error| matches!(error, ImageError::WrongSize { .. })),
        ("endless", Fault::Endless, |error| matches!(error, ImageError::WrongSize { .. })),
        ("gone", Fault::Status(404, None), |error| matches!(error, ImageError::Status { status: 404, .. })),
    ];
    for (what, fault, expected) in cases {
        let world = World::new();
        registry.fault(&image.blob(1), fault, 1);
        let error = world.pull(&name).await.unwrap_err();
        assert!(expected(&error), "{what}: {error}");
        assert!(world.store.local(&name, None).unwrap().is_none(), "{what}");
        // The good layer may have been published before or not; the bad one must not.
        assert!(world::names(&world.path("images/layers")).len() <= 1, "{what}");
        world.pull(&name).await.unwrap_or_else(|error| panic!("{what}: the next pull: {error}"));
    }
}

#[tokio::test]
async fn a_manifest_that_lies_is_refused() {
    let (world, registry) = (World::new(), Registry::start().await);
    let image = app();
    let digest = registry.push("app", "1", &image);
    let name = format!("{}/app@{digest}", registry.host());
    registry.fault("/manifests/", Fault::Body(Image::new().manifest()), 1);
    assert!(matches!(world.pull(&name).await, Err(ImageError::WrongDigest { .. })));
    registry.fault("/manifests/", Fault::Endless, 1);
    assert!(matches!(world.pull(&name).await, Err(ImageError::BadAnswer { .. })));
    world.pull(&name).await.unwrap();
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_and_a_dead_one_is_named() {
    let (world, registry) = (World::new(), Registry::start().await);
    registry.push("app", "1", &app());
    let name = format!("{}/app:1", registry.host());
    registry.fault("/manifests/", Fault::Status(429, Some(0)), 1);
    registry.fault("/manifests/", Fault::Status(503, None), 2);
    world.pull(&name).await.unwrap();
    registry.fault("/manifests/2", Fault::Status(429, Some(3600)), 1);
    let error = world.pull(&format!("{}/app:2", registry.host())).await.unwrap_err();
    assert!(matches!(error, ImageError::Status { status: 429, .. }) && error.transient(), "an hour is not waited");
    let error = world.pull(&format!("{}/app:3", registry.host())).await.unwrap_err();
    assert!(matches!(error, ImageError::NotFound { .. }), "{error}");
    let error = world.pull("127.0.0.1:1/app").await.unwrap_err();
    assert!(matches!(error, ImageError::Unreachable { .. }) && error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_place_itself_when_it_fails() {
    let (world, mirror, registry) = (World::new(), Registry::start().await, Registry::start().await);
    let image = app();
    mirror.push("copy/app", "1", &image);
    registry.push("app", "1", &image);
    let mut flipped = image.bytes(1).to_vec();
    flipped[1000] ^= 1;
    mirror.fault(&image.blob(1), Fault::Body(flipped), 1);
    world.registries(&format!(
        "[[registry]]\nprefix = \"docker.io/library\"\nlocation = \"{}\"\n[[registry.mirror]]\nlocation = \"{}/copy\"\n",
        registry.host(),
        mirror.host()
    ));
    world.pull("app:1").await.unwrap();
    assert_eq!((mirror.count("GET", "/manifests/"), registry.count("GET", "/manifests/")), (1, 0));
    assert_eq!((mirror.count("GET", &image.blob(1)), registry.count("GET", &image.blob(1))), (1, 1));
    let unknown = world.pull("nosuch").await.unwrap_err().to_string();
    let said = format!("{} (in place of docker.io, by registries.conf) has no image nosuch:latest", registry.host());
    assert!(unknown.starts_with(&said), "{unknown}");
    drop(mirror);
    let fresh = World::new();
    std::fs::copy(world.path("registries.conf"), fresh.path("registries.conf")).unwrap();
    fresh.pull("app:1").await.unwrap();
}

#[tokio::test]
async fn a_login_is_used_and_its_absence_explained() {
    let (world, registry) = (World::new(), Registry::start().await);
    registry.push("app", "1", &app());
    registry.auth(Auth::Basic("me", "s3cret"));
    let name = format!("{}/app:1", registry.host());
    let error = world.pull(&name).await.unwrap_err().to_string();
    assert!(error.contains("windlass login"), "{error}");
    // "me:s3cret"
    world.docker(&format!(r#"{{"auths":{{"{}":{{"auth":"bWU6czNjcmV0"}}}}}}"#, registry.host()));
    world.pull(&name).await.unwrap();
    world.docker(&format!(r#"{{"auths":{{"{}":{{"auth":"bWU6d3Jvbmc="}}}}}}"#, registry.host()));
    let error = World::pull(&world, &format!("{}/app:2", registry.host())).await.unwrap_err();
    assert!(matches!(error, ImageError::Denied { .. }));
    assert!(!format!("{error} {error:?} {:?}", world.client()).contains("wrong"), "no secret in messages");
}

#[tokio::test]
async fn tokens_are_fetched_and_fetched_anew_when_they_expire() {
    let (world, registry) = (World::new(), Registry::start().await);
    registry.push("app", "1", &app());
    registry.auth(Auth::Bearer(Some(("me", "s3cret")), 2));
    world.docker(&format!(r#"{{"auths":{{"{}":{{"auth":"bWU6czNjcmV0"}}}}}}"#, registry.host()));
    world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
    assert!(registry.count("GET", "/token") >= 2);
    let token = registry.requests().into_iter().find(|request| request.path.starts_with("/token")).unwrap();
    assert!(
        token.path.contains("service=test") && token.path.contains("scope=repository%3Aany%3Apull"),
        "{}",
        token.path
    );
    let anonymous = World::new();
    registry.auth(Auth::Bearer(None, 100));
    anonymous.pull(&format!("{}/app:1", registry.host())).await.unwrap();
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_no_password() {
    let (world, registry, storage) = (World::new(), Registry::start().await, Registry::start().await);
    let image = app();
    registry.push("app", "1", &image);
    storage.push("app", "1", &image);
    registry.auth(Auth::Basic("me", "s3cret"));
    world.docker(&format!(r#"{{"auths":{{"{}":{{"auth":"bWU6czNjcmV0"}}}}}}"#, registry.host()));
    let target = format!("http://{}/v2/app/blobs/{}", storage.host(), image.blob(1));
    // The first answer is the question for a password.
    registry.fault(&image.blob(1), Fault::Redirect(target), 9);
    world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
    let sent = storage.requests();
    assert!(!sent.is_empty() && sent.iter().all(|request| !request.headers.contains_key("authorization")));
}

#[tokio::test]
async fn credential_helpers_are_asked() {
    let (world, registry) = (World::new(), Registry::start().await);
    registry.push("app", "1", &app());
    registry.auth(Auth::Basic("me", "s3cret"));
    std::fs::create_dir(world.path("bin")).unwrap();
    let helper = world.path("bin/docker-credential-test");
    let script =
        "#!/bin/sh\ncat > \"$HOME/asked\"\necho '{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"s3cret\"}'\n";
    std::fs::write(&helper, script).unwrap();
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.docker(&format!(r#"{{"credHelpers":{{"{}":"test"}}}}"#, registry.host()));
    world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
    assert_eq!(std::fs::read_to_string(world.path("asked")).unwrap(), registry.host());
    world.docker(r#"{"credsStore":"missing"}"#);
    let error = world.pull(&format!("{}/app:2", registry.host())).await.unwrap_err().to_string();
    assert!(error.contains("docker-credential-missing"), "{error}");
}

#[tokio::test]
async fn login_keeps_what_else_is_in_the_file() {
    let (world, registry) = (World::new(), Registry::start().await);
    registry.auth(Auth::Bearer(Some(("me", "s3cret")), 100));
    registry.push("app", "1", &app());
    world.docker(r#"{"HttpHeaders":{"a":"b"},"auths":{"other":{"auth":"eDp5"}}}"#);
    let secret = |text: &str| windlass::host::image::Secret::new(text);
    let refused = login(&world.settings(), &registry.host(), "me", secret("wrong")).await;
    let refused = refused.unwrap_err().to_string();
    let said = format!("registry {} does not let me in: the user name or the password is wrong", registry.host());
    assert!(refused.starts_with(&said), "{refused}");
    login(&world.settings(), &format!("http://{}", registry.host()), "me", secret("s3cret")).await.unwrap();
    let path = world.path("config.json");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&kept["HttpHeaders"]["a"], &kept["auths"]["other"]["auth"]), (&json!("b"), &json!("eDp5")));
    world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
    assert!(logout(&world.settings(), &registry.host()).await.unwrap());
    assert!(!logout(&world.settings(), &registry.host()).await.unwrap());
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept.contains("eDp5") && !kept.contains("bWU6czNjcmV0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pulls_of_one_blob_share_it() {
    let (world, registry) = (World::new(), Registry::start().await);
    let shared = big(2_000_000);
    let one = Image::new().layer(vec![shared.clone()]).layer(vec![file("one", b"1")]);
    let two = Image::new().layer(vec![shared]).layer(vec![file("two", b"2")]);
    registry.push("one", "1", &one);
    registry.push("two", "1", &two);
    // As another process would: a store and a client of its own on the same folder.
    let other = windlass::host::image::Store::open(world.dir.path()).unwrap();
    let (first, second) = (format!("{}/one:1", registry.host()), format!("{}/two:1", registry.host()));
    let client = world.client();
    let pull_other = async {
        let image = other.resolve(&client, &second, None, PullPolicy::Always, &world.watcher()).await?;
        other.fetch(&client, &image.spec, &world.watcher()).await
    };
    let (a, b) = tokio::join!(world.pull(&first), pull_other);
    a.unwrap();
    b.unwrap();
    assert_eq!(registry.count("GET", &one.blob(0)), 1);
    world.assert_tidy();
}

#[tokio::test]
async fn a_layer_that_comes_twice_is_fetched_once() {
    let (world, registry) = (World::new(), Registry::start().await);
    let tar = registry::tar(&[file("x", b"x")]);
    let image =
        Image::new().raw_layer(&tar, Packing::Zstd).raw_layer(&tar, Packing::Zstd).raw_layer(&tar, Packing::Zstd);
    registry.push("app", "1", &image);
    let pulled = world.pull(&format!("{}/app:1", registry.host())).await.unwrap();
    assert_eq!(registry.count("GET", &image.blob(0)), 1);
    assert_eq!(std::fs::read(world.in_layer(&pulled, 2, "x")).unwrap(), b"x");
}

#[tokio::test]
async fn a_lost_layer_is_fetched_alone() {
    let (world, registry) = (World::new(), Registry::start().await);
    let image = app();
    registry.push("app", "1", &image);
    let name = format!("{}/app:1", registry.host());
    let pulled = world.pull(&name).await.unwrap();
    std::fs::remove_dir_all(world.in_layer(&pulled, 0, "")).unwrap();
    assert!(!world.store.layers_present(&pulled.spec));
    world.store.fetch_id(&world.client(), &name, &pulled.spec.id, &world.watcher()).await.unwrap();
    assert!(world.store.layers_present(&pulled.spec));
    assert_eq!((registry.count("GET", &image.blob(0)), registry.count("GET", &image.blob(1))), (2, 1));
}

#[tokio::test]
async fn a_pull_that_is_stopped_is_gone_on_with() {
    let (world, registry) = (World::new(), Registry::start().await);
    let image = app();
    registry.push("app", "1", &image);
    registry.fault(&image.blob(1), Fault::StallAfter(100_000), 1);
    let name = format!("{}/app:1", registry.host());
    let client = world.client();
    let resolved = world.resolve(&name, PullPolicy::Missing).await.unwrap();
    let watcher = world.watcher();
    let partial = world.path("images/partial").join(&image.blob(1)[7..]);
    tokio::select! {
        result = world.store.fetch(&client, &resolved.spec, &watcher) => panic!("{result:?}"),
        () = async {
            while std::fs::metadata(&partial).map_or(0, |meta| meta.len()) < 100_000 {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    world.store.fetch_id(&client, &name, &resolved.spec.id, &watcher).await.unwrap();
    let last = registry.requests().into_iter().rfind(|request| request.path.contains(&image.blob(1))).unwrap();
    assert_eq!(last.headers["range"], "bytes=100000-");
    assert!(world.store.local(&name, None).unwrap().is_some());
}

/// In a thread with a mount namespace of its own, on a file system of 4 MiB.
#[test]
fn a_full_disk_is_told_in_bytes_and_leaves_the_store_usable() {
    let work = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let world = World::new();
        let images = world.path("images");
        let options = Some("size=4m,mode=0700");
        nix::mount::mount(Some("t"), &images, Some("tmpfs"), nix::mount::MsFlags::empty(), options).unwrap();
        let store = windlass::host::image::Store::open(world.dir.path()).unwrap();
        let world = World { store, ..world };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let registry = Registry::start().await;
            let zeros = Image::new().layer(vec![file("zeros", &vec![0; 16 << 20])]);
            let long = Image::new().layer(vec![big(6 << 20)]);
            registry.push("zeros", "1", &zeros);
            registry.push("long", "1", &long);
            registry.push("small", "1", &app());
            let error = world.pull(&format!("{}/zeros:1", registry.host())).await.unwrap_err();
            assert!(matches!(error, ImageError::DiskFull { .. }), "{error}");
            let error = world.pull(&format!("{}/long:1", registry.host())).await.unwrap_err();
            assert!(
                matches!(&error, ImageError::DiskFull { needed, .. } if *needed == long.bytes(0).len() as u64),
                "{error}"
            );
            assert_eq!(registry.count("GET", &long.blob(0)), 0, "known before the first byte");
            world.pull(&format!("{}/small:1", registry.host())).await.unwrap();
            world.assert_tidy();
        });
        drop(runtime);
        nix::mount::umount2(&images, nix::mount::MntFlags::MNT_DETACH).unwrap();
    };
    std::thread::spawn(work).join().unwrap();
}
