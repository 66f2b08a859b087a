//! Published ports, from everywhere; isolation; and what must not get through.

use std::net::{TcpListener, UdpSocket};

use super::super::NetError;
use super::world::*;
use crate::desired::PortSpec;
use crate::desired::Protocol::{Tcp, Udp};

#[test]
fn a_port_answers_on_every_address_but_only_what_is_published() {
    let world = World::new();
    let outside = world.outside();
    let spec = network6(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web4");
    container.place.serve("[fd00:77:1::5]:80", "web6");
    container.place.serve("0.0.0.0:81", "secret");
    let held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
    assert_eq!(held[0].listeners.len(), 2);
    assert_eq!(get("127.0.0.1:8080").as_deref(), Some("web4 10.77.1.1"));
    assert_eq!(get("10.77.1.1:8080").as_deref(), Some("web4 10.77.1.1"));
    assert_eq!(get("192.0.2.1:8080").as_deref(), Some("web4 192.0.2.1"));
    assert_eq!(outside.get("192.0.2.1:8080").as_deref(), Some("web4 192.0.2.2"), "with the client's own address");
    assert_eq!(outside.get("[2001:db8:2::1]:8080").as_deref(), Some("web6 2001:db8:2::2"));
    assert_eq!(outside.get("10.77.1.5:80"), None, "not past the publishing");
    assert_eq!(outside.get("10.77.1.5:81"), None);
    assert_eq!(outside.get("[fd00:77:1::5]:80"), None);
    assert_eq!(get("10.77.1.5:81").as_deref(), Some("secret 10.77.1.1"), "the host itself may");
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
    assert_eq!(outside.get("192.0.2.1:8080"), None);
    assert!(!sh("nft list tables").contains("windlass-shop"));
    assert_eq!(parameter(&format!("ipv4/conf/{}/route_localnet", spec.bridge)), "0");
}

#[test]
fn an_address_of_the_host_is_published_alone() {
    let world = World::new();
    let outside = world.outside();
    let spec = network(1);
    world.network(&spec);
    let one = world.container(5, &[&spec]);
    let two = world.container(6, &[&spec]);
    one.place.serve("0.0.0.0:80", "one");
    two.place.serve("0.0.0.0:80", "two");
    let _one = world.publish(&one, &[port(Some("127.0.0.1"), 8080, 80, Tcp)]);
    let _two = world.publish(&two, &[port(Some("192.0.2.1"), 8080, 80, Tcp)]);
    assert_eq!(get("127.0.0.1:8080").as_deref(), Some("one 10.77.1.1"));
    assert_eq!(outside.get("192.0.2.1:8080").as_deref(), Some("two 192.0.2.2"));
    assert_eq!(get("10.77.1.1:8080"), None);
    let strange = world.wait(world.net.hold(&[port(Some("198.51.100.9"), 8080, 80, Tcp)])).expect_err("not here");
    assert!(matches!(strange, NetError::NotLocal(_)), "{strange}");
}

#[test]
fn a_container_reaches_its_own_published_port() {
    for bridge_filter in ["0", "1"] {
        let world = World::new();
        let _outside = world.outside();
        let file = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        if std::path::Path::new(file).exists() {
            std::fs::write(file, bridge_filter).expect("write");
        }
        let spec = network(1);
        world.network(&spec);
        let container = world.container(5, &[&spec]);
        let neighbour = world.container(6, &[&spec]);
        container.place.serve("0.0.0.0:80", "web");
        let _held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
        for from in [&container, &neighbour] {
            assert_eq!(from.place.get("192.0.2.1:8080").as_deref(), Some("web 10.77.1.1"), "filter {bridge_filter}");
            assert_eq!(from.place.get("10.77.1.1:8080").as_deref(), Some("web 10.77.1.1"), "filter {bridge_filter}");
        }
        let direct = neighbour.place.get("10.77.1.5:80");
        assert_eq!(direct.as_deref(), Some("web 10.77.1.6"), "filter {bridge_filter}");
    }
}

#[test]
fn networks_are_apart_unless_something_is_published() {
    for bridge_filter in ["0", "1"] {
        let world = World::new();
        let outside = world.outside();
        outside.serve("0.0.0.0:99", "world");
        let file = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        if std::path::Path::new(file).exists() {
            std::fs::write(file, bridge_filter).expect("write");
        }
        let (one, mut two, mut inner) = (network(1), network(2), network(3));
        two.icc = false;
        inner.internal = true;
        [&one, &two, &inner].into_iter().for_each(|spec| world.network(spec));
        let a = world.container(5, &[&one]);
        let b = world.container(6, &[&two]);
        let b2 = world.container(7, &[&two]);
        let (i, i2) = (world.container(8, &[&inner]), world.container(9, &[&inner]));
        for container in [&a, &b, &i] {
            container.place.serve("0.0.0.0:80", "web");
        }
        assert_eq!(b.place.get("10.77.1.5:80"), None, "another network");
        assert_eq!(a.place.get("10.77.2.6:80"), None, "another network");
        assert_eq!(b2.place.get("10.77.2.6:80"), None, "no talk within this network");
        assert_eq!(a.place.get("192.0.2.2:99").as_deref(), Some("world 192.0.2.1"), "masqueraded");
        assert_eq!(i2.place.get("10.77.3.8:80").as_deref(), Some("web 10.77.3.9"));
        i.place.sh("ip route add default via 10.77.3.1");
        assert_eq!(i.place.get("192.0.2.2:99"), None, "no way out, even with a route");
        assert_eq!(a.place.get("10.77.3.8:80"), None);
        let _held = world.publish(&a, &[port(None, 8080, 80, Tcp)]);
        assert_eq!(b.place.get("192.0.2.1:8080").as_deref(), Some("web 10.77.1.1"));
        let refused = world.wait(world.net.hold(&[port(None, 8081, 80, Tcp)])).expect("hold");
        let refused = world.wait(world.net.publish(&project(), &i.id, &refused)).expect_err("internal");
        assert!(matches!(refused, NetError::Unpublishable(_)), "{refused}");
    }
}

#[test]
fn udp_is_published_and_flows_are_decided_anew() {
    let world = World::new();
    let outside = world.outside();
    let spec = network(1);
    world.network(&spec);
    let (one, two) = (world.container(5, &[&spec]), world.container(6, &[&spec]));
    one.place.serve_udp("0.0.0.0:53", "one");
    two.place.serve_udp("0.0.0.0:53", "two");
    let client = outside.run(|| UdpSocket::bind("192.0.2.2:4000").expect("bind"));
    let to = "192.0.2.1:5300".parse().expect("address");
    let held = world.wait(world.net.hold(&[port(None, 5300, 53, Udp)])).expect("hold");
    assert_eq!(ask_from(&client, to), None, "the flow is older than the rule");
    world.wait(world.net.publish(&project(), &one.id, &held)).expect("publish");
    assert_eq!(ask_from(&client, to).as_deref(), Some("one"));
    assert_eq!(ask("127.0.0.1:5300").as_deref(), Some("one"));
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&one.id))).expect("withdraw");
    world.wait(world.net.publish(&project(), &two.id, &held)).expect("publish");
    assert_eq!(ask_from(&client, to).as_deref(), Some("two"));
}

