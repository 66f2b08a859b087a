//! Networks, and a service's place in them.

use std::fs;

use crate::stack::{Stack, refused};

#[test]
fn a_place_in_a_network_is_as_the_file_says() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    domainname: example.org
    hostname: web
    networks:
      front:
        ipv4_address: 10.71.0.77
        mac_address: "02:42:0a:47:00:4d"
        interface_name: net7
        link_local_ips: [169.254.7.7]
        aliases: [www]
        priority: 10
      back: { gw_priority: 5 }
  peer: { image: test, networks: [front, back] }
networks:
  front:
    driver_opts: { com.docker.network.driver.mtu: 1400, com.docker.network.bridge.name: wl-front-test }
    ipam: { config: [{ subnet: 10.71.0.0/16, ip_range: 10.71.9.0/24, gateway: 10.71.0.9, aux_addresses: { other: 10.71.9.1 } }] }
  back:
    enable_ipv6: true
    ipam: { config: [{ subnet: 10.72.0.0/24 }, { subnet: "fd00:72::/64" }] }
"#,
    );
    let link = stack.line("web", "ip addr show net7");
    for says in ["inet 10.71.0.77/16", "169.254.7.7", "02:42:0a:47:00:4d", "mtu 1400"] {
        assert!(link.contains(says), "{says}: {link}");
    }
    let default = stack.line("web", "ip route | grep default");
    assert!(default.contains("via 10.72.0.1"), "the gateway of the highest gw_priority: {default}");
    let other = stack.line("web", "ip -o -4 addr show eth0");
    assert!(other.contains("inet 10.72.0."), "the first number is for the first link without a name: {other}");
    let route = stack.line("peer", "ip -o addr");
    assert!(
        route.contains("10.71.9.") && !route.contains("10.71.9.1/"),
        "from the range, not what is set aside: {route}"
    );
    assert!(route.contains("fd00:72::"), "{route}");
    stack.inside("peer", "ping -c 1 -W 2 www").ok().says("10.71.0.77");
    stack.inside("web", "ping -c 1 -W 2 10.71.0.9").ok();
    stack.world.sh("ip link show wl-front-test").ok();
    stack.inside("web", "cat /etc/hosts").ok().says("web.example.org web");
    stack.inside("web", "cat /proc/sys/kernel/domainname").ok().says("example.org");
    stack.down();
}

#[test]
fn the_order_of_the_links_and_the_labels_of_a_network() {
    let compose = r#"
services:
  web: { image: test, networks: { a: {}, b: { priority: 5 }, c: { priority: 9 } } }
networks:
  a: { ipam: { config: [{ subnet: 10.74.1.0/24 }] }, labels: { org.example.kind: "${KIND:-one}" } }
  b: { ipam: { config: [{ subnet: 10.74.2.0/24 }] }, labels: [org.example.list] }
  c: { ipam: { config: [{ subnet: 10.74.3.0/24 }] } }
"#;
    let stack = Stack::up(compose);
    let links = stack.line("web", "for i in 0 1 2; do ip -o -4 addr show eth$i; done");
    let subnets = ["eth0    inet 10.74.3.", "eth1    inet 10.74.2.", "eth2    inet 10.74.1."];
    let found: Vec<bool> = links.lines().zip(subnets).map(|(line, subnet)| line.contains(subnet)).collect();
    assert_eq!(found, [true; 3], "{links}");
    let default = stack.line("web", "ip route | grep default");
    assert!(default.contains("via 10.74.1.1"), "the order is not the way out: {default}");
    let record = |network: &str| {
        let text = fs::read_to_string(stack.world.path().join("root/networks").join(network).join("spec")).unwrap();
        let body: serde_json::Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        body["spec"]["labels"].clone()
    };
    assert_eq!(record("app_a")["org.example.kind"], "one");
    assert_eq!(record("app_a")["com.docker.compose.network"], "a");
    assert_eq!(record("app_b")["org.example.list"], "");
    stack.write("compose.yaml", &compose.replace("KIND:-one", "KIND:-two"));
    stack.run(&["plan"]).ok().says("labels changed");
    stack.run(&["up", "-d", "-t", "0"]).ok();
    assert_eq!(record("app_a")["org.example.kind"], "two");
    stack.run(&["plan"]).ok().says("nothing to do");
    stack.down();
}

#[test]
fn internal_networks_lead_nowhere_and_icc_can_be_off() {
    let stack = Stack::up(
        r#"
services:
  a: { image: test, networks: [apart] }
  b: { image: test, networks: { apart: { ipv4_address: 10.73.0.6 } } }
  c: { image: test, networks: [inner] }
  d: { image: test, networks: [inner] }
networks:
  apart:
    driver_opts: { com.docker.network.bridge.enable_icc: "false", com.docker.network.bridge.enable_ip_masquerade: "false" }
    ipam: { config: [{ subnet: 10.73.0.0/24 }] }
  inner: { internal: true }
"#,
    );
    stack.inside("a", "ping -c 1 -W 1 10.73.0.6").code(1);
    stack.inside("c", "ping -c 1 -W 2 d").ok();
    assert_eq!(stack.inside("c", "ip route | grep default").stdout, "", "no way out");
    stack.down();
}

