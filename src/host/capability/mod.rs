//! Capabilities: names, numbers, sets, and giving them up for good.

use std::fmt;
use std::io;

/// Names by number, without `CAP_` (linux/capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A name that is no capability.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no capability {name}{}", nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
pub struct Unknown {
    /// As it was written.
    pub name: String,
    /// The one that looks most like it.
    pub nearest: Option<&'static str>,
}

/// A set of capabilities; bit n is number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Set(u64);

/// The number of a capability, its name written with or without `CAP_`, in any case.
///
/// # Errors
/// When there is none of that name.
pub fn number(name: &str) -> Result<u8, Unknown> {
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let found = (0u8..).zip(NAMES).find(|(_, known)| *known == bare).map(|(number, _)| number);
    found.ok_or_else(|| {
        let near = |known: &&&str| strsim::jaro_winkler(known, bare);
        let nearest = NAMES.iter().max_by(|a, b| near(a).total_cmp(&near(b))).copied();
        Unknown { name: name.to_owned(), nearest: nearest.filter(|known| near(&known) > 0.8) }
    })
}

/// The name of a capability without `CAP_`; `None` for one that is newer than the table.
pub fn name(number: u8) -> Option<&'static str> {
    NAMES.get(usize::from(number)).copied()
}

impl Set {
    /// None.
    pub const NONE: Self = Self(0);

    /// From names.
    ///
    /// # Errors
    /// When one of them is no capability.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Self, Unknown> {
        names.iter().try_fold(Self::NONE, |set, name| Ok(Self(set.0 | 1 << number(name.as_ref())?)))
    }

    /// All that this kernel knows (`privileged`, `cap_add: ALL`), those that are newer than the table too.
    pub fn all() -> Self {
        Self((0..=last()).fold(0, |set, number| set | 1 << number))
    }

    /// Those of the calling process's bounding set: nobody can give away more than that.
    pub fn bounding() -> Self {
        // SAFETY: reads one number; no pointers.
        let has = |number: u8| unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) } == 1;
        Self((0..=last()).filter(|number| has(*number)).fold(0, |set, number| set | 1 << number))
    }

    /// Whether it holds this number.
    pub fn has(self, number: u8) -> bool {
        number < 64 && self.0 & (1 << number) != 0
    }

    /// What both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What this one holds and `other` does not.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it holds none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// `CHOWN SETUID …`, as /proc and the compose file number and name them.
impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for number in (0..64).filter(|number| self.has(*number)) {
            match name(number) {
                Some(name) => write!(f, "{between}{name}")?,
                None => write!(f, "{between}{number}")?,
            }
            between = " ";
        }
        Ok(())
    }
}

/// The highest capability of the running kernel, found by asking: /proc may not be mounted where this runs.
pub fn last() -> u8 {
    // SAFETY: reads one number; no pointers.
    let known = |number: u8| unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) } >= 0;
    (0..64).rev().find(|number| known(*number)).unwrap_or(0)
}

/// `struct __user_cap_header_struct` and `__user_cap_data_struct` of version 3.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

/// Takes everything but `set` out of the calling thread's bounding set, for ever: a setuid or capable file inside gives no
/// more than that. To be called before [`apply`], which gives up the right to. Nothing is allocated.
///
/// # Errors
/// What the kernel said.
pub fn limit(set: Set) -> io::Result<()> {
    for number in (0..=last()).filter(|number| !set.has(*number)) {
        // SAFETY: no pointers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Has the calling thread keep its permitted capabilities over the change to another user, so that [`apply`] can still
/// choose among them. execve(2) resets it.
///
/// # Errors
/// What the kernel said.
pub fn keep_over_setuid() -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) }.into())
}

/// Makes `set` the permitted and effective set of the calling thread; inheritable and ambient are empty, so that a program
/// run by another user than root has none (as docker does since CVE-2022-24769). Nothing is allocated.
///
/// # Errors
/// What the kernel said: EPERM where `set` holds more than the thread has.
pub fn apply(set: Set) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) }.into())?;
    #[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
    let data =
        [set.0 as u32, (set.0 >> 32) as u32].map(|half| Data { effective: half, permitted: half, inheritable: 0 });
    let header = Header { version: VERSION, pid: 0 };
    // SAFETY: the kernel reads a header and, for version 3, two data words; both live through the call.
    check(unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), data.as_ptr()) })
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
