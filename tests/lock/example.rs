//! The lock file of examples/environments.

use super::*;
use support::world::{Ran, WINDLASS};

/// examples/environments, copied into a world, by the files of its production.
fn example(world: &World, arguments: &[&str]) -> Ran {
    let mut command = world.command(WINDLASS, &world.path().join("environments"));
    command.env("COMPOSE_FILE", "compose.yaml:compose.prod.yaml").env("COMPOSE_ENV_FILES", "prod.env");
    Ran::new(format!("windlass {}", arguments.join(" ")), &command.args(arguments).output().unwrap())
}

#[test]
fn the_lock_file_of_the_example_is_what_its_production_would_be_locked_as() {
    let world = quiet();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/environments");
    world.sh(&format!("cp -r '{}' .", source.display())).ok();
    let file = world.path().join("environments/windlass.lock");
    let text = fs::read_to_string(&file).unwrap();
    let lock = windlass::lock::parse("windlass.lock", &text).unwrap();
    assert_eq!(windlass::lock::render(&lock), text);
    assert!(lock.images.values().all(|image| image.platforms.contains_key("linux/amd64")), "{text}");
    // No registry answers here, and none is asked about what is locked: references, files and variables are compared.
    example(&world, &["lock"]).ok().says("windlass.lock is up to date: 2 images, 1 env file, 1 config, 2 variables");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    fs::write(world.path().join("environments/site/index.html"), "<h1>Not reviewed</h1>\n").unwrap();
    let refused = example(&world, &["up", "-d", "--frozen"]).code(1).says("config page has changed: sha256:");
    assert_eq!(refused.stderr.matches("has changed").count(), 1, "{}", refused.stderr);
    world.assert_clean();
}
