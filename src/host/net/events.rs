//! What others do to our links and rules: told by the kernel as it happens, so that it is mended at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use netlink_packet_route::RouteNetlinkMessage as Route;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::error::{Context, Result};
use super::firewall::is_ours;
use super::inside::{self, Attached};
use super::link::Link;
use super::machine::route_socket;
use super::netlink::{Netlink, is_own};
use super::nft::apply;
use super::nft::notice::RuleNotice;
use super::notice::Notice;
use super::{dnsredirect, link, sysctl};

/// Multicast groups of NETLINK_NETFILTER and NETLINK_ROUTE.
const NFTABLES: u32 = 7;
const LINK: u32 = 1;
const ADDRESS4: u32 = 5;
const ADDRESS6: u32 = 9;
const ROUTE4: u32 = 7;
const ROUTE6: u32 = 11;

/// So long whoever takes a route away inside a container has to put another in its place.
const SETTLED: Duration = Duration::from_secs(1);

/// So many bytes of messages may wait to be read.
const ROOM: usize = 8 << 20;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Another process has removed rules of ours: [`super::Net::republish_all`] puts them back.
    Rules,
    /// A link of this name, or some link where it is empty, has gone, is down, or is no longer a port of its bridge.
    Link(String),
    /// Somebody took an address off the bridge of this name.
    Address(String),
    /// Somebody took away a route to the bridge of this name.
    Route(String),
    /// Somebody changed rules that are not ours: another firewall may filter otherwise than before.
    Firewall,
    /// Another process of this world has put a link on a bridge: a container of another project may be on our networks.
    Joined(String),
}

/// The links that this process has made, and those that it takes away: of most changes of a link the kernel does not say whose
/// deed they were.
#[derive(Debug, Default)]
pub(crate) struct OwnLinks(Mutex<KnownLinks>);

#[derive(Debug, Default)]
struct KnownLinks {
    made: BTreeSet<String>,
    going: BTreeSet<String>,
    /// Those by their indexes: another link of the same name may be there before the end of one is told.
    doomed: BTreeSet<u32>,
    /// Links of the machine that networks stand on: of these too it is told when they go, and come again.
    parents: BTreeSet<String>,
}

impl OwnLinks {
    /// Before a link is made, or made a port of its bridge.
    pub fn making(&self, name: &str) {
        let mut known = self.lock();
        known.going.remove(name);
        known.made.insert(name.to_owned());
    }

    /// A network stands on a link.
    pub fn stands_on(&self, name: &str) {
        self.lock().parents.insert(name.to_owned());
    }

    fn is_parent(&self, name: &str) -> bool {
        self.lock().parents.contains(name)
    }

