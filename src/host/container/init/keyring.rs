//! A session keyring of its own: keyrings know no namespaces, and the caller's keys would be readable inside.

use std::io;

use super::problem::{Problem, Step};

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Joins a new anonymous session keyring; where the kernel has none, or a filter of an outer container forbids it,
/// there is nothing to share either.
pub(crate) fn join() -> Step {
    let none = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for a new anonymous keyring; no memory is touched.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, none) };
    if result >= 0 {
        return Ok(());
    }
    let cause = io::Error::last_os_error();
    match cause.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM) => Ok(()),
        Some(libc::EDQUOT) => Err(Problem::new(
            "make a session keyring: the key quota is used up; raise the sysctl kernel.keys.root_maxkeys",
        )),
        _ => Err(Problem::new(format!("make a session keyring: {cause}"))),
    }
}
