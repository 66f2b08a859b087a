//! Published ports, from everywhere; isolation; and what must not get through.

use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsFd;

use super::super::{Event, Net, NetError};
use super::world::*;
use crate::desired::PortSpec;
use crate::desired::Protocol::{Tcp, Udp};
use crate::name::ProjectName;

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
    assert!(outside.blocked("10.77.1.5:80"), "not past the publishing");
    assert!(outside.blocked("10.77.1.5:81"));
    assert!(outside.blocked("[fd00:77:1::5]:80"));
    assert_eq!(get("10.77.1.5:81").as_deref(), Some("secret 10.77.1.1"), "the host itself may");
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
    drop(held);
    assert!(outside.blocked("192.0.2.1:8080"));
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
    assert!(blocked("10.77.1.1:8080"));
    let strange = world.wait(world.net.hold(&[port(Some("198.51.100.9"), 8080, 80, Tcp)], 1)).expect_err("not here");
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
        assert!(b.place.blocked("10.77.1.5:80"), "another network");
        assert!(a.place.blocked("10.77.2.6:80"), "another network");
        assert!(b2.place.blocked("10.77.2.6:80"), "no talk within this network");
        assert_eq!(a.place.get("192.0.2.2:99").as_deref(), Some("world 192.0.2.1"), "masqueraded");
        assert_eq!(i2.place.get("10.77.3.8:80").as_deref(), Some("web 10.77.3.9"));
        i.place.sh("ip route add default via 10.77.3.1");
        assert!(i.place.blocked("192.0.2.2:99"), "no way out, even with a route");
        assert!(a.place.blocked("10.77.3.8:80"));
        let _held = world.publish(&a, &[port(None, 8080, 80, Tcp)]);
        assert_eq!(b.place.get("192.0.2.1:8080").as_deref(), Some("web 10.77.1.1"));
        let refused = world.wait(world.net.hold(&[port(None, 8081, 80, Tcp)], 1)).expect("hold");
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
    let held = world.wait(world.net.hold(&[port(None, 5300, 53, Udp)], 1)).expect("hold");
    assert_eq!(ask_from(&client, to), None, "the flow is older than the rule");
    world.wait(world.net.publish(&project(), &one.id, &held)).expect("publish");
    assert_eq!(ask_from(&client, to).as_deref(), Some("one"));
    assert_eq!(ask("127.0.0.1:5300").as_deref(), Some("one"));
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&one.id))).expect("withdraw");
    world.wait(world.net.publish(&project(), &two.id, &held)).expect("publish");
    assert_eq!(ask_from(&client, to).as_deref(), Some("two"));
}

#[test]
fn a_connection_to_a_container_that_goes_is_reset() {
    use std::io::{Read, Write};
    let world = World::new();
    let outside = world.outside();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    let server = container.place.run(|| TcpListener::bind("0.0.0.0:80").expect("bind"));
    let _held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
    let mut client = outside.run(|| std::net::TcpStream::connect("192.0.2.1:8080").expect("connect"));
    let _peer = server.accept().expect("accept");
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&container.id))).expect("withdraw");
    client.set_read_timeout(Some(std::time::Duration::from_millis(20))).expect("time");
    let reset = world.during(move || {
        (0..250).any(|_| {
            let _ = client.write_all(b"x");
            matches!(client.read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset)
        })
    });
    assert!(reset, "the client is not left waiting");
}

#[test]
fn a_taken_port_names_its_owner_and_ranges_pick_a_free_one() {
    let world = World::new();
    let _busy = TcpListener::bind("127.0.0.1:8000").expect("bind");
    let clash = world.wait(world.net.hold(&[port(None, 8000, 80, Tcp)], 1)).expect_err("taken");
    let text = clash.to_string();
    assert!(
        text.contains("port 8000/tcp on 0.0.0.0") && text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );
    let range = PortSpec { published_end: 8002, ..port(None, 8000, 80, Tcp) };
    let first = world.wait(world.net.hold(std::slice::from_ref(&range), 1)).expect("one is free");
    let second = world.wait(world.net.hold(std::slice::from_ref(&range), 1)).expect("one is free");
    assert_eq!((first[0].spec.published, second[0].spec.published), (8001, 8002));
    let full = world.wait(world.net.hold(&[range], 1)).expect_err("full");
    assert!(matches!(full, NetError::RangeTaken { first: 8000, last: 8002, .. }), "{full}");
    let any = world.wait(world.net.hold(&[port(None, 0, 80, Tcp), port(None, 0, 53, Udp)], 1)).expect("any");
    assert!(any.iter().all(|held| held.spec.published > 0 && held.listeners.len() == 2));
    let ports: Vec<u16> = any[0].listeners.iter().map(|listener| listener.address.port()).collect();
    assert_eq!(ports[0], ports[1]);
    drop(any);
}

