//! Networks, end to end: what is reached from where, who is in the way, and what comes back when somebody takes it away.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test fails by panicking; each binary uses its own part of what is shared"
)]

mod support;

#[path = "network/mending.rs"]
mod mending;
#[path = "network/names.rs"]
mod names;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::json;

use support::image::{load_as, project};
use support::world::{Ran, World};

/// A web server that says `word` on port 80.
fn web(word: &str) -> String {
    format!("[sh, -c, \"mkdir -p /www; echo {word} > /www/index.html; exec httpd -f -p 80 -h /www\"]")
}

fn world() -> World {
    let world = World::new();
    // Nothing in it ends by SIGTERM, as the first process of a container: nobody is to wait ten seconds for that.
    let config = json!({ "Cmd": ["sleep", "100000"], "Env": ["PATH=/bin"], "StopSignal": "SIGKILL" });
    load_as(&world, "test:latest", &config);
    world
}

/// Asks until the server is up.
fn get(world: &World, url: &str) -> Ran {
    world.sh(&format!("curl -gfsS -m 5 --retry 20 --retry-all-errors --retry-delay 1 '{url}'"))
}

/// The first process of a service's container.
fn pid(world: &World, folder: &Path, service: &str) -> i32 {
    let id = world.windlass(folder, &["ps", "-q", "--no-trunc", service]).ok().stdout;
    let record = world.path().join("run/containers").join(id.trim()).join("process.json");
    let text = fs::read_to_string(record).unwrap();
    let body: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    i32::try_from(body["pid"].as_i64().unwrap()).unwrap()
}

/// A machine outside: 192.0.2.2 and 2001:db8:2::2, to which the host is 192.0.2.1 and 2001:db8:2::1.
struct Outside {
    child: Child,
}

impl Outside {
    fn new(world: &World) -> Self {
        let mut command = world.command("unshare", world.path());
        let child = command.args(["-n", "sleep", "100000"]).stdout(Stdio::null()).spawn().unwrap();
        let outside = Self { child };
        let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
        let namespace = format!("/proc/{}/ns/net", outside.child.id());
        world.wait_for("a namespace outside", || fs::read_link(&namespace).is_ok_and(|other| other != own));
        world
            .sh(&format!(
                "ip link add out0 type veth peer name eth0 netns {} && ip addr add 192.0.2.1/24 dev out0 && \
                 ip addr add 2001:db8:2::1/64 dev out0 nodad && ip link set out0 up",
                outside.child.id()
            ))
            .ok();
        outside
            .sh(
                world,
                "ip link set lo up; ip addr add 192.0.2.2/24 dev eth0; ip addr add 2001:db8:2::2/64 dev eth0 nodad; \
                 ip link set eth0 up; ip route add default via 192.0.2.1; ip -6 route add default via 2001:db8:2::1",
            )
            .ok();
        outside
    }

    fn sh(&self, world: &World, script: &str) -> Ran {
        world.sh(&format!("nsenter -t {} -n sh -c \"{script}\"", self.child.id()))
    }

    fn get(&self, world: &World, url: &str) -> Ran {
        self.sh(world, &format!("curl -gfsS -m 5 --retry 3 --retry-all-errors --retry-delay 1 '{url}'"))
    }

    fn is_refused(&self, world: &World, url: &str) -> bool {
        self.sh(world, &format!("curl -gfsS -m 1 '{url}'")).code != 0
    }

    fn end(mut self, world: &World) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        world.sh("ip link delete out0");
    }
}

