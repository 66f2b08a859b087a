//! Networks that stand on a link of the machine. Kernels without VLANs and ipvlans are common: what needs those is tried in the
//! machine of tests/vm.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use super::super::NetError;
use super::world::*;
use crate::desired::{Driver, EndpointSpec, IpvlanFlag, IpvlanMode, MacvlanMode, NetworkSpec, Parent, Subnet};
use crate::observed::Loss;

/// A network in the range of the machine outside.
fn lan(number: u8, driver: Driver) -> NetworkSpec {
    let subnet = Subnet {
        address: IpAddr::from([192, 0, 2, 0]),
        prefix: 24,
        gateway: IpAddr::from([192, 0, 2, 2]),
        range: None,
        fixed: true,
    };
    let internal = matches!(driver.parent(), Some(Parent::Own(_)));
    NetworkSpec { driver, bridge: String::new(), subnets: vec![subnet], internal, ..network(number) }
}

fn out0() -> Parent {
    Parent::Link("out0".into())
}

fn macvlan(parent: Parent, mode: MacvlanMode) -> NetworkSpec {
    lan(1, Driver::Macvlan { parent, mode })
}

fn ipvlan(parent: Parent, mode: IpvlanMode) -> NetworkSpec {
    lan(1, Driver::Ipvlan { parent, mode, flag: IpvlanFlag::Bridge })
}

#[test]
fn a_macvlan_is_a_machine_of_its_own_on_the_lan() {
    let world = World::new();
    let outside = world.outside();
    let spec = macvlan(out0(), MacvlanMode::Bridge);
    let rules = sh("nft list ruleset");
    assert!(world.wait(world.net.create(&spec)).expect("create").is_empty(), "nothing is routed, nothing is changed");
    let (one, two) = (world.container(50, &[&spec]), world.container(51, &[&spec]));
    one.place.serve("0.0.0.0:80", "one");
    let inside = one.place.sh("ip -d addr show eth0; ip route");
    for wanted in ["macvlan mode bridge", "192.0.2.50/24", "02:42:c0:00:02:32", "default via 192.0.2.2"] {
        assert!(inside.contains(wanted), "{wanted} in {inside}");
    }
    assert_eq!(outside.get("192.0.2.50:80").as_deref(), Some("one 192.0.2.2"));
    assert_eq!(two.place.get("192.0.2.50:80").as_deref(), Some("one 192.0.2.51"));
    assert_eq!(sh("nft list ruleset"), rules, "no rules for it");
    assert!(world.net.survey_now(&project()).expect("survey").lost.is_empty());

    // Whoever comes after it has its address and its hardware address at once.
    world.detach(std::slice::from_ref(&two.id));
    drop(two);
    let again = world.container(51, &[&spec]);
    assert!(again.place.sh("ip -o link show eth0").contains("02:42:c0:00:02:33"));
    world.detach(&[again.id.clone(), one.id.clone()]);
    world.wait(world.net.remove(&spec.name, &[])).expect("remove");
    sh("ip link show out0");
    assert!(world.wait(world.net.list()).expect("list").is_empty());
}

#[test]
fn private_ones_do_not_meet() {
    let world = World::new();
    let outside = world.outside();
    let spec = macvlan(out0(), MacvlanMode::Private);
    world.network(&spec);
    let (one, two) = (world.container(50, &[&spec]), world.container(51, &[&spec]));
    one.place.serve("0.0.0.0:80", "one");
    assert!(outside.get("192.0.2.50:80").is_some() && two.place.blocked("192.0.2.50:80"));
    let mut alone = macvlan(out0(), MacvlanMode::Passthru);
    alone.name = "shop_alone".into();
    world.network(&alone);
    let container = Place::new();
    let (nine, owner, wish) = (id(9), project(), endpoint(&alone, 0, 9));
    let refused = world.wait(world.net.attach(&nine, &owner, &wish, container.netns.as_fd()));
    let refused = refused.expect_err("others are there");
    assert!(matches!(refused, NetError::ParentInUse { .. }), "{refused}");
}

#[test]
fn without_a_parent_they_only_have_one_another() {
    let world = World::new();
    let before = sh("ip -o link | cut -d: -f2");
    let spec = macvlan(Parent::Own("wl-0123456789".into()), MacvlanMode::Bridge);
    world.network(&spec);
    let (one, two) = (world.container(50, &[&spec]), world.container(51, &[&spec]));
    one.place.serve("0.0.0.0:80", "one");
    assert!(two.place.get("192.0.2.50:80").is_some());
    assert_eq!(two.place.sh("ip route | grep default || true"), "");
    // Taken away, it takes the links along; both come back.
    sh("ip link delete wl-0123456789");
    let survey = world.net.survey_now(&project()).expect("survey");
    assert!(!survey.networks[0].present);
    assert_eq!(survey.lost[&one.id], [Loss::Link(spec.name.clone())].into());
    world.network(&spec);
    assert_eq!(world.net.survey_now(&project()).expect("survey").lost[&one.id], [Loss::Link(spec.name.clone())].into());
    for (container, number) in [(&one, 50), (&two, 51)] {
        let endpoints = [endpoint(&spec, 0, number)];
        let (netns, route) = (container.place.netns.as_fd(), container.place.route.as_fd());
        let owner = project();
        world.wait(world.net.relink(&container.id, &owner, &endpoints, netns, route)).expect("relink");
    }
    assert!(world.net.survey_now(&project()).expect("survey").lost.is_empty());
    assert!(two.place.get("192.0.2.50:80").is_some());
    let known = [one.id.clone(), two.id.clone()].into();
    world.wait(world.net.sweep(|| Ok(known))).expect("sweep");
    sh("ip link show wl-0123456789");
    world.wait(world.net.sweep(|| Ok(Default::default()))).expect("sweep");
    world.wait(world.net.remove(&spec.name, &[])).expect("remove");
    assert_eq!(sh("ip -o link | cut -d: -f2"), before);
}

