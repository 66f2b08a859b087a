//! Other firewalls: seen, told with what opens them, and never written. The rule sets have the shape of those that docker, ufw
//! and firewalld make.

use super::super::firewall::Firewall;
use super::world::*;
use crate::desired::Protocol::Tcp;

const DOCKER: &str = "
table ip filter {
  chain DOCKER-USER { }
  chain DOCKER-FORWARD {
    oifname \"docker0\" ct state established,related counter accept
    iifname \"docker0\" counter accept
  }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    counter jump DOCKER-FORWARD
  }
}";

const UFW: &str = "
table ip filter {
  chain ufw-user-forward { }
  chain ufw-before-forward {
    ct state established,related counter accept
    counter jump ufw-user-forward
  }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump ufw-before-forward
  }
  chain ufw-before-input {
    iifname \"lo\" counter accept
    ct state established,related counter accept
  }
  chain INPUT {
    type filter hook input priority filter; policy drop;
    counter jump ufw-before-input
    tcp dport 22 accept
  }
}";

const FIREWALLD: &str = "
table inet firewalld {
  chain filter_FWD_trusted { accept; }
  chain filter_FORWARD_ZONES { }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname \"lo\" accept
    ct state invalid drop
    jump filter_FORWARD_ZONES
    reject with icmpx admin-prohibited
  }
}";

const OPEN: &str = "
table inet other {
  chain input { type filter hook input priority 0; policy accept; tcp dport 25 drop; ct state invalid drop; }
  chain forward { type filter hook forward priority 0; policy accept; iifname \"eth7\" drop; }
  chain nat { type nat hook prerouting priority 0; }
}";

/// What a rule set tells, and whether the outside is reached after the rules of its command are in place.
fn opens(rules: &str, command: &str, as_rules: &str) {
    let world = World::new();
    let outside = world.outside();
    outside.serve("0.0.0.0:99", "world");
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web");
    let _held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
    nft(rules);
    let told = world.net.warnings_now(std::slice::from_ref(&spec), false).expect("warnings");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with(command), "{told:?}");
    assert!(container.place.blocked("192.0.2.2:99"), "it really is in the way");
    nft(as_rules);
    let told = world.net.warnings_now(std::slice::from_ref(&spec), false).expect("warnings");
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(container.place.get("192.0.2.2:99").as_deref(), Some("world 192.0.2.1"));
    assert_eq!(outside.get("192.0.2.1:8080").as_deref(), Some("web 192.0.2.2"));
}

#[test]
fn docker_is_opened_in_its_own_chain() {
    opens(
        DOCKER,
        "iptables -I DOCKER-USER -i wl-+ -j ACCEPT && iptables -I DOCKER-USER -o wl-+ -j ACCEPT",
        "insert rule ip filter DOCKER-USER iifname \"wl-*\" counter accept
         insert rule ip filter DOCKER-USER oifname \"wl-*\" counter accept",
    );
}

#[test]
fn ufw_is_opened_by_its_own_tool() {
    opens(
        UFW,
        "ufw route allow in on wl-0000000001 && ufw route allow out on wl-0000000001",
        "add rule ip filter ufw-user-forward iifname \"wl-0000000001\" counter accept
         add rule ip filter ufw-user-forward oifname \"wl-0000000001\" counter accept",
    );
}

#[test]
fn firewalld_is_opened_by_its_own_tool() {
    opens(
        FIREWALLD,
        "firewall-cmd --permanent --zone=trusted --add-interface=wl-0000000001 && firewall-cmd --reload",
        "add rule inet firewalld filter_FORWARD_ZONES iifname \"wl-0000000001\" goto filter_FWD_trusted",
    );
}

#[test]
fn others_are_opened_by_nft() {
    opens(
        "table inet mine { chain pass { type filter hook forward priority 0; policy drop; ct state established accept; }; }",
        "nft insert rule inet mine pass iifname '\"wl-*\"' accept && nft insert rule inet mine pass oifname '\"wl-*\"' accept",
        "insert rule inet mine pass iifname \"wl-*\" accept
         insert rule inet mine pass oifname \"wl-*\" accept",
    );
}

#[test]
fn rules_that_are_not_in_the_way_are_not_told() {
    let world = World::new();
    let mut spec = network(1);
    world.network(&spec);
    nft(OPEN);
    assert!(world.net.warnings_now(std::slice::from_ref(&spec), true).expect("warnings").is_empty());
    nft(DOCKER);
    std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0").expect("write");
    spec.internal = true;
    assert!(world.net.warnings_now(&[spec], true).expect("warnings").is_empty(), "it has no way out to lose");
}

#[test]
fn a_filter_of_what_comes_in_is_honoured_by_the_relay() {
    let world = World::new();
    assert_eq!(Firewall::read().expect("read").filters_input(), Default::default());
    nft(UFW);
    let relayed = Firewall::read().expect("read").filters_input();
    assert_eq!((relayed.ipv4, relayed.ipv6), (true, false));
    let spec = network(1);
    world.network(&spec);
    let container = world.container(5, &[&spec]);
    container.place.serve("0.0.0.0:80", "web");
    let _held = world.publish(&container, &[port(None, 8080, 80, Tcp)]);
    let map = |name: &str| sh(&format!("nft list ruleset | grep -A3 'map {name} '"));
    assert!(map("lo4").contains("8080") && !map("any4").contains("8080"));
    let told = world.net.warnings_now(&[], true).expect("warnings");
    assert!(told.len() == 1 && told[0].contains("chain INPUT") && told[0].contains("relay"), "{told:?}");
}
