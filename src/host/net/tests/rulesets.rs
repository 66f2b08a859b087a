//! The rule sets: as text, and that what the kernel gets from us is what it gets from `nft` for that text.

use super::super::dnsredirect;
use super::super::netlink::Netlink;
use super::super::nft::{Table, apply};
use super::super::rules::{self, Publication, Relayed};
use super::world::*;
use crate::desired::Protocol::{Tcp, Udp};

fn networks() -> Table {
    let mut inner = network(2);
    inner.internal = true;
    let mut apart = network6(3);
    apart.icc = false;
    apart.masquerade = false;
    rules::networks("windlass".into(), &[network(1), inner, apart])
}

fn project() -> Table {
    let publications = [
        Publication {
            bridge: "wl-0000000001".into(),
            ipv4: Some([10, 77, 1, 5].into()),
            ipv6: None,
            ports: vec![port(None, 8080, 80, Tcp), port(Some("127.0.0.1"), 5353, 53, Udp)],
        },
        Publication {
            bridge: "wl-0000000003".into(),
            ipv4: Some([10, 77, 3, 6].into()),
            ipv6: Some([0xfd00, 0x77, 3, 0, 0, 0, 0, 6].into()),
            ports: vec![port(Some("192.0.2.1"), 443, 8443, Tcp), port(Some("::"), 90, 9090, Tcp)],
        },
    ];
    rules::project("windlass-shop".into(), &publications, Relayed::default())
}

#[test]
fn the_networks_as_text() {
    insta::assert_snapshot!(networks().to_string());
}

#[test]
fn a_projects_ports_as_text() {
    insta::assert_snapshot!(project().to_string());
}

#[test]
fn what_another_firewall_filters_is_left_to_the_relay() {
    let publication = Publication {
        bridge: "wl-0000000001".into(),
        ipv4: Some([10, 77, 1, 5].into()),
        ipv6: None,
        ports: vec![port(None, 8080, 80, Tcp), port(Some("192.0.2.1"), 443, 443, Tcp)],
    };
    let table = rules::project("windlass-shop".into(), &[publication], Relayed { ipv4: true, ipv6: true });
    let filled: Vec<(&str, usize)> = table
        .maps
        .iter()
        .filter(|(_, map)| !map.elements.is_empty())
        .map(|(name, map)| (name.as_str(), map.elements.len()))
        .collect();
    assert_eq!(filled, [("lo4", 1)]);
}

/// Both ways into the kernel, listed by `nft`, without the numbers that it gives to rules.
#[test]
fn netlink_and_nft_make_the_same_rules() {
    for table in [networks(), project(), dnsredirect::table()] {
        let listing = |load: &(dyn Fn() + Sync)| {
            Place::new().run(|| {
                load();
                let text = sh("nft -j list ruleset");
                let mut json: serde_json::Value = serde_json::from_str(&text).expect("json");
                strip(&mut json);
                json
            })
        };
        let ours = listing(&|| {
            apply::replace(&mut Netlink::netfilter().expect("socket"), &table, false).expect("apply");
        });
        let theirs = listing(&|| nft(&table.to_string()));
        assert_eq!(sorted(ours), sorted(theirs));
    }
}

fn strip(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(map) => {
            map.remove("handle");
            map.values_mut().for_each(strip);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

fn sorted(json: serde_json::Value) -> Vec<String> {
    let mut lines: Vec<String> =
        json["nftables"].as_array().expect("a list").iter().map(|item| item.to_string()).collect();
    lines.sort();
    lines
}

#[test]
fn a_change_of_elements_touches_nothing_else() {
    Place::new().run(|| {
        let mut netlink = Netlink::netfilter().expect("socket");
        let old = project();
        apply::replace(&mut netlink, &old, false).expect("apply");
        let handles = |text: &str| text.matches("# handle").count();
        let before = sh("nft -a list chain inet windlass-shop prerouting");
        let mut new = old.clone();
        let map = new.maps.get_mut("any4").expect("map");
        map.elements.clear();
        apply::update(&mut netlink, &old, &new).expect("update");
        assert_eq!(sh("nft -a list chain inet windlass-shop prerouting"), before);
        assert!(handles(&before) > 0);
        assert!(!sh("nft list map inet windlass-shop any4").contains("8080"));
        assert!(apply::update(&mut netlink, &old, &new).is_err(), "what is gone cannot go again");
    });
}
