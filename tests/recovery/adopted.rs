//! What a supervisor finds that was left in the middle of something, or that does not answer.

use std::fs;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use crate::{begin, main_process, next_supervisor, processes, said, signal, stack, supervisor};

#[test]
fn a_container_whose_links_were_half_made_is_started_anew_and_answers() {
    let text = r#"
services:
  first: { image: test, networks: [one] }
  web: { image: test, command: [httpd, -f, -p, "80"], ports: ["127.0.0.1:8080:80"], restart: always, networks: [one] }
networks: { one: {} }
"#;
    let (world, folder) = stack("half", text);
    world.windlass(&folder, &["up", "-d", "first"]).ok();
    // The network is there: what comes next that needs this lock is a container's link.
    let file = fs::File::open(world.path().join("root/networks/.lock")).unwrap();
    let lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
    let mut up = begin(&world, &folder, &["up", "-d"], "up.out");
    world.wait_for("the second shim", || processes(&world, "__shim").len() == 2);
    let marked = || world.sh("ls run/containers/*/partial run/containers/*/shim.sock | grep -c partial").stdout;
    world.wait_for("its mark", || marked().trim() == "1");
    // A shim that outlives its container's folder writes there once more.
    let stray = world.path().join("root/containers").join("f".repeat(64));
    fs::create_dir(&stray).unwrap();
    fs::write(stray.join("exit.json"), "").unwrap();
    let old = supervisor(&world);
    signal(old, Signal::SIGKILL);
    drop(lock);
    next_supervisor(&world, old);
    world.wait_for("the folder of nobody to go", || !stray.exists());
    assert!(up.wait().unwrap().success(), "{}", said(&world, "up.out"));
    world.wait_for("an answer", || world.sh("curl -sS http://127.0.0.1:8080/").code == 0);
    assert_eq!(marked().trim(), "0");
    world.windlass(&folder, &["exec", "-T", "first", "sh", "-c", "wget -qO- http://web/ 2>&1 | grep 404"]).ok();
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_shim_that_does_not_answer_keeps_no_supervisor_from_the_project() {
    let text = "services:\n  a: { image: test, init: true, restart: always }\n  b: { image: test, restart: always }\n";
    let (world, folder) = stack("silent", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let (a, b) = (main_process(&world, "a-1"), main_process(&world, "b-1"));
    let shim = |process: Option<i32>| {
        let parent = world.sh(&format!("cut -d' ' -f4 /proc/{}/stat", process.unwrap())).stdout;
        parent.trim().parse::<i32>().unwrap()
    };
    let hung = shim(a);
    signal(hung, Signal::SIGSTOP);
    let old = supervisor(&world);
    signal(old, Signal::SIGKILL);
    next_supervisor(&world, old);
    world.windlass(&folder, &["up", "-d", "--wait"]).ok();
    assert_eq!(main_process(&world, "b-1"), b, "who has nothing to do with it goes on");
    assert!(main_process(&world, "a-1").is_some_and(|now| Some(now) != a));
    signal(hung, Signal::SIGKILL);
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn hundreds_of_ports_are_held_and_found_again() {
    let text = "services:\n  web:\n    image: test\n    command: [httpd, -f, -p, \"20259\"]\n    \
                ports: [\"20000-20259:20000-20259\", \"127.0.0.1:21000-21069:22000-22069\"]\n";
    let (world, folder) = stack("many", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let answers = || world.sh("curl -sS http://127.0.0.1:20259/").code == 0;
    world.wait_for("an answer", answers);
    let old = supervisor(&world);
    signal(old, Signal::SIGKILL);
    next_supervisor(&world, old);
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["ps"]).ok().says("21069");
    assert!(answers());
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn a_container_that_could_not_be_recorded_leaves_nothing() {
    let text = "services: {web: {image: test, ports: [\"127.0.0.1:8080:80\"]}}\n";
    let (world, folder) = stack("unsaid", text);
    world.windlass(&folder, &["up", "-d", "--no-start"]).ok();
    // Where the record of its process is to come there is a folder.
    let id = world.windlass(&folder, &["ps", "-aq"]).ok().stdout.trim().to_owned();
    let run = world.sh(&format!("ls -d root/containers/{id}*")).stdout.trim().replace("root/", "run/");
    let taken = world.path().join(&run).join("process.json");
    fs::create_dir_all(&taken).unwrap();
    world.windlass(&folder, &["up", "-d"]).code(1).says("process.json");
    assert!(processes(&world, "__shim").is_empty(), "it would keep the port");
    fs::remove_dir(&taken).unwrap();
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}
