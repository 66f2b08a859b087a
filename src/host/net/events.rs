//! What others do to our links and rules: told by the kernel as it happens, so that it is mended at once.

use std::io;
use std::os::fd::AsFd;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, NfTablesMessage, RuleAttribute, SetElementList, TableAttribute,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};
use netlink_packet_route::RouteNetlinkMessage as Route;
use netlink_packet_route::link::LinkAttribute;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::{Context, Result};
use super::netlink::{Netlink, is_own};

/// Multicast groups of NETLINK_NETFILTER and NETLINK_ROUTE.
const NFTABLES: u32 = 7;
const LINK: u32 = 1;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another process has removed rules of ours: [`super::Net::republish_all`] puts them back.
    Rules,
    /// A link of this name, or some link where it is empty, has gone.
    LinkGone(String),
}

/// The stream of what happens in the network namespace of the process.
pub struct Events {
    rules: Source,
    links: Source,
    tables: [String; 2],
    group: u32,
    /// Rules of ours went in the transaction that is being told.
    lost: bool,
}

struct Source {
    netlink: Netlink,
    ready: AsyncFd<std::os::fd::OwnedFd>,
}

impl Events {
    /// Begins to listen.
    pub(crate) fn open(tables: [String; 2], group: u32) -> Result<Self> {
        let rules = Source::open(Netlink::netfilter(), NFTABLES).context("listen to", "changes of rules")?;
        let links = Source::open(Netlink::route(), LINK).context("listen to", "changes of links")?;
        Ok(Self { rules, links, tables, group, lost: false })
    }

    /// Waits for the next event. Cancel-safe.
    ///
    /// # Errors
    /// When a socket fails.
    pub async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.look()? {
                return Ok(event);
            }
            tokio::select! {
                ready = self.rules.ready.readable() => ready.map(|mut ready| ready.clear_ready()),
                ready = self.links.ready.readable() => ready.map(|mut ready| ready.clear_ready()),
            }
            .context("wait for", "changes of the network")?;
        }
    }

    /// What has come in already.
    fn look(&mut self) -> Result<Option<Event>> {
        while let Some(messages) =
            self.rules.netlink.poll::<NetfilterMessage>().or_else(overrun).context("read", "rules")?
        {
            if messages.is_empty() {
                return Ok(Some(Event::Rules));
            }
            for (port, message) in messages {
                if self.rules_lost(port, message.inner) {
                    return Ok(Some(Event::Rules));
                }
            }
        }
        while let Some(messages) = self.links.netlink.poll::<Route>().or_else(overrun).context("read", "links")? {
            if messages.is_empty() {
                return Ok(Some(Event::LinkGone(String::new())));
            }
            if let Some(name) = messages.into_iter().find_map(|(_, message)| self.link_gone(message)) {
                return Ok(Some(Event::LinkGone(name)));
            }
        }
        Ok(None)
    }

    /// A transaction is told change by change, and its end by the new generation.
    fn rules_lost(&mut self, port: u32, message: NetfilterMessageInner) -> bool {
        match message {
            NetfilterMessageInner::NfTables(NfTablesMessage::NewGen(_)) => std::mem::take(&mut self.lost),
            NetfilterMessageInner::NfTables(message) if !is_own(port) => {
                self.lost |= removed_from(message).is_some_and(|table| self.tables.contains(&table));
                false
            }
            _ => false,
        }
    }

    fn link_gone(&self, message: Route) -> Option<String> {
        let Route::DelLink(message) = message else { return None };
        let ours = message.attributes.contains(&LinkAttribute::Group(self.group));
        message.attributes.into_iter().filter(|_| ours).find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        })
    }
}

impl Source {
    fn open(netlink: io::Result<Netlink>, group: u32) -> io::Result<Self> {
        let mut netlink = netlink?;
        netlink.join(group)?;
        let descriptor = netlink.as_fd().try_clone_to_owned()?;
        // SAFETY: the AsyncFd owns this descriptor, which nobody else closes or changes.
        let ready = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }?;
        Ok(Self { netlink, ready })
    }
}

/// More happened than the socket could hold: something of ours may have been among it.
fn overrun<M>(error: io::Error) -> io::Result<Option<Vec<(u32, M)>>> {
    if error.raw_os_error() == Some(libc::ENOBUFS) { Ok(Some(Vec::new())) } else { Err(error) }
}

/// The table from which a message tells that something was removed.
fn removed_from(message: NfTablesMessage) -> Option<String> {
    match message {
        NfTablesMessage::DeleteTable(table) => table.attributes.into_iter().find_map(|attribute| match attribute {
            TableAttribute::Name(name) => Some(name),
            _ => None,
        }),
        NfTablesMessage::DeleteChain(chain) => chain.attributes.into_iter().find_map(|attribute| match attribute {
            ChainAttribute::Table(name) => Some(name),
            _ => None,
        }),
        NfTablesMessage::DeleteRule(rule) => rule.attributes.into_iter().find_map(|attribute| match attribute {
            RuleAttribute::Table(name) => Some(name),
            _ => None,
        }),
        NfTablesMessage::DeleteSetElement(elements) => {
            elements.attributes.into_iter().find_map(|attribute| match attribute {
                SetElementList::Table(name) => Some(name),
                _ => None,
            })
        }
        _ => None,
    }
}
