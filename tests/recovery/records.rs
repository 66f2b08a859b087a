//! Records of one container that are damaged, or that a newer windlass wrote: all else goes on.

use super::*;

const TWO: &str = "services:\n  a: {image: test, stop_signal: SIGKILL, restart: always, volumes: ['data:/data']}\n  \
                   b: {image: test, stop_signal: SIGKILL, restart: always}\nvolumes: {data: {}}\n";

/// The id of a service's container.
fn id(world: &World, folder: &Path, service: &str) -> String {
    world.windlass(folder, &["ps", "-q", "--no-trunc", service]).ok().stdout.trim().to_owned()
}

/// The supervisor that said last that it holds a project. One that is ending, or the other project's, is none of it.
fn holder(world: &World, project: &str) -> i32 {
    let log = fs::read_to_string(world.path().join(format!("root/projects/{project}/supervisor.log"))).unwrap();
    let line = log.lines().rfind(|line| line.contains("holding the project pid=")).unwrap();
    line.rsplit('=').next().unwrap().trim().parse().unwrap()
}

#[test]
fn a_container_of_a_newer_windlass_is_left_alone_and_stops_nothing_else() {
    let (world, folder) = stack("newer", TWO);
    let other = project(&world, "other", "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    windlass(&["up", "-d"]).ok();
    let says = "container newer-a-1 (";
    for newer in [true, false] {
        let spec = world.path().join("root/containers").join(id(&world, &folder, "a")).join("spec.json");
        let whole = fs::read_to_string(&spec).unwrap();
        fs::remove_file(&spec).unwrap();
        match newer {
            true => fs::write(&spec, whole.replacen("\"schema\":1", "\"schema\":9999", 1)).unwrap(),
            false => fs::create_dir(&spec).unwrap(),
        }
        let reason = if newer { "a newer windlass wrote it" } else { "Is a directory" };
        // A supervisor that has read it before knows it still.
        let old = holder(&world, "newer");
        signal(old, Signal::SIGKILL);
        next_supervisor(&world, old);
        world.windlass(&other, &["up", "-d"]).ok();
        let listed = windlass(&["ls", "-a"]).ok().says(says).says(reason);
        assert!(listed.stdout.contains("running(1), unknown(1)"), "{}", listed.stdout);
        assert!(windlass(&["ps"]).ok().says(says).stdout.contains("newer-b-1"));
        windlass(&["up", "-d"]).code(1).says("may be it, and is left alone").says(reason);
        windlass(&["up", "-d", "--force-recreate", "b"]).ok();
        windlass(&["stop", "b"]).ok().says(says);
        windlass(&["volume", "ls"]).ok().says("newer_data");
        windlass(&["volume", "rm", "newer_data"]).code(1).says(reason);
        windlass(&["image", "prune", "-af"]).code(1).says(reason);
        windlass(&["down", "-v"])
            .ok()
            .says("and left alone")
            .says("volume newer_data may be used")
            .says("still in use");
        world.windlass(&other, &["down"]).ok();
        if newer {
            fs::remove_file(&spec).unwrap()
        } else {
            fs::remove_dir(&spec).unwrap()
        }
        fs::write(&spec, &whole).unwrap();
        // The next supervisor takes it over: to end what `down` began, or for the `up` that follows.
        signal(holder(&world, "newer"), Signal::SIGKILL);
        windlass(&["up", "-d"]).ok();
        assert_eq!(windlass(&["ps", "--services"]).ok().stdout, "a\nb\n");
    }
    windlass(&["down", "-v"]).ok();
    world.assert_clean();
}

#[test]
fn a_process_whose_record_is_damaged_is_found_again() {
    let (world, folder) = stack("torn", TWO);
    let windlass = |arguments: &[&str]| world.windlass(&folder, arguments);
    windlass(&["up", "-d"]).ok();
    let path = world.path().join("run/containers").join(id(&world, &folder, "a")).join("process.json");
    let before = windlass(&["exec", "a", "stat", "-c", "%Y", "/proc/1"]).ok().stdout;
    for killed in [false, true] {
        fs::write(&path, "torn").unwrap();
        // Whoever reads it moves it aside.
        windlass(&["ps"]).ok();
        if killed {
            let old = holder(&world, "torn");
            signal(old, Signal::SIGKILL);
            next_supervisor(&world, old);
        }
        windlass(&["up", "-d"]).ok();
        assert_eq!(windlass(&["ps", "--services"]).ok().stdout, "a\nb\n", "killed: {killed}");
        assert_eq!(windlass(&["exec", "a", "stat", "-c", "%Y", "/proc/1"]).ok().stdout, before, "it went on");
    }
    windlass(&["down", "-v"]).ok();
    world.assert_clean();
}
