//! The default filter on a real process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::super::install;
use super::filter;

/// The errno of each call, made by a child under the default filter; 0: it went through.
fn tried(capabilities: &[&str], calls: &'static [(libc::c_long, [libc::c_long; 3])]) -> Vec<i32> {
    let program = filter(capabilities);
    let (mut read, write) = io::pipe().expect("a pipe");
    let mut command = Command::new("true");
    // SAFETY: system calls and writes of plain numbers; nextest gives the test a process with no other busy thread.
    unsafe {
        command.pre_exec(move || {
            install(&program)?;
            for (number, [a, b, c]) in calls {
                let done = libc::syscall(*number, *a, *b, *c);
                let errno = if done < 0 { io::Error::last_os_error().raw_os_error().unwrap_or(-1) } else { 0 };
                io::Write::write_all(&mut &write, &errno.to_ne_bytes())?;
            }
            Ok(())
        });
    }
    assert!(command.status().expect("it runs on under the filter").success());
    drop(command);
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut read, &mut bytes).expect("the numbers");
    bytes.chunks_exact(4).map(|word| i32::from_ne_bytes([word[0], word[1], word[2], word[3]])).collect()
}

#[test]
fn the_kernel_takes_it_and_follows_it() {
    const CALLS: &[(libc::c_long, [libc::c_long; 3])] = &[
        (libc::SYS_getpid, [0; 3]),
        (libc::SYS_socket, [libc::AF_UNIX as libc::c_long, libc::SOCK_STREAM as libc::c_long, 0]),
        (libc::SYS_socket, [libc::AF_ALG as libc::c_long, libc::SOCK_SEQPACKET as libc::c_long, 0]),
        (libc::SYS_unshare, [libc::CLONE_NEWUSER as libc::c_long, 0, 0]),
        (libc::SYS_clone3, [0; 3]),
        (libc::SYS_io_uring_setup, [1, 0, 0]),
        (470, [0; 3]),
        (libc::SYS_personality, [0xffff_ffff, 0, 0]),
        (libc::SYS_personality, [0x4_0000, 0, 0]),
        (libc::SYS_chroot, [0; 3]),
    ];
    let found = tried(&["SYS_CHROOT"], CALLS);
    let expected =
        [0, 0, libc::EPERM, libc::EPERM, libc::ENOSYS, libc::EPERM, libc::ENOSYS, 0, libc::EPERM, libc::EFAULT];
    assert_eq!(found, expected);
}

#[cfg(target_arch = "x86_64")]
/// A 32-bit x86 program that makes one call with one argument and exits with what came back, negated.
fn tiny(number: u8, argument: u32) -> Vec<u8> {
    const BASE: u32 = 0x0804_8000;
    const HEADERS: u32 = 52 + 32;
    let mut code = vec![0xb8, number, 0, 0, 0, 0xbb];
    code.extend(argument.to_le_bytes());
    // int 0x80; neg eax; mov ebx, eax; mov eax, 1 (exit); int 0x80
    code.extend([0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80]);
    let length = HEADERS + u32::try_from(code.len()).expect("short");
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([2, 0, 3, 0]);
    file.extend([1, BASE + HEADERS, 52, 0, 0].into_iter().flat_map(u32::to_le_bytes));
    file.extend([52u16, 32, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    file.extend([1, 0, BASE, BASE, length, length, 5, 0x1000].into_iter().flat_map(u32::to_le_bytes));
    file.extend(code);
    file
}

#[cfg(target_arch = "x86_64")]
#[test]
fn thirty_two_bit_programs_go_on_under_the_same_rules() {
    use std::os::unix::fs::PermissionsExt;

    const UMASK: u8 = 60;
    const CHROOT: u8 = 61;
    const PERSONALITY: u8 = 136;
    let dir = tempfile::tempdir().expect("a folder");
    // A kernel without 32-bit emulation has none of them.
    for (number, argument, expected) in
        [(UMASK, 0, 0o22), (CHROOT, 0, libc::EPERM), (PERSONALITY, 0x4_0000, libc::EPERM), (PERSONALITY, 0, 0)]
    {
        let path = dir.path().join("tiny");
        std::fs::write(&path, tiny(number, argument)).expect("a program");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        if Command::new(&path).status().is_err() {
            return;
        }
        let program = filter(&[]);
        let mut command = Command::new(&path);
        // SAFETY: system calls only.
        unsafe {
            command.pre_exec(move || {
                libc::umask(0o22);
                install(&program)
            });
        }
        // umask gives back what it was, negated by the program.
        let code =
            command.status().expect("it runs").code().map(|code| if number == UMASK { 256 - code } else { code });
        assert_eq!(code, Some(expected), "call {number} with {argument:#x}");
    }
}