#[test]
fn a_port_that_somebody_has_stops_up_before_anything_is_changed() {
    let world = world();
    let text = |word: &str, port: &str| {
        format!("services:\n  web: {{image: test, command: {}, ports: [\"{port}\"]}}\n", web(word))
    };
    let folder = project(&world, "one", &text("one", "8080:80"));
    let busy = TcpListener::bind("127.0.0.1:8080").unwrap();
    let who = format!("port 8080/tcp on 0.0.0.0 is already in use by process {} (", std::process::id());
    world.windlass(&folder, &["plan"]).code(1).says(&who);
    world.windlass(&folder, &["--dry-run", "up", "-d"]).code(1).says(&who);
    world.windlass(&folder, &["up", "-d"]).code(1).says(&who).says("publish another port");
    world.windlass(&folder, &["up"]).code(1).says(&who);
    world.assert_clean();
    drop(busy);
    world.windlass(&folder, &["up", "-d"]).ok();
    get(&world, "http://127.0.0.1:8080/").ok().says("one");

    // Another project that wants it is told whose it is; a range takes the next one.
    let other = project(&world, "two", &text("two", "127.0.0.1:8080:80"));
    let whose = "port 8080/tcp on 127.0.0.1 is already in use by container one-web-1 of project `one`";
    world.windlass(&other, &["up", "-d"]).code(1).says(whose);
    fs::write(other.join("compose.yaml"), text("two", "8080-8081:80")).unwrap();
    world.windlass(&other, &["up", "-d"]).ok();
    get(&world, "http://127.0.0.1:8081/").ok().says("two");
    world.windlass(&other, &["down"]).ok();

    // Whoever is made anew keeps its port, and who takes the place of another gets it.
    fs::write(folder.join("compose.yaml"), text("again", "8080:80")).unwrap();
    world.windlass(&folder, &["up", "-d"]).ok();
    get(&world, "http://127.0.0.1:8080/").ok().says("again");
    fs::write(folder.join("compose.yaml"), text("new", "8080:80").replace("web:", "site:")).unwrap();
    world.windlass(&folder, &["up", "-d"]).code(1).says("one-web-1").says("--remove-orphans");
    get(&world, "http://127.0.0.1:8080/").ok().says("again");
    world.windlass(&folder, &["up", "-d", "--remove-orphans"]).ok();
    get(&world, "http://127.0.0.1:8080/").ok().says("new");

    // An address that this machine does not have is found out as early.
    let elsewhere = project(&world, "far", &text("far", "192.0.2.77:8090:80"));
    world.windlass(&elsewhere, &["up", "-d"]).code(1).says("no link of this machine has that address");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn start_restart_and_scale_tell_a_taken_port_before_anything_is_changed() {
    let world = world();
    let text = format!(
        "services:\n  web: {{image: test, command: {}, ports: [\"8080:80\"]}}\n  other: {{image: test}}\n",
        web("page")
    );
    let folder = project(&world, "late", &text);
    world.windlass(&folder, &["up", "-d"]).ok();
    // Whoever holds it itself may have it again.
    world.windlass(&folder, &["restart"]).ok();
    world.windlass(&folder, &["stop"]).ok();
    let busy = TcpListener::bind("127.0.0.1:8080").unwrap();
    let who = format!("port 8080/tcp on 0.0.0.0 is already in use by process {} (", std::process::id());
    for verb in [&["start"][..], &["restart"], &["scale", "web=1"], &["run", "-P", "web"], &["--dry-run", "start"]] {
        world.windlass(&folder, verb).code(1).says(&who).says("publish another port");
        assert_eq!(world.windlass(&folder, &["ps", "-q"]).ok().stdout, "", "{verb:?} started the other");
    }
    // What is only made, not started, needs no port yet.
    world.windlass(&folder, &["create"]).ok();
    world.windlass(&folder, &["start", "other"]).ok();
    drop(busy);
    world.windlass(&folder, &["start"]).ok();
    get(&world, "http://127.0.0.1:8080/").ok().says("page");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn who_joins_a_namespace_through_another_is_in_the_first_ones() {
    let world = world();
    let folder = project(
        &world,
        "chain",
        r#"
services:
  a: { image: test, extra_hosts: ["first=192.0.2.1"], ipc: shareable }
  b: { image: test, network_mode: "service:a", extra_hosts: ["second=192.0.2.2"], ipc: "service:a", pid: "service:a" }
  c: { image: test, network_mode: "service:b", extra_hosts: ["third=192.0.2.3"], ipc: "service:b", pid: "service:b" }
  h: { image: test, network_mode: host, ipc: host, pid: host }
  i: { image: test, network_mode: "service:h", ipc: "service:h", pid: "service:h" }
  other: { image: test }
"#,
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    let run = |service: &str, script: &str| world.windlass(&folder, &["exec", "-T", service, "sh", "-c", script]);
    for name in ["192.0.2.1\tfirst", "192.0.2.2\tsecond", "192.0.2.3\tthird"] {
        run("c", "cat /etc/hosts").ok().says(name);
    }
    run("c", "cat /etc/resolv.conf").ok().says("nameserver 127.0.0.11");
    run("c", "nslookup other").ok();
    run("c", "touch /dev/shm/here").ok();
    run("a", "ls /dev/shm").ok().says("here");
    for kind in ["net", "ipc", "pid"] {
        let link = |service: &str| fs::read_link(format!("/proc/{}/ns/{kind}", pid(&world, &folder, service))).unwrap();
        assert_eq!(link("c"), link("a"), "{kind}");
        assert_eq!(link("i"), fs::read_link(format!("/proc/thread-self/ns/{kind}")).unwrap(), "{kind}");
    }
    world.windlass(&folder, &["restart", "a"]).ok();
    run("c", "nslookup other").ok();
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

/// Processor time that a process has used, in ticks of 10 ms.
fn ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn many_connections_through_the_relay_are_nothing_to_the_supervisor() {
    let world = world();
    let text = format!(
        "services:\n  web: {{image: test, command: {}, ports: [\"8080:80\"]}}\n  other: {{image: test}}\n",
        web("page")
    );
    let folder = project(&world, "load", &text);
    world.windlass(&folder, &["up", "-d"]).ok();
    get(&world, "http://[::1]:8080/").ok().says("page");
    let line = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let supervisor = world.processes().into_iter().find(|pid| line(pid).contains("__supervisor")).unwrap();
    let before = ticks(supervisor);
    // Half of them say nothing and stay, as many clients do; the others come, ask and go.
    let connect = || std::net::TcpStream::connect("[::1]:8080").unwrap();
    let idle: Vec<std::net::TcpStream> = (0..400).map(|_| connect()).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                use std::io::{Read, Write};
                // The server's own queue is short: while it takes the silent ones, an answer can take a second.
                let mut answered = 0;
                while answered < 25 || !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let (mut stream, mut answer) = (connect(), String::new());
                    let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
                    let _ = stream.read_to_string(&mut answer);
                    answered += u32::from(answer.contains("page"));
                }
            });
        }
        // What the supervisor has to do meanwhile, it does.
        world.windlass(&folder, &["restart", "other"]).ok();
        world.windlass(&folder, &["exec", "-T", "other", "nslookup", "web"]).ok();
        world.windlass(&folder, &["up", "-d", "--scale", "other=3"]).ok();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(idle.len(), 400);
    drop(idle);
    // It was not asked once for any of them: they cost it nothing, and the commands above some tenths of a second.
    let used = ticks(supervisor) - before;
    assert!(used < 300, "{used} ticks");
    get(&world, "http://[::1]:8080/").ok().says("page");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn what_a_kill_of_everything_has_left_goes() {
    let world = world();
    let folder = project(
        &world,
        "dead",
        &format!(
            "services:\n  web: {{image: test, command: {}, ports: [\"8080:80\"]}}\n  b: {{image: test}}\n",
            web("page")
        ),
    );
    let kill = || {
        let containers: Vec<i32> = ["web", "b"].iter().map(|service| pid(&world, &folder, service)).collect();
        // The shims and the supervisor at once: none may start another.
        let all: Vec<String> = world.processes().iter().chain(&containers).map(ToString::to_string).collect();
        world.sh(&format!("kill -9 {}", all.join(" ")));
        world.wait_for("their ends", || all.iter().all(|pid| !is_alive(pid)));
        world.wait_for("nobody else", || world.processes().is_empty());
    };
    world.windlass(&folder, &["up", "-d"]).ok();
    get(&world, "http://127.0.0.1:8080/").ok();
    kill();
    world.windlass(&folder, &["up", "-d"]).ok();
    get(&world, "http://127.0.0.1:8080/").ok().says("page");
    kill();
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z') && !rest.is_empty())
}

#[test]
fn from_outside_only_what_is_published_is_reached() {
    let world = world();
    let outside = Outside::new(&world);
    let folder = project(
        &world,
        "fort",
        &format!(
            "services:\n  web:\n    image: test\n    command: {}\n    ports: [\"8080:80\", \"127.0.0.1:8081:80\", \
             \"192.0.2.1:8082:80\", \"[::1]:8083:80\"]\n    networks: {{ default: {{ ipv4_address: 10.123.0.10 }} }}\n\
             networks: {{ default: {{ enable_ipv6: true, ipam: {{ config: [{{ subnet: 10.123.0.0/24 }}] }} }} }}\n",
            web("page")
        ),
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    get(&world, "http://127.0.0.1:8081/").ok().says("page");
    for url in
        ["127.0.0.1:8080", "[::1]:8080", "192.0.2.1:8080", "[2001:db8:2::1]:8080", "192.0.2.1:8082", "[::1]:8083"]
    {
        get(&world, &format!("http://{url}/")).ok().says("page");
    }
    for url in ["192.0.2.1:8080", "[2001:db8:2::1]:8080", "192.0.2.1:8082"] {
        outside.get(&world, &format!("http://{url}/")).ok().says("page");
    }
    // The way to the bridge's subnet is open to routing, and closed all the same; so are the host's other addresses.
    let inside = world.windlass(&folder, &["exec", "-T", "web", "ip", "-o", "-6", "addr", "show", "eth0"]).ok().stdout;
    let v6 = inside.split("inet6 ").nth(1).unwrap().split('/').next().unwrap().to_owned();
    assert!(v6.starts_with("fd"), "{inside}");
    for url in ["10.123.0.10", &format!("[{v6}]"), "192.0.2.1:8081", "192.0.2.1:8083", "[2001:db8:2::1]:8083"] {
        assert!(outside.is_refused(&world, &format!("http://{url}/")), "{url}");
    }
    outside.sh(&world, "ip route add 127.0.0.8/32 via 192.0.2.1; sysctl -qw net.ipv4.conf.eth0.route_localnet=1");
    assert!(outside.is_refused(&world, "http://127.0.0.8:8081/"));
    world.windlass(&folder, &["down"]).ok();
    outside.end(&world);
    world.assert_clean();
}

/// Addresses, names and ways of every kind in one file.
const TOUR: &str = r#"
services:
  a:
    image: test
    networks:
      front: { ipv4_address: 10.124.0.10, aliases: [alpha], mac_address: "02:42:aa:bb:cc:dd" }
      back: {}
    extra_hosts: ["up:host-gateway", "far=192.0.2.9"]
  b: { image: test, networks: { back: { aliases: [beta] } }, deploy: { replicas: 2 } }
  h: { image: test, network_mode: host }
  n: { image: test, network_mode: none }
  s: { image: test, network_mode: "service:a" }
  l: { image: test, networks: [back], links: ["b:buddy"], dns: ["192.0.2.53"] }
  six: { image: test, networks: [six], dns_search: [example.org], dns_opt: ["timeout:1"] }
networks:
  front: { ipam: { config: [{ subnet: 10.124.0.0/24, gateway: 10.124.0.1 }] } }
  back: { internal: true }
  six: { enable_ipv6: true, ipam: { config: [{ subnet: "fd12:3456::/64" }] } }
"#;

#[test]
fn every_kind_of_network_and_name() {
    let world = world();
    let folder = project(&world, "tour", TOUR);
    world.windlass(&folder, &["up", "-d"]).ok();
    let run = |service: &str, command: &str| world.windlass(&folder, &["exec", "-T", service, "sh", "-c", command]);
    run("a", "ip -o addr").ok().says("10.124.0.10/24").says("eth1");
    run("a", "ip -o link").ok().says("02:42:aa:bb:cc:dd");
    run("a", "ip route").ok().says("default via 10.124.0.1");
    run("six", "cat /etc/resolv.conf").ok().says("search example.org").says("timeout:1").says("nameserver 127.0.0.11");
    run("a", "cat /etc/hosts").ok().says("10.124.0.1\tup").says("192.0.2.9\tfar");
    for name in ["b", "beta", "tour-b-1", "tour-b-2", "l", "a", "alpha"] {
        run("a", &format!("nslookup {name}")).ok();
    }
    assert_eq!(run("a", "nslookup b").ok().stdout.matches("Address").count(), 3, "the server's, and two replicas'");
    run("a", "nslookup 10.124.0.10").ok().says("tour-a-1");
    assert_ne!(run("b", "nslookup alpha").code, 0, "it is on another network");
    run("l", "nslookup buddy").ok();
    assert_ne!(run("a", "nslookup buddy").code, 0, "a link is its owner's own");
    run("b", "ping -c 1 -W 2 a").ok();
    assert_eq!(run("b", "ip route").ok().stdout.matches("default").count(), 0, "no way out of an internal network");
    assert_ne!(run("b", "nslookup outside.example").code, 0);
    assert_eq!(run("n", "ip -o link").ok().stdout.lines().count(), 1);
    let own = world.sh("ip -o link").ok().stdout.lines().count();
    assert_eq!(run("h", "ip -o link").ok().stdout.lines().count(), own);
    run("s", "ip -o addr").ok().says("10.124.0.10/24");
    run("s", "nslookup b").ok();
    run("six", "ip -6 -o addr show eth0").ok().says("fd12:3456::");
    run("six", "ping -6 -c 1 -W 2 fd12:3456::1").ok();
    for link in world.sh("ip -o link show | cut -d: -f2 | cut -d@ -f1").ok().stdout.lines() {
        assert!(link.trim() == "lo" || link.trim().starts_with("wl-"), "{link}");
    }
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn an_external_network_is_shared_and_a_missing_one_is_told() {
    let world = world();
    let user = project(
        &world,
        "user",
        "services:\n  app: {image: test, networks: [shared]}\nnetworks:\n  shared: {external: true, name: owner_shared}\n",
    );
    let missing = "network `owner_shared` is declared as external, but there is no such network";
    world.windlass(&user, &["up", "-d"]).code(1).says(missing).says("compose.yaml:4:");
    let owner =
        project(&world, "owner", "services:\n  db: {image: test, networks: [shared]}\nnetworks:\n  shared: {}\n");
    world.windlass(&owner, &["up", "-d"]).ok();
    world.windlass(&user, &["up", "-d"]).ok();
    world.windlass(&user, &["exec", "-T", "app", "ping", "-c", "1", "-W", "2", "db"]).ok();
    world.windlass(&owner, &["exec", "-T", "db", "nslookup", "app"]).ok();
    // Its bridge comes back for both, and stays the owner's.
    world.sh("for l in $(ip -o link show type bridge | cut -d: -f2); do ip link delete $l; done").ok();
    world.wait_for("the network", || {
        world.windlass(&user, &["exec", "-T", "app", "ping", "-c", "1", "-W", "1", "db"]).code == 0
    });
    world.windlass(&owner, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&user, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&user, &["down"]).ok();
    world.windlass(&owner, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_pool_without_room_is_told_with_what_is_in_the_way() {
    let world = world();
    world.sh("ip link add other0 type bridge && ip link set other0 up").ok();
    for route in ["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"] {
        world.sh(&format!("ip route add {route} dev other0")).ok();
    }
    let folder = project(&world, "full", "services:\n  web: {image: test}\n");
    world
        .windlass(&folder, &["up", "-d"])
        .code(1)
        .says("no free /24 subnet is left in 172.17.0.0-172.31.255.255, 192.168.0.0/16 and 10.0.0.0/8")
        .says("route 10.0.0.0/8");
    world.sh("ip link delete other0").ok();
    world.assert_clean();
}

#[test]
fn a_container_reaches_its_own_published_port_on_the_host() {
    let world = world();
    let folder = project(
        &world,
        "hairpin",
        &format!(
            "services:\n  web: {{image: test, command: {}, ports: [\"8080:80\"], extra_hosts: [\"up:host-gateway\"]}}\n  \
             b: {{image: test, extra_hosts: [\"up:host-gateway\"]}}\n",
            web("page")
        ),
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    get(&world, "http://127.0.0.1:8080/").ok();
    for call in ["0", "1"] {
        let parameter = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        if Path::new(parameter).exists() {
            world.sh(&format!("echo {call} > {parameter}")).ok();
        }
        for service in ["web", "b"] {
            let command = ["exec", "-T", service, "busybox", "timeout", "5", "wget", "-qO-", "http://up:8080/"];
            world.windlass(&folder, &command).ok().says("page");
        }
    }
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn udp_is_published_too() {
    let world = world();
    let folder = project(&world, "udp", "services:\n  echo: {image: test, ports: [\"127.0.0.1:5353:53/udp\"]}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let namespace = fs::File::open(format!("/proc/{}/ns/net", pid(&world, &folder, "echo"))).unwrap();
    let server = std::thread::spawn(move || {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        UdpSocket::bind("0.0.0.0:53").unwrap()
    });
    let server = server.join().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, peer)) = server.recv_from(&mut buffer) {
            if &buffer[..length] == b"end" || server.send_to(&buffer[..length], peer).is_err() {
                return;
            }
        }
    });
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    let mut buffer = [0; 16];
    world.wait_for("an echo", || {
        let sent = socket.send_to(b"hello", "127.0.0.1:5353").is_ok();
        sent && socket.recv(&mut buffer).is_ok_and(|length| length == 5)
    });
    assert_eq!(&buffer[..5], b"hello");
    socket.send_to(b"end", "127.0.0.1:5353").unwrap();
    let ran = world.windlass(&folder, &["port", "--protocol", "udp", "echo", "53"]).ok();
    assert_eq!(ran.stdout.trim(), "127.0.0.1:5353");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}
