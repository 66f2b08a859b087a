//! Other people's rules: read, never written.
//!
//! A drop in any table is final, so a foreign chain can undo what ours allow. A packet of each kind is walked through the foreign
//! chains in thought; what a rule asks of it that we can't tell is taken not to hold.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Hook, HookNumber, InetHookNumber, NfTablesMessage, RuleAttribute, RuleMessage,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use super::foreign::{Action, Rule, read_rule};
use super::netlink::Netlink;
use super::rules::Relayed;
use super::sysctl;
use crate::desired::NetworkSpec;

/// Jumps are followed so deep; the kernel itself allows 16.
const DEPTH: usize = 16;

/// The tables of others that filter what is forwarded or comes in.
#[derive(Debug, Default)]
pub(crate) struct Firewall {
    tables: BTreeMap<TableName, ForeignTable>,
}

/// A table's family and name.
pub(crate) type TableName = (FamilyName, String);

/// The families of tables that see IP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FamilyName {
    Ip,
    Ip6,
    Inet,
}

#[derive(Debug, Default)]
struct ForeignTable {
    bases: Vec<Base>,
    chains: BTreeMap<String, Vec<Rule>>,
}

#[derive(Debug)]
struct Base {
    name: String,
    hook: InetHookNumber,
    drops: bool,
}

/// A packet in thought: the first of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Packet<'a> {
    pub ipv4: bool,
    /// The link it comes in by; `None`: one that nobody names.
    pub iif: Option<&'a str>,
    /// The link it leaves by.
    pub oif: Option<&'a str>,
    /// Its destination was rewritten by a published port.
    pub translated: bool,
}

/// Whether a table is of some world of windlass.
pub(crate) fn is_ours(table: &str) -> bool {
    table == "windlass" || table.starts_with("windlass-") || table.starts_with("windlass.")
}

