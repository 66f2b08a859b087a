//! The table of mounts of this process (proc_pid_mountinfo(5)).

use std::fs;
use std::path::{Path, PathBuf};

/// Something that is mounted in a folder, however deep, or right on it.
pub fn mounted_in(folder: &Path) -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let folder = fs::canonicalize(folder).ok()?;
    let mut points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(path);
    points.find(|point| point.starts_with(&folder))
}

/// A path as the kernel writes it in its tables: blanks, tabs, line ends and backslashes as three octal digits.
pub fn path(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))
}
