//! What is answered, without a socket.

use std::collections::BTreeSet;

use hickory_proto::op::Edns;
use hickory_proto::rr::DNSClass;
use proptest::prelude::*;

use super::super::answer::{Transport, Verdict, answer, failure};
use super::*;

fn asked_as(view: &View, message: &Message, transport: Transport) -> Result<Message, Verdict> {
    let mut out = Vec::new();
    match answer(&table(), view, (&message.to_vec().unwrap(), transport), 1, &mut out) {
        Verdict::Reply => Ok(Message::from_vec(&out).unwrap()),
        verdict => Err(verdict),
    }
}

fn asked(networks: &[&str], name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let reply = asked_as(&view(networks), &query(name, kind), Transport::Udp).unwrap();
    assert_eq!(reply.metadata.id, 4711);
    (reply.metadata.response_code, texts(&reply))
}

fn found(list: &[&str]) -> (ResponseCode, Vec<String>) {
    (ResponseCode::NoError, list.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn names_of_every_kind() {
    let a = |name: &str| asked(&["front"], name, RecordType::A);
    assert_eq!(a("db."), found(&["10.0.0.2", "10.0.0.3"]));
    assert_eq!(a("DB."), found(&["10.0.0.2", "10.0.0.3"]));
    assert_eq!(a("store."), found(&["10.0.0.2"]));
    assert_eq!(a("p-db-2."), found(&["10.0.0.3"]));
    assert_eq!(a("0123456789ab."), found(&["10.0.0.4"]));
    assert_eq!(a("store2."), found(&["10.0.0.2", "10.0.0.3"]));
    assert_eq!(a("web.front."), found(&["10.0.0.4"]));
    assert_eq!(a("web.back.").0, ResponseCode::Refused);
}

#[test]
fn only_shared_networks_count() {
    assert_eq!(asked(&["back"], "web.", RecordType::A).0, ResponseCode::Refused);
    assert_eq!(asked(&["back"], "db.", RecordType::A), found(&["10.0.1.2"]));
    assert_eq!(asked(&[], "db.", RecordType::A).0, ResponseCode::Refused);
    assert_eq!(asked(&["front", "back"], "db.", RecordType::AAAA), found(&["fd00::1"]));
}

#[test]
fn a_name_without_this_type_is_no_missing_name() {
    assert_eq!(asked(&["front"], "web.", RecordType::AAAA), found(&[]));
    assert_eq!(asked(&["front"], "web.", RecordType::MX), found(&[]));
    assert_eq!(asked(&["back"], "db.", RecordType::ANY), found(&["10.0.1.2", "fd00::1"]));
    assert_eq!(asked(&["front"], "off.", RecordType::A), (ResponseCode::NXDomain, vec![]));
}

#[test]
fn reverse_look_ups() {
    let ptr = |name: &str| asked(&["front", "back"], name, RecordType::PTR);
    assert_eq!(ptr("4.0.0.10.in-addr.arpa."), found(&["p-web-1.front."]));
    assert_eq!(ptr("9.0.0.10.in-addr.arpa.").0, ResponseCode::Refused);
    let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.";
    assert_eq!(ptr(six), found(&["p-db-1.back."]));
}

#[test]
fn other_names_go_upstream_unless_all_networks_are_internal() {
    let mut open = view(&["front"]);
    open.upstream = Upstream::Host;
    assert_eq!(asked_as(&open, &query("example.com.", RecordType::A), Transport::Udp), Err(Verdict::Forward));
    let mut chaos = query("version.bind.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(asked_as(&open, &chaos, Transport::Udp), Err(Verdict::Forward));
    assert_eq!(
        asked_as(&open, &query("off.", RecordType::A), Transport::Udp).unwrap().metadata.response_code,
        ResponseCode::NXDomain
    );
    let reply = asked_as(&view(&["front"]), &query("example.com.", RecordType::A), Transport::Udp).unwrap();
    assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    assert!(!reply.metadata.recursion_available && reply.metadata.recursion_desired);
}

#[test]
fn what_is_no_plain_query() {
    let mut update = query("db.", RecordType::A);
    update.metadata.op_code = OpCode::Notify;
    let code = |message: &Message| {
        asked_as(&view(&["front"]), message, Transport::Udp).map(|reply| reply.metadata.response_code)
    };
    assert_eq!(code(&update), Ok(ResponseCode::NotImp));
    let mut two = query("db.", RecordType::A);
    two.queries.push(two.queries[0].clone());
    assert_eq!(code(&two), Ok(ResponseCode::FormErr));
    let mut reply = query("db.", RecordType::A);
    reply.metadata.message_type = MessageType::Response;
    assert_eq!(code(&reply), Err(Verdict::Drop));
}

fn crowd(count: u32) -> Table {
    let host = |number: u32| Host {
        network: "n".into(),
        name: format!("p-s-{number}"),
        names: vec!["s".into()],
        ipv4: Some(Ipv4Addr::from(0x0a00_0000 + number)),
        ipv6: None,
    };
    Table::new((1..=count).map(host))
}

#[test]
fn a_long_answer_is_cut_to_fit_and_says_so() {
    let ask = |edns: Option<u16>, transport| {
        let mut message = query("s.", RecordType::A);
        message.edns = edns.map(|size| {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            edns
        });
        let mut out = Vec::new();
        answer(&crowd(300), &view(&["n"]), (&message.to_vec().unwrap(), transport), 1, &mut out);
        let reply = Message::from_vec(&out).unwrap();
        (out.len(), reply.answers.len(), reply.metadata.truncation, reply.edns.is_some())
    };
    let (bytes, answers, cut, edns) = ask(None, Transport::Udp);
    assert!(bytes <= 512 && bytes > 490, "{bytes}");
    assert_eq!((answers, cut, edns), (30, true, false));
    let (bytes, answers, cut, edns) = ask(Some(1232), Transport::Udp);
    assert!(bytes <= 1232 && answers > 70 && cut && edns, "{bytes}");
    let (_, answers, cut, _) = ask(Some(65_535), Transport::Udp);
    assert!(answers < 300 && cut, "no more than 4096 bytes over UDP");
    assert_eq!(ask(None, Transport::Tcp).1, 300);
}

#[test]
fn replicas_take_turns_at_the_front() {
    let (table, message) = (crowd(3), query("s.", RecordType::A).to_vec().unwrap());
    let first = |seed| {
        let mut out = Vec::new();
        answer(&table, &view(&["n"]), (&message, Transport::Udp), seed, &mut out);
        match &Message::from_vec(&out).unwrap().answers[0].data {
            RData::A(address) => address.0,
            other => panic!("{other:?}"),
        }
    };
    let firsts: Vec<Ipv4Addr> = (0..300).map(first).collect();
    for address in crowd_addresses() {
        let share = firsts.iter().filter(|first| **first == address).count();
        assert!((60..=140).contains(&share), "{address}: {share} of 300");
    }
}

fn crowd_addresses() -> [Ipv4Addr; 3] {
    [1, 2, 3].map(|number| Ipv4Addr::from(0x0a00_0000_u32 + number))
}

#[test]
fn what_a_container_sees_follows_its_spec() {
    let endpoint = |network: &str| EndpointSpec {
        network: network.into(),
        aliases: vec!["p-web-1".into(), "web".into()],
        links: [("Store".to_owned(), "DB".to_owned())].into(),
        ipv4: Some(Ipv4Addr::new(10, 0, 0, 4)),
        ..EndpointSpec::default()
    };
    let mut spec = ContainerSpec {
        name: "p-web-1".into(),
        endpoints: vec![endpoint("in"), endpoint("out")],
        ..ContainerSpec::default()
    };
    let internal = |name: &crate::name::NetworkName| name.as_str() == "in";
    let seen = View::of(&spec, internal);
    assert_eq!((&seen.upstream, seen.links["store"].as_str()), (&Upstream::Host, "db"));
    spec.dns.servers = vec!["9.9.9.9".into()];
    assert_eq!(View::of(&spec, internal).upstream, Upstream::Servers(vec!["9.9.9.9:53".parse().unwrap()]));
    spec.endpoints.truncate(1);
    assert_eq!(View::of(&spec, internal).upstream, Upstream::Nobody);
    let id = ContainerId::new("0123456789ab".to_owned() + &"0".repeat(52));
    let hosts = Host::of(&id, &spec, true);
    assert_eq!(hosts[0].names, ["p-web-1", "web", "0123456789ab"]);
    let named = ContainerSpec { hostname: Some("phost".into()), ..spec.clone() };
    assert_eq!(Host::of(&id, &named, true)[0].names, ["p-web-1", "web", "0123456789ab", "phost"]);
    assert_eq!(Host::of(&id, &spec, false)[0].ipv4, None);
}

#[test]
fn resolv_conf_as_the_c_library_reads_it() {
    let text = "# no\nnameserver 127.0.0.53 ; stub\nnameserver fe80::1%eth9\nnameserver nonsense\nnameserver ::1\n\
                domain a\nsearch b c\noptions edns0 trust-ad\noptions ndots:2\n";
    let conf = ResolvConf::parse(text, |name| (name == "eth9").then_some(7));
    let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["127.0.0.53:53", "[fe80::1%7]:53", "[::1]:53"]);
    assert_eq!(
        (conf.search, conf.options),
        (vec!["b".into(), "c".into()], vec!["edns0".into(), "trust-ad".into(), "ndots:2".into()])
    );
}

#[test]
fn the_hosts_servers_are_read_again_when_the_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resolv.conf");
    let resolvers = HostResolvers::new(path.clone());
    let local: Vec<SocketAddr> = vec!["127.0.0.1:53".parse().unwrap()];
    assert_eq!(resolvers.servers(), local);
    std::fs::write(&path, "nameserver 1.1.1.1\n").unwrap();
    assert_eq!(resolvers.servers(), ["1.1.1.1:53".parse().unwrap()]);
    std::fs::write(folder.path().join("new"), "nameserver 9.9.9.9\n").unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(resolvers.servers(), ["9.9.9.9:53".parse().unwrap()]);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(resolvers.servers(), ["9.9.9.9:53".parse().unwrap()]);
}

proptest! {
    /// Any bytes: no panic, and what is said is a reply to the id that asked. A reply is never answered.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut out = Vec::new();
        for transport in [Transport::Udp, Transport::Tcp] {
            if answer(&table(), &view(&["front"]), (&bytes, transport), 7, &mut out) == Verdict::Reply {
                prop_assert_eq!(&out[..2], &bytes[..2]);
                prop_assert!(out[2] & 0x80 != 0 && bytes[2] & 0x80 == 0);
            }
            if failure(&bytes, &mut out) == Verdict::Reply {
                prop_assert!(out[2] & 0x80 != 0);
            }
        }
    }

    /// Whatever the seed, all replicas are there, each once.
    #[test]
    fn nobody_is_lost_in_shuffling(seed in any::<u64>(), count in 1u32..20) {
        let mut out = Vec::new();
        let message = query("s.", RecordType::A).to_vec().unwrap();
        answer(&crowd(count), &view(&["n"]), (&message, Transport::Tcp), seed, &mut out);
        let all: BTreeSet<String> = texts(&Message::from_vec(&out).unwrap()).into_iter().collect();
        prop_assert_eq!(all.len(), count as usize);
    }
}
