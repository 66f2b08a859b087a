//! Images: made anew by `rebuild`, with a builder that pretends and with a real one; and one with nothing but a program.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::support::image::{busybox, load_as, load_bare};
use super::support::world::{Ran, WINDLASS, World};
use super::{Watching, arrives, ids, root, world};

/// A builder that makes an image of the archive in its context, or fails as buildah does.
const BUILDAH: &str = r#"#!/bin/sh
eval "last=\${$#}"
case "$1" in
build)
  echo "STEP 1/1: RUN make"
  if [ -e "$last/broken" ]; then echo 'Error: building at STEP "RUN make": exit status 2' >&2; exit 2; fi
  cp "$last/image.tar" "$HOME/built.tar" ;;
push) to=${last#oci-archive:}; cp "$HOME/built.tar" "${to%%:*}" ;;
esac
"#;

/// Puts that builder into a folder for PATH.
fn builder(world: &World) -> PathBuf {
    let programs = world.path().join("programs");
    fs::create_dir(&programs).unwrap();
    fs::write(programs.join("buildah"), BUILDAH).unwrap();
    fs::set_permissions(programs.join("buildah"), fs::Permissions::from_mode(0o755)).unwrap();
    programs
}

/// The image of the next build.
fn next_image(world: &World, folder: &Path, version: &str) {
    load_as(world, "build-web:latest", &json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin", version] }));
    fs::copy(world.path().join("test-image.tar"), folder.join("ctx/image.tar")).unwrap();
}

#[test]
fn rebuild_makes_the_service_anew_and_a_failed_one_leaves_it_alone() {
    let world = world();
    let compose = "services:
  web:
    build: ctx
    stop_signal: SIGKILL
    develop: {watch: [{path: ctx/Makefile, action: rebuild}, {path: src, action: sync, target: /app}]}
  other: {image: test, stop_signal: SIGKILL}
";
    let folder = world.project("build", &[("compose.yaml", compose), ("ctx/Makefile", ""), ("src/x", "")]);
    let programs = builder(&world);
    next_image(&world, &folder, "V=1");
    let watching = Watching::start_with_path(&world, &folder, &["watch", "--quiet"], Some(&programs));
    let (web, other) = (ids(&world, &folder, "web"), ids(&world, &folder, "other"));
    fs::write(folder.join("src/x"), "synced").unwrap();
    arrives(&world, &root(&world, &folder, "web").join("app/x"), "synced");
    fs::write(folder.join("ctx/broken"), "").unwrap();
    fs::write(folder.join("ctx/Makefile"), "1").unwrap();
    watching.says("the step `RUN make` failed");
    watching.says("what runs goes on as it is");
    assert_eq!(ids(&world, &folder, "web"), web);
    fs::remove_file(folder.join("ctx/broken")).unwrap();
    next_image(&world, &folder, "V=2");
    fs::write(folder.join("ctx/Makefile"), "2").unwrap();
    watching.says("web  rebuild  1 file");
    assert_ne!(ids(&world, &folder, "web"), web);
    assert_eq!(ids(&world, &folder, "other"), other);
    world.windlass(&folder, &["exec", "-T", "web", "env"]).ok().says("V=2");
    arrives(&world, &root(&world, &folder, "web").join("app/x"), "synced");
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn an_image_that_no_registry_has_is_built() {
    let world = world();
    // Nobody listens there.
    let compose = "services:\n  web: {image: '127.0.0.1:9/app:1', build: ctx, stop_signal: SIGKILL}\n";
    let folder = world.project("both", &[("compose.yaml", compose), ("ctx/Makefile", "")]);
    let programs = builder(&world);
    load_as(&world, "base:1", &json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin", "V=built"] }));
    fs::copy(world.path().join("test-image.tar"), folder.join("ctx/image.tar")).unwrap();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
    let ran = world.command(WINDLASS, &folder).env("PATH", path).args(["up", "-d"]).output().unwrap();
    Ran::new("windlass up -d".into(), &ran).ok();
    world.windlass(&folder, &["exec", "-T", "web", "env"]).ok().says("V=built");
    world.windlass(&folder, &["plan"]).ok().says("nothing to do");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

/// How many images have no name.
fn nameless(world: &World) -> usize {
    world.windlass(world.path(), &["image", "ls"]).ok().stdout.lines().filter(|line| line.starts_with("<none>")).count()
}

#[test]
fn images_that_lost_their_name_are_removed_unless_they_are_to_be_kept() {
    let world = world();
    let compose = "services:
  web:
    build: ctx
    stop_signal: SIGKILL
    develop: {watch: [{path: ctx/Makefile, action: rebuild}]}
";
    let folder = world.project("build", &[("compose.yaml", compose), ("ctx/Makefile", "")]);
    let programs = builder(&world);
    next_image(&world, &folder, "V=1");
    let watching = Watching::start_with_path(&world, &folder, &["watch", "--quiet", "--prune=false"], Some(&programs));
    next_image(&world, &folder, "V=2");
    fs::write(folder.join("ctx/Makefile"), "2").unwrap();
    watching.says("web  rebuild  1 file");
    drop(watching);
    let watching = Watching::start_with_path(&world, &folder, &["watch", "--quiet", "--no-up"], Some(&programs));
    assert_eq!(nameless(&world), 1, "the old one is kept");
    next_image(&world, &folder, "V=3");
    fs::write(folder.join("ctx/Makefile"), "3").unwrap();
    watching.says("web  rebuild  1 file");
    world.wait_for("no image without a name", || nameless(&world) == 0);
    world.windlass(&folder, &["exec", "-T", "web", "env"]).ok().says("V=3");
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn buildah_builds_what_is_edited_and_a_step_that_fails_is_named() {
    let world = world();
    let compose = "services:
  web:
    build: ctx
    stop_signal: SIGKILL
    develop: {watch: [{path: ctx, action: rebuild}]}
";
    let dockerfile = |step: &str| {
        format!(
            "FROM scratch\nCOPY busybox /bin/busybox\nCOPY page /page\nRUN [\"/bin/busybox\", \"{step}\"]\n\
             CMD [\"/bin/busybox\", \"sleep\", \"100000\"]\n"
        )
    };
    let files = [("compose.yaml", compose), ("ctx/page", "one"), ("ctx/Dockerfile", &dockerfile("true"))];
    let folder = world.project("real", &files);
    fs::copy(busybox(), folder.join("ctx/busybox")).unwrap();
    let storage = world.path().join("storage.conf");
    let at = |name: &str| world.path().join(name).display().to_string();
    let text = format!(
        "[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n",
        at("buildah"),
        at("buildah-run")
    );
    fs::write(&storage, text).unwrap();
    let mut command = world.command(super::WINDLASS, &folder);
    // Its other ways make namespaces and cgroups of their own, beside the containers that are looked at here.
    command.arg("watch").env("BUILDAH_ISOLATION", "chroot").env("CONTAINERS_STORAGE_CONF", &storage);
    let watching = Watching::launch(&world, command);
    arrives(&world, &root(&world, &folder, "web").join("page"), "one");
    fs::write(folder.join("ctx/page"), "two").unwrap();
    watching.says("web  rebuild  1 file");
    arrives(&world, &root(&world, &folder, "web").join("page"), "two");
    let before = ids(&world, &folder, "web");
    fs::write(folder.join("ctx/Dockerfile"), dockerfile("false")).unwrap();
    watching.says("failed");
    watching.says("what runs goes on as it is");
    assert!(watching.log().contains("/bin/busybox false"), "{}", watching.log());
    assert_eq!(ids(&world, &folder, "web"), before);
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn an_image_with_nothing_but_a_program_gets_files_too() {
    let world = world();
    load_bare(&world, "bare:latest");
    // The key has an older name as well.
    let compose = "services:
  web:
    image: bare
    user: '1234:2345'
    stop_signal: SIGKILL
    develop: {watch: [{path: src, action: sync, target: /deep/app, x-initialSync: true}]}
";
    let folder = world.project("bare", &[("compose.yaml", compose), ("src/old", "old")]);
    let watching = Watching::start(&world, &folder, &["watch"]);
    let inside = root(&world, &folder, "web").join("deep/app");
    arrives(&world, &inside.join("old"), "old");
    fs::write(folder.join("src/new"), "new").unwrap();
    arrives(&world, &inside.join("new"), "new");
    let found = fs::metadata(inside.join("new")).unwrap();
    assert_eq!((found.uid(), found.gid()), (1234, 2345));
    fs::remove_file(folder.join("src/old")).unwrap();
    world.wait_for("the removal", || !inside.join("old").exists());
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}
