//! Who the process is: `user[:group]` and supplementary groups, looked up in the container's own files.
//!
//! The files belong to the image, so they are read as a stream with limits (CVE-2026-47262: a /etc/group of gigabytes),
//! only if they are plain files (a FIFO would block, /dev/zero never end), and never from the host.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::super::inroot;
use super::problem::{Problem, Step};

/// Bytes of a file that are read.
const FILE: u64 = 8 << 20;
/// Bytes of a line that are read.
const LINE: usize = 64 << 10;
/// Supplementary groups (NGROUPS_MAX is 65536; nobody has that many).
const GROUPS: usize = 1024;
/// Largest id: docker's limit. What lies above is refused, it never becomes another user (CVE-2024-40635, CVE-2026-46680).
const LARGEST: u32 = i32::MAX as u32;

/// Who a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups. The primary one is among them, as docker has it: whoever is denied access by his group could drop
    /// that group otherwise (CVE-2022-36109).
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

#[derive(Clone, Debug)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

/// Looks up `user` (`name`, `id`, with `:group`) and the additional groups `more` inside `root`.
///
/// As docker: a name must be known; an id may be unknown (then group 0 and home /); an account's own groups count unless
/// a group is named.
pub(crate) fn look_up(root: BorrowedFd<'_>, user: &str, more: &[String]) -> Step<Identity> {
    let (name, group) = user.split_once(':').map_or((user, None), |(name, group)| (name, Some(group)));
    let name = if name.is_empty() { "0" } else { name };
    let group = group.filter(|group| !group.is_empty());
    let number = parse_id("user", name)?;
    let account = find_account(root, name, number)?;
    let (uid, gid, home) = match (&account, number) {
        (Some(account), _) => (account.uid, account.gid, account.home.clone()),
        (None, Some(uid)) => (uid, 0, "/".to_owned()),
        (None, None) => {
            return Err(Problem::new(format!("there is no user `{name}` in the container's /etc/passwd")));
        }
    };
    let mut identity = Identity { uid, gid, groups: Vec::new(), home };
    match (group, &account) {
        (Some(group), _) => identity.gid = group_id(root, group)?,
        (None, Some(account)) => identity.groups = groups_of(root, &account.name)?,
        (None, None) => {}
    }
    if !identity.groups.contains(&identity.gid) {
        identity.groups.insert(0, identity.gid);
    }
    for group in more {
        let id = group_id(root, group)?;
        if !identity.groups.contains(&id) {
            identity.groups.push(id);
        }
    }
    Ok(identity)
}

/// The number that `text` is; `None` if it is a name; a number out of range is an error.
fn parse_id(what: &str, text: &str) -> Step<Option<u32>> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= LARGEST && digits.len() == text.len() => Ok(Some(id)),
        _ => Err(Problem::new(format!("{what} `{text}` is not between 0 and {LARGEST}"))),
    }
}

fn find_account(root: BorrowedFd<'_>, name: &str, number: Option<u32>) -> Step<Option<Account>> {
    let mut found: Option<Account> = None;
    scan(root, "/etc/passwd", &mut |fields| {
        let [account, _, uid, gid, rest @ ..] = fields else { return };
        let (Ok(uid), Ok(gid)) = (uid.parse::<u32>(), gid.parse::<u32>()) else { return };
        if found.is_none() && (*account == name || Some(uid) == number) && uid <= LARGEST && gid <= LARGEST {
            let home = rest.get(1).filter(|home| !home.is_empty()).unwrap_or(&"/");
            found = Some(Account { name: (*account).to_owned(), uid, gid, home: (*home).to_owned() });
        }
    })?;
    Ok(found)
}

fn group_id(root: BorrowedFd<'_>, group: &str) -> Step<u32> {
    if let Some(id) = parse_id("group", group)? {
        return Ok(id);
    }
    let mut found = None;
    scan(root, "/etc/group", &mut |fields| {
        if let [name, _, gid, ..] = fields
            && found.is_none()
            && *name == group
        {
            found = gid.parse::<u32>().ok().filter(|id| *id <= LARGEST);
        }
    })?;
    found.ok_or_else(|| Problem::new(format!("there is no group `{group}` in the container's /etc/group")))
}

fn groups_of(root: BorrowedFd<'_>, user: &str) -> Step<Vec<u32>> {
    let mut groups = Vec::new();
    scan(root, "/etc/group", &mut |fields| {
        let [_, _, gid, members, ..] = fields else { return };
        if groups.len() < GROUPS
            && members.split(',').any(|member| member == user)
            && let Some(gid) = gid.parse::<u32>().ok().filter(|id| *id <= LARGEST && !groups.contains(id))
        {
            groups.push(gid);
        }
    })?;
    Ok(groups)
}

/// Calls `each` with the fields of every line of `path`; a file that is not there has no lines.
fn scan(root: BorrowedFd<'_>, path: &str, each: &mut dyn FnMut(&[&str])) -> Step {
    match inroot::open_plain(root, Path::new(path)) {
        Ok(file) => {
            scan_lines(file, each).map_err(|cause| Problem::new(format!("read the container's {path}: {cause}")))
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Problem::new(format!("the container's {path} can't be used: {cause}"))),
    }
}

fn scan_lines(file: File, each: &mut dyn FnMut(&[&str])) -> io::Result<()> {
    let mut reader = BufReader::new(file.take(FILE));
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.by_ref().take(LINE as u64).read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        if line.last() != Some(&b'\n') && length == LINE {
            skip_line(&mut reader)?;
            continue;
        }
        // Names are compared as text; a line that is none names nobody.
        let Ok(text) = std::str::from_utf8(&line) else { continue };
        let text = text.trim();
        if !text.is_empty() && !text.starts_with('#') {
            each(&text.split(':').collect::<Vec<_>>());
        }
    }
    if reader.get_ref().limit() == 0 {
        return Err(io::Error::other(format!("it is larger than {} MiB", FILE >> 20)));
    }
    Ok(())
}

fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (length, end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        reader.consume(length);
        if end {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
