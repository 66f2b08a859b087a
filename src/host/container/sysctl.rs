//! Which kernel parameters belong to a container's own namespaces; the others would change the host.

use crate::desired::{Namespaces, NetMode, NsMode};

/// Parameters of the ipc namespace.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// Why `key` may not be set in a container with `namespaces`; `None`: it may.
pub fn refusal(key: &str, namespaces: &Namespaces) -> Option<&'static str> {
    let key = key.replace('/', ".");
    if key.split('.').any(|part| part.is_empty()) {
        return Some("this is not the name of a kernel parameter");
    }
    if key.starts_with("net.") {
        let own = !matches!(namespaces.net, NetMode::Host);
        return (!own).then_some("a container with the host's network may not change the host's network parameters");
    }
    if IPC.contains(&key.as_str()) || key.starts_with("fs.mqueue.") {
        let own = namespaces.ipc != NsMode::Host;
        return (!own).then_some("a container with the host's ipc namespace may not change the host's parameters");
    }
    Some("only net.*, fs.mqueue.* and the kernel.msg*, kernel.sem and kernel.shm* parameters belong to a container")
}