#[test]
fn a_taken_port_names_its_owner_and_ranges_pick_a_free_one() {
    let world = World::new();
    let _busy = TcpListener::bind("127.0.0.1:8000").expect("bind");
    let clash = world.wait(world.net.hold(&[port(None, 8000, 80, Tcp)])).expect_err("taken");
    let text = clash.to_string();
    assert!(
        text.contains("port 8000/tcp on 0.0.0.0") && text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    let range = PortSpec { published_end: 8002, ..port(None, 8000, 80, Tcp) };
    let first = world.wait(world.net.hold(std::slice::from_ref(&range))).expect("one is free");
    let second = world.wait(world.net.hold(std::slice::from_ref(&range))).expect("one is free");
    assert_eq!((first[0].spec.published, second[0].spec.published), (8001, 8002));
    let full = world.wait(world.net.hold(&[range])).expect_err("full");
    assert!(matches!(full, NetError::RangeTaken { first: 8000, last: 8002, .. }), "{full}");
    let any = world.wait(world.net.hold(&[port(None, 0, 80, Tcp), port(None, 0, 53, Udp)])).expect("any");
    assert!(any.iter().all(|held| held.spec.published > 0 && held.listeners.len() == 2));
    let ports: Vec<u16> = any[0].listeners.iter().map(|listener| listener.address.port()).collect();
    assert_eq!(ports[0], ports[1]);
    drop(any);
}

#[test]
fn a_frame_to_loopback_from_a_container_is_dropped() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web");
    let _held = world.publish(&container, &[port(Some("127.0.0.1"), 8080, 80, Tcp)]);
    assert_eq!(parameter(&format!("ipv4/conf/{}/route_localnet", spec.bridge)), "1");
    let victim = UdpSocket::bind("127.0.0.1:9999").expect("bind");
    victim.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("time");
    let attack = || {
        container.place.run(|| send_to_loopback(9999));
        victim.recv(&mut [0; 64]).is_ok()
    };
    assert!(!attack(), "the guard stops it");
    assert_eq!(get("127.0.0.1:8080").as_deref(), Some("web 10.77.1.1"), "and lets the publishing work");
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
    assert!(!attack(), "nor without the guard, for then the kernel routes nothing there");
    std::fs::write(format!("/proc/sys/net/ipv4/conf/{}/route_localnet", spec.bridge), "1").expect("write");
    assert!(attack(), "the frame is a real attack");
}

/// A UDP packet to 127.0.0.1, as a raw frame to the gateway.
fn send_to_loopback(port: u16) {
    let gateway = [0x02, 0x42, 0x0a, 0x4d, 0x01, 0x01];
    let mut frame = gateway.to_vec();
    frame.extend([0x02, 0x42, 0x0a, 0x4d, 0x01, 0x05, 0x08, 0x00]);
    let mut header = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 1, 5, 127, 0, 0, 1];
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let checksum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    frame.extend(header);
    frame.extend(1234u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 9, 0, 0, b'x']);
    // SAFETY: plain system calls; the address lives until sendto returns.
    unsafe {
        let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
        let mut to: libc::sockaddr_ll = std::mem::zeroed();
        to.sll_family = libc::AF_PACKET as u16;
        to.sll_ifindex = libc::if_nametoindex(c"eth0".as_ptr()) as i32;
        let length = std::mem::size_of_val(&to) as u32;
        let sent = libc::sendto(socket, frame.as_ptr().cast(), frame.len(), 0, (&raw const to).cast(), length);
        libc::close(socket);
        assert_eq!(sent, frame.len() as isize);
    }
}

#[test]
fn flushed_rules_come_back() {
    let world = World::new();
    let outside = world.outside();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web");
    let _held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
    let before = sh("nft list ruleset");
    sh("nft flush ruleset");
    world.wait(world.net.republish_all(&project(), &[])).expect("republish");
    assert_eq!(sh("nft list ruleset"), before);
    assert_eq!(outside.get("192.0.2.1:8080").as_deref(), Some("web 192.0.2.2"));
    assert_eq!(outside.get("10.77.1.5:80"), None);
}
