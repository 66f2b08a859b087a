//! The fixtures and the evil images of `shared/images`, pulled from the registry there.
//!
//! Needs that folder (`WINDLASS_SHARED`, else `../shared`), with `build` and `build evil` run; so it is `ignored` by default,
//! and run by `cargo test --test image_shared -- --ignored` where the folder is.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

#[path = "support/store.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;

use windlass::desired::ResolvedImage;
use windlass::host::image::ImageError;
use world::World;

/// The registry, on a free port; stopped when dropped.
struct Serve {
    tool: PathBuf,
    port: String,
}

impl Serve {
    fn start(world: &World) -> Self {
        let shared = std::env::var_os("WINDLASS_SHARED")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
        let tool = shared.join("images/serve");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let started = Command::new(&tool).args(["--read-only", "--port", &port]).status().unwrap();
        assert!(started.success(), "{} does not start", tool.display());
        let conf = Command::new(&tool).args(["--conf", "--port", &port]).output().unwrap();
        world.registries(&String::from_utf8(conf.stdout).unwrap());
        Self { tool, port }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = Command::new(&self.tool).args(["--stop", "--port", &self.port]).status();
    }
}

/// What must come of pulling an evil image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// Refused.
    Refused,
    /// Taken, with all that is bad in it harmless; what it does when run is not for here.
    Taken,
}

const EVIL: &[(&str, Comes)] = {
    use Comes::{Refused, Taken};
    &[
        ("absolute", Taken),
        ("bomb", Taken),
        ("bomb-files", Taken),
        ("bomb-zstd", Taken),
        ("config-huge", Refused),
        ("config-mismatch", Refused),
        ("config-null", Taken),
        ("config-types", Refused),
        ("cwd-fd", Taken),
        ("cwd-traversal", Taken),
        ("deep", Refused),
        ("device", Taken),
        ("diffid-mismatch", Refused),
        ("digest-algo", Refused),
        ("digest-mismatch", Refused),
        ("digest-path", Refused),
        ("digest-path-layer", Refused),
        ("env-evil", Taken),
        ("gnu-longname", Refused),
        ("gnu-sparse", Taken),
        ("hardlink-abs", Refused),
        ("hardlink-out", Refused),
        ("hardlink-symlink", Refused),
        ("hardlink-write", Taken),
        ("index-nested", Refused),
        ("index-self", Refused),
        ("layers-fewer", Refused),
        ("layers-more", Refused),
        ("longer", Refused),
        ("manifest-mismatch", Refused),
        ("media-type", Refused),
        ("missing-blob", Refused),
        ("negative-size", Refused),
        ("not-gzip", Refused),
        ("nul-name", Refused),
        ("opaque-out", Refused),
        ("overlay-xattr", Taken),
        ("pax-huge", Refused),
        ("pax-size", Taken),
        ("same-size-mismatch", Refused),
        ("size-huge", Refused),
        ("size-wrong", Refused),
        ("symlink-abs", Refused),
        ("symlink-chain", Taken),
        ("symlink-layers", Taken),
        ("symlink-over", Taken),
        ("symlink-rel", Refused),
        ("trailing", Taken),
        ("trap-init", Taken),
        ("trap-mount", Taken),
        ("trap-passwd-dir", Taken),
        ("trap-passwd-fifo", Taken),
        ("trap-passwd-link", Taken),
        ("trap-passwd-zero", Taken),
        ("trap-proc", Taken),
        ("trap-proc-link", Taken),
        ("trap-resolv", Taken),
        ("trap-volume", Taken),
        ("traversal", Refused),
        ("traversal-dir", Refused),
        ("traversal-mid", Refused),
        ("truncated", Refused),
        ("truncated-gzip", Refused),
        ("truncated-tar", Refused),
        ("whiteout-device", Taken),
        ("whiteout-dot", Refused),
        ("whiteout-dotdot", Refused),
        ("whiteout-out", Refused),
        ("whiteout-slash", Refused),
        ("whiteout-symlink", Refused),
    ]
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs shared/images"]
async fn evil_images_do_no_harm() {
    let world = World::new();
    let _serve = Serve::start(&world);
    let canary = Path::new("/tmp/windlass-evil-canary");
    let folder = Path::new("/tmp/windlass-evil-canary.d");
    std::fs::write(canary, "").unwrap();
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("kept"), "").unwrap();
    let host = || ["passwd", "shadow", "hostname"].map(|name| std::fs::read(Path::new("/etc").join(name)).ok());
    let before = host();
    let mut wrong = Vec::new();
    for (name, comes) in EVIL {
        let result = world.pull(&format!("evil/{name}")).await;
        if result.is_ok() != (*comes == Comes::Taken) {
            wrong.push(format!("{name}: {:?}", result.map(|image| image.spec.id)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(host(), before);
    let mut left: Vec<String> = world::names(Path::new("/tmp"));
    left.retain(|name| name.starts_with("windlass-evil-"));
    left.sort();
    assert_eq!(left, ["windlass-evil-canary", "windlass-evil-canary.d"]);
    assert_eq!(world::names(folder), ["kept"]);
    std::fs::remove_file(canary).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    world.assert_tidy();
    world.pull("fixtures/layers").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs shared/images"]
async fn fixtures_are_pulled() {
    let world = World::new();
    let _serve = Serve::start(&world);
    let layers = ["layers", "zstd", "plain-tar", "docker-v2", "index", "docker-list", "many-layers", "big", "twice"];
    let mut images: Vec<ResolvedImage> = Vec::new();
    for name in layers {
        images.push(world.pull(&format!("fixtures/{name}")).await.unwrap_or_else(|error| panic!("{name}: {error}")));
    }
    assert_eq!(images[0].spec.layers, images[1].spec.layers, "the encoding of a layer is not its content");
    assert_eq!(images[0].spec.layers, images[2].spec.layers);
    assert_eq!(images[6].spec.layers.len(), 121);
    let error = world.pull("fixtures/arm64-only").await.unwrap_err();
    assert!(matches!(&error, ImageError::NoPlatform { offered, .. } if offered == &["linux/arm64"]), "{error}");
}
