//! Networks, subnets and addresses.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn v4(desired: &Desired, container: &str) -> String {
    desired.containers[container].spec.endpoints[0].ipv4.unwrap().to_string()
}

/// What the machine would know after the state was applied.
fn applied(desired: &Desired) -> Leases {
    let mut leases = Leases::default();
    for (name, spec) in &desired.networks {
        leases.networks.insert(name.clone(), NetworkLease { spec: spec.clone(), ..NetworkLease::default() });
        let route = |subnet: &Subnet| (subnet.address, subnet.prefix);
        leases.routes.extend(spec.subnets.iter().map(route));
    }
    for (name, container) in &desired.containers {
        for one in &container.spec.endpoints {
            let lease = EndpointLease { ipv4: one.ipv4, ipv6: one.ipv6 };
            leases.networks.get_mut(&one.network).unwrap().endpoints.insert(name.clone(), lease);
        }
    }
    leases
}

#[test]
fn a_network_gets_a_subnet_from_the_pool_and_keeps_it() {
    let project = project("services: {web: {}, db: {}}");
    let first = compile(&project, &images(&project), &Leases::default(), &request()).unwrap();
    let spec = &first.networks["shop_default"];
    assert_eq!((spec.subnets.len(), spec.subnets[0].prefix, spec.subnets[0].fixed), (1, 24, false));
    assert!(spec.subnets[0].address.to_string().starts_with("172."));
    assert!(spec.bridge.starts_with("wl-") && spec.bridge.len() == 13);
    let again = compile(&project, &images(&project), &applied(&first), &request()).unwrap();
    assert_eq!(again.networks, first.networks);
    assert_eq!(again.containers["shop-web-1"].spec, first.containers["shop-web-1"].spec);
}

#[test]
fn a_network_that_outgrew_its_subnet_gets_a_wider_one() {
    let project = project("services: {web: {}}");
    let first = compile(&project, &images(&project), &Leases::default(), &request()).unwrap();
    let scale = BTreeMap::from([("web".into(), 300)]);
    let many = Request { previous: Some(Arc::new(first.clone())), scale, ..request() };
    let second = compile(&project, &images(&project), &applied(&first), &many).unwrap();
    let subnet = &second.networks["shop_default"].subnets[0];
    assert_eq!((second.containers.len(), subnet.prefix), (300, 23));
}

#[test]
fn a_subnet_keeps_clear_of_routes_and_other_networks() {
    let project = project("services: {web: {}}");
    let routes = vec![("0.0.0.0".parse().unwrap(), 0), ("172.16.0.0".parse().unwrap(), 12)];
    let mut leases = Leases { routes, ..Leases::default() };
    let other = up("services: {web: {}}").networks["shop_default"].clone();
    let spec = NetworkSpec {
        name: "other".into(),
        project: Some("other".into()),
        subnets: vec![Subnet { address: "192.168.0.0".parse().unwrap(), ..other.subnets[0].clone() }],
        ..NetworkSpec::default()
    };
    leases.networks.insert("other".into(), NetworkLease { spec, ..NetworkLease::default() });
    let desired = compile(&project, &images(&project), &leases, &request()).unwrap();
    assert_eq!(desired.networks["shop_default"].subnets[0].address.to_string(), "192.168.1.0");
}

#[test]
fn an_exhausted_pool_says_what_was_tried() {
    let project = project("services: {web: {}}");
    let mut leases = Leases::default();
    for (address, prefix) in [("10.0.0.0", 8), ("172.16.0.0", 12), ("192.168.0.0", 16)] {
        leases.routes.push((address.parse().unwrap(), prefix));
    }
    let errors = compile(&project, &images(&project), &leases, &request()).unwrap_err();
    assert_eq!(errors[0].path, "networks.default");
    assert!(errors[0].message.contains("0 networks and 3 routes"), "{}", errors[0].message);
    assert!(errors[0].message.contains("route 10.0.0.0/8"), "{}", errors[0].message);
}

