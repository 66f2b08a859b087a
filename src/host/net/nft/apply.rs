//! Putting a table in place: one atomic transaction, so that there is no moment without rules.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP};
use netlink_packet_netfilter::nftables::{
    NfTablesMessage, RuleAttribute, RuleMessage, SetElementList, SetElementMessage, TableFlags,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

use super::encode::{add_elements, contents, delete_elements, delete_table, new_table};
use super::notice::RuleNotice;
use super::{Family, Table};
use crate::host::net::netlink::Netlink;

/// The subsystem of nftables, which a batch names in its first and last message.
const NFTABLES: u16 = 10;

/// Replaces the whole table, whether it was there or not.
///
/// With `keep` the table belongs to this socket while that is open, so that `nft flush ruleset` of somebody else leaves it
/// alone, and stays when it is closed; on a kernel before 6.9 it is an ordinary table.
pub(crate) fn replace(netlink: &mut Netlink, table: &Table, keep: bool) -> io::Result<()> {
    let kept = TableFlags::Owner | TableFlags::Persisent;
    // First with the flags that an abandoned table of ours has; then over one without; then without, for old kernels.
    let attempts: &[(TableFlags, TableFlags)] = if keep {
        &[(kept, kept), (TableFlags::empty(), kept), (TableFlags::empty(), TableFlags::empty())]
    } else {
        &[(TableFlags::empty(), TableFlags::empty())]
    };
    let mut result = Ok(());
    for (before, after) in attempts {
        let mut messages =
            vec![new_table(&table.name, *before), delete_table(&table.name), new_table(&table.name, *after)];
        messages.extend(contents(table));
        result = commit(netlink, table.family, messages);
        match &result {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) => {}
            _ => return result,
        }
    }
    result
}

/// Changes the elements of the maps only. `old` must be what the kernel has, and have the same chains.
pub(crate) fn update(netlink: &mut Netlink, old: &Table, new: &Table) -> io::Result<()> {
    let mut messages = Vec::new();
    for (name, map) in &old.maps {
        let keep = new.maps.get(name).map(|map| &map.elements);
        let gone = map.elements.iter().filter(|(key, value)| keep.is_none_or(|keep| keep.get(*key) != Some(value)));
        messages.extend(delete_elements(&new.name, name, gone.map(|(key, _)| key)));
    }
    for (name, map) in &new.maps {
        let had = old.maps.get(name).map(|map| &map.elements);
        let fresh = map.elements.iter().filter(|(key, value)| had.is_none_or(|had| had.get(*key) != Some(value)));
        messages.extend(add_elements(&new.name, name, fresh));
    }
    if messages.is_empty() { Ok(()) } else { commit(netlink, new.family, messages) }
}

/// Removes a table; one that is gone already is no error.
pub(crate) fn remove(netlink: &mut Netlink, family: Family, name: &str) -> io::Result<()> {
    match commit(netlink, family, vec![delete_table(name)]) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// Whether two tables differ in the elements of their maps only.
pub(crate) fn same_shape(one: &Table, other: &Table) -> bool {
    one.name == other.name && one.chains == other.chains && one.maps.keys().eq(other.maps.keys())
}

/// Whether the kernel has the table with as many rules and elements as it should: nobody adds to ours or changes them one
/// by one, but they may be flushed.
pub(crate) fn is_there(netlink: &mut Netlink, table: &Table) -> io::Result<bool> {
    let name = table.name.clone();
    let rules = NfTablesMessage::GetRule(RuleMessage { attributes: vec![RuleAttribute::Table(name.clone())] });
    let wanted: usize = table.chains.iter().map(|chain| chain.rules.len()).sum();
    if netlink.ask_for::<_, RuleNotice>(message(table.family, rules), NLM_F_DUMP)?.len() != wanted {
        return Ok(false);
    }
    for (map, content) in &table.maps {
        let attributes = vec![SetElementList::Table(name.clone()), SetElementList::Set(map.clone())];
        let elements = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
        let found = match netlink.ask_for::<_, RuleNotice>(message(table.family, elements), NLM_F_DUMP) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
            other => other?.iter().map(|notice| notice.elements).sum::<usize>(),
        };
        if found != content.elements.len() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn message(family: Family, message: NfTablesMessage) -> NetfilterMessage {
    let family = match family {
        Family::Inet => NetfilterProtoFamily::Inet,
        Family::Ip => NetfilterProtoFamily::IPv4,
    };
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

/// Sends a transaction: all of it happens, or nothing.
fn commit(netlink: &mut Netlink, family: Family, messages: Vec<NfTablesMessage>) -> io::Result<()> {
    let edge =
        |message| NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES), message);
    let last = messages.len();
    let mut batch = vec![(edge(ControlMessage::BatchBegin), 0)];
    for (number, content) in (1..).zip(messages) {
        // One answer for all: the kernel reports every refusal anyway.
        let acknowledge = if number == last { NLM_F_ACK } else { 0 };
        let create = match content {
            NfTablesMessage::NewRule(_) => NLM_F_CREATE | NLM_F_APPEND,
            NfTablesMessage::DeleteTable(_) | NfTablesMessage::DeleteSetElement(_) => 0,
            _ => NLM_F_CREATE,
        };
        batch.push((message(family, content), create | acknowledge));
    }
    batch.push((edge(ControlMessage::BatchEnd), 0));
    netlink.batch(batch).map_err(|(_, error)| error)
}
