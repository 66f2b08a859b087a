//! System calls that neither nix nor rustix offer in the form needed here.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Turns the result of a raw system call into an [`io::Result`].
pub(crate) fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `struct clone_args` of clone3(2), up to `cgroup` (88 bytes, Linux 5.7).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// linux/sched.h; libc's constant has too narrow a type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What [`clone3`] returned, in the parent and in the child.
pub(crate) enum Cloned {
    /// This is the new process.
    Child,
    /// This is the old one.
    Parent {
        /// The new process, in this process's pid namespace.
        pid: i32,
        /// The new process, for good.
        pidfd: OwnedFd,
    },
}

/// clone3(2) like fork, with namespaces `flags`, straight into the v2 cgroup `cgroup` where there is one.
///
/// # Safety
/// The caller must be single-threaded: the child goes on with a copy of this thread only, so a lock that another
/// thread holds (the allocator's) would stay locked in the child for ever.
pub(crate) unsafe fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: args lives over the call and has the size that is named; without CLONE_VM the child has a copy of all
    // memory, and the caller vouches for there being no other thread.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, mem::size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: CLONE_PIDFD stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { pid: pid as i32, pidfd })
}

/// Puts the calling thread into the namespace (or, for a pidfd, the namespaces `kinds`) that `fd` stands for.
pub(crate) fn setns(fd: BorrowedFd<'_>, kinds: libc::c_int) -> io::Result<()> {
    // SAFETY: plain system call on a borrowed descriptor.
    check(unsafe { libc::setns(fd.as_raw_fd(), kinds) }.into()).map(drop)
}

/// Gives the calling thread new namespaces.
pub(crate) fn unshare(kinds: libc::c_int) -> io::Result<()> {
    // SAFETY: only namespace flags are passed by the callers, never CLONE_FILES.
    check(unsafe { libc::unshare(kinds) }.into()).map(drop)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
#[derive(Default, Clone, Copy)]
pub(crate) struct MountAttr {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED` or 0.
    pub propagation: u64,
    /// For id-mapped mounts; not used.
    pub userns: u64,
}

/// mount_setattr(2) on the mount that `fd` stands for, and on those below it when `recursive`.
pub(crate) fn mount_setattr(fd: BorrowedFd<'_>, recursive: bool, attr: MountAttr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, attr lives over the call and has the size that is named.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            mem::size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Closes every descriptor from `first` on but those of `keep`.
///
/// # Safety
/// No owner of one of them may be used, or dropped, after this.
pub(crate) unsafe fn close_from(first: u32, keep: [BorrowedFd<'_>; 2]) -> io::Result<()> {
    // Descriptors are no negative numbers.
    let mut keep = keep.map(|fd| fd.as_raw_fd().cast_unsigned());
    keep.sort_unstable();
    let mut from = first;
    for end in keep.into_iter().chain([u32::MAX]) {
        if from < end {
            // SAFETY: plain system call; the caller vouches for the owners.
            check(unsafe { libc::syscall(libc::SYS_close_range, from, end - 1, 0) })?;
        }
        from = from.max(end.saturating_add(1));
    }
    Ok(())
}

/// Marks every descriptor from `first` on as closed at exec.
pub(crate) fn close_from_on_exec(first: u32) -> io::Result<()> {
    // SAFETY: plain system call; no descriptor is closed now, so no owner is cheated.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Opens a pidfd on `pid`.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain system call; the result is a new descriptor that nobody else owns.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Sends `signal` to the process of `pidfd`.
pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: plain system call on a borrowed descriptor; no siginfo is passed.
    check(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}

/// Whether the process of `pidfd` has ended; never blocks.
pub(crate) fn pidfd_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut poll = [nix::poll::PollFd::new(pidfd, nix::poll::PollFlags::POLLIN)];
    matches!(nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO), Ok(1..))
}

/// prctl(2) with number arguments.
pub(crate) fn prctl(option: libc::c_int, a: libc::c_ulong, b: libc::c_ulong) -> io::Result<libc::c_int> {
    // SAFETY: the callers pass options whose arguments are numbers, never pointers.
    check(unsafe { libc::prctl(option, a, b, 0, 0) }.into()).map(|value| value as libc::c_int)
}

/// Duplicates `fd` onto the descriptor number `target`, which stays open over exec.
pub(crate) fn dup_onto(fd: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == target {
        // dup2 onto itself keeps FD_CLOEXEC.
        // SAFETY: plain fcntl on an open descriptor.
        return check(unsafe { libc::fcntl(target, libc::F_SETFD, 0) }.into()).map(drop);
    }
    // SAFETY: only 0, 1 and 2 are passed, which no OwnedFd of this process owns.
    check(unsafe { libc::dup2(fd.as_raw_fd(), target) }.into()).map(drop)
}

/// A duplicate of `fd`, closed at exec.
pub(crate) fn dup(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}

/// Sets the default action for every signal and unblocks all: exec passes on what is ignored, and Rust ignores SIGPIPE.
pub(crate) fn reset_signals() {
    // All zeros: SIG_DFL, no flags. The C library's own call leaves out the two signals that it uses itself.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the structure has the kernel's size (handler, flags, restorer, a mask of 8 bytes) and lives over the
        // call; the default action runs no code of ours. KILL and STOP are refused, harmlessly.
        unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8);
        }
    }
    // SAFETY: the set is initialised by sigemptyset before use.
    unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ends this process at once, running no destructor and no exit handler (a cloned child shares them with its parent).
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit never returns and touches no memory of ours.
    unsafe { libc::_exit(code) }
}

/// Start time of a process in clock ticks since boot (field 22 of /proc/PID/stat): with the pid, its identity.
pub(crate) fn start_ticks(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in brackets and may itself hold brackets and spaces: count from the last bracket.
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19))
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat has no start time")))
}

/// Registers `fd` with the async runtime of this task.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd always names the same open descriptor, and nothing replaces or closes it while AsyncFd owns it.
    unsafe { tokio::io::unix::AsyncFd::register(fd) }.map_err(io::Error::from)
}