#[test]
fn written_addresses_come_first_and_must_fit() {
    let fixed = |address: &str| {
        format!(
            "
services:
  a: {{networks: {{n: {{}}}}}}
  b: {{networks: {{n: {{ipv4_address: {address}}}}}}}
networks: {{n: {{ipam: {{config: [{{subnet: 10.5.0.0/29, gateway: 10.5.0.1, aux_addresses: {{x: 10.5.0.4}}}}]}}}}}}
"
        )
    };
    let desired = up(&fixed("10.5.0.2"));
    assert_eq!((v4(&desired, "shop-a-1"), v4(&desired, "shop-b-1")), ("10.5.0.3".into(), "10.5.0.2".into()));
    assert!(desired.containers["shop-b-1"].spec.endpoints[0].fixed);
    for (address, message) in [
        ("10.5.0.1", "it is the gateway"),
        ("10.5.0.7", "it is the broadcast address"),
        ("10.5.0.4", "it is set aside"),
        ("10.6.0.2", "is in no subnet of network `shop_n` (10.5.0.0/29)"),
    ] {
        let errors = errors(&fixed(address));
        assert!(errors[0].starts_with("services.b.networks.n.ipv4_address: "), "{errors:?}");
        assert!(errors[0].contains(message), "{errors:?}");
    }
}

#[test]
fn one_address_cannot_be_written_twice_and_a_small_subnet_fills_up() {
    let two = "
services:
  a: {networks: {n: {ipv4_address: 10.5.0.2}}}
  b: {networks: {n: {ipv4_address: 10.5.0.2}}}
networks: {n: {ipam: {config: [{subnet: 10.5.0.0/24}]}}}
";
    assert_eq!(
        errors(two),
        [
            "services.b.networks.n.ipv4_address: address 10.5.0.2 in network `shop_n` is already taken by container `shop-a-1`"
        ]
    );
    let full = "
services: {a: {scale: 6, networks: {n: {}}}}
networks: {n: {ipam: {config: [{subnet: 10.5.0.0/29}]}}}
";
    let errors = errors(full);
    assert!(errors[0].starts_with("services.a.networks.n: network `shop_n` has no free address left"), "{errors:?}");
}

#[test]
fn who_only_happened_to_have_a_written_address_gives_way_and_is_made_anew() {
    let yaml = |b: &str| {
        project(&format!(
            "
services: {{a: {{networks: {{n: {{}}}}}}, b: {{networks: {{n: {b}}}}}}}
networks: {{n: {{ipam: {{config: [{{subnet: 10.5.0.0/24}}]}}}}}}
"
        ))
    };
    let before = yaml("{}");
    let first = compile(&before, &images(&before), &Leases::default(), &request()).unwrap();
    assert_eq!(v4(&first, "shop-a-1"), "10.5.0.2");
    let after = yaml("{ipv4_address: 10.5.0.2}");
    let second = compile(&after, &images(&after), &applied(&first), &request()).unwrap();
    assert_eq!((v4(&second, "shop-a-1"), v4(&second, "shop-b-1")), ("10.5.0.4".into(), "10.5.0.2".into()));
    assert!(second.containers["shop-a-1"].recreate_before.is_some());
    let foreign = {
        let mut leases = applied(&first);
        let endpoints = &mut leases.networks.get_mut("shop_n").unwrap().endpoints;
        let lease = endpoints.remove("shop-a-1").unwrap();
        endpoints.insert("foreign".into(), lease);
        leases
    };
    let errors = compile(&after, &images(&after), &foreign, &request()).unwrap_err();
    assert!(errors[0].message.contains("taken by container `foreign`"));
}

