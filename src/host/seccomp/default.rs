//! Docker's default profile as a table: which calls are allowed, to whom, with which arguments.
//!
//! Source: the facts of github.com/moby/profiles (2026), with what only other processors have left out. Among what is not
//! here, and so refused: io_uring, keyrings, new mounts, kexec, swap, userfaultfd.

use super::arch::Arch;
use super::profile::{Action, Compare, Condition, Profile, Rule, Scope};

/// Files, folders and their attributes.
const FILES: &str = "\
    access chdir chmod chown chown32 close close_range creat dup dup2 dup3 faccessat faccessat2 fanotify_mark fchdir \
    fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fgetxattr flistxattr flock fremovexattr \
    fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 ftruncate ftruncate64 futimesat getcwd getdents getdents64 \
    getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown lchown32 lgetxattr link \
    linkat listmount listxattr listxattrat llistxattr lremovexattr lsetxattr lstat lstat64 memfd_create memfd_secret \
    mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 readlink readlinkat removexattr \
    removexattrat rename renameat renameat2 rmdir setxattr setxattrat stat stat64 statfs statfs64 statmount statx \
    symlink symlinkat truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes";

/// Reading, writing and waiting for it.
const INPUT_AND_OUTPUT: &str = "\
    copy_file_range epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait \
    epoll_wait_old eventfd eventfd2 fadvise64 fadvise64_64 fallocate fdatasync fsync io_cancel io_destroy \
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl _llseek lseek _newselect poll ppoll \
    ppoll_time64 pread64 preadv preadv2 pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readv \
    select sendfile sendfile64 splice sync sync_file_range syncfs tee vmsplice write writev";

/// Memory.
const MEMORY: &str = "\
    brk cachestat madvise map_shadow_stack membarrier mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal \
    msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages";

/// Processes, threads, scheduling, limits.
const PROCESSES: &str = "\
    execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake \
    get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrandom getrlimit getrusage \
    getsid gettid ioprio_get ioprio_set landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open \
    prctl prlimit64 riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr \
    sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity \
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list set_thread_area \
    set_tid_address setpgid setpriority setrlimit setsid sysinfo ugetrlimit uname uretprobe vfork wait4 waitid \
    waitpid";

/// Users, groups, capabilities.
const IDENTITY: &str = "\
    capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 \
    getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups \
    setgroups32 setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32";

/// Signals, clocks, timers.
const SIGNALS_AND_TIME: &str = "\
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 \
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday kill nanosleep pause pidfd_send_signal \
    restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend \
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4 sigprocmask \
    sigreturn tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime \
    timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill";

/// Pipes, sockets, message queues, semaphores, shared memory.
const MESSAGES: &str = "\
    accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open \
    mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd \
    pipe pipe2 recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send \
    sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair";

/// Calls of one processor family.
const X86: &str = "arch_prctl modify_ldt";
const ARM: &str = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";

/// Calls that looking into other processes needs; open to all, since Linux 4.8 applies seccomp to a traced process's changes
/// too.
const TRACING: &str = "process_vm_readv process_vm_writev ptrace";

/// Calls that a capability opens.
const BY_CAPABILITY: [(&str, &str); 14] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules \
         lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname \
         sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
];

/// Socket families, first and last of each run: all but DECnet (12), Econet and ATM SVC (19, 20), IrDA (23), 25, IUCV (34),
/// CAIF (37), AF_ALG (38: CVE-2026-31431), vsock (40: it reaches the hypervisor's host), and what is newer than XDP and MCTP.
const FAMILIES: [(u64, u64); 8] = [(0, 11), (13, 18), (21, 22), (24, 24), (26, 33), (35, 36), (39, 39), (41, 45)];

/// Linux, its 32-bit-addresses and no-randomisation variants, and the question which it is.
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// `CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}`: no new namespaces without CAP_SYS_ADMIN.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

const EPERM: u16 = 1;
const ENOSYS: u16 = 38;

/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: as runc does where a profile names no flags; without it, kernels before 5.16 slow
/// every filtered process down by a mitigation that they since leave to the program.
pub(super) const SPECULATION_ALLOWED: u32 = 4;

/// The profile.
pub(super) fn profile() -> Profile {
    let everyone = [FILES, INPUT_AND_OUTPUT, MEMORY, PROCESSES, IDENTITY, SIGNALS_AND_TIME, MESSAGES, TRACING];
    let mut rules: Vec<Rule> = everyone.into_iter().map(allow).collect();
    rules.push(Rule { only: arches(&["amd64"]), ..allow(X86) });
    rules.push(Rule { only: arches(&["arm64"]), ..allow(ARM) });
    rules.extend(FAMILIES.map(|(first, last)| Rule { conditions: within(first, last), ..allow("socket") }));
    let personalities = PERSONALITIES.map(|value| vec![condition(Compare::Equal, value)]);
    rules.extend(personalities.map(|conditions| Rule { conditions, ..allow("personality") }));
    rules.extend(BY_CAPABILITY.map(|(name, calls)| Rule { only: capability(name), ..allow(calls) }));
    rules.extend(clones());
    Profile { otherwise: Action::Errno(EPERM), arches: Arch::ALL.to_vec(), rules, flags: SPECULATION_ALLOWED }
}

/// Threads and processes, but no namespaces. clone3's flags lie in memory, where no filter sees them: it "does not exist",
/// so that a C library goes on with clone.
fn clones() -> [Rule; 2] {
    let except = capability("CAP_SYS_ADMIN");
    let plain = vec![condition(Compare::Masked(NEW_NAMESPACES), 0)];
    [
        Rule { conditions: plain, except: except.clone(), ..allow("clone") },
        Rule { action: Action::Errno(ENOSYS), except, ..allow("clone3") },
    ]
}

fn allow(names: &str) -> Rule {
    Rule {
        names: names.split_whitespace().map(str::to_owned).collect(),
        action: Action::Allow,
        conditions: Vec::new(),
        only: Scope::default(),
        except: Scope::default(),
    }
}

fn arches(names: &[&str]) -> Scope {
    Scope { arches: names.iter().map(|name| (*name).to_owned()).collect(), ..Scope::default() }
}

fn capability(name: &str) -> Scope {
    Scope { capabilities: vec![name.to_owned()], ..Scope::default() }
}

fn within(first: u64, last: u64) -> Vec<Condition> {
    match (first, last) {
        (0, last) => vec![condition(Compare::LessOrEqual, last)],
        (first, last) if first == last => vec![condition(Compare::Equal, first)],
        _ => vec![condition(Compare::GreaterOrEqual, first), condition(Compare::LessOrEqual, last)],
    }
}

/// Of the first argument.
fn condition(compare: Compare, value: u64) -> Condition {
    Condition { argument: 0, compare, value }
}
