//! docs/security.md maps each known attack to the test that tries it: here it is checked that the map is whole, and those
//! attacks are tried that go through whole commands.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use support::image::{load, project};
use support::world::{WINDLASS, World};

/// The rows of the table: attack, defence, tests.
fn rows() -> Vec<[String; 3]> {
    let text = fs::read_to_string("docs/security.md").unwrap();
    text.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| Attack"))
        .map(|line| {
            let cells: Vec<String> = line.trim_matches('|').split(" | ").map(|c| c.trim().to_owned()).collect();
            <[String; 3]>::try_from(cells).unwrap_or_else(|cells| panic!("not three cells: {cells:?}"))
        })
        .collect()
}

/// Every `fn` of the sources and tests.
fn functions() -> BTreeSet<String> {
    fn walk(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                for line in fs::read_to_string(&path).unwrap().lines() {
                    if let Some((_, rest)) = line.split_once("fn ") {
                        into.insert(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
                    }
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    walk(Path::new("src"), &mut found);
    walk(Path::new("tests"), &mut found);
    found
}

#[test]
fn every_test_that_the_map_names_is_there() {
    let functions = functions();
    let rows = rows();
    assert!(rows.len() > 20, "the table was read");
    for [attack, _, tests] in rows {
        if let Some(reason) = tests.strip_prefix("not met yet: ") {
            assert!(!reason.is_empty(), "{attack}: no reason");
            continue;
        }
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{attack}: neither a test nor `not met yet: reason`");
        for name in names {
            let name = name.rsplit("::").next().unwrap();
            assert!(functions.contains(name), "{attack}: there is no test `{name}`");
        }
    }
}

#[test]
fn every_attack_that_is_known_is_in_the_map() {
    let Some(shared) = support::shared("security::every_attack_that_is_known_is_in_the_map") else { return };
    let text = fs::read_to_string(shared.join("needs.md")).unwrap();
    let section = text.split("\n## 4. ").nth(1).unwrap().split("\n## ").next().unwrap();
    let map: String = rows().into_iter().map(|[attack, ..]| attack + "\n").collect();
    for line in section.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| Issue")) {
        let issue = line.trim_matches('|').split(" | ").next().unwrap();
        // Numbers of a row: `CVE-2025-52881 (and 2019-16884/…)` → 2025-52881, 2019-16884, …
        let numbers: Vec<&str> = issue
            .split(|c: char| !(c.is_ascii_digit() || c == '-'))
            .map(|word| word.trim_matches('-'))
            .filter(|word| word.len() > 7 && word.as_bytes().get(4) == Some(&b'-'))
            .collect();
        if numbers.is_empty() {
            let word = issue.split([',', '(', '/']).next().unwrap().trim();
            assert!(map.contains(word), "docs/security.md says nothing of: {issue}");
        }
        for number in numbers {
            assert!(map.contains(number), "docs/security.md says nothing of {number} ({issue})");
        }
    }
}

#[test]
fn cve_2019_14271_and_2026_41567_cp_loads_and_runs_nothing_of_the_container() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "p", "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    // A library that marks where it is loaded, and programs that mark that they were run.
    let source =
        "#include <fcntl.h>\n__attribute__((constructor)) void mark(void) { creat(\"/data/loaded\", 0666); }\n";
    fs::write(folder.join("evil.c"), source).unwrap();
    world.sh_in(&folder, "gcc -shared -fPIC -o evil.so evil.c").ok();
    fs::write(folder.join("trojan"), "#!/bin/sh\ntouch /data/run\n").unwrap();
    fs::set_permissions(folder.join("trojan"), fs::Permissions::from_mode(0o755)).unwrap();
    world.windlass(&folder, &["cp", "evil.so", "web:/data/evil.so"]).ok();
    world.windlass(&folder, &["cp", "trojan", "web:/data/trojan"]).ok();
    let plant = "for d in /lib /lib64 /usr/lib /lib/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu; do mkdir -p $d; \
                 for l in libnss_files.so.2 libnss_dns.so.2 libnss_compat.so.2 libnss_evil.so.2 libc.so.6; do \
                 cat /data/evil.so > $d/$l; done; done; \
                 echo 'passwd: evil files' > /etc/nsswitch.conf; echo 'group: evil files' >> /etc/nsswitch.conf; \
                 for d in /bin /sbin /usr/bin /usr/sbin /usr/local/bin; do mkdir -p $d; \
                 for p in tar gzip gunzip unpigz pigz xz unxz zstd bzip2 docker-untar docker-tar docker-applyLayer; do \
                 rm -f $d/$p; cat /data/trojan > $d/$p; chmod 755 $d/$p; done; done; ls -l /bin/tar";
    world.windlass(&folder, &["exec", "-T", "web", "sh", "-c", plant]).ok();
    world.windlass(&folder, &["exec", "-T", "web", "tar"]).ok();
    let marks = || world.windlass(&folder, &["exec", "-T", "web", "ls", "/data"]).ok().stdout;
    assert!(marks().contains("run"), "the trojan works where it is run");
    world.windlass(&folder, &["exec", "-T", "web", "rm", "/data/run"]).ok();
    fs::write(folder.join("file"), "content").unwrap();
    world
        .sh_in(&folder, "mkdir sub && echo inner > sub/inner && tar -czf packed.tar.gz sub && tar -cf plain.tar sub")
        .ok();
    world.windlass(&folder, &["cp", "file", "web:/tmp/file"]).ok();
    world.windlass(&folder, &["cp", "-a", "sub", "web:/tmp/sub"]).ok();
    world.windlass(&folder, &["cp", "web:/tmp/sub", "back"]).ok();
    assert_eq!(fs::read_to_string(folder.join("back/inner")).unwrap(), "inner\n");
    let program = WINDLASS;
    world.sh_in(&folder, &format!("{program} cp - web:/tmp < plain.tar")).ok();
    // Whether a packed one is taken does not matter here: nothing of the container unpacks it.
    world.sh_in(&folder, &format!("{program} cp - web:/tmp < packed.tar.gz"));
    world.sh_in(&folder, &format!("{program} cp web:/tmp/sub - > out.tar && tar -tf out.tar")).ok().says("sub/inner");
    let marks = marks();
    assert!(!marks.contains("run") && !marks.contains("loaded"), "{marks}");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_command_in_a_container_gets_no_descriptor_of_its_caller() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "own", "services:\n  web: {image: test, stop_signal: SIGKILL}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    fs::write(folder.join("in"), "as it was\n").unwrap();
    fs::write(folder.join("out"), "before\n").unwrap();
    // By /proc/self/fd a program opens the file behind a descriptor anew, for whatever it likes.
    let script = "read line; echo $line; readlink /proc/self/fd/0; readlink /proc/self/fd/1; readlink /proc/self/fd/2 >&2; \
                  echo overwritten >/proc/self/fd/0; cat /proc/self/fd/0/.. >&2";
    let out = fs::OpenOptions::new().append(true).open(folder.join("out")).unwrap();
    let command = &mut world.command(WINDLASS, &folder);
    let command = command.args(["exec", "-T", "web", "sh", "-c", script]);
    let ended = command.stdin(fs::File::open(folder.join("in")).unwrap()).stdout(out).output().unwrap();
    assert_eq!(fs::read_to_string(folder.join("in")).unwrap(), "as it was\n");
    let told = fs::read_to_string(folder.join("out")).unwrap();
    let error = String::from_utf8_lossy(&ended.stderr);
    assert!(told.starts_with("before\nas it was\n"), "its streams are ours all the same: {told}{error}");
    let pipes = told.lines().filter(|line| line.starts_with("pipe:[")).count();
    assert_eq!((pipes, error.starts_with("pipe:[")), (2, true), "{told}{error}");
    world.windlass(&folder, &["down", "-t", "0"]).ok();
    world.assert_clean();
}

#[test]
fn cve_2026_42306_a_volume_that_is_swapped_while_it_is_copied_into_leads_nowhere_outside() {
    let world = World::new();
    load(&world);
    let text = "services: {web: {image: test, stop_signal: SIGKILL, volumes: [\"data:/v\"]}}\nvolumes: {data: {}}\n";
    let folder = project(&world, "p", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    let (outside, volume) = (world.path().join("outside"), world.path().join("root/volumes/p_data/_data"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "host only").unwrap();
    fs::create_dir(volume.join("real")).unwrap();
    fs::write(volume.join("real/file"), "container").unwrap();
    symlink(&outside, volume.join("link")).unwrap();
    fs::write(folder.join("new"), "new").unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let racer = std::thread::spawn({
        let (stop, one, other) = (stop.clone(), volume.join("real"), volume.join("link"));
        move || {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        }
    });
    let mut copied = 0;
    for _ in 0..40 {
        // Whether it is copied or refused does not matter: where it goes to and comes from does.
        world.windlass(&folder, &["cp", "new", "web:/v/real/new"]);
        world.windlass(&folder, &["cp", "new", "web:/v/real/file2"]);
        if world.windlass(&folder, &["cp", "-L", "web:/v/real/file", "out"]).code == 0 {
            assert_eq!(fs::read_to_string(folder.join("out")).unwrap(), "container");
            copied += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    racer.join().unwrap();
    assert!(copied > 0, "the race was never won by the right file");
    let left: Vec<_> = fs::read_dir(&outside).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["file"]);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "host only");
    world.windlass(&folder, &["down", "-v"]).ok();
    world.assert_clean();
}

/// Connects to a socket, asks, and says what comes back; as another user.
const KNOCK: &str = "import socket, sys\ns = socket.socket(socket.AF_UNIX, int(sys.argv[2]))\ns.settimeout(5)\n\
                     s.connect(sys.argv[1])\n\
                     try:\n    s.send(sys.argv[3].encode()); print('answer', s.recv(100))\n\
                     except OSError as e:\n    print('cut', e)\n";

#[test]
fn another_user_reaches_no_socket_even_where_its_mode_was_opened_up() {
    let world = World::new();
    load(&world);
    let folder = project(&world, "p", "services: {web: {image: test, stop_signal: SIGKILL}}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    fs::write(world.path().join("knock.py"), KNOCK).unwrap();
    let id = world.windlass(&folder, &["ps", "-q", "--no-trunc"]).ok().stdout;
    let control = world.path().join("run/projects/p/control.sock");
    let shim = world.path().join("run/containers").join(id.trim()).join("shim.sock");
    let knock = |socket: &Path, user: &str, kind: &str, words: &str| {
        let name = socket.file_name().unwrap().to_str().unwrap();
        // A socket's path may be short only.
        let folder = socket.parent().unwrap();
        let script = format!(
            "setpriv --reuid={user} --regid={user} --clear-groups python3 {}/knock.py ./{name} {kind} '{words}' 2>&1",
            world.path().display()
        );
        let output = world.command("sh", folder).args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let calls = [(&control, "1", "{\"request\":\"status\"}\n"), (&shim, "5", "{\"number\":1,\"request\":\"state\"}")];
    fs::set_permissions(world.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (socket, kind, words) in calls {
        // By the mode of the folders alone.
        let said = knock(socket, "65534", kind, words);
        assert!(!said.contains("answer"), "{}: {said}", socket.display());
    }
    world.sh("chmod 777 run run/projects run/containers run/projects/* run/containers/*; chmod 666 $(find run -name '*.sock')").ok();
    for (socket, kind, words) in calls {
        let said = knock(socket, "65534", kind, words);
        assert!(
            !said.contains("answer b'{") && (said.contains("cut") || said.contains("answer b''")),
            "{}: {said}",
            socket.display()
        );
    }
    world.windlass(&folder, &["ps"]).ok().says("Up");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

/// A server that says what it was told to, and counts who came.
fn server(address: &str, answer: impl Fn(&str) -> String + Send + 'static) -> Arc<std::sync::atomic::AtomicUsize> {
    let listener = TcpListener::bind(address).unwrap();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut asked = [0; 4096];
            let length = stream.read(&mut asked).unwrap_or(0);
            let _ = stream.write_all(answer(&String::from_utf8_lossy(&asked[..length])).as_bytes());
        }
    });
    count
}

#[test]
fn a_registry_elsewhere_sends_nobody_to_this_machine_or_to_metadata() {
    let world = World::new();
    world
        .sh("ip link add there type veth peer name beyond; ip addr add 192.0.2.1/24 dev there; ip link set there up")
        .ok();
    world.sh("ip addr add 169.254.169.254/32 dev lo").ok();
    let ok =
        |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let secret = move |_: &str| ok("instance credentials");
    let asked = [server("127.0.0.1:8099", secret), server("169.254.169.254:80", secret)];
    let targets = ["http://127.0.0.1:8099/x", "http://169.254.169.254/latest/meta-data/", "http://localhost:8099/x"];
    for (port, target) in (5000..).zip(targets) {
        let location =
            format!("HTTP/1.1 307 Go\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        server(&format!("192.0.2.1:{port}"), move |request| {
            let is_base = request.starts_with("GET /v2/ ");
            if is_base { ok("{}") } else { location.clone() }
        });
        let conf = format!("[[registry]]\nlocation = \"192.0.2.1:{port}\"\ninsecure = true\n");
        fs::write(world.path().join("registries.conf"), conf).unwrap();
        let folder = project(&world, "p", &format!("services: {{web: {{image: \"192.0.2.1:{port}/app:1\"}}}}\n"));
        world
            .windlass(&folder, &["up", "-d"])
            .code(1)
            .says("a redirect to an address of this machine or link is refused");
    }
    assert!(asked.iter().all(|asked| asked.load(Ordering::SeqCst) == 0));
    world.sh("ip link delete there; ip addr del 169.254.169.254/32 dev lo").ok();
    world.assert_clean();
}