#[test]
fn ipv6_where_it_is_asked_for() {
    let desired = up("services: {web: {networks: {n: {}}}}\nnetworks: {n: {enable_ipv6: true}}");
    let spec = &desired.networks["shop_n"];
    assert_eq!(spec.subnets[1].prefix, 64);
    assert!(spec.subnets[1].address.to_string().starts_with("fd"));
    assert!(desired.containers["shop-web-1"].spec.endpoints[0].ipv6.is_some());
    let only = up("services: {web: {networks: {n: {}}}}\nnetworks: {n: {enable_ipv4: false, enable_ipv6: true}}");
    assert_eq!(only.containers["shop-web-1"].spec.endpoints[0].ipv4, None);
    assert!(!errors("services: {web: {networks: {n: {}}}}\nnetworks: {n: {enable_ipv4: false}}").is_empty());
}

#[test]
fn options_of_a_network() {
    let spec = up("
services: {web: {networks: {n: {}}}}
networks:
  n:
    internal: true
    driver_opts:
      com.docker.network.bridge.name: br-x
      com.docker.network.bridge.enable_icc: 'false'
      com.docker.network.bridge.enable_ip_masquerade: 'false'
      com.docker.network.bridge.host_binding_ipv4: 127.0.0.1
      com.docker.network.driver.mtu: '1400'
")
    .networks["shop_n"]
        .clone();
    assert!(spec.internal && !spec.icc && !spec.masquerade);
    assert_eq!((spec.bridge.as_str(), spec.mtu), ("br-x", Some(1400)));
    assert_eq!(spec.host_binding, Some(IpAddr::from([127, 0, 0, 1])));
    let bad = |options: &str| {
        errors(&format!("services: {{web: {{networks: {{n: {{}}}}}}}}\nnetworks: {{n: {{{options}}}}}"))
    };
    assert_eq!(
        bad("driver: overlay"),
        ["networks.n.driver: driver `overlay` joins the hosts of a swarm; on one host `bridge` does"]
    );
    assert!(bad("driver_opts: {parent: eth0}")[0].starts_with("networks.n.driver_opts.parent: "));
    assert!(bad("ipam: {config: [{subnet: x}]}")[0].starts_with("networks.n.ipam.config[0].subnet: "));
    assert!(
        bad("ipam: {config: [{subnet: 10.1.0.0/16, gateway: 10.2.0.1}]}")[0]
            .starts_with("networks.n.ipam.config[0].gateway: ")
    );
    let twice = bad("ipam: {config: [{subnet: 10.1.0.0/16}, {subnet: 10.1.2.0/24}]}");
    assert!(twice[0].starts_with("networks.n.ipam.config[1].subnet: subnet 10.1.2.0/24 overlaps"), "{twice:?}");
}

#[test]
fn networks_on_a_link_of_the_machine() {
    let on = |options: &str, more: &str| {
        format!(
            "services: {{web: {{ports: [{{target: 80}}], networks: {{n: {{{more}}}}}}}}}\nnetworks: {{n: {{driver: {options}, \
             ipam: {{config: [{{subnet: 192.0.2.0/24}}]}}}}}}"
        )
    };
    let spec = |options: &str| up(&on(options, "")).networks["shop_n"].clone();
    let lan = spec("macvlan, driver_opts: {parent: eth0}");
    let parent = Parent::Link("eth0".into());
    assert_eq!(lan.driver, Driver::Macvlan { parent, mode: MacvlanMode::Bridge });
    assert!(lan.bridge.is_empty() && !lan.internal);
    let apart = spec("macvlan, driver_opts: {macvlan_mode: vepa}");
    assert!(matches!(&apart.driver, Driver::Macvlan { parent: Parent::Own(name), mode: MacvlanMode::Vepa }
        if name.starts_with("wl-")));
    assert!(apart.internal, "nothing leads out");
    let vlan = spec("ipvlan, driver_opts: {parent: eth0.7, ipvlan_mode: l3, ipvlan_flag: private}");
    let parent = Parent::Vlan { name: "eth0.7".into(), of: "eth0".into(), id: 7 };
    assert_eq!(vlan.driver, Driver::Ipvlan { parent, mode: IpvlanMode::L3, flag: IpvlanFlag::Private });
    // The range of the link is what the network is to be in, and no reason to refuse it.
    let leases = Leases { routes: vec![(IpAddr::from([192, 0, 2, 0]), 24)], ..Leases::default() };
    let project = project(&on("macvlan, driver_opts: {parent: eth0}", ""));
    let desired = compile(&project, &images(&project), &leases, &request()).unwrap();
    assert!(desired.containers["shop-web-1"].spec.ports.is_empty(), "it is reached by its own address");

    for (options, more, says) in [
        ("macvlan, driver_opts: {parent: lo}", "", "networks.n.driver_opts.parent: nothing can stand on `lo`"),
        ("macvlan, driver_opts: {parent: eth0.4095}", "", "networks.n.driver_opts.parent: `eth0.4095` has no VLAN"),
        (
            "macvlan, driver_opts: {macvlan_mode: l2}",
            "",
            "networks.n.driver_opts.macvlan_mode: `l2` is none of bridge,",
        ),
        ("macvlan, driver_opts: {ipvlan_mode: l2}", "", "a network with driver `macvlan` has no option `ipvlan_mode`"),
        (
            "ipvlan",
            "mac_address: '02:42:ac:11:00:02'",
            "services.web.networks.n.mac_address: an ipvlan has the hardware",
        ),
        ("other", "", "networks.n.driver: there is no network driver `other` here"),
    ] {
        let errors = errors(&on(options, more));
        assert!(errors[0].contains(says), "{errors:?}");
    }
}

#[test]
fn a_service_has_one_hardware_address_on_its_primary_network() {
    let of = |own: &str, other: &str| {
        format!(
            "services: {{web: {{mac_address: '{own}', networks: {{n: {{mac_address: '{other}'}}}}}}}}\nnetworks: {{n: {{}}}}"
        )
    };
    let (one, other) = ("02:42:ac:11:00:02", "02:42:ac:11:00:03");
    assert_eq!(up(&of(one, one)).containers["shop-web-1"].spec.endpoints[0].mac.as_deref(), Some(one));
    let errors = errors(&of(one, other));
    assert!(errors[0].starts_with("services.web.mac_address: "), "{errors:?}");
}

#[test]
fn options_of_an_endpoint() {
    let of = |options: &str| {
        format!("services: {{web: {{networks: {{n: {{driver_opts: {{{options}}}}}}}}}}}\nnetworks: {{n: {{}}}}")
    };
    let desired = up(&of("com.docker.network.endpoint.ifname: lan0, com.docker.network.endpoint.sysctls: \
         'net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.retrans_time_ms=7'"));
    let endpoint = &desired.containers["shop-web-1"].spec.endpoints[0];
    assert_eq!(endpoint.interface, "lan0");
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let wanted = [pair("ipv4/conf/lan0/log_martians", "1"), pair("ipv6/neigh/lan0/retrans_time_ms", "7")];
    assert_eq!(endpoint.sysctls, wanted);
    for (options, says) in [
        ("com.docker.network.endpoint.sysctls: net.ipv4.ip_forward=1", "is no parameter of a link"),
        ("com.docker.network.endpoint.sysctls: net.ipv4.conf.IFNAME.../x=1", "is no parameter of a link"),
        ("com.docker.network.endpoint.ifname: a/b", "`a/b` is no name for a link"),
        ("other: 1", "driver_opts.other: there is no option `other` of an endpoint"),
    ] {
        let errors = errors(&of(options));
        assert!(errors[0].contains(says), "{errors:?}");
    }
}

#[test]
fn ports_without_an_address_take_that_of_their_network() {
    let desired = up(
        "services: {web: {ports: [{target: 80}, {target: 81, host_ip: 127.0.0.1}], networks: {n: {}, inner: {priority: 9}}}}\n\
                      networks: {inner: {internal: true}, n: {driver_opts: \
                      {com.docker.network.bridge.host_binding_ipv4: 192.0.2.1}}}",
    );
    let addresses: Vec<String> =
        desired.containers["shop-web-1"].spec.ports.iter().map(|port| port.host_ip.unwrap().to_string()).collect();
    assert_eq!(addresses, ["192.0.2.1", "127.0.0.1"]);
}

#[test]
fn external_networks_are_taken_as_they_are() {
    let project = project("services: {web: {networks: {n: {}}}}\nnetworks: {n: {external: true, name: shared}}");
    let errors = compile(&project, &images(&project), &Leases::default(), &request()).unwrap_err();
    assert_eq!(errors[0].path, "networks.n");
    let other = up("services: {web: {}}");
    let mut lease = NetworkLease { spec: other.networks["shop_default"].clone(), ..NetworkLease::default() };
    lease.spec.name = "shared".into();
    let taken = other.containers["shop-web-1"].spec.endpoints[0].ipv4;
    lease.endpoints.insert("theirs".into(), EndpointLease { ipv4: taken, ipv6: None });
    let leases = Leases { networks: BTreeMap::from([("shared".into(), lease.clone())]), ..Leases::default() };
    let desired = compile(&project, &images(&project), &leases, &request()).unwrap();
    let spec = &desired.networks["shared"];
    assert_eq!((spec.project.as_ref(), &spec.subnets), (None, &lease.spec.subnets));
    assert_ne!(desired.containers["shop-web-1"].spec.endpoints[0].ipv4, taken);
}

fn shape() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    prop::collection::vec((0u8..4, prop::collection::vec(0u8..4, 0..3)), 1..5)
}

