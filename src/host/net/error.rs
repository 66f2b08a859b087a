//! What can go wrong with networks, links, rules and ports.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::owner::Owner;
use crate::desired::Protocol;
use crate::host::record::RecordError;
use crate::name::{ContainerId, NetworkName};

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The kernel refused something by netlink.
    #[error("cannot {operation} {object}")]
    Kernel {
        /// What was tried.
        operation: &'static str,
        /// On what.
        object: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A record on disk can't be written or read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A name that cannot be the name of a folder.
    #[error("`{0}` is no usable network name: letters, digits, `_`, `.` and `-`, beginning with a letter or digit")]
    Name(NetworkName),
    /// No record of this network.
    #[error("network `{0}` does not exist; create it first")]
    Missing(NetworkName),
    /// Another network of this name stands in the way.
    #[error("network `{network}` exists with other settings ({difference}); remove it first")]
    Different {
        /// The network.
        network: NetworkName,
        /// Which setting differs.
        difference: &'static str,
    },
    /// The name of the bridge is taken by a link that is not ours.
    #[error(
        "network `{network}` cannot have the bridge `{bridge}`: a link of this name exists and is not windlass's; \
         remove it or choose another name"
    )]
    BridgeTaken {
        /// The network.
        network: NetworkName,
        /// The link's name.
        bridge: String,
    },
    /// The link that a network is to stand on is not there.
    #[error(
        "network `{network}` stands on link `{parent}`, and this machine has none of that name: name one that `ip link` \
         shows under `driver_opts.parent`"
    )]
    NoParent {
        /// The network.
        network: NetworkName,
        /// The link.
        parent: String,
    },
    /// The kernel was built without a driver.
    #[error("network `{network}` needs the kernel's driver `{driver}`, which it does not have (`modprobe {driver}`)")]
    NoDriver {
        /// The network.
        network: NetworkName,
        /// `macvlan` or `ipvlan`.
        driver: String,
    },
    /// Others stand on the parent in a way that does not go with this network.
    #[error(
        "network `{network}` cannot have a link of driver `{driver}` on `{parent}`: one link carries either macvlans or ipvlans, \
         and beside a `passthru` nothing"
    )]
    ParentInUse {
        /// The network.
        network: NetworkName,
        /// `macvlan` or `ipvlan`.
        driver: String,
        /// The link.
        parent: String,
    },
    /// Containers are still on it.
    #[error("network `{network}` still has {} on it; it goes away with the last of them", endpoints(containers))]
    Busy {
        /// The network.
        network: NetworkName,
        /// Those containers.
        containers: Vec<ContainerId>,
    },
    /// The endpoint's address is not of the network.
    #[error("the address {address} is in no subnet of network `{network}`")]
    Address {
        /// The network.
        network: NetworkName,
        /// The address.
        address: IpAddr,
    },
    /// A hardware address that cannot be read.
    #[error("`{0}` is no hardware address of six bytes (02:42:ac:11:00:02)")]
    Mac(String),
    /// A port is in use.
    #[error("port {port}/{protocol} on {address} is already in use{}", owner_text(owner))]
    PortTaken {
        /// The address on the host.
        address: IpAddr,
        /// The port; the first of the range where none of it is free.
        port: u16,
        /// tcp or udp.
        protocol: Protocol,
        /// Who has it, if that can be seen.
        owner: Option<Box<Owner>>,
    },
    /// A range of ports without a free one.
    #[error("no port from {first} to {last}/{protocol} on {address} is free")]
    RangeTaken {
        /// The address on the host.
        address: IpAddr,
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
        /// tcp or udp.
        protocol: Protocol,
    },
    /// The address to publish on is not this machine's.
    #[error("cannot publish on {0}: no link of this machine has that address")]
    NotLocal(IpAddr),
    /// The rules of a project are held by another process.
    #[error("the rules of table `{table}` are held by another windlass process; stop that one first")]
    TableHeld {
        /// The table.
        table: String,
    },
    /// A container without a network that can be published on.
    #[error("container {0} publishes ports but is on no network that has a way out")]
    Unpublishable(ContainerId),
    /// The relay did not start or does not answer.
    #[error("the relay for the published ports of project `{project}` does not work")]
    Relay {
        /// The project.
        project: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The result of a network operation.
pub type Result<T> = std::result::Result<T, NetError>;

impl NetError {
    /// The kernel says that an address is in use.
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self, Self::Kernel { source, .. } if source.raw_os_error() == Some(libc::EADDRINUSE))
    }
}

fn endpoints(containers: &[ContainerId]) -> String {
    match containers {
        [one] => format!("container {}", one.short()),
        many => {
            let names: Vec<&str> = many.iter().map(ContainerId::short).collect();
            format!("{} containers ({})", many.len(), names.join(", "))
        }
    }
}

fn owner_text(owner: &Option<Box<Owner>>) -> String {
    owner.as_ref().map(|owner| format!(" by {owner}")).unwrap_or_default()
}

/// Puts the operation and the object to an error of the kernel.
pub(crate) trait Context<T> {
    /// For netlink and other calls.
    fn context(self, operation: &'static str, object: impl Into<String>) -> Result<T>;
    /// For files.
    fn at(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, operation: &'static str, object: impl Into<String>) -> Result<T> {
        self.map_err(|source| NetError::Kernel { operation, object: object.into(), source })
    }

    fn at(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| NetError::File { operation, path: path.into(), source })
    }
}
