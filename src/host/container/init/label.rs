//! AppArmor and SELinux labels of the program, where somebody asks for them.

use std::fs;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::OFlags;

use super::super::inroot;
use super::problem::{Problem, Step, doing};
use super::sysctls::own_proc;
use crate::desired::SecuritySpec;

/// Sets what the next exec switches to, through a /proc of our own: a false one would swallow the write (CVE-2019-16884),
/// so the label is read back too.
pub(crate) fn set(security: &SecuritySpec) -> Step {
    if let Some(profile) = security.apparmor.as_deref().filter(|profile| *profile != "unconfined") {
        let enabled =
            fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
        if !enabled {
            return Err(Problem::new(format!(
                "the profile `{profile}` is asked for, but this machine has no AppArmor"
            )));
        }
        let proc = own_proc()?;
        let own = "thread-self/attr/apparmor/exec";
        let path = if has(&proc, own) { own } else { "thread-self/attr/exec" };
        return write(&proc, path, &format!("exec {profile}"), profile);
    }
    let Some(label) = selinux(security) else { return Ok(()) };
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(Problem::new("an SELinux label is asked for, but this machine has no SELinux"));
    }
    write(&own_proc()?, "thread-self/attr/exec", &label, &label)
}

/// The SELinux label that is asked for.
pub(crate) fn selinux(security: &SecuritySpec) -> Option<String> {
    let options = &security.label;
    if options.is_empty() || options.iter().any(|option| option == "disable") {
        return None;
    }
    let part = |name: &str, default: &str| {
        options.iter().find_map(|option| option.strip_prefix(name)).unwrap_or(default).to_owned()
    };
    let parts =
        [part("user:", "system_u"), part("role:", "system_r"), part("type:", "container_t"), part("level:", "s0")];
    Some(parts.join(":"))
}

fn has(proc: &OwnedFd, path: &str) -> bool {
    open(proc, path).is_ok()
}

/// `thread-self` is a symlink of procfs itself, so the path is opened in two steps that follow none.
fn open(proc: &OwnedFd, path: &str) -> std::io::Result<OwnedFd> {
    let path = path.strip_prefix("thread-self/").unwrap_or(path);
    let task = rustix::fs::readlinkat(proc, "thread-self", Vec::new())?;
    let task = task.to_string_lossy().into_owned();
    inroot::open_exact(proc.as_fd(), &Path::new(&task).join(path), OFlags::RDWR)
}

fn write(proc: &OwnedFd, path: &str, text: &str, expected: &str) -> Step {
    let at = |what: &str| format!("{what} the security label `{expected}`");
    let mut file = File::from(open(proc, path).map_err(doing(at("open the file for")))?);
    file.write_all(text.as_bytes()).map_err(doing(at("set")))?;
    let mut back = String::new();
    file.rewind().and_then(|()| file.read_to_string(&mut back)).map_err(doing(at("read back")))?;
    if back.contains(expected) { Ok(()) } else { Err(Problem::new(at("find again"))) }
}
