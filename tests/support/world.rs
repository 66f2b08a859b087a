//! The world itself.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");

/// A world. Its network namespace is that of the thread that made it, and of all that this thread starts.
pub struct World {
    folder: tempfile::TempDir,
    registry: Option<(PathBuf, u16)>,
    children: Vec<Child>,
    before: BTreeSet<String>,
}

/// What a command printed, and how it ended.
pub struct Ran {
    /// Its exit code; 128 + n for signal n.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    command: String,
}

impl Ran {
    /// What `command` came to, which is told by this name.
    pub fn new(command: String, output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        Self {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default()),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            command,
        }
    }

    /// Fails the test unless the command ended with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Fails the test unless the command ended with `code`.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert!(
            self.code == code,
            "{}\nended with {}, not {code}\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Fails the test unless `text` is somewhere in what was printed.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "{}\ndoes not say {text:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.stdout,
            self.stderr
        );
        self
    }
}

impl World {
    /// Makes a world: the calling thread leaves the machine's network and mounts for ones of its own.
    pub fn new() -> Self {
        // The thread of a test is its own: nextest gives each test a process.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET | nix::sched::CloneFlags::CLONE_NEWNS)
            .expect("the kernel tests need root");
        let none: Option<&str> = None;
        let flags = nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE;
        nix::mount::mount(none, "/", none, flags, none).unwrap();
        let folder = tempfile::Builder::new().prefix("windlass-world-").tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home/.docker")).unwrap();
        fs::write(folder.path().join("registries.conf"), "").unwrap();
        let mut world = Self { folder, registry: None, children: Vec::new(), before: BTreeSet::new() };
        world.sh("ip link set lo up").ok();
        world.before = world.traces();
        world
    }

    /// Its folder: `root`, `run` and `home` are below it, and whatever a test puts there.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A new folder named `name` with the files given, for instance a project's.
    pub fn project(&self, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = self.path().join(name);
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    /// A command that lives in this world.
    pub fn command(&self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.path().join("home"));
        command.env("WINDLASS_ROOT", self.path().join("root"));
        command.env("WINDLASS_RUN", self.path().join("run"));
        command.env("CONTAINERS_REGISTRIES_CONF", self.path().join("registries.conf"));
        command.stdin(Stdio::null());
        command
    }

    /// Runs windlass in a folder of this world.
    pub fn windlass(&self, folder: &Path, arguments: &[&str]) -> Ran {
        let mut command = self.command(WINDLASS, folder);
        let output = command.args(arguments).output().unwrap();
        Ran::new(format!("windlass {}", arguments.join(" ")), &output)
    }

    /// Runs a shell command in this world.
    pub fn sh(&self, script: &str) -> Ran {
        self.sh_in(self.path(), script)
    }

    /// Runs a shell command in a folder of this world.
    pub fn sh_in(&self, folder: &Path, script: &str) -> Ran {
        let output = self.command("sh", folder).args(["-c", script]).output().unwrap();
        Ran::new(script.to_owned(), &output)
    }

    /// Starts something that lives as long as the world, at most.
    pub fn start(&mut self, command: &mut Command) {
        self.children.push(command.spawn().unwrap());
    }

