//! Networks and the containers' links: as they are on the host, as they are inside, and that nothing is left.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::super::NetError;
use super::super::link::{self, Link};
use super::world::*;
use crate::name::NetworkName;
use crate::observed::{Loss, NetworkLoss};
use serde_json::Value;

fn links() -> Vec<Value> {
    serde_json::from_str(&sh("ip -j -d link")).expect("json")
}

fn link_named<'a>(links: &'a [Value], name: &str) -> &'a Value {
    links.iter().find(|link| link["ifname"] == name).unwrap_or_else(|| panic!("no {name} in {links:?}"))
}

#[test]
fn a_network_is_a_bridge_with_our_settings() {
    let world = World::new();
    let mut spec = network6(1);
    spec.mtu = Some(1400);
    let told = world.wait(world.net.create(&spec)).expect("create");
    let links = links();
    let bridge = link_named(&links, &spec.bridge);
    assert_eq!(bridge["linkinfo"]["info_kind"], "bridge");
    assert_eq!((&bridge["mtu"], &bridge["address"]), (&1400.into(), &"02:42:0a:4d:01:01".into()));
    let addresses = sh(&format!("ip addr show {}", spec.bridge));
    assert!(addresses.contains("10.77.1.1/24") && addresses.contains("fd00:77:1::1/64"), "{addresses}");
    assert!(!addresses.contains("tentative"), "{addresses}");
    assert_eq!(parameter(&format!("ipv6/conf/{}/accept_ra", spec.bridge)), "0");
    assert_eq!((parameter("ipv4/ip_forward"), parameter("ipv6/conf/all/forwarding")), ("1".into(), "1".into()));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(world.wait(world.net.create(&spec)).expect("again").is_empty());
}

#[test]
fn a_link_is_born_in_the_container_and_configured_in_one_batch() {
    let world = World::new();
    let spec = network6(2);
    world.network(&spec);
    let container = world.container(9, &[&spec]);
    let links = links();
    let host = link_named(&links, &container.links[0].link);
    assert_eq!(host["master"], spec.bridge.as_str());
    assert!(container.links[0].link.starts_with("wl-") && container.links[0].link.len() <= 15);
    let inside = container.place.sh("ip addr show eth0; ip addr show lo; ip route; ip -6 route");
    for wanted in ["10.77.2.9/24", "fd00:77:2::9/64", "02:42:0a:4d:02:09", "127.0.0.1/8", "default via 10.77.2.1"] {
        assert!(inside.contains(wanted), "{wanted} in {inside}");
    }
    // The link-local address beside it is the kernel's own.
    let tentative = inside.lines().any(|line| line.contains("fd00:77:2::9/64") && line.contains("tentative"));
    assert!(inside.contains("default via fd00:77:2::1") && !tentative, "{inside}");
    assert_eq!(container.place.run(|| parameter("ipv6/conf/eth0/accept_ra")), "0");
    container.place.sh("ping -c1 -W2 10.77.2.1 || true");
    let again = world.net.finish_inside(container.place.route.as_fd(), &container.links);
    world.wait(again).expect("can be repeated");
}

#[test]
fn without_ipv6_on_the_network_a_container_has_none() {
    let world = World::new();
    let spec = network(3);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    let inside = container.place.sh("ip addr show eth0");
    assert!(!inside.contains("inet6"), "{inside}");
    assert_eq!(parameter(&format!("ipv6/conf/{}/disable_ipv6", spec.bridge)), "1");
}

