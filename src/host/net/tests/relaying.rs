//! What the rules cannot carry reaches the container through the relay.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt};

use super::super::{Held, Net, relay};
use super::world::*;
use crate::desired::Protocol::{Tcp, Udp};

/// Not a test of its own: the relay starts the program that runs these tests with the argument `__relay`, and the test
/// harness takes that for the name of a test.
#[test]
fn __relay() {
    let input = std::io::stdin();
    if getsockopt(&input.as_fd(), sockopt::AcceptConn).unwrap_or(false) {
        relay::main();
    }
}

fn relays() -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("proc").flatten();
    let ours = std::process::id();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            status.contains(&format!("PPid:\t{ours}\n")) && String::from_utf8_lossy(&line).contains("__relay")
        })
        .collect()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ipv6_reaches_a_container_without_it_and_the_relay_starts_when_needed() {
    let world = World::new();
    let outside = Arc::new(world.outside());
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web");
    container.place.serve_udp("0.0.0.0:53", "dns");
    let held = world.publish(&container, &[port(None, 8080, 80, Tcp), port(None, 5300, 53, Udp)]);
    assert_eq!(world.during(|| get("127.0.0.1:8080")).as_deref(), Some("web 10.77.1.1"));
    assert_eq!(relays(), Vec::<u32>::new(), "nobody needs it yet");
    assert_eq!(world.during(|| get("[::1]:8080")).as_deref(), Some("web 10.77.1.1"));
    assert_eq!(world.during(|| ask_patiently("[::1]:5300")).as_deref(), Some("dns"));
    assert_eq!(relays().len(), 1);
    let from = Arc::clone(&outside);
    assert_eq!(world.during(move || from.get("[2001:db8:2::1]:8080")).as_deref(), Some("web 10.77.1.1"));
    let two = world.container(6, &[&spec]);
    two.place.serve("0.0.0.0:80", "two");
    let more = world.publish(&two, &[port(Some("::1"), 9090, 80, Tcp)]);
    assert_eq!(world.during(|| get("[::1]:9090")).as_deref(), Some("two 10.77.1.1"));
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
    drop(held);
    let again = world.wait(world.net.hold(&[port(None, 8080, 80, Tcp), port(None, 5300, 53, Udp)], 1));
    drop(again.expect("the relay has let go of the ports"));
    assert_eq!(world.during(|| get("[::1]:8080")), None);
    assert_eq!(world.during(|| get("[::1]:9090")).as_deref(), Some("two 10.77.1.1"));
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&two.id))).expect("withdraw");
    drop(more);
    until("the relay ends", || relays().is_empty());
    assert_eq!(std::fs::read_dir(world.root.path().join("run/relay")).expect("folder").count(), 0);
}

fn ask_patiently(to: &str) -> Option<String> {
    (0..20).find_map(|_| ask(to))
}

#[test]
fn the_relay_survives_the_supervisor_and_serves_the_next() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web");
    let held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
    assert_eq!(world.during(|| get("[::1]:8080")).as_deref(), Some("web 10.77.1.1"));
    let [pid] = relays()[..] else { panic!("one relay") };
    let World { runtime, net, root } = world;
    drop(runtime);
    drop(net);
    assert_eq!(get("[::1]:8080").as_deref(), Some("web 10.77.1.1"), "without a supervisor");
    let world = World {
        net: Net::open(root.path(), &root.path().join("run")).expect("open"),
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
        root,
    };
    let kept: Vec<Held> = held
        .iter()
        .map(|held| {
            let sockets = held.listeners.iter().map(|one| one.socket.try_clone().expect("dup")).collect();
            Held::adopt(held.spec.clone(), sockets).expect("adopt")
        })
        .collect();
    let adopted = [(container.id.clone(), kept)];
    world.wait(world.net.republish_all(&project(), &adopted)).expect("republish");
    assert_eq!(world.during(|| get("[::1]:8080")).as_deref(), Some("web 10.77.1.1"));
    assert_eq!(relays(), [pid]);
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
    let dead = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z"));
    until("the relay ends", dead);
}

#[test]
fn a_relay_that_was_killed_comes_back_with_the_next_packet() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web");
    let _held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
    assert_eq!(world.during(|| get("[::1]:8080")).as_deref(), Some("web 10.77.1.1"));
    let [pid] = relays()[..] else { panic!("one relay") };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL).expect("kill");
    assert_eq!(world.during(|| get("[::1]:8080")).as_deref(), Some("web 10.77.1.1"));
    assert_ne!(relays(), [pid]);
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
}

#[test]
fn another_firewalls_input_chain_decides_about_published_ports() {
    let world = World::new();
    let outside = Arc::new(world.outside());
    let spec = network(1);
    world.network(&spec);
    nft("table inet mine { chain input { type filter hook input priority 0; policy drop; iifname \"lo\" accept; \
         ct state established accept; iifname \"wl-*\" accept; tcp dport 8081 accept; }; }");
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web");
    let _held = world.publish(&container, &[port(None, 8080, 80, Tcp), port(None, 8081, 80, Tcp)]);
    let from = |to: &'static str| {
        let outside = Arc::clone(&outside);
        world.during(move || outside.get(to))
    };
    assert_eq!(from("192.0.2.1:8081").as_deref(), Some("web 10.77.1.1"), "it lets this one in");
    assert_eq!(from("192.0.2.1:8080"), None, "and this one not");
    assert_eq!(
        world.during(|| get("127.0.0.1:8080")).as_deref(),
        Some("web 10.77.1.1"),
        "nor is the host's own its business"
    );
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
}

#[test]
fn a_long_stream_and_a_closed_half_go_through_the_relay_unharmed() {
    use std::io::{Read, Write};
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    let listener = container.place.run(|| std::net::TcpListener::bind("0.0.0.0:80").expect("bind"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all);
            let _ = stream.write_all(&all);
        }
    });
    let _held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
    let sent: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    let copy = sent.clone();
    let received = world.during(move || {
        let mut stream = std::net::TcpStream::connect("[::1]:8080").expect("connect");
        stream.write_all(&copy).expect("write");
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        all
    });
    assert!(received == sent);
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
}

#[test]
fn udp_is_answered_from_the_address_that_was_asked_however_many_ask() {
    let world = World::new();
    let outside = Arc::new(world.outside());
    sh("ip addr add 2001:db8:2::7/64 dev out0 nodad; ip addr add 192.0.2.7/24 dev out0");
    // A chain of another firewall's that has to be asked sends IPv4 through the relay too.
    nft("table inet fw { chain in { type filter hook input priority 0; policy drop; \
         iifname lo accept; meta l4proto icmpv6 accept; udp dport 5300 accept; ct state established accept; }; }");
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve_udp("0.0.0.0:53", "dns");
    let _held = world.publish(&container, &[port(None, 5300, 53, Udp)]);
    for address in ["192.0.2.1", "192.0.2.7", "[2001:db8:2::1]", "[2001:db8:2::7]"] {
        let (from, to) = (Arc::clone(&outside), format!("{address}:5300"));
        let answer = world.during(move || from.run(|| (0..20).find_map(|_| ask(&to))));
        assert_eq!(answer.as_deref(), Some("dns"), "{address}");
    }
    assert_eq!(relays().len(), 1);
    // One client after the other, each with a port of its own: more than are kept at a time.
    let flood = move || outside.run(|| (0..4500).filter(|_| ask("192.0.2.7:5300").is_none()).count());
    assert!(world.during(flood) < 20, "the kernel may drop one, the relay nobody for good");
}
