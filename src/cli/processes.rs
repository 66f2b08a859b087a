//! Processes as `ps -ef` shows them, read from /proc.

use std::time::Duration;

/// The columns of [`Process::cells`].
pub const HEADING: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    uid: String,
    pid: i32,
    parent: i32,
    usage: u64,
    begun: String,
    tty: String,
    time: Duration,
    command: String,
}

impl Process {
    /// Reads a process; `None` when it has gone in between.
    pub fn read(pid: i32) -> Option<Self> {
        let folder = std::path::PathBuf::from(format!("/proc/{pid}"));
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        let status = std::fs::read_to_string(folder.join("status")).ok()?;
        let arguments = std::fs::read(folder.join("cmdline")).ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        Self::parse(pid, &stat, &status, &arguments, Duration::try_from_secs_f64(uptime).ok()?, &jiff::Zoned::now())
    }

    fn parse(
        pid: i32,
        stat: &str,
        status: &str,
        arguments: &[u8],
        uptime: Duration,
        now: &jiff::Zoned,
    ) -> Option<Self> {
        // The name stands in brackets and may hold anything, brackets too.
        let (head, tail) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok());
        // Numbered from the state (field 3 of proc(5)): parent 4, terminal 7, times 14 and 15, start 22.
        let time = ticks(number(11)? + number(12)?);
        let age = uptime.saturating_sub(ticks(number(19)?));
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?;
        Some(Self {
            uid: user(uid),
            pid,
            parent: fields.get(1)?.parse().ok()?,
            usage: if age.is_zero() {
                0
            } else {
                u64::try_from(time.as_millis() * 100 / age.as_millis().max(1)).ok()?
            },
            begun: begun(now, age),
            tty: tty(number(4)?),
            time,
            command: command(arguments, name),
        })
    }

    /// The cells of its line.
    pub fn cells(&self) -> Vec<String> {
        let seconds = self.time.as_secs();
        let time = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        let (pid, parent, usage) = (self.pid.to_string(), self.parent.to_string(), self.usage.to_string());
        [&self.uid, &pid, &parent, &usage, &self.begun, &self.tty, &time, &self.command].map(Clone::clone).to_vec()
    }
}

/// USER_HZ is 100 on every architecture that windlass is built for.
fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks.saturating_mul(10))
}

fn begun(now: &jiff::Zoned, age: Duration) -> String {
    let Ok(age) = jiff::SignedDuration::try_from(age) else { return "?".into() };
    let Ok(begun) = now.checked_sub(age) else { return "?".into() };
    let form = if begun.date() == now.date() {
        "%H:%M"
    } else if begun.year() == now.year() {
        "%b%d"
    } else {
        "%Y"
    };
    begun.strftime(form).to_string()
}

fn tty(device: u64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        0 => "?".into(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        _ => format!("{major}:{minor}"),
    }
}

/// The user's name on this machine, as `ps` has it; a number where it has none. Read from the file itself: the C
/// library's look-up loads plug-ins, and crashes in a static program.
fn user(uid: &str) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = users.find(|fields| fields.get(2) == Some(&uid)).and_then(|fields| fields.first().copied());
    found.unwrap_or(uid).to_owned()
}

fn command(arguments: &[u8], name: &str) -> String {
    if arguments.is_empty() {
        return format!("[{name}]");
    }
    let words = arguments.strip_suffix(&[0]).unwrap_or(arguments).split(|byte| *byte == 0);
    words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_read_right() {
        let stat = "42 (a) b (c) S 1 42 42 34817 42 4194560 1 0 0 0 250 50 0 0 20 0 1 0 100000 0 0";
        let status = "Name:\ta\nUid:\t4123456\t0\t0\t0\n";
        let now: jiff::Zoned = "2026-11-24T07:30:00+00:00[UTC]".parse().expect("a time");
        let process =
            Process::parse(42, stat, status, b"sleep\x00100\x00", Duration::from_secs(1100), &now).expect("parsed");
        assert_eq!(process.cells(), ["4123456", "42", "1", "3", "07:28", "pts/1", "00:00:03", "sleep 100"]);
        let process = Process::parse(42, stat, status, b"", Duration::from_secs(200_000), &now).expect("parsed");
        assert_eq!(process.cells()[4..], ["Nov22", "pts/1", "00:00:03", "[a) b (c]"]);
        assert_eq!(Process::parse(42, "garbage", status, b"", Duration::ZERO, &now), None);
    }

    #[test]
    fn our_own_process_is_read() {
        let pid = i32::try_from(std::process::id()).expect("a process id");
        assert_eq!(Process::read(pid).expect("read").cells()[1], pid.to_string());
        assert_eq!(Process::read(-1), None);
    }
}
