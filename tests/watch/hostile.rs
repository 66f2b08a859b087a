//! Nothing but the container is touched, and nothing but what is watched is read, whatever the image and the project have.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::script::{Node, tree};
use super::support::image::load_with_links;
use super::{Watching, arrives, root, world};

#[test]
fn links_of_an_image_to_this_machine_lead_nowhere_outside() {
    let world = world();
    let outside = world.path().join("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    for name in ["x", "file", "sub/x"] {
        fs::write(outside.join(name), "of the machine").unwrap();
    }
    let before = tree(&outside);
    // The target itself, what is above it, a way up, and the place of a file.
    let file = outside.join("file");
    let up = Path::new("../../../../../../..");
    load_with_links(&world, "links:latest", &[("app", &outside), ("above", &outside), ("up", up), ("file", &file)]);
    let compose = format!(
        "services:
  web:
    image: links
    user: ann
    stop_signal: SIGKILL
    develop:
      watch:
        - {{path: src, action: sync, target: /app}}
        - {{path: src, action: sync, target: /above/deep}}
        - {{path: src, action: sync, target: /up{}/up}}
        - {{path: one, action: sync, target: /file}}
        - {{path: one, action: sync, target: /data}}
",
        outside.display()
    );
    let folder = world.project("hostile", &[("compose.yaml", &compose), ("one", ""), ("src/sub/y", "")]);
    let watching = Watching::start(&world, &folder, &["watch"]);
    let container = root(&world, &folder, "web");
    let inside = container.join(outside.strip_prefix("/").unwrap());
    for name in ["src/x", "src/sub/x", "one"] {
        fs::write(folder.join(name), "new").unwrap();
    }
    for name in ["x", "sub/x", "deep/x", "deep/sub/x", "up/x", "up/sub/x"] {
        arrives(&world, &inside.join(name), "new");
    }
    arrives(&world, &container.join("file"), "new");
    // A folder of the image is not given up for one file.
    watching.says("/data is a folder");
    assert_eq!(fs::read_to_string(container.join("data/content")).unwrap(), "from the image\n");
    fs::remove_file(folder.join("src/x")).unwrap();
    fs::remove_dir_all(folder.join("src/sub")).unwrap();
    for name in ["x", "sub/x", "deep/sub", "up/sub"] {
        world.wait_for("the removal", || !inside.join(name).exists());
    }
    assert_eq!(tree(&outside), before, "nothing outside the container has changed");
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_folder_that_is_swapped_for_a_link_all_the_time_brings_nothing_of_this_machine() {
    let world = world();
    let outside = world.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("x"), "secret").unwrap();
    let compose = "services:
  web:
    image: test
    stop_signal: SIGKILL
    develop: {watch: [{path: src, action: sync, target: /app}]}
";
    let folder = world.project("swapped", &[("compose.yaml", compose), ("src/d/x", "0")]);
    let watching = Watching::start(&world, &folder, &["watch"]);
    let (here, aside) = (folder.join("src/d"), folder.join("aside"));
    for n in 0..2000 {
        fs::write(here.join("x"), n.to_string()).unwrap();
        fs::rename(&here, &aside).unwrap();
        symlink(&outside, &here).unwrap();
        fs::remove_file(&here).unwrap();
        fs::rename(&aside, &here).unwrap();
    }
    fs::write(here.join("x"), "last").unwrap();
    let inside = root(&world, &folder, "web").join("app");
    arrives(&world, &inside.join("d/x"), "last");
    let is_secret = |node: &Node| matches!(node, Node::File(.., text) if text == b"secret");
    assert!(!tree(&inside).values().any(is_secret));
    assert_eq!(fs::read_to_string(outside.join("x")).unwrap(), "secret");
    drop(watching);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}