    /// Before links are removed.
    pub fn removing<'a>(&self, links: impl Iterator<Item = &'a Link>) {
        let mut known = self.lock();
        for link in links {
            known.made.remove(&link.name);
            known.going.insert(link.name.clone());
            known.doomed.insert(link.index);
        }
    }

    /// Before the kernel takes links of these names along with their network namespace.
    pub fn leaving<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut known = self.lock();
        for name in names {
            known.made.remove(name);
            known.going.insert(name.to_owned());
        }
    }

    /// Whether what is told of the link of this index is this process's own deed.
    fn explains(&self, event: &Event, index: Option<u32>) -> bool {
        let known = self.lock();
        if index.is_some_and(|index| known.doomed.contains(&index)) {
            return true;
        }
        match event {
            Event::Joined(name) => known.made.contains(name),
            Event::Link(name) | Event::Address(name) | Event::Route(name) => known.going.contains(name),
            Event::Rules | Event::Firewall => false,
        }
    }

    fn gone(&self, link: &Link) {
        let mut known = self.lock();
        // The name may be on its way out for another one already.
        if !known.doomed.remove(&link.index) {
            known.going.remove(&link.name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, KnownLinks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream of what happens in the network namespace of the process.
pub struct Events {
    rules: Source,
    links: Source,
    tables: [String; 2],
    group: u32,
    own: Arc<OwnLinks>,
    /// Rules of ours went in the transaction that is being told.
    lost: bool,
    /// Rules of others came or went in it.
    foreign: bool,
    /// The links of this world that do their work.
    plugged: BTreeSet<String>,
    /// The bridges among them, by their indexes.
    bridges: BTreeMap<u32, String>,
    /// Links that networks stand on, and that are gone.
    gone: BTreeSet<String>,
    /// What a packet of messages told beside the event that was handed out.
    waiting: VecDeque<Event>,
}

struct Source {
    netlink: Netlink,
    ready: AsyncFd<OwnedFd>,
}

impl Events {
    /// Begins to listen.
    pub(crate) fn open(tables: [String; 2], group: u32, own: Arc<OwnLinks>) -> Result<Self> {
        let netlink = Netlink::netfilter().context("listen to", "changes of rules")?;
        let rules = Source::open(netlink, &[NFTABLES]).context("listen to", "changes of rules")?;
        let netlink = Netlink::route().context("listen to", "changes of links")?;
        let links = Source::open(netlink, &[LINK, ADDRESS4, ADDRESS6, ROUTE4, ROUTE6])
            .context("listen to", "changes of links")?;
        let mut known = link::list(&mut route_socket()?).context("list", "links")?;
        known.retain(|link| link.group == group);
        let bridges = known.iter().filter(|link| link.bridge).map(|link| (link.index, link.name.clone())).collect();
        let plugged = known.into_iter().filter(is_plugged).map(|link| link.name).collect();
        let (waiting, gone) = (VecDeque::new(), BTreeSet::new());
        Ok(Self { rules, links, tables, group, own, lost: false, foreign: false, plugged, bridges, gone, waiting })
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
        if let Some(event) = self.waiting.pop_front() {
            return Ok(Some(event));
        }
        while let Some(messages) = self.rules.netlink.poll::<RuleNotice>().or_else(overrun).context("read", "rules")? {
            if messages.is_empty() {
                self.waiting.extend([Event::Rules, Event::Firewall]);
            }
            for (port, notice) in messages {
                self.rules_event(port, &notice);
            }
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
        }
        while let Some(messages) = self.links.netlink.poll::<Notice>().or_else(overrun).context("read", "links")? {
            if messages.is_empty() {
                return Ok(Some(Event::Link(String::new())));
            }
            for (port, notice) in messages {
                let event = self.link_event(is_own(port), notice);
                self.waiting.extend(event);
            }
            if let Some(event) = self.waiting.pop_front() {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// A transaction is told change by change, and its end by the new generation.
    fn rules_event(&mut self, port: u32, notice: &RuleNotice) {
        if notice.ends_transaction() {
            self.waiting.extend(std::mem::take(&mut self.lost).then_some(Event::Rules));
            self.waiting.extend(std::mem::take(&mut self.foreign).then_some(Event::Firewall));
        } else if !is_own(port) {
            self.foreign |= notice.changes_filters() && !is_ours(&notice.table);
            self.lost |= notice.removes() && self.tables.contains(&notice.table);
        }
    }

    /// What a message tells of a link of this world. Whoever changed it, what we know of it follows; only what others have
    /// done is told, as far as the kernel says whose deed it was ([`OwnLinks`] helps): an event too many does no harm.
    fn link_event(&mut self, own: bool, notice: Notice) -> Option<Event> {
        let index = notice.index();
        let event = match notice {
            Notice::DelLink(link) => {
                let stood_on = self.own.is_parent(&link.name) && self.gone.insert(link.name.clone());
                let lost = link.group == self.group || stood_on;
                self.plugged.remove(&link.name);
                self.bridges.remove(&link.index);
                let event = lost.then_some(Event::Link(link.name.clone()));
                let event = event.filter(|event| !self.own.explains(event, index));
                self.own.gone(&link);
                event
            }
            Notice::NewLink(link) => {
                let back = self.gone.remove(&link.name);
                if link.group != self.group {
                    return back.then_some(Event::Link(link.name));
                }
                if link.bridge {
                    self.bridges.insert(link.index, link.name.clone());
                }
                if is_plugged(&link) {
                    let new = self.plugged.insert(link.name.clone());
                    (new && !link.bridge).then_some(Event::Joined(link.name))
                } else {
                    self.plugged.remove(&link.name).then_some(Event::Link(link.name))
                }
            }
            // Of a bridge only: a link that becomes a port of one loses its own, and nobody needs them.
            Notice::DelAddress(index) => self.bridges.get(&index).cloned().map(Event::Address),
            Notice::DelRoute(index) => self.bridges.get(&index).cloned().map(Event::Route),
            Notice::Other => None,
        };
        event.filter(|event| !own && !self.own.explains(event, index))
    }
}

/// Whether a link does its work: a bridge that is up, or a port of one.
fn is_plugged(link: &Link) -> bool {
    link.up && (link.bridge || link.controller.is_some())
}

/// Watches the way to the name server inside a container that may change its own rules.
pub struct Redirect {
    rules: Source,
    /// A second socket there, to look with.
    netlink: Netlink,
    /// Something may have changed since the last look.
    changed: bool,
}

impl Redirect {
    /// Begins to watch a container's network namespace. Must be called inside the run time. It keeps the namespace alive.
    pub(crate) fn open(netns: BorrowedFd<'_>) -> Result<Self> {
        let object = "the rules of a container";
        let socket = || Netlink::netfilter().context("listen to", object);
        let (events, netlink) = sysctl::inside(netns, || Ok((socket()?, socket()?)))?;
        Ok(Self { rules: Source::open(events, &[NFTABLES]).context("listen to", object)?, netlink, changed: true })
    }

    /// Waits until it is gone. Cancel-safe.
    ///
    /// # Errors
    /// When a socket fails.
    pub async fn lost(&mut self) -> Result<()> {
        let object = "the rules of a container";
        loop {
            while self.rules.netlink.poll::<RuleNotice>().or_else(overrun).context("read", object)?.is_some() {
                self.changed = true;
            }
            let table = dnsredirect::table();
            if std::mem::take(&mut self.changed)
                && !apply::is_there(&mut self.netlink, &table).context("read", object)?
            {
                return Ok(());
            }
            self.rules.ready.readable().await.context("wait for", object)?.clear_ready();
        }
    }
}

/// Watches the routes inside a container that may not change them itself. What the host's own tools take away comes back;
/// what they put in the place of the way out stays.
pub struct Routes {
    events: Source,
    /// A second socket there, to look with.
    netlink: Netlink,
    links: Vec<Attached>,
    /// Something may have changed since the last look.
    changed: bool,
}

impl Routes {
    /// Begins to watch a container's network namespace. Must be called inside the run time. It keeps the namespace alive.
    pub(crate) fn open(netns: BorrowedFd<'_>, links: Vec<Attached>) -> Result<Self> {
        let object = "the routes of a container";
        let socket = || Netlink::strict_route().context("listen to", object);
        let (events, netlink) = sysctl::inside(netns, || Ok((socket()?, socket()?)))?;
        Ok(Self {
            events: Source::open(events, &[ROUTE4, ROUTE6]).context("listen to", object)?,
            netlink,
            links,
            changed: true,
        })
    }

    /// Waits until some are gone, and nobody has put others in their place.
    ///
    /// # Errors
    /// When a socket fails.
    pub async fn lost(&mut self) -> Result<()> {
        let object = "the routes of a container";
        loop {
            self.hear().context("read", object)?;
            if std::mem::take(&mut self.changed) && self.is_lost().context("read", object)? {
                // Scripts take a route away before they set another.
                tokio::time::sleep(SETTLED).await;
                self.hear().context("read", object)?;
                self.changed = false;
                if self.is_lost().context("read", object)? {
                    return Ok(());
                }
            }
            self.events.ready.readable().await.context("wait for", object)?.clear_ready();
        }
    }

    fn hear(&mut self) -> io::Result<()> {
        while let Some(messages) = self.events.netlink.poll::<Route>().or_else(overrun)? {
            self.changed |= messages.is_empty() || messages.iter().any(|(_, message)| is_loss(message));
        }
        Ok(())
    }

    fn is_lost(&mut self) -> io::Result<bool> {
        Ok(!inside::missing_routes(&mut self.netlink, &self.links)?.is_empty())
    }
}

/// Whether a route went, or another may have taken its place.
fn is_loss(message: &Route) -> bool {
    matches!(message, Route::DelRoute(_) | Route::NewRoute(_))
}

impl Source {
    fn open(mut netlink: Netlink, groups: &[u32]) -> io::Result<Self> {
        // Fifty containers that come or go at once tell more than the usual room holds; an overrun only costs a look.
        let _ = setsockopt(&netlink, RcvBufForce, &ROOM);
        groups.iter().try_for_each(|group| netlink.join(*group))?;
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
