//! The host name and domain name of the container's own uts namespace.

use std::io;

use super::problem::{Step, doing};

/// Sets both.
pub(crate) fn set(host: &str, domain: Option<&str>) -> Step {
    nix::unistd::sethostname(host).map_err(doing(format!("set the host name {host}")))?;
    if let Some(domain) = domain {
        // SAFETY: the pointer and length are those of a live string, which the kernel copies.
        let result = unsafe { libc::setdomainname(domain.as_ptr().cast(), domain.len()) };
        if result != 0 {
            return Err(doing(format!("set the domain name {domain}"))(io::Error::last_os_error()));
        }
    }
    Ok(())
}