#[test]
fn the_default_route_goes_over_the_highest_priority_and_never_over_an_internal_network() {
    let world = World::new();
    let (mut inner, one, two) = (network(1), network(2), network(3));
    inner.internal = true;
    [&inner, &one, &two].into_iter().for_each(|spec| world.network(spec));
    let container = world.container(5, &[&inner, &one, &two]);
    assert!(container.place.sh("ip route").contains("default via 10.77.2.1 dev eth1"));
    let mut links = container.links.clone();
    links[2].gateway_priority = 5;
    world.wait(world.net.finish_inside(container.place.route.as_fd(), &links)).expect("finish");
    assert!(container.place.sh("ip route").contains("default via 10.77.3.1 dev eth2"));
    let alone = world.container(6, &[&inner]);
    assert!(!alone.place.sh("ip route").contains("default"));
    // Among equals the network's name decides, and not the order of the links.
    let turned = world.container(7, &[&two, &one]);
    assert!(turned.place.sh("ip route").contains("default via 10.77.2.1 dev eth1"));
}

#[test]
fn a_network_that_leads_out_for_both_families_has_the_default_routes_of_both() {
    let world = World::new();
    let (one, two) = (network(1), network6(2));
    [&one, &two].into_iter().for_each(|spec| world.network(spec));
    let container = world.container(5, &[&one, &two]);
    assert!(container.place.sh("ip route").contains("default via 10.77.2.1 dev eth1"));
    assert!(container.place.sh("ip -6 route").contains("default via fd00:77:2::1 dev eth1"));
}

#[test]
fn fifty_links_go_in_one_go_and_leave_nothing() {
    let world = World::new();
    let before = (sh("ip -o link | wc -l"), sh("nft list ruleset"));
    let spec = network(4);
    world.network(&spec);
    let alone = world.container(60, &[&spec]);
    let start = Instant::now();
    world.detach(&[alone.id]);
    let one = start.elapsed().max(Duration::from_millis(20));
    let mut containers = Vec::new();
    for number in 2..52 {
        containers.push(world.container(number, &[&spec]));
    }
    let ids: Vec<_> = containers.iter().map(|container| container.id.clone()).collect();
    let busy = world.wait(world.net.remove(&spec.name, &[])).expect_err("containers are on it");
    assert!(matches!(&busy, NetError::Busy { containers, .. } if containers.len() == 50), "{busy}");
    world.network(&spec);
    let start = Instant::now();
    world.detach(&ids);
    let gone = start.elapsed();
    assert!(gone < 25 * one, "fifty went in {gone:?}, one alone in {one:?}");
    world.wait(world.net.remove(&spec.name, &[])).expect("remove");
    assert_eq!((sh("ip -o link | wc -l"), sh("nft list ruleset")), before);
    assert_eq!(std::fs::read_dir(world.root.path().join("networks")).expect("folder").count(), 1, "only the lock");
}

#[test]
fn the_last_container_takes_a_network_away_that_nobody_owns() {
    let world = World::new();
    let spec = network(5);
    world.network(&spec);
    let container = world.container(7, &[&spec]);
    assert!(world.wait(world.net.remove(&spec.name, &[])).is_err());
    let listed = world.wait(world.net.list()).expect("list");
    assert!(listed[0].present && listed[0].endpoints.contains(&container.id));
    world.detach(std::slice::from_ref(&container.id));
    assert!(world.wait(world.net.list()).expect("list").is_empty());
    assert!(!sh("ip -o link").contains(&spec.bridge));
}

#[test]
fn a_bridge_that_vanished_is_seen_and_mended() {
    let world = World::new();
    let spec = network(6);
    world.network(&spec);
    sh(&format!("ip link delete {}", spec.bridge));
    assert!(!world.wait(world.net.list()).expect("list")[0].present);
    world.network(&spec);
    assert!(world.wait(world.net.list()).expect("list")[0].present);
}

#[test]
fn foreign_links_and_other_settings_are_refused() {
    let world = World::new();
    let spec = network(7);
    sh(&format!("ip link add {} type bridge", spec.bridge));
    let taken = world.wait(world.net.create(&spec)).expect_err("taken");
    assert!(matches!(taken, NetError::BridgeTaken { .. }), "{taken}");
    assert!(world.wait(world.net.list()).expect("list").is_empty(), "no record is left of it");
    world.network(&network(8));
    let mut other = network(8);
    other.subnets[0].prefix = 16;
    let different = world.wait(world.net.create(&other)).expect_err("different");
    assert!(matches!(different, NetError::Different { difference: "subnets", .. }), "{different}");
    let mut evil = network(9);
    evil.name = NetworkName::new("../evil");
    assert!(matches!(world.wait(world.net.create(&evil)).expect_err("evil"), NetError::Name(_)));
}

