//! Takes away what the process may not have: capabilities, system calls, its old identity.

use std::io;
use std::str::FromStr;

use super::problem::{Problem, Step, doing};
use super::user::Identity;
use super::super::bundle::Filter;
use super::super::sys;
use crate::desired::SecuritySpec;

const SECCOMP_SET_MODE_FILTER: libc::c_long = 1;
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Becomes `identity` with the capabilities of `security` under the filter.
///
/// Without no_new_privs installing a filter needs CAP_SYS_ADMIN, so it comes before the capabilities go; with it, last,
/// so that the filter need not allow what is done here.
pub(crate) fn drop_to(identity: &Identity, security: &SecuritySpec, filter: Option<&Filter>) -> Step {
    let filter = filter.map(|filter| Ok((decode(&filter.code)?, filter.flags))).transpose()?;
    let wanted = capability_set(security)?;
    drop_bounding(wanted)?;
    if let (Some((filter, flags)), false) = (&filter, security.no_new_privileges) {
        install(filter, *flags)?;
    }
    become_user(identity)?;
    set_capabilities(wanted)?;
    if security.no_new_privileges {
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map_err(doing("set no_new_privs"))?;
        if let Some((filter, flags)) = &filter {
            install(filter, *flags)?;
        }
    }
    Ok(())
}

/// The wanted capabilities as bits.
fn capability_set(security: &SecuritySpec) -> Step<u64> {
    if security.privileged {
        return Ok(u64::MAX);
    }
    let mut set = 0;
    for name in &security.capabilities {
        let full = format!("CAP_{}", name.strip_prefix("CAP_").unwrap_or(name));
        let capability = caps::Capability::from_str(&full)
            .map_err(|_| Problem::new(format!("there is no capability named `{name}`")))?;
        set |= 1 << capability.index();
    }
    Ok(set)
}

/// Removes from the bounding set what is not wanted: no setuid program and no file capability brings it back.
fn drop_bounding(wanted: u64) -> Step {
    for number in 0..64 {
        if wanted & (1 << number) != 0 {
            continue;
        }
        match sys::prctl(libc::PR_CAPBSET_DROP, number, 0) {
            Ok(_) => {}
            // The kernel's last capability is passed.
            Err(cause) if cause.raw_os_error() == Some(libc::EINVAL) => break,
            Err(cause) => return Err(doing(format!("drop capability {number}"))(cause)),
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

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Permitted and effective become what is wanted of what is there; inheritable and ambient empty (CVE-2022-24769,
/// CVE-2022-29162: otherwise a file with inheritable capabilities gives them to any user).
fn set_capabilities(wanted: u64) -> Step {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: header and data have the layout of version 3 (two entries) and live over the call.
    sys::check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })
        .map_err(doing("read the capabilities"))?;
    for (index, entry) in data.iter_mut().enumerate() {
        let wanted = (wanted >> (32 * index)) as u32;
        entry.permitted &= wanted;
        entry.effective = entry.permitted;
        entry.inheritable = 0;
    }
    // SAFETY: as above.
    sys::check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })
        .map_err(doing("set the capabilities"))?;
    sys::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong, 0)
        .map_err(doing("clear the ambient capabilities"))
        .map(drop)
}

fn decode(text: &str) -> Step<Vec<libc::sock_filter>> {
    let bad = || Problem::new("the system call filter is damaged");
    let digits = text.as_bytes();
    if digits.is_empty() || digits.len() % 16 != 0 {
        return Err(bad());
    }
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).map_err(|_| bad())?;
        u8::from_str_radix(text, 16).map_err(|_| bad())
    };
    let bytes = digits.chunks(2).map(byte).collect::<Step<Vec<_>>>()?;
    Ok(bytes
        .chunks_exact(8)
        .map(|part| libc::sock_filter {
            code: u16::from_ne_bytes([part[0], part[1]]),
            jt: part[2],
            jf: part[3],
            k: u32::from_ne_bytes([part[4], part[5], part[6], part[7]]),
        })
        .collect())
}

fn install(filter: &[libc::sock_filter], flags: u32) -> Step {
    let length = u16::try_from(filter.len()).map_err(|_| Problem::new("the system call filter is too long"))?;
    let program = libc::sock_fprog { len: length, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program points to `length` live instructions, which the kernel copies and checks.
    sys::check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) })
        .map_err(|cause: io::Error| Problem::new(format!("install the system call filter: {cause}")))
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_survives_its_text_form() {
        let filter = Filter::new([(0x20, 0, 0, 4), (0x15, 1, 255, 0xc000_003e)], 0);
        let back = decode(&filter.code).unwrap();
        assert_eq!(back.len(), 2);
        assert_eq!((back[1].code, back[1].jt, back[1].jf, back[1].k), (0x15, 1, 255, 0xc000_003e));
        assert!(decode("zz").is_err());
        assert!(decode("").is_err());
    }

    #[test]
    fn capabilities_are_known_by_name() {
        let security = SecuritySpec { capabilities: vec!["CHOWN".into(), "CAP_KILL".into()], ..Default::default() };
        assert_eq!(capability_set(&security).unwrap(), 1 | 1 << 5);
        let security = SecuritySpec { capabilities: vec!["NONE_SUCH".into()], ..Default::default() };
        assert!(capability_set(&security).is_err());
    }
}
