//! Filters are run by an evaluator of classic BPF; [`kernel`] installs some.

mod evaluate;
mod kernel;
mod profiles;

use super::arch::{Arch, X32_BIT};
use super::assemble::assemble;
use super::filter::{Situation, resolve};
use super::{Program, compile, default};
use crate::desired::Seccomp;
use evaluate::{Call, evaluate};

const ALLOW: &str = "allow";
const EPERM: &str = "errno 1";
const ENOSYS: &str = "errno 38";

/// The default filter of this machine for some capabilities.
fn filter(capabilities: &[&str]) -> Program {
    let capabilities: Vec<String> = capabilities.iter().map(|name| (*name).to_owned()).collect();
    compile(&Seccomp::Default, &capabilities).expect("a profile").expect("a filter")
}

/// The default filter of a machine, this one or another.
fn filter_of(native: Arch) -> Program {
    let profile = default::profile();
    let sections = resolve(&profile, &Situation { native, capabilities: &[], kernel: (5, 15) });
    assemble(&sections, profile.flags).expect("a filter")
}

/// The verdict on a call by name.
fn verdict(program: &Program, arch: Arch, name: &str, arguments: [u64; 6]) -> String {
    let number = *arch.numbers().get(name).unwrap_or_else(|| panic!("{arch:?} has {name}"));
    evaluate(program, &Call { number, audit: arch.audit(), arguments })
}

/// Those of this machine.
fn arches() -> Vec<Arch> {
    let native = Arch::NATIVE.expect("a table");
    std::iter::once(native).chain(native.companions().iter().copied()).collect()
}

/// Both kinds of machine with each way to call their kernel.
fn machines() -> impl Iterator<Item = (Arch, Arch)> {
    let both = [Arch::X86_64, Arch::Aarch64].into_iter();
    both.flat_map(|native| native.companions().iter().map(move |other| (native, *other)).chain([(native, native)]))
}

#[test]
fn calls_of_one_processor_are_open_on_it() {
    let rows = [
        (Arch::X86_64, Arch::X86_64, "arch_prctl"),
        (Arch::X86_64, Arch::X86, "modify_ldt"),
        (Arch::X86_64, Arch::X86, "socketcall"),
        (Arch::Aarch64, Arch::Arm, "cacheflush"),
        (Arch::Aarch64, Arch::Arm, "set_tls"),
    ];
    for (native, arch, name) in rows {
        assert_eq!(verdict(&filter_of(native), arch, name, [0; 6]), ALLOW, "{name}");
    }
    assert_eq!(verdict(&filter_of(Arch::Aarch64), Arch::X86_64, "read", [0; 6]), "kill process");
}

#[test]
fn every_call_has_the_verdict_of_the_profile_on_every_architecture() {
    const OPEN: &str = "read write openat execve mmap futex clock_gettime setuid ptrace seccomp pidfd_open mseal setxattrat \
                        landlock_restrict_self name_to_handle_at mknod memfd_secret rseq prctl capset";
    const SHUT: &str = "io_uring_setup io_uring_enter io_uring_register keyctl add_key request_key userfaultfd kexec_load \
                        swapon mount umount2 pivot_root setns unshare fsopen fsmount open_tree move_mount mount_setattr bpf \
                        perf_event_open init_module reboot chroot open_by_handle_at quotactl acct vhangup mbind nfsservctl \
                        process_madvise pidfd_getfd kcmp file_setattr open_tree_attr";
    for (native, arch) in machines() {
        let program = filter_of(native);
        let numbers = arch.numbers();
        for (names, expected) in [(OPEN, ALLOW), (SHUT, EPERM)] {
            for name in names.split_whitespace().filter(|name| numbers.contains_key(name)) {
                assert_eq!(verdict(&program, arch, name, [0; 6]), expected, "{name} of {arch:?}");
            }
        }
    }
}

#[test]
fn capabilities_open_what_is_theirs_and_nothing_else() {
    let rows = [
        ("SYS_ADMIN", "mount setns unshare clone3 bpf fsopen perf_event_open umount2 syslog"),
        ("SYS_CHROOT", "chroot"),
        ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
        ("DAC_READ_SEARCH", "open_by_handle_at"),
        ("SYS_NICE", "mbind set_mempolicy get_mempolicy"),
        ("SYS_TIME", "settimeofday clock_settime"),
        ("SYSLOG", "syslog"),
        ("BPF", "bpf"),
        ("PERFMON", "perf_event_open"),
        ("SYS_MODULE", "init_module finit_module delete_module"),
        ("SYS_BOOT", "reboot"),
        ("SYS_TTY_CONFIG", "vhangup"),
        ("SYS_PACCT", "acct"),
    ];
    let every: Vec<&str> = rows.iter().flat_map(|(_, names)| names.split(' ')).collect();
    for (capability, names) in rows {
        let program = filter(&[capability]);
        for name in &every {
            let open = names.split(' ').any(|own| own == *name);
            let closed = if *name == "clone3" { ENOSYS } else { EPERM };
            let expected = if open { ALLOW } else { closed };
            assert_eq!(verdict(&program, arches()[0], name, [0; 6]), expected, "{name} with {capability}");
        }
    }
}

