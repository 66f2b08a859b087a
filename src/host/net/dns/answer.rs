//! A query and what its sender sees → a reply, or "ask somebody else". Pure.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::zone::{Table, Upstream, View};

/// Seconds that an answer may be kept. Docker says 600, and clients that believe it speak to the address of a replica that
/// is long gone.
const TTL: u32 = 5;

/// What a reply over UDP may hold when the query says nothing of it (RFC 1035), and at most (RFC 6891; loopback has no MTU
/// to speak of, but clients' buffers do).
const UDP_MIN: u16 = 512;
const UDP_MAX: u16 = 4096;

/// Bytes of a header, of an EDNS record, and of an answer of either family whose name is a pointer.
const HEADER: usize = 12;
const OPT: usize = 11;
const POINTER_RECORD: usize = 12;

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Replies have a limit.
    Udp,
    /// Replies have none to speak of.
    Tcp,
}

/// What is to be done with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send what was written.
    Reply,
    /// Pass the query on.
    Forward,
    /// It is no query: say nothing.
    Drop,
}

/// Answers a query; the reply is written over what is in `out`. `seed` decides the order of several addresses.
pub fn answer(
    table: &Table,
    view: &View,
    (query, transport): (&[u8], Transport),
    seed: u64,
    out: &mut Vec<u8>,
) -> Verdict {
    let Ok(request) = Message::from_vec(query) else { return malformed(query, out) };
    if request.metadata.message_type != MessageType::Query {
        return Verdict::Drop;
    }
    let mut reply = reply_to(&request, view);
    let question = match (request.metadata.op_code, request.queries.as_slice()) {
        (OpCode::Query, [question]) => question,
        (OpCode::Query, _) => return write(reply, ResponseCode::FormErr, out),
        _ => return write(reply, ResponseCode::NotImp, out),
    };
    let code = match resolve(table, view, question, seed) {
        Found::Records(records) => {
            reply.answers = records;
            ResponseCode::NoError
        }
        Found::Nobody => ResponseCode::NXDomain,
        Found::Elsewhere if view.upstream == Upstream::Nobody => ResponseCode::Refused,
        Found::Elsewhere => return Verdict::Forward,
    };
    if transport == Transport::Udp {
        cut(&mut reply, &request, question);
    }
    write(reply, code, out)
}

/// A reply without answers: somebody else was to be asked, and did not answer.
pub fn failure(query: &[u8], out: &mut Vec<u8>) -> Verdict {
    match Message::from_vec(query) {
        Ok(request) => {
            let view = View { upstream: Upstream::Host, ..View::default() };
            write(reply_to(&request, &view), ResponseCode::ServFail, out)
        }
        Err(_) => malformed(query, out),
    }
}

enum Found {
    /// None at all where the name has no record of this type.
    Records(Vec<Record>),
    /// The name is one of ours, but nobody has it now.
    Nobody,
    /// The name is not one of ours.
    Elsewhere,
}

fn resolve(table: &Table, view: &View, question: &Query, seed: u64) -> Found {
    if !matches!(question.query_class(), DNSClass::IN | DNSClass::ANY) {
        return Found::Elsewhere;
    }
    let name = question.name();
    if question.query_type() == RecordType::PTR
        && let Some(address) = single_address(name)
    {
        let owner = view.owner(table, address).and_then(|owner| Name::from_ascii(format!("{owner}.")).ok());
        return match owner {
            Some(owner) => Found::Records(vec![Record::from_rdata(name.clone(), TTL, RData::PTR(PTR(owner)))]),
            None => Found::Elsewhere,
        };
    }
    let Some(addresses) = lower(name).and_then(|name| view.addresses(table, &name)) else { return Found::Elsewhere };
    if addresses.ipv4.is_empty() && addresses.ipv6.is_empty() {
        return Found::Nobody;
    }
    let record = |data| Record::from_rdata(name.clone(), TTL, data);
    let mut records: Vec<Record> = match question.query_type() {
        RecordType::A => addresses.ipv4.into_iter().map(|address| record(RData::A(A(address)))).collect(),
        RecordType::AAAA => addresses.ipv6.into_iter().map(|address| record(RData::AAAA(AAAA(address)))).collect(),
        RecordType::ANY => {
            let all = addresses.ipv4.into_iter().map(|address| RData::A(A(address)));
            all.chain(addresses.ipv6.into_iter().map(|address| RData::AAAA(AAAA(address)))).map(record).collect()
        }
        _ => Vec::new(),
    };
    shuffle(&mut records, seed);
    Found::Records(records)
}

/// The address that a whole `in-addr.arpa` or `ip6.arpa` name stands for.
fn single_address(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

/// A name in lower case without the dot at its end; `None` where a label holds what no name of ours can.
fn lower(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name.iter() {
        let label = std::str::from_utf8(label).ok().filter(|label| label.is_ascii() && !label.contains('.'))?;
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.chars().map(|letter| letter.to_ascii_lowercase()));
    }
    Some(text)
}

/// Fisher and Yates, so that the replicas share the load.
fn shuffle<T>(list: &mut [T], mut seed: u64) {
    for last in (1..list.len()).rev() {
        // splitmix64: one step a draw, and any seed is a good one.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(last + 1).unwrap_or(u64::MAX);
        list.swap(last, usize::try_from((mixed ^ (mixed >> 31)) % bound).unwrap_or(0));
    }
}

fn reply_to(request: &Message, view: &View) -> Message {
    let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    reply.metadata.recursion_available = view.upstream != Upstream::Nobody;
    reply.queries.clone_from(&request.queries);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_MAX);
        reply.edns = Some(edns);
    }
    reply
}

/// Leaves away the answers that a reply over UDP has no room for, and says so: the client asks again over TCP. Those that
/// fit stay, for clients that never do.
fn cut(reply: &mut Message, request: &Message, question: &Query) {
    let limit = request.edns.as_ref().map_or(UDP_MIN, |edns| edns.max_payload().clamp(UDP_MIN, UDP_MAX));
    let opt = if request.edns.is_some() { OPT } else { 0 };
    let mut room = usize::from(limit).saturating_sub(HEADER + question.name().len() + 1 + 4 + opt);
    let mut fitting = 0;
    for record in &reply.answers {
        let size = POINTER_RECORD
            + match &record.data {
                RData::A(_) => 4,
                RData::AAAA(_) => 16,
                RData::PTR(name) => name.0.len() + 1,
                _ => 0,
            };
        if size > room {
            break;
        }
        room -= size;
        fitting += 1;
    }
    if fitting < reply.answers.len() {
        reply.answers.truncate(fitting);
        reply.metadata.truncation = true;
    }
}

fn write(mut reply: Message, code: ResponseCode, out: &mut Vec<u8>) -> Verdict {
    reply.metadata.response_code = code;
    reply.metadata.authoritative = matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    out.clear();
    let written = reply.emit(&mut BinEncoder::new(out));
    if written.is_ok() { Verdict::Reply } else { Verdict::Drop }
}

/// What cannot be read, but has a query's header, is told so; the rest is not answered, so that nobody can be made to talk
/// to himself.
fn malformed(query: &[u8], out: &mut Vec<u8>) -> Verdict {
    let (Some(id), Some(flags)) = (query.first_chunk::<2>(), query.get(2)) else { return Verdict::Drop };
    if query.len() < HEADER || flags & 0x80 != 0 {
        return Verdict::Drop;
    }
    let reply = Message::response(u16::from_be_bytes(*id), OpCode::Query);
    write(reply, ResponseCode::FormErr, out)
}