#[test]
fn a_parent_that_is_not_there_is_named() {
    let world = World::new();
    let refused = world.wait(world.net.create(&macvlan(Parent::Link("eth9".into()), MacvlanMode::Bridge)));
    let refused = refused.expect_err("there is none").to_string();
    assert!(refused.contains("stands on link `eth9`") && refused.contains("ip link"), "{refused}");
    assert!(world.wait(world.net.list()).expect("list").is_empty());
}

#[test]
fn a_parent_that_goes_and_comes_is_heard_of() {
    let world = World::new();
    let _outside = world.outside();
    world.network(&macvlan(out0(), MacvlanMode::Bridge));
    world.runtime.block_on(async {
        let mut events = world.net.events(&project()).expect("listen");
        for act in ["ip link delete out0", "ip link add out0 type veth peer name peer0"] {
            sh(act);
            assert_eq!(events.next().await.expect("an event"), super::super::Event::Link("out0".into()), "{act}");
        }
    });
}

#[test]
#[ignore = "needs a kernel with VLANs and ipvlans: tests/vm/run"]
fn a_vlan_is_made_with_its_network_and_goes_with_the_last_one() {
    let world = World::new();
    let _outside = world.outside();
    let vlan = Parent::Vlan { name: "out0.7".into(), of: "out0".into(), id: 7 };
    let one = macvlan(vlan.clone(), MacvlanMode::Bridge);
    let mut two = one.clone();
    two.name = "shop_n2".into();
    world.network(&one);
    world.network(&two);
    assert!(sh("ip -d link show out0.7").contains("vlan protocol 802.1Q id 7"));
    world.container(50, &[&one]).place.sh("ip -d link show eth0 | grep macvlan");
    world.detach(&[id(50)]);
    world.wait(world.net.remove(&one.name, &[])).expect("remove");
    sh("ip link show out0.7");
    world.wait(world.net.remove(&two.name, &[])).expect("remove");
    assert!(!sh("ip -o link").contains("out0.7"));
}

#[test]
#[ignore = "needs a kernel with VLANs and ipvlans: tests/vm/run"]
fn an_ipvlan_shares_the_hardware_address_and_routes_or_switches() {
    let world = World::new();
    let outside = world.outside();
    // Addresses of their own, since what serves keeps its namespace.
    for (mode, route, number) in
        [(IpvlanMode::L2, "default via 192.0.2.2", 50), (IpvlanMode::L3, "default dev eth0", 60)]
    {
        let spec = ipvlan(out0(), mode);
        world.network(&spec);
        let (one, two) = (world.container(number, &[&spec]), world.container(number + 1, &[&spec]));
        one.place.serve("0.0.0.0:80", "one");
        let address = format!("192.0.2.{number}:80");
        let mac = sh("ip -o link show out0 | grep -o 'link/ether [^ ]*' | cut -d' ' -f2");
        assert!(one.place.sh("ip -o link show eth0").contains(mac.trim()));
        assert!(one.place.sh("ip route").contains(route));
        assert_eq!(two.place.get(&address), Some(format!("one 192.0.2.{}", number + 1)));
        if mode == IpvlanMode::L2 {
            assert_eq!(outside.get(&address).as_deref(), Some("one 192.0.2.2"));
        }
        world.detach(&[one.id.clone(), two.id.clone()]);
        world.wait(world.net.remove(&spec.name, &[])).expect("remove");
    }
}

#[test]
fn parameters_of_a_link_are_set_inside() {
    let world = World::new();
    let spec = network(1);
    world.network(&spec);
    let place = Place::new();
    let wish = EndpointSpec {
        sysctls: vec![("ipv4/conf/eth0/log_martians".into(), "1".into())],
        ipv4: Some(Ipv4Addr::new(10, 77, 1, 5)),
        ..endpoint(&spec, 0, 5)
    };
    let attached = world.wait(world.net.attach(&id(5), &project(), &wish, place.netns.as_fd())).expect("attach");
    assert_eq!(place.run(|| parameter("ipv4/conf/eth0/log_martians")), "1");
    assert_eq!(parameter("ipv4/conf/default/log_martians"), "0");
    // A new link of the same place has it too.
    sh(&format!("ip link delete {}", attached.link));
    let owner = project();
    let (five, wishes) = (id(5), [wish]);
    let again = world.net.relink(&five, &owner, &wishes, place.netns.as_fd(), place.route.as_fd());
    world.wait(again).expect("relink");
    assert_eq!(place.run(|| parameter("ipv4/conf/eth0/log_martians")), "1");
    let wrong = EndpointSpec { sysctls: vec![("ipv4/conf/eth1/none".into(), "1".into())], ..endpoint(&spec, 1, 6) };
    let refused =
        world.wait(world.net.attach(&id(6), &project(), &wrong, place.netns.as_fd())).expect_err("no such one");
    assert!(refused.to_string().contains("ipv4/conf/eth1/none"), "{refused}");
}
