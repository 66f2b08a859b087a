//! Takes away what the process may not have: capabilities, system calls, its old identity.

use super::super::sys;
use super::problem::{Problem, Step, doing};
use super::user::Identity;
use crate::desired::SecuritySpec;
use crate::host::capability::{self, Set};
use crate::host::seccomp::{self, Program};

/// What is left to the process.
pub(crate) struct Rights<'a> {
    capabilities: Set,
    filter: Option<&'a Program>,
    no_new_privileges: bool,
}

/// Works out what `security` leaves; `filter` is the system call filter that goes with it.
pub(crate) fn of<'a>(security: &SecuritySpec, filter: Option<&'a Program>) -> Step<Rights<'a>> {
    let capabilities = if security.privileged {
        Set::all()
    } else {
        Set::from_names(&security.capabilities).map_err(|unknown| Problem::new(unknown.to_string()))?
    };
    Ok(Rights { capabilities, filter, no_new_privileges: security.no_new_privileges })
}

/// Becomes `identity` with `rights` and nothing else.
///
/// Without no_new_privs installing a filter needs CAP_SYS_ADMIN, so it comes before the capabilities go; with it, last,
/// so that the filter need not allow what is done here.
pub(crate) fn drop_to(identity: &Identity, rights: &Rights<'_>) -> Step {
    // What this process lacks itself it can't give.
    let capabilities = rights.capabilities.and(Set::bounding());
    capability::limit(capabilities).map_err(doing("limit the capabilities"))?;
    let install = |filter: &Program| seccomp::install(filter).map_err(doing("install the system call filter"));
    if let (Some(filter), false) = (rights.filter, rights.no_new_privileges) {
        install(filter)?;
    }
    become_user(identity)?;
    // Another user than root has none, as docker has it; the bounding set says what a setuid program may get. Inheritable
    // and ambient sets are empty for all (CVE-2022-24769, CVE-2022-29162).
    let own = if identity.uid == 0 { capabilities } else { Set::NONE };
    capability::apply(own).map_err(doing("set the capabilities"))?;
    if rights.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map_err(doing("set no_new_privs"))?;
        if let Some(filter) = rights.filter {
            install(filter)?;
        }
    }
    Ok(())
}

fn become_user(identity: &Identity) -> Step {
    let groups: Vec<_> = identity.groups.iter().map(|group| nix::unistd::Gid::from_raw(*group)).collect();
    let (uid, gid) = (nix::unistd::Uid::from_raw(identity.uid), nix::unistd::Gid::from_raw(identity.gid));
    nix::unistd::setgroups(&groups).map_err(doing("set the supplementary groups"))?;
    nix::unistd::setresgid(gid, gid, gid).map_err(doing(format!("become group {gid}")))?;
    nix::unistd::setresuid(uid, uid, uid).map_err(doing(format!("become user {uid}")))
}
