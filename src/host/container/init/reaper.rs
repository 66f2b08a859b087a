//! PID 1 of `init: true`: starts the program as its child, passes signals on, reaps what is left behind.

use std::io;
use std::mem;

use super::super::sys;

/// Signals that concern this process alone and are not passed on.
const OWN: [libc::c_int; 8] = [
    libc::SIGCHLD,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Forks: returns `Ok` in the child, which goes on to exec; the parent stays as PID 1 and never returns.
///
/// `held` is closed in the parent, so that whoever waits for its end sees the child's exec as it sees any other. All other
/// descriptors but the standard streams must be closed already: PID 1 executes nothing, and whoever may trace it opens what it
/// has by /proc/1/fd.
///
/// # Errors
/// When fork fails.
pub(crate) fn split<H>(held: H, tty: bool) -> Result<H, (H, io::Error)> {
    let all = all_signals();
    // SAFETY: the set is initialised; blocking before the fork loses no signal that comes in between.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()) };
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err((held, io::Error::last_os_error())),
        0 => {
            lead_own_group(tty);
            sys::reset_signals();
            Ok(held)
        }
        child => {
            drop(held);
            reap(child, &all)
        }
    }
}

fn all_signals() -> libc::sigset_t {
    // SAFETY: sigfillset initialises the whole set; removing signals from it is plain data.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&raw mut set);
        for signal in OWN.iter().filter(|signal| **signal != libc::SIGCHLD) {
            libc::sigdelset(&raw mut set, *signal);
        }
        set
    }
}

/// The child leads the terminal's foreground group, so that Ctrl-C reaches it and not PID 1 twice.
fn lead_own_group(tty: bool) {
    // SAFETY: plain calls about this process; SIGTTOU is blocked (all are), so that tcsetpgrp does not stop us. They can
    // only fail where there is no terminal, and then nothing is lost.
    unsafe {
        libc::setpgid(0, 0);
        if tty {
            libc::tcsetpgrp(0, libc::getpid());
        }
    }
}

fn reap(child: i32, all: &libc::sigset_t) -> ! {
    loop {
        // SAFETY: the set is initialised, the siginfo is not wanted.
        let signal = unsafe { libc::sigwaitinfo(all, std::ptr::null_mut()) };
        if signal == libc::SIGCHLD {
            if let Some(code) = collect(child) {
                // The end of PID 1 kills all others of its namespace.
                sys::exit_now(code);
            }
        } else if signal > 0 {
            // SAFETY: plain system call; the child is ours and not reaped yet, so the number is its.
            unsafe { libc::kill(child, signal) };
        }
    }
}

/// Reaps all that have ended; the exit code of `child` if it is among them.
fn collect(child: i32) -> Option<i32> {
    let mut code = None;
    loop {
        let mut status = 0;
        // SAFETY: the status lives over the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid <= 0 {
            return code;
        }
        if pid == child {
            code = Some(exit_code(status));
        }
    }
}

/// An exit code as shells have it: 128 + n for signal n.
pub(crate) fn exit_code(status: i32) -> i32 {
    if libc::WIFSIGNALED(status) { 128 + libc::WTERMSIG(status) } else { libc::WEXITSTATUS(status) }
}
