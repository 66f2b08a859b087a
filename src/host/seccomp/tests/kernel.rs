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
