//! What goes wrong around a stack: each fault gives an error that says what to do, and loses nothing.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

#[path = "support/registry/mod.rs"]
mod registry;
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use registry::{Auth, Fault, Image, Packing, Registry, file, tar};
use serde_json::json;
use support::image::{load, project};
use support::world::{Ran, WINDLASS, World};

fn world() -> World {
    let world = World::new();
    load(&world);
    world
}

/// Writes the compose file anew.
fn write(folder: &Path, text: &str) {
    fs::write(folder.join("compose.yaml"), text).unwrap();
}

/// No panic, an error on standard error, the code 1, and these words.
#[track_caller]
fn fails(ran: Ran, says: &[&str]) {
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    says.iter().fold(ran.code(1), |ran, text| ran.says(text));
}

/// A stack that stands while other things fail: its container's id must stay.
fn standing(world: &World) -> (PathBuf, String) {
    let folder = project(world, "stands", "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let id = world.windlass(&folder, &["ps", "-q"]).ok().stdout;
    (folder, id)
}

#[test]
fn bombs_of_yaml_are_refused_in_time_and_memory() {
    let world = world();
    let (folder, id) = standing(&world);
    let laughs = (1..12).fold("x0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned(), |text, n| {
        let before = n - 1;
        text + &format!("x{n}: &a{n} [{}]\n", vec![format!("*a{before}"); 10].join(", "))
    });
    for (text, says) in [
        ("services: {web: {image: test}}\nx-a: &a [*a]\n".to_owned(), "compose.yaml:2"),
        (laughs.replace('x', "x-") + "services: {web: {image: test}}\n", "compose.yaml"),
        ("x-deep: ".to_owned() + &"[".repeat(20_000), "compose.yaml"),
        ("services:\n  web:\n\timage: test\n".to_owned(), "compose.yaml:3"),
        ("services: {web: {image: test}}\nservices: {web: {image: test}}\n".to_owned(), "compose.yaml:2"),
        ("\u{0}\u{1}\u{2}".to_owned(), "compose.yaml"),
        ("services:\n  web: {extends: {service: web}}\n".to_owned(), "compose.yaml:2"),
        ("include: [compose.yaml]\nservices: {web: {image: test}}\n".to_owned(), "compose.yaml"),
    ] {
        write(&folder, &text);
        let begin = Instant::now();
        fails(world.windlass(&folder, &["up", "-d"]), &[says]);
        assert!(begin.elapsed() < Duration::from_secs(10), "{text:.60}: {:?}", begin.elapsed());
    }
    assert_eq!(world.windlass(&folder, &["-p", "stands", "ps", "-q"]).stdout, id, "what runs is left alone");
    write(&folder, "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn registries_that_fail_are_told_apart() {
    let world = world();
    let (stands, id) = standing(&world);
    let registry = Registry::start().await;
    let host = registry.host();
    let folder = project(&world, "p", "services: {}\n");
    let image = |name: &str| format!("services: {{web: {{image: '{name}', command: sleep 100}}}}\n");
    let up = |name: &str| {
        write(&folder, &image(name));
        world.windlass(&folder, &["up", "-d"])
    };
    let good = Image::new().layer(vec![file("data", &vec![7; 200_000])]);
    registry.push("team/app", "1", &good);
    fails(up(&format!("{host}/team/none:1")), &["team/none:1"]);
    fails(up(&format!("{host}/team/app:2")), &["team/app:2"]);
    registry.push("team/other", "1", &good.clone().arch("s390x"));
    fails(up(&format!("{host}/team/other:1")), &["s390x"]);
    // Nobody listens there.
    fails(up("127.0.0.1:9/team/app:1"), &["127.0.0.1:9", "can't be reached"]);
    // It lies: another body, and one without an end.
    for lie in [Fault::Body(b"something else".to_vec()), Fault::Endless] {
        registry.fault(&good.blob(0), lie, 100);
        fails(up(&format!("{host}/team/app:1")), &["team/app"]);
        registry.fault(&good.blob(0), Fault::Status(200, None), 0);
    }
    registry.auth(Auth::Basic("ann", "secret-word"));
    fails(up(&format!("{host}/team/app:1")), &["login"]);
    let mut login = world.command(WINDLASS, &folder);
    login.args(["login", "-u", "ann", "-p", "wrong-word", &host]);
    let ran = Ran::new("windlass login".into(), &login.output().unwrap());
    assert!(!ran.stderr.contains("wrong-word") && !ran.stdout.contains("wrong-word"));
    ran.code(1);
    assert_eq!(world.windlass(&stands, &["ps", "-q"]).stdout, id, "what runs is left alone");
    world.windlass(&stands, &["down"]).ok();
    world.windlass(&folder, &["-p", "p", "down"]);
    world.assert_clean();
}

/// Bytes that can't be packed.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(step).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_disk_that_fills_up_during_a_pull_is_told_and_the_next_pull_goes_on() {
    let world = World::new();
    let root = world.path().join("root");
    fs::create_dir_all(&root).unwrap();
    let mount = |options: &str| world.sh(&format!("mount -t tmpfs -o {options} none {}", root.display())).ok();
    mount("size=24m");
    load(&world);
    let registry = Registry::start().await;
    // A layer of zeros: small on the way, too big when it is unpacked.
    let big = Image::new()
        .raw_layer(&tar(&[file("zeros", &vec![0; 40 << 20])]), Packing::Gzip)
        .layer(vec![file("noise", &noise(1 << 20))])
        .config(json!({ "Cmd": ["/bin/sleep", "100"] }));
    registry.push("team/big", "1", &big);
    let name = format!("{}/team/big:1", registry.host());
    let folder = project(&world, "p", &format!("services: {{web: {{image: '{name}'}}}}\n"));
    fails(world.windlass(&folder, &["pull"]), &["no space left", "image prune"]);
    // What was there works as before, and with more room the same command succeeds.
    write(&folder, "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["down"]).ok();
    mount("remount,size=200m");
    write(&folder, &format!("services: {{web: {{image: '{name}'}}}}\n"));
    world.windlass(&folder, &["pull"]).ok();
    world.sh(&format!("umount {}", root.display())).ok();
}

#[test]
fn what_a_container_lacks_is_told_at_its_start() {
    let world = world();
    let folder = project(&world, "p", "services: {}\n");
    for (service, says) in [
        ("command: [no-such-program]", "no-such-program"),
        ("command: [/etc/passwd]", "/etc/passwd"),
        ("user: nobody-here", "nobody-here"),
        ("working_dir: /etc/passwd", "/etc/passwd"),
        ("volumes: [{type: bind, source: ./missing, target: /x, bind: {propagation: rslave}}]", "missing"),
        ("secrets: [s]", "missing-secret"),
        ("env_file: [missing.env]", "missing.env"),
        ("devices: [/dev/not-there]", "/dev/not-there"),
        ("image: not-there, pull_policy: never", "not-there"),
    ] {
        let image = if service.starts_with("image") { "" } else { "image: test, " };
        write(
            &folder,
            &format!(
                "services:\n  good: {{image: test, stop_signal: SIGKILL}}\n  web: {{{image}{service}}}\nsecrets: {{s: {{file: ./missing-secret}}}}\n"
            ),
        );
        fails(world.windlass(&folder, &["up", "-d"]), &[says]);
        world.windlass(&folder, &["-p", "p", "down", "-v", "-t", "0"]);
    }
    world.assert_clean();
}

#[test]
fn dependencies_that_never_get_healthy_or_end_are_named() {
    let world = world();
    let folder = project(&world, "p", "services: {}\n");
    for (db, condition) in [
        ("healthcheck: {test: [CMD, 'false'], interval: 100ms, retries: 2}, command: sleep 100", "service_healthy"),
        ("healthcheck: {test: [CMD, 'true']}, command: ['false']", "service_healthy"),
        ("command: [sh, -c, 'exit 3']", "service_completed_successfully"),
    ] {
        write(
            &folder,
            &format!(
                "services:\n  db: {{image: test, stop_signal: SIGKILL, {db}}}\n  web: {{image: test, depends_on: {{db: {{condition: {condition}}}}}}}\n"
            ),
        );
        fails(world.windlass(&folder, &["up", "-d"]), &["db"]);
        let running = world.windlass(&folder, &["ps", "--services"]).ok().stdout;
        assert!(!running.contains("web"), "{condition}: {running}");
        world.windlass(&folder, &["down", "-v"]).ok();
    }
    world.assert_clean();
}

#[test]
fn an_exhausted_pool_is_told() {
    let world = world();
    let folder = project(&world, "p", "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    world.sh("ip link add full type bridge && ip link set full up").ok();
    world.sh("for net in 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16; do ip route add $net dev full; done").ok();
    fails(world.windlass(&folder, &["up", "-d"]), &["subnet"]);
    world.sh("ip link del full").ok();
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["down"]).ok();
    // A network of two addresses, the gateway's and one more.
    let small = "services: {web: {image: test, stop_signal: SIGKILL}}\nnetworks: {default: {ipam: {config: [{subnet: 10.77.0.0/30}]}}}\n";
    write(&folder, small);
    fails(world.windlass(&folder, &["up", "-d", "--scale", "web=3"]), &["10.77.0.0/30"]);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn several_at_once_all_get_what_they_want() {
    let world = world();
    let folder = project(&world, "p", "services: {web: {image: test, stop_signal: SIGKILL, scale: 4}}\n");
    let start = || {
        let mut command = world.command(WINDLASS, &folder);
        command.args(["up", "-d"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let both = [start(), start(), start()];
    for child in both {
        Ran::new("windlass up -d, one of three".into(), &child.wait_with_output().unwrap()).ok();
    }
    assert_eq!(world.windlass(&folder, &["ps", "-q"]).ok().stdout.lines().count(), 4);
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

const STACK: &str = r#"
services:
  db: { image: test, stop_signal: SIGKILL, volumes: ["data:/data"], healthcheck: { test: [CMD, "true"] } }
  api: { image: test, stop_signal: SIGKILL, depends_on: { db: { condition: service_healthy } } }
  web: { image: test, stop_signal: SIGKILL, ports: ["127.0.0.1:8080:80"], depends_on: [api] }
volumes: { data: {} }
"#;

/// At moments that are spread over the whole time that an `up` takes.
fn interrupted_ups(signal: Signal, codes: &[i32]) {
    let world = world();
    let folder = project(&world, "p", STACK);
    let begin = Instant::now();
    world.windlass(&folder, &["up", "-d"]).ok();
    let whole = begin.elapsed();
    world.windlass(&folder, &["down", "-v"]).ok();
    for moment in 0..12 {
        let after = whole * moment / 11;
        let mut command = world.command(WINDLASS, &folder);
        let child = command.args(["up", "-d"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(after);
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        let ran = Ran::new(format!("up, {signal} after {after:?}"), &child.wait_with_output().unwrap());
        assert!(codes.contains(&ran.code), "{signal} after {after:?}: {} {}", ran.code, ran.stderr);
        world.windlass(&folder, &["up", "-d"]).ok();
        assert_eq!(world.windlass(&folder, &["ps", "-q"]).ok().stdout.lines().count(), 3, "after {after:?}");
        world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok().says("nothing to do");
        world.windlass(&folder, &["down", "-v"]).ok();
    }
    world.assert_clean();
}

#[test]
fn after_ctrl_c_at_any_moment_the_next_up_converges() {
    // 130: before it was done; 0: it was done already. 128 + SIGINT is 130, too: at the very start nobody waits for it yet.
    interrupted_ups(Signal::SIGINT, &[0, 130]);
}

#[test]
fn after_a_killed_up_at_any_moment_the_next_up_converges() {
    interrupted_ups(Signal::SIGKILL, &[0, 137]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_slow_registry_is_told_while_it_is_waited_for_and_given_up_in_time() {
    let world = world();
    let registry = Registry::start().await;
    let image = Image::new().layer(vec![file("data", &noise(400_000))]);
    registry.push("team/app", "1", &image);
    let text = format!("services: {{web: {{image: '{}/team/app:1', command: sleep 100}}}}\n", registry.host());
    let folder = project(&world, "slow", &text);
    let patient = |seconds: &str| {
        let mut command = world.command(WINDLASS, &folder);
        command.args(["pull"]).env("WINDLASS_PULL_TIMEOUT", seconds);
        Ran::new("windlass pull".into(), &command.output().unwrap())
    };
    patient("soon").code(1).says("WINDLASS_PULL_TIMEOUT").says("is no number of seconds");
    // It hangs now and then, and comes all the same.
    registry.fault(&image.blob(0), Fault::StallAfter(100_000), 2);
    patient("1").ok().says("Retrying").says("Pulled");
    world.windlass(&folder, &["image", "rm", &format!("{}/team/app:1", registry.host())]).ok();
    // It hangs for good: what it was, how far it came, and that nothing came any more.
    registry.fault(&image.blob(0), Fault::StallAfter(0), 100);
    fails(patient("1"), &["Retrying", "team/app:1", "nothing came for 1 s"]);
    world.assert_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn layers_that_vanish_under_a_stack_are_fetched_from_where_the_caller_has_them() {
    let world = world();
    let registry = Registry::start().await;
    let busybox = fs::read(support::image::busybox()).unwrap();
    let image = Image::new().layer(vec![file("bin/sleep", &busybox).mode(0o755)]);
    registry.push("library/sleeper", "1", &image);
    // Only the caller's registries.conf says where that is.
    world.mirror(&registry.host());
    let text = "services: {web: {image: 'sleeper:1', command: [/bin/sleep, '100000'], stop_signal: SIGKILL}}\n";
    let folder = project(&world, "gone", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    world.windlass(&folder, &["stop"]).ok();
    let fetched = registry.count("GET", &image.blob(0));
    world.sh("rm -rf root/images/layers/*").ok();
    // `start` hands over no files and no images: the supervisor itself fetches what is missing.
    world.windlass(&folder, &["start"]).ok().says("Pulled");
    assert_eq!(registry.count("GET", &image.blob(0)), fetched + 1);
    world.windlass(&folder, &["ps"]).ok().says("Up");
    // With the registry gone as well, it is told what is missing and from where.
    world.windlass(&folder, &["stop"]).ok();
    world.sh("rm -rf root/images/layers/*").ok();
    drop(registry);
    fails(world.windlass(&folder, &["start"]), &["sleeper:1", "can't be reached"]);
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

/// The state folder on a disk of its own, and a container that fills it.
fn filled() -> (World, PathBuf) {
    let world = World::new();
    let root = world.path().join("root");
    fs::create_dir_all(&root).unwrap();
    world.sh(&format!("mount -t tmpfs -o size=24m none {}", root.display())).ok();
    load(&world);
    let text = "services:\n  a: {image: test, stop_signal: SIGKILL, restart: always}\n  f: {image: test, stop_signal: SIGKILL, restart: always, command: [sh, -c, 'dd if=/dev/zero of=/fill; sleep 9999']}\n";
    let folder = project(&world, "p", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    world.wait_for("a full disk", || world.sh("df --output=avail root | tail -1").ok().stdout.trim() == "0");
    (world, folder)
}

fn running(world: &World, folder: &Path) -> String {
    world.windlass(folder, &["ps", "--services"]).ok().stdout
}

#[test]
fn on_a_full_disk_what_takes_away_goes_on_and_makes_room() {
    let (world, folder) = filled();
    fails(world.windlass(&folder, &["up", "-d", "--force-recreate"]), &["No space left"]);
    fails(world.windlass(&folder, &["restart", "a"]), &["No space left"]);
    world.windlass(&folder, &["pause", "a"]).ok().says("can't be recorded").says("No space left");
    world.windlass(&folder, &["ps", "a"]).ok().says("Paused");
    world.windlass(&folder, &["unpause", "a"]).ok().says("can't be recorded");
    world.windlass(&folder, &["kill", "a"]).ok().says("can't be recorded");
    world.windlass(&folder, &["stop", "f"]).ok().says("can't be recorded");
    assert_eq!(running(&world, &folder), "");
    fails(world.windlass(&folder, &["up", "-d"]), &["No space left"]);
    // The next supervisor goes on from there.
    let line = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let supervisor = world.processes().into_iter().find(|pid| line(pid).contains("__supervisor")).unwrap();
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    world.windlass(&folder, &["stop", "f"]).ok().says("can't be recorded");
    assert_eq!(running(&world, &folder), "");
    // With what filled the disk there is room again, and nothing to be warned of.
    let ran = world.windlass(&folder, &["rm", "-f", "f"]).ok();
    assert!(!ran.stderr.contains("can't be recorded"), "{}", ran.stderr);
    let desired = |service: &str| {
        let text = fs::read_to_string(world.path().join("root/projects/p/desired.json")).unwrap();
        let desired: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        desired["containers"][format!("p-{service}-1")]["target"].clone()
    };
    assert_eq!((desired("a"), desired("f")), (json!("stopped"), json!(null)), "it is recorded");
    write(&folder, "services: {a: {image: test, stop_signal: SIGKILL}, f: {image: test, stop_signal: SIGKILL}}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    assert_eq!(running(&world, &folder), "a\nf\n");
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["down"]).ok();
    world.sh("umount -l root").ok();
}

#[test]
fn a_full_disk_keeps_nothing_up() {
    for verb in [&["scale", "f=0"][..], &["down"], &["down", "-v"]] {
        let (world, folder) = filled();
        world.windlass(&folder, verb).ok();
        assert_eq!(running(&world, &folder), if verb[0] == "scale" { "a\n" } else { "" }, "{verb:?}");
        write(&folder, "services: {a: {image: test, stop_signal: SIGKILL, restart: always}}\n");
        world.windlass(&folder, &["up", "-d", "--remove-orphans"]).ok();
        world.windlass(&folder, &["down"]).ok();
        world.sh("umount -l root").ok();
    }
}

#[test]
fn a_disk_without_room_for_another_file_keeps_nothing_up() {
    let world = World::new();
    fs::create_dir_all(world.path().join("root")).unwrap();
    world.sh("mount -t tmpfs -o nr_inodes=400 none root").ok();
    load(&world);
    let text = "services: {a: {image: test, stop_signal: SIGKILL}, b: {image: test, stop_signal: SIGKILL}}\n";
    let folder = project(&world, "p", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    world.sh("mkdir root/fill && i=0 && while mkdir root/fill/$i 2>/dev/null; do i=$((i + 1)); done").ok();
    fails(world.windlass(&folder, &["up", "-d", "--force-recreate"]), &["No space left"]);
    world.windlass(&folder, &["stop", "a"]).ok().says("can't be recorded");
    assert_eq!(running(&world, &folder), "b\n");
    world.windlass(&folder, &["down"]).ok();
    world.sh("umount -l root").ok();
    world.assert_clean();
}

#[test]
fn what_was_asked_for_is_recorded_as_soon_as_there_is_room() {
    let (world, folder) = filled();
    world.windlass(&folder, &["stop", "a"]).ok().says("can't be recorded");
    let recorded = || {
        let text = fs::read_to_string(world.path().join("root/projects/p/desired.json")).unwrap();
        text.contains(r#""target":"stopped""#)
    };
    assert!(!recorded());
    world.sh("mount -o remount,size=200m root").ok();
    world.wait_for("the record", recorded);
    world.windlass(&folder, &["down"]).ok();
    world.sh("umount -l root").ok();
}

#[test]
fn on_a_disk_that_became_read_only_things_are_stopped() {
    let world = World::new();
    let root = world.path().join("root");
    fs::create_dir_all(&root).unwrap();
    world.sh(&format!("mount -t tmpfs none {}", root.display())).ok();
    load(&world);
    let text = "services: {a: {image: test, stop_signal: SIGKILL}, b: {image: test, stop_signal: SIGKILL}}\n";
    let folder = project(&world, "p", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    // A mount over it: the disk itself stays writable as long as somebody has a file open to write.
    world.sh("mount --bind root root && mount -o remount,bind,ro root").ok();
    world.windlass(&folder, &["stop", "a"]).ok().says("can't be recorded");
    assert_eq!(running(&world, &folder), "b\n");
    world.windlass(&folder, &["down"]).code(1);
    assert_eq!(running(&world, &folder), "");
    world.sh("umount root").ok();
    world.windlass(&folder, &["up", "-d"]).ok();
    assert_eq!(running(&world, &folder), "a\nb\n");
    world.windlass(&folder, &["down"]).ok();
    world.sh("umount -l root").ok();
}
