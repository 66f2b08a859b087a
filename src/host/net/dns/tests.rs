#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::net::{Ipv4Addr, SocketAddr};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::*;
use crate::desired::{ContainerSpec, EndpointSpec};
use crate::name::ContainerId;

mod pure;
mod serving;

/// Two replicas of `db` and one `web` on `front`; `db` alone on `back`, where IPv6 is; `off` is known and does not run.
fn table() -> Table {
    let host = |network: &str, name: &str, names: &[&str], last: u8| Host {
        network: network.into(),
        name: name.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ipv4: (last > 0).then(|| Ipv4Addr::new(10, 0, u8::from(network == "back"), last)),
        ipv6: (network == "back").then(|| "fd00::1".parse().unwrap()),
    };
    Table::new([
        host("front", "p-db-1", &["p-db-1", "db", "Store"], 2),
        host("front", "p-db-2", &["p-db-2", "db"], 3),
        host("front", "p-web-1", &["p-web-1", "web", "0123456789ab"], 4),
        host("front", "p-off-1", &["p-off-1", "off"], 0),
        host("back", "p-db-1", &["p-db-1", "db"], 2),
    ])
}

fn view(networks: &[&str]) -> View {
    View {
        networks: networks.iter().map(|name| (*name).into()).collect(),
        links: [("store2".to_owned(), "db".to_owned())].into(),
        upstream: Upstream::Nobody,
    }
}

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

/// The answers of a reply as sorted text.
fn texts(reply: &Message) -> Vec<String> {
    let text = |record: &hickory_proto::rr::Record| match &record.data {
        RData::A(address) => address.0.to_string(),
        RData::AAAA(address) => address.0.to_string(),
        RData::PTR(name) => name.0.to_string(),
        other => format!("{other:?}"),
    };
    let mut texts: Vec<String> = reply.answers.iter().map(text).collect();
    texts.sort();
    texts
}