#[test]
fn published_ports_are_bound_where_the_network_says() {
    let stack = Stack::up(
        r#"
services:
  web: { image: test, command: [httpd, -f, -p, "80", -h, /etc], ports: ["8085:80"] }
networks:
  default: { driver_opts: { com.docker.network.bridge.host_binding_ipv4: 127.0.0.1 } }
"#,
    );
    stack.world.sh("curl -fsS --retry 20 --retry-all-errors --retry-delay 1 http://127.0.0.1:8085/passwd").ok();
    stack.world.sh("ss -Hltn | grep 8085").ok().says("127.0.0.1:8085");
    stack.down();
}

#[test]
fn no_network_the_hosts_and_anothers() {
    let stack = Stack::up(
        r#"
services:
  none: { image: test, network_mode: none }
  host: { image: test, network_mode: host }
  named: { image: test, networks: [outside] }
  web: { image: test }
  beside: { image: test, network_mode: "service:web", ipc: "service:web", pid: "service:web" }
networks:
  outside: { external: true, name: host }
"#,
    );
    assert_eq!(stack.line("none", "ls /sys/class/net"), "lo");
    let outside = stack.world.sh("readlink /proc/self/ns/net").ok().stdout.trim().to_owned();
    assert_eq!(stack.line("host", "readlink /proc/self/ns/net"), outside);
    assert_eq!(stack.line("named", "readlink /proc/self/ns/net"), outside);
    for kind in ["net", "ipc", "pid"] {
        let of = |service: &str| stack.line(service, &format!("readlink /proc/self/ns/{kind}"));
        assert_eq!(of("web"), of("beside"), "{kind}");
    }
    stack.down();
}

/// A name server that has one address for every name.
fn name_server(address: &str, answer: [u8; 4]) {
    let socket = std::net::UdpSocket::bind((address, 53)).unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut query) {
            // The question's end: after its name, type and class.
            let name = query[12..length].iter().position(|byte| *byte == 0).unwrap_or_default();
            let mut said = query[..12 + name + 5].to_vec();
            let (kind, counts) = (said[12 + name + 2], [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            said[2..12].copy_from_slice(&counts);
            if kind == 1 {
                said.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                said.extend(answer);
            } else {
                said[7] = 0;
            }
            let _ = socket.send_to(&said, peer);
        }
    });
}

#[test]
fn other_names_are_asked_of_the_servers_in_the_file() {
    let stack = Stack::new(
        "services:\n  web: { image: test, dns: [10.9.9.8] }\n  other: { image: test, dns: [10.9.9.9] }\n  host: { image: test, network_mode: host, dns: 10.9.9.8 }\n",
    );
    stack.world.sh("ip addr add 10.9.9.8/32 dev lo && ip addr add 10.9.9.9/32 dev lo").ok();
    name_server("10.9.9.8", [10, 7, 7, 8]);
    name_server("10.9.9.9", [10, 7, 7, 9]);
    stack.run(&["up", "-d"]).ok();
    stack.inside("web", "nslookup far.example").ok().says("10.7.7.8");
    stack.inside("other", "nslookup far.example").ok().says("10.7.7.9");
    stack.inside("host", "nslookup far.example").ok().says("10.7.7.8");
    stack.down();
}

#[test]
fn names_that_only_the_container_knows() {
    let stack = Stack::up(
        r#"
services:
  db: { image: test, container_name: the-db }
  web:
    image: test
    links: ["db:database"]
    external_links: ["the-db:outer"]
    extra_hosts: ["up:host-gateway", "far=10.9.9.9"]
    dns_search: [example.org]
    dns_opt: ["ndots:3"]
  other: { image: test, mac_address: "02:42:AC:11:65:43" }
"#,
    );
    assert_eq!(stack.line("other", "cat /sys/class/net/eth0/address"), "02:42:ac:11:65:43");
    stack.inside("web", "ping -c 1 -W 2 database && ping -c 1 -W 2 outer && ping -c 1 -W 2 db").ok();
    stack.inside("other", "ping -c 1 -W 2 database").code(1);
    stack.inside("web", "cat /etc/hosts").ok().says("10.9.9.9\tfar");
    stack.inside("web", "cat /etc/resolv.conf").ok().says("search example.org").says("ndots:3");
    stack.down();
}