impl Firewall {
    /// Reads every table but those of windlass.
    pub fn read() -> io::Result<Self> {
        let mut netlink = Netlink::netfilter()?;
        let mut firewall = Self::default();
        let chains = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
        for message in netlink.dump(request(NetfilterProtoFamily::Unspec, chains))? {
            firewall.add_chain(message);
        }
        firewall.tables.retain(|_, table| !table.bases.is_empty());
        let names: Vec<TableName> = firewall.tables.keys().cloned().collect();
        for (family, name) in names {
            let rules = NfTablesMessage::GetRule(RuleMessage { attributes: vec![RuleAttribute::Table(name.clone())] });
            for message in netlink.dump(request(family.number(), rules))? {
                if let (NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)), Some(table)) =
                    (message.inner, firewall.tables.get_mut(&(family, name.clone())))
                    && let Some((chain, rule)) = read_rule(rule)
                {
                    table.chains.entry(chain).or_default().push(rule);
                }
            }
        }
        Ok(firewall)
    }

    fn add_chain(&mut self, message: NetfilterMessage) {
        let Some(family) = FamilyName::of(message.header.family) else { return };
        let NetfilterMessageInner::NfTables(NfTablesMessage::NewChain(chain)) = message.inner else { return };
        let (mut table, mut name, mut hook, mut drops, mut filters) =
            (String::new(), String::new(), None, false, false);
        for attribute in chain.attributes {
            match attribute {
                ChainAttribute::Table(text) => table = text,
                ChainAttribute::Name(text) => name = text,
                ChainAttribute::Policy(policy) => drops = policy == 0,
                ChainAttribute::Type(kind) => filters = kind == "filter",
                ChainAttribute::Hook(parts) => {
                    hook = parts.into_iter().find_map(|part| match part {
                        Hook::Number(HookNumber::Inet(number)) => Some(number),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
        if is_ours(&table) {
            return;
        }
        let table = self.tables.entry((family, table)).or_default();
        table.chains.entry(name.clone()).or_default();
        if let Some(hook) =
            hook.filter(|hook| filters && matches!(hook, InetHookNumber::Forward | InetHookNumber::LocalIn))
        {
            table.bases.push(Base { name, hook, drops });
        }
    }

    /// For which families a foreign chain filters what comes in from outside.
    pub fn filters_input(&self) -> Relayed {
        let filters = |ipv4| {
            let packet = Packet { ipv4, iif: None, oif: None, translated: false };
            !self.blockers(InetHookNumber::LocalIn, &packet).is_empty()
        };
        Relayed { ipv4: filters(true), ipv6: filters(false) }
    }

    /// What the user must know about ports that are published past a chain that filters what comes in.
    pub fn relay_note(&self) -> Option<String> {
        let packet = |ipv4| Packet { ipv4, iif: None, oif: None, translated: false };
        let mut found = self.blockers(InetHookNumber::LocalIn, &packet(true));
        found.extend(self.blockers(InetHookNumber::LocalIn, &packet(false)));
        let ((family, table), chain) = found.into_iter().next()?;
        let family = family.word();
        Some(format!(
            "chain {chain} of the firewall's table {family} {table} filters what comes in: published ports that are not bound \
             to 127.0.0.1 go through a relay, so that it decides who reaches them"
        ))
    }

    /// What the user must know of foreign chains that would drop the traffic of a network: which, and what opens them.
    pub fn warnings(&self, network: &NetworkSpec) -> Vec<String> {
        let blockers: BTreeSet<(TableName, String)> =
            packets(network).iter().flat_map(|packet| self.blockers(InetHookNumber::Forward, packet)).collect();
        blockers.into_iter().map(|(table, chain)| self.warning(network, &table, &chain)).collect()
    }

    fn warning(&self, network: &NetworkSpec, table: &TableName, chain: &str) -> String {
        let (family, name) = (table.0.word(), &table.1);
        let command = self.command(&network.bridge, table, chain);
        format!(
            "network {}: chain {chain} of the firewall's table {family} {name} drops its traffic; this opens it: {command}",
            network.name
        )
    }

    /// What opens a chain for a bridge: interface accepts only, so that the firewall's own tools go on understanding it.
    pub(crate) fn command(&self, bridge: &str, table: &TableName, chain: &str) -> String {
        let has = |test: &dyn Fn(&str) -> bool| {
            self.tables.get(table).is_some_and(|table| table.chains.keys().any(|name| test(name)))
        };
        // All our bridges at once where the syntax allows it; their links are only ever reached through them.
        let all = |star: &str| if bridge.starts_with("wl-") { format!("wl-{star}") } else { bridge.to_owned() };
        let iptables = |chain: &str| {
            let (tool, link) = (if table.0 == FamilyName::Ip6 { "ip6tables" } else { "iptables" }, all("+"));
            format!("{tool} -I {chain} -i {link} -j ACCEPT && {tool} -I {chain} -o {link} -j ACCEPT")
        };
        if table.1 == "firewalld" {
            format!("firewall-cmd --permanent --zone=trusted --add-interface={bridge} && firewall-cmd --reload")
        } else if has(&|name| name.starts_with("ufw")) {
            format!("ufw route allow in on {bridge} && ufw route allow out on {bridge}")
        } else if has(&|name| name == "DOCKER-USER") {
            iptables("DOCKER-USER")
        } else if table.1 == "filter" && chain == "FORWARD" {
            iptables("FORWARD")
        } else {
            let at = format!("{} {} {chain}", table.0.word(), table.1);
            let link = all("*");
            format!(
                "nft insert rule {at} iifname '\"{link}\"' accept && nft insert rule {at} oifname '\"{link}\"' accept"
            )
        }
    }

    /// The base chains that drop a packet.
    fn blockers(&self, hook: InetHookNumber, packet: &Packet<'_>) -> Vec<(TableName, String)> {
        let mut found = Vec::new();
        for (name, table) in self.tables.iter().filter(|((family, _), _)| family.sees(packet.ipv4)) {
            for base in table.bases.iter().filter(|base| base.hook == hook) {
                let accepted = table.walk(&base.name, packet, DEPTH).unwrap_or(!base.drops);
                if !accepted {
                    found.push((name.clone(), base.name.clone()));
                }
            }
        }
        found
    }
}

impl ForeignTable {
    /// Whether the rules of a chain accept or drop a packet; `None`: they let it fall through.
    fn walk(&self, chain: &str, packet: &Packet<'_>, depth: usize) -> Option<bool> {
        for rule in self.chains.get(chain)?.iter().filter(|rule| rule.holds_for(packet)) {
            match &rule.action {
                Action::Accept => return Some(true),
                Action::Drop => return Some(false),
                Action::Return => return None,
                Action::Jump(next) | Action::Goto(next) if depth > 0 => {
                    let verdict = self.walk(next, packet, depth - 1);
                    if verdict.is_some() || matches!(rule.action, Action::Goto(_)) {
                        return verdict;
                    }
                }
                Action::Jump(_) | Action::Goto(_) | Action::None => {}
            }
        }
        None
    }
}

/// The packets that a network lives on: out, in to a published port, and under br_netfilter between its containers.
fn packets(network: &NetworkSpec) -> Vec<Packet<'_>> {
    let bridge = Some(network.bridge.as_str());
    let families: BTreeSet<bool> = network.subnets.iter().map(|subnet| subnet.address.is_ipv4()).collect();
    let mut packets = Vec::new();
    for ipv4 in families {
        if !network.internal {
            packets.push(Packet { ipv4, iif: bridge, oif: None, translated: false });
            packets.push(Packet { ipv4, iif: None, oif: bridge, translated: true });
        }
        let key = if ipv4 { "bridge/bridge-nf-call-iptables" } else { "bridge/bridge-nf-call-ip6tables" };
        if network.icc && sysctl::read(key).is_ok_and(|value| value == "1") {
            packets.push(Packet { ipv4, iif: bridge, oif: bridge, translated: false });
        }
    }
    packets
}

fn request(family: NetfilterProtoFamily, message: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

impl FamilyName {
    fn of(family: NetfilterProtoFamily) -> Option<Self> {
        match family {
            NetfilterProtoFamily::IPv4 => Some(Self::Ip),
            NetfilterProtoFamily::IPv6 => Some(Self::Ip6),
            NetfilterProtoFamily::Inet => Some(Self::Inet),
            _ => None,
        }
    }

    fn number(self) -> NetfilterProtoFamily {
        match self {
            Self::Ip => NetfilterProtoFamily::IPv4,
            Self::Ip6 => NetfilterProtoFamily::IPv6,
            Self::Inet => NetfilterProtoFamily::Inet,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
        }
    }

    fn sees(self, ipv4: bool) -> bool {
        match self {
            Self::Ip => ipv4,
            Self::Ip6 => !ipv4,
            Self::Inet => true,
        }
    }
}
