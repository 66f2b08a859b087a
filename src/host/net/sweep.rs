//! Sweeping: what is there and nobody claims, after a crash or a kill.

use std::collections::BTreeSet;
use std::io;

use netlink_packet_netfilter::nftables::{NfTablesMessage, TableAttribute, TableMessage};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use super::error::{Context, Result};
use super::machine::{Machine, route_socket};
use super::netlink::Netlink;
use super::nft::{Family, apply};
use super::{link, parent};
use crate::name::ContainerId;

/// Removes the records of containers that are not in `known`, links of this world that no record claims, and tables of
/// projects that publish nothing. Returns what was removed, for the user.
///
/// `known` is asked after the endpoints were read: a container stands in its project's list before it has any.
pub(crate) fn sweep(
    machine: &Machine,
    known: impl FnOnce() -> io::Result<BTreeSet<ContainerId>>,
) -> Result<Vec<String>> {
    let strays: BTreeSet<ContainerId> = {
        let _lock = machine.records.lock()?;
        let all: Vec<ContainerId> =
            machine.records.all_endpoints()?.into_iter().map(|endpoint| endpoint.container).collect();
        let known = known().context("list", "the containers")?;
        all.into_iter().filter(|container| !known.contains(container)).collect()
    };
    let mut told: Vec<String> = strays.iter().map(|stray| format!("links of container {}", stray.short())).collect();
    machine.detach(&strays.into_iter().collect::<Vec<_>>())?;
    let _lock = machine.records.lock()?;
    told.extend(links(machine)?);
    told.extend(tables(machine)?);
    Ok(told)
}

fn links(machine: &Machine) -> Result<Vec<String>> {
    let mut claimed = BTreeSet::new();
    for record in machine.records.networks()? {
        if let Some(parent) = record.spec.driver.parent() {
            claimed.extend([parent.name().to_owned(), parent::far_end(parent.name())]);
        }
        claimed.insert(record.spec.bridge);
    }
    claimed.extend(machine.records.all_endpoints()?.into_iter().map(|endpoint| endpoint.attached.link));
    let mut netlink = route_socket()?;
    let mut doomed = link::list(&mut netlink).context("list", "links")?;
    doomed.retain(|link| link::is_of(link.group, machine.group) && !claimed.contains(&link.name));
    let indexes: Vec<u32> = doomed.iter().map(|link| link.index).collect();
    link::remove_all(&mut netlink, &indexes, machine.group).context("remove", "links that nobody claims")?;
    Ok(doomed.into_iter().map(|link| format!("link {}", link.name)).collect())
}

fn tables(machine: &Machine) -> Result<Vec<String>> {
    let mut netlink = Netlink::netfilter().context("open", "a netfilter socket")?;
    let tables = list_tables(&mut netlink)?;
    // After that: what is published is recorded before its table is made.
    let endpoints = machine.records.all_endpoints()?;
    let publishes = |project: &str| {
        endpoints.iter().any(|endpoint| endpoint.project.as_str() == project && !endpoint.published.is_empty())
    };
    let mut told = Vec::new();
    for table in tables {
        if machine.names.project_of(&table).is_some_and(|project| !publishes(project)) {
            apply::remove(&mut netlink, Family::Inet, &table).context("remove the table", &table)?;
            told.push(format!("table {table}"));
        }
    }
    Ok(told)
}

fn list_tables(netlink: &mut Netlink) -> Result<Vec<String>> {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0);
    let request = NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() });
    let found = netlink.dump(NetfilterMessage::new(header, request)).context("list", "tables")?;
    let name = |message: NetfilterMessage| match message.inner {
        NetfilterMessageInner::NfTables(NfTablesMessage::NewTable(table)) => {
            table.attributes.into_iter().find_map(|attribute| match attribute {
                TableAttribute::Name(name) => Some(name),
                _ => None,
            })
        }
        _ => None,
    };
    Ok(found.into_iter().filter_map(name).collect())
}