fn described(shape: &[(u8, Vec<u8>)]) -> Project {
    let mut yaml = "networks: {n0: {}, n1: {enable_ipv6: true}, n2: {ipam: {config: [{subnet: 10.9.0.0/24}]}}, n3: {}}\nservices:\n".to_owned();
    for (index, (scale, networks)) in shape.iter().enumerate() {
        let set: BTreeSet<String> = networks.iter().map(|n| format!("n{n}: {{}}")).collect();
        let networks = set.into_iter().collect::<Vec<_>>().join(", ");
        yaml.push_str(&format!("  s{index}: {{scale: {scale}, networks: {{{networks}}}}}\n"));
    }
    project(&yaml)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever changes between two states: no address is given twice, each is inside its subnet, no two subnets overlap,
    /// and who stays where it was keeps its address.
    #[test]
    fn addresses_are_unique_and_stable(first in shape(), second in shape()) {
        let (one, two) = (described(&first), described(&second));
        let before = compile(&one, &images(&one), &Leases::default(), &request()).unwrap();
        let again = Request { previous: Some(Arc::new(before.clone())), ..request() };
        let after = compile(&two, &images(&two), &applied(&before), &again).unwrap();
        prop_assert_eq!(&compile(&two, &images(&two), &applied(&before), &again).unwrap(), &after);
        let mut seen = BTreeSet::new();
        for (name, container) in &after.containers {
            for endpoint in &container.spec.endpoints {
                let subnets = &after.networks[&endpoint.network].subnets;
                let all = endpoint.ipv4.map(IpAddr::V4).into_iter().chain(endpoint.ipv6.map(IpAddr::V6));
                for address in all {
                    prop_assert!(seen.insert(address));
                    let inside = |s: &Subnet| ipnet::IpNet::new(s.address, s.prefix).unwrap().contains(&address);
                    prop_assert!(subnets.iter().any(inside));
                }
                let old = before.containers.get(name).and_then(|old| {
                    old.spec.endpoints.iter().find(|other| other.network == endpoint.network)
                });
                if let Some(old) = old {
                    prop_assert_eq!((old.ipv4, old.ipv6), (endpoint.ipv4, endpoint.ipv6));
                }
            }
        }
        let nets: Vec<_> = after.networks.values().flat_map(|spec| &spec.subnets).collect();
        for (index, one) in nets.iter().enumerate() {
            for other in &nets[index + 1..] {
                let net = |s: &Subnet| ipnet::IpNet::new(s.address, s.prefix).unwrap();
                prop_assert!(!net(one).contains(&net(other)) && !net(other).contains(&net(one)));
            }
        }
    }
}
