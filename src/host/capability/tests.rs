use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;

#[test]
fn names_are_read_in_every_way_people_write_them() {
    for text in ["NET_ADMIN", "CAP_NET_ADMIN", "cap_net_admin", "net_admin"] {
        assert_eq!(number(text), Ok(12));
    }
    assert_eq!(name(12), Some("NET_ADMIN"));
    let error = number("NET_ADMN").expect_err("no such");
    assert_eq!(error.to_string(), "there is no capability NET_ADMN; did you mean NET_ADMIN?");
    assert_eq!(number("frobnicate").expect_err("no such").nearest, None);
    assert!(number("CAP_CAP_CHOWN").is_err());
}

#[test]
fn sets_are_made_of_names() {
    let set = Set::from_names(&["CHOWN", "cap_kill", "BPF"]).expect("names");
    assert_eq!(set.to_string(), "CHOWN KILL BPF");
    assert_eq!(set.and(Set::from_names(&["KILL", "FOWNER"]).expect("names")).to_string(), "KILL");
    assert_eq!(set.without(set), Set::NONE);
    assert!(Set::NONE.is_empty() && Set::from_names(&["X"]).is_err());
}

#[test]
fn all_is_what_the_kernel_has() {
    let kernel: u8 =
        std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("a file").trim().parse().expect("a number");
    assert_eq!(last(), kernel);
    assert!(Set::all().has(kernel) && !Set::all().has(kernel + 1));
}

/// The lines of /proc/self/status of a child that did `work` and then ran a program.
fn status(work: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Vec<String> {
    let mut command = Command::new("grep");
    command.args(["^Cap", "/proc/self/status"]);
    // SAFETY: system calls only.
    unsafe { command.pre_exec(work) };
    let output = command.output().expect("grep runs");
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.replace('\t', " ")).collect()
}

#[test]
fn a_root_program_gets_the_set_and_nothing_can_give_it_more() {
    let set = Set::from_names(&["CHOWN", "KILL"]).expect("names");
    let lines = status(move || limit(set).and_then(|()| apply(set)));
    let digits = "0000000000000021";
    let expected = [
        "CapInh: 0000000000000000".to_owned(),
        format!("CapPrm: {digits}"),
        format!("CapEff: {digits}"),
        format!("CapBnd: {digits}"),
        "CapAmb: 0000000000000000".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn another_user_has_none_after_exec() {
    let set = Set::from_names(&["CHOWN", "KILL"]).expect("names");
    let lines = status(move || {
        limit(set)?;
        keep_over_setuid()?;
        // SAFETY: a system call without pointers; the child has one thread.
        check(unsafe { libc::syscall(libc::SYS_setresuid, 65_534, 65_534, 65_534) })?;
        apply(set)
    });
    assert_eq!(lines[1..4], ["CapPrm: 0000000000000000", "CapEff: 0000000000000000", "CapBnd: 0000000000000021"]);
}

#[test]
fn nobody_gets_what_is_not_there() {
    let set = Set::from_names(&["CHOWN"]).expect("names");
    let mut command = Command::new("true");
    // SAFETY: system calls only.
    unsafe { command.pre_exec(move || apply(Set::NONE).and_then(|()| apply(set))) };
    assert_eq!(command.status().expect_err("refused").raw_os_error(), Some(libc::EPERM));
}