#[test]
fn a_damaged_record_is_put_aside_and_stops_nobody() {
    let world = World::new();
    world.network(&network(1));
    world.network(&network(2));
    let path = world.root.path().join("networks/shop_n1/spec");
    let text = std::fs::read_to_string(&path).expect("read").replace("10.77.1.1", "10.77.1.9");
    std::fs::write(&path, text).expect("write");
    let names: Vec<String> =
        world.wait(world.net.list()).expect("list").into_iter().map(|network| network.spec.name.to_string()).collect();
    assert_eq!(names, ["shop_n2"]);
    assert!(path.with_extension("bad").exists());
}

#[test]
fn the_hosts_routes_are_listed() {
    let world = World::new();
    let _outside = world.outside();
    let routes = world.wait(world.net.routes()).expect("routes");
    let route = routes.iter().find(|route| route.destination.to_string() == "192.0.2.0").expect("the route");
    assert_eq!((route.prefix, route.interface.as_deref()), (24, Some("out0")));
}

#[test]
fn a_link_carries_packets_as_soon_as_it_is_finished() {
    let world = World::new();
    let mut slowest = std::time::Duration::ZERO;
    for number in 1..8 {
        let spec = network(number);
        world.network(&spec);
        let container = world.container(5, &[&spec]);
        container.place.serve("0.0.0.0:80", "web");
        let start = Instant::now();
        assert!(get(&format!("10.77.{number}.5:80")).is_some());
        slowest = slowest.max(start.elapsed());
        world.detach(std::slice::from_ref(&container.id));
    }
    assert!(slowest.as_millis() < 500, "a lost first packet costs a second: {slowest:?}");
}

#[test]
fn a_link_without_ipv6_has_none_and_what_the_container_makes_itself_may() {
    let world = World::new();
    let (old, new) = (network(1), network6(2));
    world.network(&old);
    world.network(&new);
    let container = world.container(5, &[&old, &new]);
    let inside = |key: &str| container.place.run(|| parameter(key));
    assert_eq!(inside(&format!("ipv6/conf/{}/disable_ipv6", container.links[0].interface)), "1");
    assert_eq!(inside(&format!("ipv6/conf/{}/disable_ipv6", container.links[1].interface)), "0");
    assert_eq!(inside(&format!("ipv6/conf/{}/accept_ra", container.links[1].interface)), "0");
    assert_eq!(inside("ipv6/conf/default/disable_ipv6"), "0");
}