    /// Ends what was started, before the world does.
    pub fn end_children(&mut self) {
        for mut child in self.children.drain(..) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Serves the images of `shared` in this world, and points every registry's name at them.
    pub fn serve(&mut self, shared: &Path) {
        let port = 5000;
        let serve = shared.join("images/serve");
        // The images lie in the machine's own cache, not in this world's home.
        let home = std::env::var_os("HOME").unwrap();
        let script = format!("{0} --port {port} && {0} --conf --port {port}", serve.display());
        let output = self.command("sh", self.path()).env("HOME", home).args(["-c", &script]).output().unwrap();
        let ran = Ran::new(script, &output).ok();
        let conf: String = ran.stdout.lines().filter(|l| !l.starts_with("http")).collect::<Vec<_>>().join("\n");
        fs::write(self.path().join("registries.conf"), conf).unwrap();
        self.registry = Some((serve, port));
    }

    /// Points every registry's name at a registry on this address, without TLS.
    pub fn mirror(&self, address: &str) {
        let conf: String = ["docker.io", "quay.io", "ghcr.io"]
            .iter()
            .map(|name| {
                format!(
                    "[[registry]]\nlocation = \"{name}\"\n[[registry.mirror]]\nlocation = \"{address}\"\ninsecure = true\n\n"
                )
            })
            .collect();
        fs::write(self.path().join("registries.conf"), conf).unwrap();
    }

    /// Waits until `question` is true.
    #[track_caller]
    pub fn wait_for(&self, what: &str, mut question: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !question() {
            assert!(Instant::now() < end, "waited in vain for: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything of windlass that can be seen on this machine from this world: links, rules, mounts, cgroups,
    /// processes, and the state folder but for images.
    pub fn traces(&self) -> BTreeSet<String> {
        let mut traces = BTreeSet::new();
        let mut add = |kind: &str, text: &str| {
            traces.extend(text.lines().filter(|l| !l.trim().is_empty()).map(|l| format!("{kind}: {}", l.trim())));
        };
        add("link", &self.sh("ip -o link show | cut -d: -f2").stdout);
        add("rule", &self.sh("nft list ruleset").stdout);
        add("mount", &self.sh(&format!("grep -F '{}' /proc/self/mountinfo", self.path().display())).stdout);
        // The folders themselves stay; what is in them goes.
        let own =
            "root/(networks|containers|projects|volumes|world\\..*|networks/.lock)|run/(containers|projects|relay)";
        let state = format!("find root run -mindepth 1 -not -path 'root/images*' 2>/dev/null | grep -Evx '{own}'");
        add("state", &self.sh(&state).stdout);
        for pid in self.processes() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            add("process", &String::from_utf8_lossy(&line).replace('\0', " "));
        }
        let tag = windlass::host::world::mark(&self.path().join("root")).unwrap();
        add("cgroup", &self.sh(&format!("find /sys/fs/cgroup -type d -path '*{tag}*'")).stdout);
        traces
    }

    /// Processes that belong to this world: windlass's own, by the state folder in their command line.
    pub fn processes(&self) -> Vec<i32> {
        let needle = self.path().join("root").into_os_string().into_encoded_bytes();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
            let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
            if line.windows(needle.len()).any(|w| w == needle) {
                found.push(pid);
            }
        }
        found
    }

    /// Fails the test unless the machine is as it was when the world was made.
    #[track_caller]
    pub fn assert_clean(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let left: Vec<String> = self.traces().difference(&self.before).cloned().collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "left behind:\n{}", left.join("\n"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs windlass on a terminal of its own, of so many rows and columns.
    pub fn on_terminal(&self, folder: &Path, arguments: &[&str], (rows, columns): (u16, u16)) -> Terminal {
        let size = nix::pty::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(&size, None).unwrap();
        let mut command = self.command(WINDLASS, folder);
        command.args(arguments).env("TERM", "xterm-256color");
        command.stdin(pty.slave.try_clone().unwrap());
        command.stdout(pty.slave.try_clone().unwrap());
        command.stderr(pty.slave);
        // SAFETY: both calls are async-signal-safe, and nothing else happens between fork and exec.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                if libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        drop(command);
        Terminal { child, master: pty.master.into(), seen: String::new() }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some((serve, port)) = self.registry.take() {
            let home = std::env::var_os("HOME").unwrap_or_default();
            let _ = self
                .command(serve, self.path())
                .env("HOME", home)
                .args(["--stop", "--port", &port.to_string()])
                .output();
        }
        // Whatever a failed test left: the containers die with their shims' cgroups and pid namespaces.
        let projects = fs::read_dir(self.path().join("root/projects")).into_iter().flatten().flatten();
        for project in projects {
            let name = project.file_name();
            let name = name.to_string_lossy();
            let down = self
                .command("timeout", self.path())
                .args(["-k", "1", "20", WINDLASS, "-p", &name, "down", "-v", "-t", "0", "--remove-orphans"])
                .output();
            drop(down);
        }
        for pid in self.processes() {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        self.empty_cgroups();
    }
}

impl World {
    /// Kills what is still in this world's cgroups (the process of a container whose shim was killed above), and removes
    /// them.
    fn empty_cgroups(&self) {
        let Some(tag) = windlass::host::world::mark(&self.path().join("root")) else { return };
        self.sh(&format!(
            "for d in $(find /sys/fs/cgroup -depth -type d -path '*{tag}*'); do
               while kill -9 $(cat $d/cgroup.procs) 2>/dev/null; do :; done
               rmdir $d
             done 2>/dev/null"
        ));
    }
}

/// A program on a terminal of its own.
pub struct Terminal {
    child: Child,
    master: fs::File,
    seen: String,
}

impl Terminal {
    /// Types.
    pub fn send(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Changes the size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.master, size).unwrap();
    }

    /// The terminal's settings now: raw or not.
    pub fn is_raw(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.master).unwrap().local_modes;
        !modes.contains(rustix::termios::LocalModes::ICANON)
    }

    /// Whether `text` was shown by now; it stays to be expected.
    pub fn shows(&mut self, text: &str) -> bool {
        self.read(Duration::from_millis(10));
        self.seen.contains(text)
    }

    /// Reads until `text` was shown.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.seen.contains(text) {
            assert!(Instant::now() < end, "{text:?} was not shown, but:\n{}", self.seen);
            self.read(Duration::from_millis(100));
        }
        let at = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..at);
    }

    /// Reads until something was shown, which must begin with `text`.
    #[track_caller]
    pub fn expect_first(&mut self, text: &str) {
        self.expect(text.get(..1).unwrap());
        self.seen.insert_str(0, &text[..1]);
        let end = Instant::now() + Duration::from_secs(60);
        while self.seen.len() < text.len() && Instant::now() < end {
            self.read(Duration::from_millis(100));
        }
        assert!(self.seen.starts_with(text), "{text:?} was not shown first, but:\n{}", self.seen);
        self.seen.drain(..text.len());
    }

    fn read(&mut self, wait: Duration) -> bool {
        use std::os::fd::AsFd;
        let mut fds = [nix::poll::PollFd::new(self.master.as_fd(), nix::poll::PollFlags::POLLIN)];
        let timeout = nix::poll::PollTimeout::try_from(wait).unwrap();
        if nix::poll::poll(&mut fds, timeout).unwrap_or(0) == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        match self.master.read(&mut buffer) {
            Ok(n) if n > 0 => {
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
                true
            }
            // The last process closed the terminal: EIO.
            _ => false,
        }
    }

    /// Waits for the end of the program; its exit code, and all that it showed since the last `expect`.
    pub fn end(&mut self) -> (i32, String) {
        use std::os::unix::process::ExitStatusExt;
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let open = self.read(Duration::from_millis(50));
            if let Some(status) = self.child.try_wait().unwrap() {
                while open && self.read(Duration::from_millis(10)) && Instant::now() < end {
                    if self.master_is_empty() {
                        break;
                    }
                }
                let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
                return (code, std::mem::take(&mut self.seen));
            }
            if Instant::now() > end {
                let _ = self.child.kill();
                panic!("it does not end; it showed:\n{}", self.seen);
            }
        }
    }

    fn master_is_empty(&self) -> bool {
        use std::os::fd::AsFd;
        let mut fds = [nix::poll::PollFd::new(self.master.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO).unwrap_or(0) == 0
    }
}
