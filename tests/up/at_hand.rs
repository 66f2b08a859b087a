//! Verbs without names act on what the files at hand declare, not on all that the project has.

use std::fs;
use std::path::Path;

use crate::support::image::project;
use crate::support::world::World;
use crate::world;

const DB: &str = "services: {db: {image: test, volumes: ['dbdata:/d']}}\nvolumes: {dbdata: {}}\n";
const APP: &str = "services:\n  app: {image: test, volumes: ['appdata:/d']}\n  \
                   tool: {image: test, profiles: [t]}\nvolumes: {appdata: {}}\n";

fn running(world: &World, folder: &Path) -> String {
    let services = world.windlass(folder, &["-p", "m", "ps", "--format", "{{.Service}}"]).ok().stdout;
    let mut services: Vec<&str> = services.lines().collect();
    services.sort_unstable();
    services.join(" ")
}

#[test]
fn what_other_files_have_brought_up_is_left_alone() {
    let world = world();
    let folder = project(&world, "m", APP);
    fs::write(folder.join("db.yml"), DB).unwrap();
    world.windlass(&folder, &["-f", "db.yml", "up", "-d"]).ok();
    world.windlass(&folder, &["up", "-d"]).ok();
    for verb in ["stop", "kill", "restart", "pause"] {
        world.windlass(&folder, &["-f", "db.yml", verb]);
        assert!(running(&world, &folder).contains("app"), "{verb}");
        let states =
            world.windlass(&folder, &["-p", "m", "ps", "-a", "--format", "{{.Service}} {{.State}}"]).ok().stdout;
        assert!(states.lines().any(|line| line == "app running"), "{verb}: {states}");
    }
    world.windlass(&folder, &["-f", "db.yml", "down", "-v", "-t", "0"]).ok().says("m-app-1 stays");
    assert_eq!(running(&world, &folder), "app");
    let volumes = world.windlass(&folder, &["volume", "ls", "-q"]).ok().stdout;
    assert_eq!(volumes.trim(), "m_appdata");
    // The other way round, and who asks for orphans leaves nothing but the volumes of other files.
    world.windlass(&folder, &["-f", "db.yml", "up", "-d"]).ok();
    world.windlass(&folder, &["-f", "db.yml", "down", "-v", "-t", "0", "--remove-orphans"]).ok();
    assert_eq!(running(&world, &folder), "");
    assert_eq!(world.windlass(&folder, &["volume", "ls", "-q"]).ok().stdout.trim(), "m_appdata");
    world.windlass(&folder, &["down", "-v"]).ok();
    world.windlass(&folder, &["volume", "rm", "m_appdata"]);
    world.assert_clean();
}

#[test]
fn down_leaves_what_a_profile_has_brought_up_that_is_not_active() {
    let world = world();
    let folder = project(&world, "m", APP);
    world.windlass(&folder, &["--profile", "t", "up", "-d"]).ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok().says("m-tool-1 stays");
    assert_eq!(running(&world, &folder), "tool");
    world.windlass(&folder, &["--profile", "t", "down", "-v", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_project_by_its_name_alone_is_all_of_it() {
    let world = world();
    let folder = project(&world, "m", APP);
    world.windlass(&folder, &["--profile", "t", "up", "-d"]).ok();
    world.windlass(&folder, &["-p", "m", "down", "-v", "-t", "0"]).ok();
    assert_eq!(running(&world, &folder), "");
    world.assert_clean();
}