#[test]
fn what_is_lost_of_a_link_is_seen_and_put_back() {
    let world = World::new();
    let spec = network6(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("[::]:80", "web");
    let _held = world.publish(&container, &[port(None, 8080, 80, crate::desired::Protocol::Tcp)]);
    let lost = || world.net.survey_now(&project()).expect("survey").lost.remove(&container.id).unwrap_or_default();
    let links = || world.net.survey_now(&project()).expect("survey").networks.remove(0);
    assert!(lost().is_empty() && links().lost.is_empty() && links().present);
    let link = &container.links[0].link;
    let link_lost = std::collections::BTreeSet::from([Loss::Link(spec.name.clone())]);
    let (endpoints, owner) = ([endpoint(&spec, 0, 5)], project());
    for attack in
        [format!("ip link delete {link}"), format!("ip link set {link} nomaster"), format!("ip link set {link} down")]
    {
        sh(&attack);
        assert_eq!(lost(), link_lost, "{attack}");
        let place = &container.place;
        let relinked = world.net.relink(&container.id, &owner, &endpoints, place.netns.as_fd(), place.route.as_fd());
        world.wait(relinked).expect("relink");
        assert!(lost().is_empty(), "{attack}");
        assert_eq!(get("10.77.1.5:80").as_deref(), Some("web ::ffff:10.77.1.1"), "{attack}");
        assert_eq!(get("[fd00:77:1::5]:80").as_deref(), Some("web fd00:77:1::1"), "{attack}");
        assert!(place.sh("ip -o link show eth0").contains(&container.links[0].mac), "{attack}");
    }
    for (family, subnet) in [("-4", "10.77.1.0/24"), ("-6", "fd00:77:1::/64")] {
        sh(&format!("ip {family} route del {subnet} dev {}", spec.bridge));
        assert_eq!(links().lost, [NetworkLoss::Routes].into(), "{subnet}");
        world.network(&spec);
        assert!(links().lost.is_empty(), "{subnet}");
        let route = sh(&format!("ip {family} route show {subnet}"));
        assert!(route.contains("proto kernel"), "{route}");
    }
    assert_eq!(get("10.77.1.5:80").as_deref(), Some("web ::ffff:10.77.1.1"), "from the same address as before");
    sh(&format!("ip addr flush dev {}", spec.bridge));
    assert_eq!(links().lost, [NetworkLoss::Addresses].into());
    sh("nft flush ruleset; for t in $(nft list tables | cut -d' ' -f3); do nft delete table inet $t || true; done");
    assert!(links().lost.contains(&NetworkLoss::Rules));
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("write");
    assert!(links().lost.contains(&NetworkLoss::Forwarding));
    world.network(&spec);
    assert!(links().lost.is_empty(), "{:?}", links().lost);
}

#[test]
fn routes_inside_are_put_back_and_those_of_others_left_alone() {
    let world = World::new();
    let (one, two) = (network6(1), network(2));
    world.network(&one);
    world.network(&two);
    let container = world.container(5, &[&one, &two]);
    let place = &container.place;
    let endpoints = [endpoint(&one, 0, 5), endpoint(&two, 1, 5)];
    let restore = || {
        let restored = world.net.restore_routes(&container.id, &endpoints, place.netns.as_fd());
        world.wait(restored).expect("restore");
    };
    let routes = || place.sh("ip route; ip -6 route");
    let before = routes();
    restore();
    assert_eq!(routes(), before, "nothing was lost");
    place.sh("ip route flush table main; ip -6 route del default; ip -6 route del fd00:77:1::/64");
    restore();
    let sorted = |text: String| {
        let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(routes()), sorted(before));
    place.sh("ip route replace default via 10.77.2.1");
    restore();
    assert!(routes().contains("default via 10.77.2.1"), "who sets another way out means it");
}

#[test]
fn hundreds_of_links_go_at_once_and_those_of_a_remover_that_was_killed_are_known() {
    let _world = World::new();
    let mut netlink = super::super::machine::route_socket().expect("a socket");
    let own = 70_000;
    let group = |link: &Link| link::is_of(link.group, own);
    let add = |names: std::ops::Range<u32>, group: u32| {
        let lines: Vec<String> =
            names.map(|number| format!("link add name t{number} group {group} type bridge")).collect();
        sh(&format!("printf '{}' | ip -batch -", lines.join("\\n")));
    };
    // Two were on their way when their remover was killed.
    add(0..263, own);
    add(263..265, own + 1);
    add(265..266, own + 17);
    let links = link::list(&mut netlink).expect("links");
    let doomed: Vec<u32> = links.iter().filter(|link| group(link)).map(|link| link.index).collect();
    assert_eq!(doomed.len(), 265);
    link::remove_all(&mut netlink, &doomed, own).expect("removed");
    let left = link::list(&mut netlink).expect("links");
    assert_eq!(left.iter().map(|link| link.name.as_str()).collect::<Vec<_>>(), ["lo", "t265"]);
}
