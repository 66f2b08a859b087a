//! What the kernel tells of nftables, read as far as it matters here: of which table, and how many elements. The packet
//! library writes out the text of an error for each expression before it knows of one, which was a tenth of all that a
//! supervisor did while a stack came up.

use netlink_packet_core::{DecodeError, NetlinkDeserializable, NetlinkHeader, NlasIterator};

/// Length of the fixed part of a message (`struct nfgenmsg`).
const HEAD: usize = 4;
/// `NFNL_SUBSYS_NFTABLES` (linux/netfilter/nfnetlink.h), which the upper half of a message's type names.
const NFTABLES: u16 = 10;
/// `NFTA_TABLE_NAME`, and the same number of chains, rules and elements (linux/netfilter/nf_tables.h).
const TABLE: u16 = 1;
/// `NFTA_SET_ELEM_LIST_ELEMENTS`.
const ELEMENTS: u16 = 3;

/// A message about nftables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleNotice {
    /// `NFT_MSG_…`; `None`: of another subsystem.
    kind: Option<i32>,
    /// The table that it is about.
    pub table: String,
    /// How many elements it lists.
    pub elements: usize,
}

impl RuleNotice {
    /// A transaction is over.
    pub fn ends_transaction(&self) -> bool {
        self.kind == Some(libc::NFT_MSG_NEWGEN)
    }

    /// Whether a table, a chain or a rule came or went. Elements of sets come and go all the time (those that a firewall
    /// bans, say), and decide nothing about what a chain does with the rest.
    pub fn changes_filters(&self) -> bool {
        let came = [libc::NFT_MSG_NEWTABLE, libc::NFT_MSG_NEWCHAIN, libc::NFT_MSG_NEWRULE];
        let went = [libc::NFT_MSG_DELTABLE, libc::NFT_MSG_DELCHAIN, libc::NFT_MSG_DELRULE];
        self.kind.is_some_and(|kind| came.contains(&kind) || went.contains(&kind))
    }

    /// Whether something of the table was removed.
    pub fn removes(&self) -> bool {
        let went = [libc::NFT_MSG_DELTABLE, libc::NFT_MSG_DELCHAIN, libc::NFT_MSG_DELRULE, libc::NFT_MSG_DELSETELEM];
        self.kind.is_some_and(|kind| went.contains(&kind))
    }
}

impl NetlinkDeserializable for RuleNotice {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let [subsystem, kind] = header.message_type.to_be_bytes();
        let mut notice = Self { kind: None, table: String::new(), elements: 0 };
        if u16::from(subsystem) != NFTABLES {
            return Ok(notice);
        }
        notice.kind = Some(kind.into());
        if notice.ends_transaction() {
            return Ok(notice);
        }
        let attributes = payload.get(HEAD..).ok_or_else(|| DecodeError::from("a message that is cut short"))?;
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute?;
            match attribute.kind() {
                TABLE => {
                    let bytes = attribute.value().split(|byte| *byte == 0).next().unwrap_or_default();
                    notice.table = String::from_utf8_lossy(bytes).into_owned();
                }
                ELEMENTS => notice.elements = NlasIterator::new(attribute.value()).filter(Result::is_ok).count(),
                _ => {}
            }
        }
        Ok(notice)
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{NetlinkMessage, NetlinkPayload, NetlinkSerializable as _};
    use netlink_packet_netfilter::nftables::{
        NfTablesMessage, RuleAttribute, RuleMessage, TableAttribute, TableMessage,
    };
    use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterProtoFamily};

    use super::*;

    fn read(message: NfTablesMessage) -> RuleNotice {
        let message = NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::Inet, 0, 0), message);
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::InnerMessage(message));
        message.finalize();
        RuleNotice::deserialize(&message.header, &bytes).expect("read")
    }

    #[test]
    fn a_rule_that_goes_is_told_with_its_table() {
        let attributes = vec![RuleAttribute::Table("windlass-x".into()), RuleAttribute::Chain("forward".into())];
        let notice = read(NfTablesMessage::DeleteRule(RuleMessage { attributes: attributes.clone() }));
        assert_eq!(notice.table, "windlass-x");
        assert!(notice.removes() && notice.changes_filters() && !notice.ends_transaction());
        let notice = read(NfTablesMessage::NewRule(RuleMessage { attributes }));
        assert!(!notice.removes() && notice.changes_filters());
        let attributes = vec![TableAttribute::Name("filter".into())];
        let notice = read(NfTablesMessage::NewTable(TableMessage { attributes }));
        assert_eq!(notice.table, "filter");
    }

    #[test]
    fn other_subsystems_tell_nothing_and_what_is_cut_short_is_refused() {
        let mut header = NetlinkHeader::default();
        header.message_type = 1 << 8;
        let notice = RuleNotice::deserialize(&header, &[]).expect("read");
        assert!(!notice.removes() && !notice.changes_filters() && !notice.ends_transaction());
        header.message_type = NFTABLES << 8;
        assert!(RuleNotice::deserialize(&header, &[0; 3]).is_err());
    }
}
