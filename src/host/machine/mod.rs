//! This machine as the engine sees it: `observe`, and `apply` with a file an action.
//!
//! | file | what |
//! | --- | --- |
//! | [`observe`] | what exists, from the ledger and the kernel |
//! | [`create`], [`start`], [`stop`], [`remove`] | containers |
//! | [`sandbox`] | what a container has beside its process: shim, links, ports, names |
//! | [`adopt`] | taking over what a former supervisor left running |
//! | [`etc`] | the texts of /etc/hosts and /etc/resolv.conf |
//! | [`names`] | the table of the embedded name server |

mod adopt;
mod create;
mod error;
pub mod etc;
mod names;
pub mod observe;
mod remove;
mod sandbox;
mod start;
mod stop;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::{Mutex, Notify, RwLock};

use super::cgroup::Layout;
use super::container;
use super::image::Store;
use super::ledger;
use super::net::Net;
use super::net::dns::DnsServer;
use super::paths::Paths;
use super::volume;
use crate::desired::{Desired, HealthSpec};
use crate::engine::port::{HealthRecord, Host, HostError, ProbeResult};
use crate::name::{ContainerId, ProjectName};
use crate::observed::Observed;
use crate::plan::Action;

pub use error::MachineError;
use sandbox::Live;

/// One project's view of this machine. It lives in the project's supervisor; nobody else changes anything.
pub struct Machine {
    paths: Paths,
    project: ProjectName,
    layout: Layout,
    images: Store,
    net: Net,
    names: DnsServer,
    /// The containers that have a shim.
    live: RwLock<BTreeMap<ContainerId, Arc<Live>>>,
    /// One table of names at a time.
    naming: Mutex<()>,
    changed: Arc<Notify>,
    /// What shims and whoever enters a container run: a sealed copy of this program.
    executable: OwnedFd,
    cache: observe::Cache,
}
