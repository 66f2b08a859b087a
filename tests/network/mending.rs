//! What others do to our links, routes and rules, and how it comes back.

use super::*;

#[test]
fn what_windlass_takes_away_itself_is_nobody_elses_deed() {
    let world = world();
    let text = "services:\n  a: {image: test, deploy: {replicas: 5}}\nnetworks: {default: {enable_ipv6: true}}\n";
    let folder = project(&world, "quiet", text);
    world.windlass(&folder, &["up", "-d"]).ok();
    for verb in [&["restart"][..], &["stop"], &["start"], &["up", "-d", "--force-recreate"], &["rm", "-sf"]] {
        world.windlass(&folder, verb).ok();
    }
    let log = fs::read_to_string(world.path().join("root/projects/quiet/supervisor.log")).unwrap();
    assert!(!log.contains("somebody changed the network"), "{log}");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn routes_that_the_hosts_tools_take_away_inside_come_back_and_a_vpns_are_its_own() {
    let world = world();
    let folder =
        project(&world, "ways", "services:\n  plain: {image: test}\n  vpn: {image: test, cap_add: [NET_ADMIN]}\n");
    world.windlass(&folder, &["up", "-d"]).ok();
    let inside = |service: &str, script: &str| {
        world.sh(&format!("nsenter -t {} -n sh -c '{script}'", pid(&world, &folder, service))).ok().stdout
    };
    let before = inside("plain", "ip route");
    inside("vpn", "ip route del default");
    for attack in ["ip route del default", "ip route flush table main"] {
        inside("plain", attack);
        world.wait_for(attack, || inside("plain", "ip route") == before);
    }
    assert!(!inside("vpn", "ip route").contains("default"), "whoever may change its routes means it");
    // The usual script of a host, with whatever takes its time between the two.
    let gateway = before.split_whitespace().nth(2).unwrap().to_owned();
    let other = gateway.trim_end_matches('1').to_owned() + "99";
    inside("plain", &format!("ip route del default && ip route add default via {other}"));
    inside("plain", &format!("ip route del {}", before.lines().nth(1).unwrap().split(' ').next().unwrap()));
    world.wait_for("the route to the network", || inside("plain", "ip route").lines().count() == 2);
    assert!(inside("plain", "ip route").contains(&format!("default via {other}")));
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_firewall_that_comes_later_decides_and_one_that_goes_does_no_longer() {
    let world = world();
    let folder = project(
        &world,
        "later",
        &format!("services:\n  web: {{image: test, command: {}, ports: [\"8080:80\"]}}\n", web("page")),
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    let outside = Outside::new(&world);
    outside.get(&world, "http://192.0.2.1:8080/").ok().says("page");
    let filter = "table ip filter { chain INPUT { type filter hook input priority filter; policy drop;\n\
                  iifname lo accept\nct state established accept\n}; }";
    fs::write(world.path().join("filter.nft"), filter).unwrap();
    world.sh("nft -f filter.nft").ok();
    world.wait_for("its verdict", || outside.is_refused(&world, "http://192.0.2.1:8080/"));
    world.sh("nft add rule ip filter INPUT tcp dport 8080 accept").ok();
    outside.get(&world, "http://192.0.2.1:8080/").ok().says("page");
    get(&world, "http://127.0.0.1:8080/").ok().says("page");
    world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    // Without it the kernel leads them again, and knows who asks.
    world.sh("nft delete table ip filter").ok();
    let led = || world.sh("nft list ruleset | grep -A9 'map any4' | grep -c ' 8080 :'").stdout.trim() == "1";
    world.wait_for("the way past it", led);
    outside.get(&world, "http://192.0.2.1:8080/").ok().says("page");
    world.windlass(&folder, &["down"]).ok();
    outside.end(&world);
    world.assert_clean();
}

/// All rules, in whatever order their tables were made.
fn rules_of(world: &World) -> Vec<String> {
    let mut lines: Vec<String> = world.sh("nft list ruleset").ok().stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_others_take_away_comes_back() {
    let world = world();
    let folder = project(
        &world,
        "mend",
        &format!(
            "services:\n  web: {{image: test, command: {}, ports: [\"8080:80\"]}}\n  b: {{image: test}}\n",
            web("page")
        ),
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    let process = pid(&world, &folder, "web");
    let address = world.windlass(&folder, &["exec", "-T", "web", "hostname", "-i"]).ok().stdout.trim().to_owned();
    let whole = |world: &World| {
        world.sh("curl -fsS -m 2 http://127.0.0.1:8080/").code == 0
            && world.sh(&format!("curl -fsS -m 2 http://{address}/")).code == 0
            && world
                .windlass(&folder, &["exec", "-T", "b", "busybox", "timeout", "3", "wget", "-qO-", "http://web/"])
                .code
                == 0
    };
    world.wait_for("the server", || whole(&world));
    let rules = rules_of(&world);
    let attacks = [
        "nft flush ruleset",
        "for t in $(nft list tables | cut -d' ' -f3); do nft flush table inet $t; done",
        "for l in $(ip -o link show type veth | cut -d: -f2 | cut -d@ -f1); do ip link delete $l; done",
        "for l in $(ip -o link show type veth | cut -d: -f2 | cut -d@ -f1); do ip link set $l nomaster; done",
        "for l in $(ip -o link show type bridge | cut -d: -f2); do ip link set $l down; done",
        "for l in $(ip -o link show type bridge | cut -d: -f2); do ip addr flush dev $l; done",
        "for l in $(ip -o link show type bridge | cut -d: -f2); do ip route flush dev $l; done",
        "for l in $(ip -o link show type bridge | cut -d: -f2); do ip link delete $l; done",
    ];
    for attack in attacks {
        world.sh(attack);
        world.wait_for(attack, || whole(&world) && rules_of(&world) == rules);
        world.windlass(&folder, &["plan", "--detailed-exitcode"]).ok();
    }
    assert_eq!(pid(&world, &folder, "web"), process, "nothing was restarted for it");
    let log = fs::read_to_string(world.path().join("root/projects/mend/supervisor.log")).unwrap();
    assert!(log.contains("somebody changed the network"), "{log}");
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

#[test]
fn a_container_that_flushes_its_own_rules_keeps_its_name_server() {
    let world = world();
    let folder = project(
        &world,
        "flush",
        "services:\n  a: {image: test, cap_add: [NET_ADMIN]}\n  b: {image: test}\n  c: {image: test, network_mode: \"service:b\", cap_add: [NET_ADMIN]}\n",
    );
    world.windlass(&folder, &["up", "-d"]).ok();
    for (victim, name) in [("a", "b"), ("b", "a")] {
        let look = || world.windlass(&folder, &["exec", "-T", victim, "nslookup", name]).code == 0;
        assert!(look());
        let inside = format!("nsenter -t {} -n nft", pid(&world, &folder, victim));
        world.sh(&format!("{inside} flush ruleset")).ok();
        world.wait_for("the way to the name server", || {
            world.sh(&format!("{inside} list ruleset | grep -c 'dport set 40053'")).stdout.trim() == "2"
        });
        assert!(look());
    }
    world.windlass(&folder, &["down"]).ok();
    world.assert_clean();
}

const DOCKER: &str = "
table ip filter {
  chain DOCKER-USER { }
  chain FORWARD { type filter hook forward priority filter; policy drop; counter jump DOCKER-USER; }
  chain INPUT { type filter hook input priority filter; policy drop; iifname lo accept; ct state established accept; }
}";

#[test]
fn another_firewall_and_forwarding_are_told_once() {
    let world = world();
    fs::write(world.path().join("rules.nft"), DOCKER).unwrap();
    world.sh("nft -f rules.nft && echo 0 > /proc/sys/net/ipv4/ip_forward").ok();
    let folder = project(
        &world,
        "wall",
        &format!("services:\n  web: {{image: test, command: {}, ports: [\"8080:80\"]}}\n", web("page")),
    );
    let open = "iptables -I DOCKER-USER -i wl-+ -j ACCEPT && iptables -I DOCKER-USER -o wl-+ -j ACCEPT";
    let relay = "published ports that are not bound to 127.0.0.1 go through a relay";
    world.windlass(&folder, &["plan"]).ok().says(open).says(relay).says("net.ipv4.ip_forward is 0");
    let up = world.windlass(&folder, &["up", "-d"]).ok().says(open).says(relay).says("net.ipv4.ip_forward is 0");
    assert_eq!(up.stderr.matches("DOCKER-USER -i").count(), 1, "{}", up.stderr);
    world.sh("cat /proc/sys/net/ipv4/ip_forward").ok().says("1");
    get(&world, "http://127.0.0.1:8080/").ok().says("page");
    let outside = Outside::new(&world);
    assert!(outside.is_refused(&world, "http://192.0.2.1:8080/"), "the other firewall decides");
    world.sh("nft add rule ip filter INPUT tcp dport 8080 accept").ok();
    outside.get(&world, "http://192.0.2.1:8080/").ok().says("page");
    world.windlass(&folder, &["down"]).ok();
    outside.end(&world);
    world.sh("nft delete table ip filter").ok();
    world.assert_clean();
}