#[test]
fn socket_families_are_docker_s() {
    let program = filter(&["SYS_ADMIN"]);
    let shut = [12, 19, 20, 23, 25, 34, 37, 38, 40];
    for arch in arches().into_iter().filter(|arch| arch.numbers().contains_key("socket")) {
        for family in 0..50u64 {
            let expected = if shut.contains(&family) || family > 45 { EPERM } else { ALLOW };
            assert_eq!(
                verdict(&program, arch, "socket", [family, 1, 0, 0, 0, 0]),
                expected,
                "family {family} of {arch:?}"
            );
        }
        // The high half counts: the kernel looks at the low one, but only a hand-made call has another.
        assert_eq!(verdict(&program, arch, "socket", [1 << 32 | 2, 1, 0, 0, 0, 0]), EPERM);
    }
}

#[test]
fn clone_makes_processes_and_no_namespaces() {
    const NEWUSER: u64 = 0x1000_0000;
    const THREAD: u64 = 0x3d_0f00;
    let (none, admin) = (filter(&[]), filter(&["CAP_SYS_ADMIN"]));
    for arch in arches() {
        for flags in [17, THREAD] {
            assert_eq!(verdict(&none, arch, "clone", [flags, 0, 0, 0, 0, 0]), ALLOW);
        }
        for flags in [NEWUSER, NEWUSER | 17, 0x2_0000, 0x4000_0000] {
            assert_eq!(verdict(&none, arch, "clone", [flags, 0, 0, 0, 0, 0]), EPERM);
            assert_eq!(verdict(&admin, arch, "clone", [flags, 0, 0, 0, 0, 0]), ALLOW);
        }
        assert_eq!(verdict(&none, arch, "clone3", [0; 6]), ENOSYS);
        assert_eq!(verdict(&admin, arch, "clone3", [0; 6]), ALLOW);
    }
}

#[test]
fn personalities_that_weaken_a_program_are_refused() {
    let program = filter(&[]);
    for value in [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff] {
        assert_eq!(verdict(&program, arches()[0], "personality", [value, 0, 0, 0, 0, 0]), ALLOW);
    }
    for value in [0x4_0000, 0x40_0000, 1 << 32] {
        assert_eq!(verdict(&program, arches()[0], "personality", [value, 0, 0, 0, 0, 0]), EPERM);
    }
}

#[test]
fn calls_that_are_newer_than_the_table_do_not_exist() {
    let program = filter(&[]);
    for arch in arches() {
        let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
        for number in [470, 500, 600, 1000] {
            let known = arch.numbers().values().any(|known| *known == bit | number);
            let found = evaluate(&program, &Call { number: bit | number, audit: arch.audit(), arguments: [0; 6] });
            assert!(known || found == ENOSYS, "{number} of {arch:?}: {found}");
        }
    }
}

#[test]
fn numbers_of_a_foreign_machine_end_the_process() {
    let program = filter(&[]);
    assert_eq!(evaluate(&program, &Call { number: 1, audit: 0x8000_0016, arguments: [0; 6] }), "kill process");
}

#[test]
fn numbers_are_those_of_the_c_library() {
    if let Some(native) = Arch::NATIVE {
        let numbers = native.numbers();
        let known = [
            ("read", libc::SYS_read),
            ("clone3", libc::SYS_clone3),
            ("seccomp", libc::SYS_seccomp),
            ("mseal", libc::SYS_mseal),
            ("openat2", libc::SYS_openat2),
            ("socket", libc::SYS_socket),
        ];
        for (name, number) in known {
            assert_eq!(numbers.get(name).copied().map(i64::from), Some(number), "{name}");
        }
    }
    let rows = [(Arch::X86, "socketcall", 102), (Arch::X86, "socket", 359), (Arch::Aarch64, "read", 63)];
    for (arch, name, number) in rows {
        assert_eq!(arch.numbers().get(name), Some(&number));
    }
    assert_eq!(Arch::X32.numbers().get("recvmsg"), Some(&(X32_BIT | 519)));
}

#[test]
fn a_filter_fits_and_can_be_sent() {
    let program = filter(&[]);
    assert!(program.instructions.len() < 2000, "{}", program.instructions.len());
    let text = serde_json::to_string(&program).expect("text");
    assert_eq!(serde_json::from_str::<Program>(&text).expect("a program"), program);
    assert_eq!(compile(&Seccomp::Unconfined, &[]).expect("none"), None);
}
