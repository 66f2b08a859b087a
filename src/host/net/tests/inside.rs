//! The name server's address inside a container, and sweeping.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;

use super::super::dnsredirect::RESOLVER_PORT;
use super::world::*;
use crate::desired::Protocol::Tcp;
use crate::name::ContainerId;

#[test]
fn name_look_ups_reach_the_resolver_and_port_53_stays_free() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    for _ in 0..2 {
        world.wait(world.net.dns_redirect(container.place.netfilter.as_fd())).expect("redirect");
        container.place.sh("nft list ruleset | grep -c 'dport set 40053' | grep -qx 2");
    }
    container.place.serve_udp(&format!("127.0.0.11:{RESOLVER_PORT}"), "udp");
    container.place.serve(&format!("127.0.0.11:{RESOLVER_PORT}"), "tcp");
    assert_eq!(container.place.ask("127.0.0.11:53").as_deref(), Some("udp"));
    assert_eq!(container.place.get("127.0.0.11:53").as_deref(), Some("tcp 127.0.0.1"));
    container.place.run(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.connect("127.0.0.11:53").expect("connect");
        socket.send(b"?").expect("send");
        let mut buffer = [0; 8];
        assert_eq!(socket.recv(&mut buffer).expect("the answer carries port 53"), 5);
        TcpListener::bind("0.0.0.0:53").expect("the port is the container's");
        UdpSocket::bind("0.0.0.0:53").expect("the port is the container's");
    });
    container.place.sh("nft flush ruleset");
    world.wait(world.net.dns_redirect(container.place.netfilter.as_fd())).expect("put back");
    assert_eq!(container.place.ask("127.0.0.11:53").as_deref(), Some("udp"));
}

/// The containers that the ledger knows: this one.
fn claimed(kept: &Container) -> impl FnOnce() -> std::io::Result<BTreeSet<ContainerId>> + Send + 'static {
    let known = BTreeSet::from([kept.id.clone()]);
    move || Ok(known)
}

#[test]
fn a_sweep_takes_what_nobody_claims_and_nothing_else() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let (kept, lost) = (world.container(5, &[&spec]), world.container(6, &[&spec]));
    kept.place.serve("0.0.0.0:80", "web");
    let _held = world.publish(&kept, &[port(None, 8080, 80, Tcp)]);
    let group = sh(&format!("ip -j -d link show {}", spec.bridge));
    let group = serde_json::from_str::<serde_json::Value>(&group).expect("json")[0]["group"].to_string();
    let group = group.trim_matches('"').to_owned();
    sh(&format!("ip link add wl-stray type bridge; ip link set wl-stray group {group}"));
    sh("ip link add wl-foreign type bridge");
    let table = sh("nft list tables | grep windlass-shop").trim().replace("table ", "").replace("shop", "gone");
    nft(&format!("table {table} {{ }}\ntable inet windlass-other.0badcafe {{ }}"));
    let told = world.wait(world.net.sweep(claimed(&kept))).expect("sweep");
    assert_eq!(told.len(), 3, "{told:?}");
    let links = sh("ip -o link");
    assert!(!links.contains("wl-stray") && !links.contains(&lost.links[0].link), "{links}");
    assert!(links.contains("wl-foreign") && links.contains(&kept.links[0].link), "{links}");
    let tables = sh("nft list tables");
    assert!(!tables.contains("windlass-gone") && tables.contains("windlass-other"), "{tables}");
    assert_eq!(get("127.0.0.1:8080").as_deref(), Some("web 10.77.1.1"));
    assert!(world.wait(world.net.sweep(claimed(&kept))).expect("sweep").is_empty());
}