#[test]
fn a_port_of_another_project_is_told_before_anything_is_done() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    let wanted = [port(None, 8080, 80, Tcp), port(Some("127.0.0.1"), 8081, 80, Tcp)];
    let _held = world.publish(&container, &wanted[..1]);
    let blog = ProjectName::new("blog");
    assert!(world.net.taken_now(&project(), &wanted).expect("look").is_empty(), "our own are not in our way");
    let taken = world.net.taken_now(&blog, &wanted).expect("look");
    assert_eq!(taken.len(), 1);
    let owner = taken[0].numbers[&8080].as_ref().expect("seen").to_string();
    assert_eq!(owner, "container 050505050505 of project `shop`");
    let clash = world.wait(world.net.hold(&wanted, 1)).expect_err("taken").to_string();
    assert_eq!(clash, format!("port 8080/tcp on 0.0.0.0 is already in use by {owner}"));
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

#[test]
fn a_frame_to_loopback_from_outside_is_no_way_in() {
    let world = World::new();
    let outside = world.outside();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve_udp("0.0.0.0:80", "web");
    let _held = world.publish(&container, &[port(Some("127.0.0.1"), 8080, 80, Udp)]);
    let victim = UdpSocket::bind("127.0.0.1:9999").expect("bind");
    victim.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("time");
    let mac = sh("ip -o link show out0 | grep -o 'ether [0-9a-f:]*' | cut -d' ' -f2");
    let mac: Vec<u8> = mac.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
    let arrived = || sh("nft list chain inet watch seen | grep -o 'packets [0-9]*'").trim() != "packets 0";
    nft("table inet watch { chain seen { type filter hook forward priority -1; udp dport 80 counter; }; }");
    let attack = |port| {
        outside.run(|| send_frame(&mac, [192, 0, 2, 2], port));
        victim.recv(&mut [0; 64]).is_ok()
    };
    assert!(!attack(9999), "the host's own loopback is not reached");
    assert!(!attack(8080) && !arrived(), "nor a port that is published there only");
    std::fs::write("/proc/sys/net/ipv4/conf/out0/route_localnet", "1").expect("write");
    assert!(attack(9999), "the frame is a real attack where the host's own link routes loopback");
}

/// A UDP packet to 127.0.0.1, as a raw frame to the gateway.
fn send_to_loopback(port: u16) {
    send_frame(&[0x02, 0x42, 0x0a, 0x4d, 0x01, 0x01], [10, 77, 1, 5], port);
}

/// A UDP packet to 127.0.0.1, as a raw frame over eth0.
fn send_frame(to: &[u8], from: [u8; 4], port: u16) {
    let mut frame = to.to_vec();
    frame.extend([0x02, 0x42, 0x0a, 0x4d, 0x01, 0x05, 0x08, 0x00]);
    let mut header = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0];
    header.extend(from);
    header.extend([127, 0, 0, 1]);
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
    assert!(sh("nft list tables").contains("windlass-shop"), "the supervisor owns the project's table");
    assert_ne!(sh("nft list ruleset"), before);
    world.wait(world.net.republish_all(&project(), &[])).expect("republish");
    assert_eq!(sh("nft list ruleset"), before);
    assert_eq!(outside.get("192.0.2.1:8080").as_deref(), Some("web 192.0.2.2"));
    assert!(outside.blocked("10.77.1.5:80"));
}

#[test]
fn a_projects_table_is_held_by_one_and_taken_over_when_that_ends() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let (one, two) = (world.container(5, &[&spec]), world.container(6, &[&spec]));
    one.place.serve("0.0.0.0:80", "one");
    two.place.serve("0.0.0.0:80", "two");
    let _one = world.publish(&one, &[port(None, 8080, 80, Tcp)]);
    let other = Net::open(world.root.path(), &world.root.path().join("run")).expect("open");
    let held = world.wait(other.hold(&[port(None, 8081, 80, Tcp)], 1)).expect("hold");
    let refused = world.wait(other.publish(&project(), &two.id, &held)).expect_err("held");
    assert!(matches!(refused, NetError::TableHeld { .. }), "{refused}");
    let World { runtime, net, root } = world;
    drop(net);
    assert_eq!(get("127.0.0.1:8080").as_deref(), Some("one 10.77.1.1"), "nobody holds it, and it stays");
    runtime.block_on(other.publish(&project(), &two.id, &held)).expect("taken over");
    assert_eq!(get("127.0.0.1:8080").as_deref(), Some("one 10.77.1.1"));
    assert_eq!(get("127.0.0.1:8081").as_deref(), Some("two 10.77.1.1"));
    drop(root);
}

#[test]
fn two_projects_share_a_bridge() {
    let world = World::new();
    let outside = world.outside();
    let spec = network(1);
    world.network(&spec);
    let (one, two) = (world.container(5, &[&spec]), world.container(6, &[&spec]));
    one.place.serve("0.0.0.0:80", "one");
    two.place.serve("0.0.0.0:80", "two");
    let _one = world.publish(&one, &[port(None, 8080, 80, Tcp)]);
    let blog = ProjectName::new("blog");
    let held = world.wait(world.net.hold(&[port(None, 8081, 80, Tcp)], 1)).expect("hold");
    world.wait(world.net.publish(&blog, &two.id, &held)).expect("publish");
    assert_eq!(outside.get("192.0.2.1:8080").as_deref(), Some("one 192.0.2.2"));
    assert_eq!(outside.get("192.0.2.1:8081").as_deref(), Some("two 192.0.2.2"));
    world.wait(world.net.withdraw(&project(), std::slice::from_ref(&one.id))).expect("withdraw");
    assert_eq!(outside.get("192.0.2.1:8081").as_deref(), Some("two 192.0.2.2"));
    assert_eq!(get("127.0.0.1:8081").as_deref(), Some("two 10.77.1.1"), "the bridge still routes 127.0.0.1");
}

