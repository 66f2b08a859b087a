use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use tempfile::TempDir;

use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1234:2345::/home/app:/bin/sh\nbad:x:99999999999:0::/:\n";
const GROUP: &str = "root:x:0:root\nweb:x:2000:app,other\nmail:x:2001:app\nstaff:x:100:\n";

fn root(passwd: Option<&str>, group: Option<&str>) -> (TempDir, OwnedFd) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    if let Some(text) = passwd {
        fs::write(folder.path().join("etc/passwd"), text).unwrap();
    }
    if let Some(text) = group {
        fs::write(folder.path().join("etc/group"), text).unwrap();
    }
    let fd = rustix::fs::open(folder.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    (folder, fd)
}

fn look(user: &str, more: &[&str]) -> Step<(u32, u32, Vec<u32>, String)> {
    let (_keep, fd) = root(Some(PASSWD), Some(GROUP));
    let more: Vec<_> = more.iter().map(|group| (*group).to_owned()).collect();
    look_up(fd.as_fd(), user, &more).map(|found| (found.uid, found.gid, found.groups, found.home))
}

#[test]
fn users_are_found_as_docker_finds_them() {
    assert_eq!(look("", &[]).unwrap(), (0, 0, vec![0], "/root".into()));
    assert_eq!(look("app", &[]).unwrap(), (1234, 2345, vec![2345, 2000, 2001], "/home/app".into()));
    assert_eq!(look("1234", &[]).unwrap(), (1234, 2345, vec![2345, 2000, 2001], "/home/app".into()));
    assert_eq!(look("app:staff", &[]).unwrap(), (1234, 100, vec![100], "/home/app".into()));
    assert_eq!(look("4321:8765", &[]).unwrap(), (4321, 8765, vec![8765], "/".into()));
    assert_eq!(look("4321", &["web", "77"]).unwrap(), (4321, 0, vec![0, 2000, 77], "/".into()));
}

#[test]
fn unknown_names_are_refused() {
    assert!(look("nobody", &[]).unwrap_err().message.contains("no user `nobody`"));
    assert!(look("app:none", &[]).unwrap_err().message.contains("no group `none`"));
    assert!(look("app", &["none"]).is_err());
}

#[test]
fn cve_2024_40635_and_2026_46680_ids_out_of_range_never_become_root() {
    for user in ["4294967295", "2147483648", "-1", "+0", "99999999999", "bad", "1:4294967296"] {
        assert!(look(user, &[]).is_err(), "{user}");
    }
}

#[test]
fn numbers_need_no_files() {
    let (_keep, fd) = root(None, None);
    let found = look_up(fd.as_fd(), "5:6", &[]).unwrap();
    assert_eq!((found.uid, found.gid, found.home.as_str()), (5, 6, "/"));
    assert!(look_up(fd.as_fd(), "app", &[]).is_err());
}

#[test]
fn cve_2026_47262_files_are_read_with_limits() {
    let long = format!("x:x:1:{}\nweb:x:2000:app\n", "m,".repeat(100_000));
    let (_keep, fd) = root(Some(PASSWD), Some(&long));
    assert_eq!(look_up(fd.as_fd(), "app", &[]).unwrap().groups, [2345, 2000]);
    let endless = "junk\n".repeat(2 << 20);
    let (_keep, fd) = root(Some(&endless), None);
    assert!(look_up(fd.as_fd(), "app", &[]).unwrap_err().message.contains("larger than"));
}

#[test]
fn only_plain_files_inside_are_read() {
    let (folder, fd) = root(None, None);
    let passwd = folder.path().join("etc/passwd");
    nix::unistd::mkfifo(&passwd, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(look_up(fd.as_fd(), "app", &[]).unwrap_err().message.contains("not a plain file"));
    fs::remove_file(&passwd).unwrap();
    fs::create_dir(&passwd).unwrap();
    assert!(look_up(fd.as_fd(), "app", &[]).is_err());
    fs::remove_dir(&passwd).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("passwd"), PASSWD).unwrap();
    std::os::unix::fs::symlink(outside.path().join("passwd"), &passwd).unwrap();
    assert!(look_up(fd.as_fd(), "app", &[]).unwrap_err().message.contains("no user"));
}
