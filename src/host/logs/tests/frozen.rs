//! A disk that stands still: the thread that writes is held by a tracer, as it would be in an endless write(2).

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pause};

use super::super::{Options, Stream, Writer};
use super::{entries, put, readable, text};
use crate::desired::LogSpec;

/// Holds a thread of this process until it is dropped.
struct Held {
    tracer: Pid,
}

impl Held {
    fn hold(thread: Pid) -> Self {
        let (mut stopped, told) = std::io::pipe().expect("a pipe");
        // SAFETY: the child makes system calls only.
        match unsafe { fork() }.expect("a child") {
            ForkResult::Parent { child } => {
                drop(told);
                std::io::Read::read_exact(&mut stopped, &mut [0]).expect("the thread is held");
                Self { tracer: child }
            }
            ForkResult::Child => {
                let held = ptrace::seize(thread, ptrace::Options::empty())
                    .and_then(|()| ptrace::interrupt(thread))
                    .and_then(|()| waitpid(thread, Some(WaitPidFlag::__WALL)));
                if held.is_ok() {
                    let _ = std::io::Write::write_all(&mut &told, b"x");
                    pause();
                }
                // SAFETY: ends the child without running the test's own code.
                unsafe { libc::_exit(1) }
            }
        }
    }
}

/// A thread whose tracer is gone runs on.
impl Drop for Held {
    fn drop(&mut self) {
        let _ = kill(self.tracer, Signal::SIGKILL).and_then(|()| waitpid(self.tracer, None));
    }
}

/// The writer's thread, which takes its name a moment after it began.
fn writing_thread() -> Pid {
    let log = |path: &Path| std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "log\n");
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let tasks = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
        if let Some(own) = tasks.map(|task| task.path()).find(|path| log(path)) {
            let number = own.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            return Pid::from_raw(number.expect("a number"));
        }
        assert!(Instant::now() < end, "no thread of the writer");
        std::thread::yield_now();
    }
}

#[test]
fn a_disk_that_stands_still_holds_up_the_program_but_not_the_shim() {
    let dir = tempfile::tempdir().expect("a folder");
    let spec = LogSpec { max_size: 0, ..LogSpec::default() };
    let writer = Writer::start(dir.path(), &spec).expect("a writer");
    let held = Held::hold(writing_thread());
    let line = b"a line of output\n".repeat(1000);
    let mut lines = 0;
    while writer.room() >= line.len() {
        assert_eq!(writer.write(Stream::Stdout, &line), line.len());
        lines += 1000;
    }
    assert!(lines > 50_000, "{lines}");
    let taken = writer.write(Stream::Stdout, &line);
    assert!(taken < line.len(), "refused, not waited for");
    drop(held);
    assert!(readable(writer.room_fd()));
    put(&writer, Stream::Stdout, &line[taken..]);
    assert!(writer.finish(Duration::from_secs(20)));
    assert_eq!(entries(dir.path(), &Options::default()).len(), lines + 1000);
}

#[test]
fn the_end_does_not_wait_for_it_longer_than_it_is_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let writer = Writer::start(dir.path(), &LogSpec::default()).expect("a writer");
    let held = Held::hold(writing_thread());
    put(&writer, Stream::Stdout, b"last words");
    assert!(!writer.finish(Duration::from_millis(20)));
    drop(held);
    // The thread goes on by itself.
    let end = Instant::now() + Duration::from_secs(20);
    while text(&entries(dir.path(), &Options::default())) != "last words" {
        assert!(Instant::now() < end);
        std::thread::yield_now();
    }
}