#[test]
fn others_changes_are_told_and_our_own_are_not() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    let mut events = world.wait(async { world.net.events(&project()) }).expect("listen");
    let mut quiet = |work: &dyn Fn()| {
        work();
        world.wait(async { tokio::time::timeout(std::time::Duration::from_secs(1), events.next()).await })
    };
    let own = quiet(&|| {
        drop(world.publish(&container, &[port(None, 8080, 80, Tcp)]));
        world.wait(world.net.republish_all(&project(), &[])).expect("republish");
    });
    assert!(own.is_err(), "{own:?}");
    let foreign = quiet(&|| nft("table inet strange { chain a { }; }")).expect("in time").expect("an event");
    assert_eq!(foreign, Event::Firewall);
    assert_eq!(quiet(&|| nft("delete table inet strange")).expect("in time").expect("an event"), Event::Firewall);
    let flushed = quiet(&|| nft("flush ruleset")).expect("in time").expect("an event");
    assert_eq!(flushed, Event::Rules);
    let other = Net::open(world.root.path(), &world.root.path().join("run")).expect("open");
    world.wait(world.net.republish_all(&project(), &[])).expect("republish");
    let before = sh("nft -a list table inet $(nft list tables | grep -o 'windlass[.a-z0-9]*$' | head -1)");
    world.wait(other.republish_all(&ProjectName::new("blog"), &[])).expect("republish");
    let after = sh("nft -a list table inet $(nft list tables | grep -o 'windlass[.a-z0-9]*$' | head -1)");
    assert_eq!(after, before, "what is whole is not written again, so that no two wake each other for ever");
    let link = container.links[0].link.clone();
    let gone = quiet(&|| drop(sh(&format!("ip link delete {link}")))).expect("in time").expect("an event");
    assert_eq!(gone, Event::Link(link.clone()));
    // The kernel takes it down first, and each of the two is told: a look between them would still find it.
    assert_eq!(quiet(&|| {}).expect("in time").expect("an event"), Event::Link(link.clone()));
    let place = &container.place;
    let (owner, endpoints) = (project(), [endpoint(&spec, 0, 5)]);
    let back = quiet(&|| {
        let relinked = world.net.relink(&container.id, &owner, &endpoints, place.netns.as_fd(), place.route.as_fd());
        world.wait(relinked).expect("relink");
    });
    assert!(back.is_err(), "{back:?}");
    let unplugged = quiet(&|| drop(sh(&format!("ip link set {link} nomaster")))).expect("in time").expect("an event");
    assert_eq!(unplugged, Event::Link(link.clone()));
    let leaving = quiet(&|| {
        world.net.leaving(&container.id);
        sh(&format!("ip link delete {link}"));
    });
    assert!(leaving.is_err(), "with its network namespace the kernel takes its links away: {leaving:?}");
    let joined = quiet(&|| {
        let group = world.net.shared.machine.group;
        let bridge = &spec.bridge;
        sh(&format!(
            "ip link add wl-other group {group} type veth peer name other-peer && ip link set wl-other master {bridge} up"
        ));
    });
    assert_eq!(joined.expect("in time").expect("an event"), Event::Joined("wl-other".into()));
    let address = quiet(&|| drop(sh(&format!("ip addr flush dev {}", spec.bridge)))).expect("in time");
    assert_eq!(address.expect("an event"), Event::Address(spec.bridge.clone()));
}

#[test]
fn other_firewalls_and_lost_routes_are_told() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let mut events = world.wait(async { world.net.events(&project()) }).expect("listen");
    let mut quiet = |work: &dyn Fn()| {
        work();
        world.wait(async { tokio::time::timeout(std::time::Duration::from_secs(1), events.next()).await })
    };
    let table = quiet(&|| nft("table inet strange { set s { type ipv4_addr; }; chain a { }; }"));
    assert_eq!(table.expect("in time").expect("an event"), Event::Firewall);
    assert!(quiet(&|| nft("add element inet strange s { 192.0.2.1 }")).is_err(), "who is banned changes no chain");
    let rule = quiet(&|| nft("add rule inet strange a drop")).expect("in time");
    assert_eq!(rule.expect("an event"), Event::Firewall);
    let routed = quiet(&|| drop(sh(&format!("ip route del 10.77.1.0/24 dev {}", spec.bridge)))).expect("in time");
    assert_eq!(routed.expect("an event"), Event::Route(spec.bridge.clone()));
    assert!(quiet(&|| world.network(&spec)).is_err(), "put back by ourselves");
    let removed = quiet(&|| world.wait(world.net.remove(&spec.name, &[])).expect("remove"));
    assert!(removed.is_err(), "{removed:?}");
}