#[test]
fn network_drivers_that_one_host_does_not_have_are_told() {
    for (driver, says) in [("overlay", "swarm"), ("host", "network_mode: host"), ("none", "network_mode: none")] {
        let file = format!("services:\n  web: {{image: test, networks: [x]}}\nnetworks:\n  x:\n    driver: {driver}\n");
        refused(&file, &["compose.yaml:5:", says]);
    }
}

#[test]
fn a_macvlan_is_on_the_lan_of_its_parent() {
    let compose = r#"
services:
  web:
    image: test
    command: [httpd, -f, -p, "80", -h, /etc]
    ports: ["8086:80"]
    networks:
      lan:
        ipv4_address: 192.0.2.50
        driver_opts: { com.docker.network.endpoint.sysctls: "net.ipv4.conf.IFNAME.log_martians=1" }
  both: { image: test, networks: [lan, default] }
networks:
  lan:
    driver: macvlan
    driver_opts: { parent: lan0 }
    ipam: { config: [{ subnet: 192.0.2.0/24, ip_range: 192.0.2.128/25, gateway: 192.0.2.2, aux_addresses: { printer: 192.0.2.129 } }] }
"#;
    let mut stack = Stack::new(compose);
    stack.run(&["up", "-d"]).code(1).says("stands on link `lan0`");
    stack.run(&["down"]).ok();
    // A machine outside, and a link of this one that leads to it.
    let mut command = stack.world.command("unshare", &stack.folder);
    stack.world.start(command.args(["-n", "sh", "-c", "echo $$ > pid; exec sleep 100000"]));
    stack.world.wait_for("the machine outside", || stack.read("pid").ends_with('\n'));
    let pid = stack.read("pid").trim().to_owned();
    let link = format!("ip link add lan0 type veth peer name eth0 netns {pid} && ip link set lan0 up");
    stack.world.sh(&link).ok();
    let away = |script: &str| stack.world.sh(&format!("nsenter -t {pid} -n sh -c '{script}'"));
    away("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up").ok();
    stack.run(&["up", "-d"]).ok().says("`services.web.ports` has no effect");
    away("curl -fsS --retry 20 --retry-all-errors --retry-delay 1 http://192.0.2.50/passwd").ok();
    let inside = stack.line("web", "ip addr show eth0; ip route");
    for says in ["192.0.2.50/24", "default via 192.0.2.2"] {
        assert!(inside.contains(says), "{says}: {inside}");
    }
    assert_eq!(stack.line("web", "cat /proc/sys/net/ipv4/conf/eth0/log_martians"), "1");
    // From the range, and not what is set aside; names and the world by way of the bridge.
    stack.inside("both", "ip -o addr; ping -c 1 -W 2 web; ping -c 1 -W 2 192.0.2.2").ok().says("192.0.2.128/24");
    stack.run(&["plan", "--detailed-exitcode"]).ok();
    // With its parent the links go; when it is back, so are they.
    let process = stack.pid("web");
    stack.world.sh("ip link delete lan0").ok();
    stack.run(&["plan"]).ok().says("link lan0 is gone");
    stack.world.sh(&link).ok();
    away("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up").ok();
    stack.world.wait_for("the link", || away("curl -fsS -m 2 http://192.0.2.50/passwd").code == 0);
    assert_eq!(stack.pid("web"), process, "nothing was restarted for it");
    // Made anew with the same address.
    stack.run(&["up", "-d", "--force-recreate", "-t", "0"]).ok();
    away("curl -fsS --retry 20 --retry-all-errors --retry-delay 1 http://192.0.2.50/passwd").ok();
    stack.run(&["down", "-t", "0"]).ok();
    stack.world.sh("ip link show lan0 && ip link delete lan0").ok();
    stack.world.assert_clean();
}

#[test]
fn only_the_sixth_version_and_a_port_on_one_address() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    command: [httpd, -f, -p, "80", -h, /etc]
    ports: [{ target: 80, published: "8087", host_ip: 127.0.0.1 }]
  six: { image: test, networks: { six: { ipv6_address: "fd00:75::7" } } }
  peer: { image: test, networks: [six] }
networks:
  six: { enable_ipv4: false, enable_ipv6: true, ipam: { config: [{ subnet: "fd00:75::/64" }] } }
"#,
    );
    let addresses = stack.line("six", "ip -o addr show eth0");
    assert!(addresses.contains("fd00:75::7/64") && !addresses.contains("inet "), "{addresses}");
    stack.inside("peer", "ping -c 1 -W 2 fd00:75::7").ok();
    stack.world.sh("ss -Hltn | grep 8087").ok().says("127.0.0.1:8087");
    stack.world.sh("curl -fsS --retry 20 --retry-all-errors --retry-delay 1 http://127.0.0.1:8087/passwd").ok();
    stack.down();
}
