//! Name resolution inside containers: each finds, at 127.0.0.11, the names of those who share a network with it.
//!
//! ```text
//!  zone     who has which names on which network (Table), and what one container sees of that (View)    pure
//!  answer   a query and a view → a reply, or "ask somebody else"                                        pure
//!  resolv   resolv.conf: the host's own servers, read again when the file changes
//!  forward  asks these, from the host's network namespace: several servers, time-outs, TCP where UDP is cut
//!  server   the sockets of the containers; one task a container, no task for what is answered from the table
//! ```
//!
//! The sockets are made inside the container's network namespace by somebody else (kernel.md 4) and closed by
//! [`DnsServer::stop`], before anybody waits for that namespace to go.

mod answer;
mod forward;
mod resolv;
mod server;
#[cfg(test)]
mod tests;
mod zone;

pub use resolv::{HostResolvers, ResolvConf};
pub use server::{DnsServer, Sockets};
pub use zone::{Host, Table, Upstream, View};
