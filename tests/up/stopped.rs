//! Copying from and to containers that do not run.

use std::fs;

use crate::support::image::project;
use crate::world;

#[test]
fn files_go_in_and_out_of_a_container_that_was_not_started_and_of_one_that_has_ended() {
    let world = world();
    let text = "services:\n  web:\n    image: test\n    command: [sh, -c, 'cat /etc/page /data/page; echo ran > /log; id -u > /data/ran']\n    \
                volumes: ['data:/data', './here:/here', './locked:/locked:ro']\n    tmpfs: [/gone]\nvolumes: {data: {}}\n";
    let folder = project(&world, "still", text);
    for name in ["here", "locked"] {
        fs::create_dir(folder.join(name)).unwrap();
    }
    fs::write(folder.join("page"), "copied\n").unwrap();
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    windlass(&["create"]).ok();
    for target in ["web:/etc/page", "web:/data/page", "web:/here/page"] {
        windlass(&["cp", "page", target]).ok();
    }
    assert_eq!(fs::read_to_string(folder.join("here/page")).unwrap(), "copied\n", "a bind leads to this machine");
    windlass(&["cp", "page", "web:/locked/page"]).code(1).says("Read-only file system");
    assert_eq!(fs::read_dir(folder.join("locked")).unwrap().count(), 0);
    windlass(&["cp", "page", "web:/nowhere/page"]).code(1).says("/nowhere");
    assert_eq!(world.sh("grep -c still /proc/self/mountinfo").stdout.trim(), "0", "nothing stays mounted here");

    let ran = windlass(&["up"]).ok();
    assert_eq!(ran.stdout.matches("copied").count(), 2, "{}", ran.stdout);
    for (source, wanted) in [("web:/log", "ran\n"), ("web:/data/ran", "0\n"), ("web:/etc/page", "copied\n")] {
        windlass(&["cp", source, "back"]).ok();
        assert_eq!(fs::read_to_string(folder.join("back")).unwrap(), wanted, "{source}");
    }
    // A link that leads out of the root stays inside it.
    windlass(&["run", "--rm", "-v", "data:/data", "web", "busybox", "ln", "-s", "/", "/data/out"]).ok();
    windlass(&["cp", "page", "web:/data/out/escaped"]).ok();
    world.sh("test -e /escaped").code(1);
    windlass(&["cp", "web:/escaped", "back"]).ok();
    windlass(&["up", "-d", "--force-recreate"]).ok();
    windlass(&["down", "-v"]).ok();
    world.assert_clean();
}
