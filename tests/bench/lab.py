"""The laboratory of tests/bench/run: a world of its own, the clock and the processor's account. Standard library only.

CPU time is the sturdy figure: everything that is measured runs below one cpuacct group (which covers the machine's own in
this mount namespace, so that windlass's groups are below it too), this script and its helpers outside of it.
"""
import contextlib, ctypes, glob, hashlib, io, json, os, re, shutil, signal, statistics, subprocess, sys, tarfile, tempfile, time

SHARED = os.environ["WINDLASS_SHARED"]
ACCOUNT = "/sys/fs/cgroup/cpuacct"
IMAGE = "bench:latest"


class Lab:
    def __init__(self, binary):
        self.binary = binary
        self.world = tempfile.mkdtemp(prefix="windlass-bench-")
        self.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.world,
                    "WINDLASS_ROOT": self.world + "/root", "WINDLASS_RUN": self.world + "/run",
                    "CONTAINERS_REGISTRIES_CONF": self.world + "/registries.conf"}
        self.helpers, self.folders, self.rows = [], [], []
        self.account = self._account()
        self._disk()
        # The run-time folder is memory, as /run is.
        os.mkdir(self.world + "/run")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "run", self.world + "/run"], check=True)
        open(self.env["CONTAINERS_REGISTRIES_CONF"], "w").close()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self.load = self._compile(os.path.dirname(__file__) + "/load.c", "load")
        self._floor()
        self._image()

    # ---- the measured side

    def windlass(self, *args, cwd=None, check=True):
        return self.measured([self.binary, *args], cwd, check)

    def measured(self, args, cwd=None, check=True):
        """Runs a command below the account."""
        p = subprocess.run([*self._enter(), *args], cwd=cwd or self.world, env=self.env, capture_output=True, text=True)
        if check and p.returncode:
            sys.exit(f"{' '.join(args)} ended with {p.returncode}\n{p.stdout}{p.stderr}")
        return p

    def begin(self, args, env):
        """Starts a command below the account, in a process group of its own."""
        return subprocess.Popen([*self._enter(), *args], env=self.env | env, stdout=subprocess.DEVNULL, start_new_session=True)

    def _enter(self):
        return [self.load, "within", ACCOUNT + "/tasks"] if self.account else []

    def timed(self, *args, cwd=None, n=1):
        """Wall and CPU ms of windlass and all that it started, of each of `n` times."""
        return [self.time(lambda: self.windlass(*args, cwd=cwd)) for _ in range(n)]

    def time(self, act):
        cpu, wall = self.cpu(), time.perf_counter()
        act()
        return (time.perf_counter() - wall) * 1e3, self.cpu() - cpu

    def cpu(self):
        """CPU ms of everything measured so far; 0 where there is no account."""
        if not self.account:
            return 0.0
        with open(self.account + "/cpuacct.usage") as f:
            return int(f.read()) / 1e6

    def _disk(self):
        """An ext4 of its own below everything, windlass's and the floor's. One without a journal, as this kind of machine
        may have, looks through all files that were deleted in the last minute for each new one: every round would be
        slower than the last."""
        if os.environ.get("WINDLASS_BENCH_DISK") == "none":
            return
        image = self.world + ".img"
        with open(image, "wb") as f:
            f.truncate(12 << 30)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-N", "400000", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, self.world], check=True)
        os.unlink(image)

    def _account(self):
        if not os.path.exists(ACCOUNT + "/cpuacct.usage"):
            return None
        group = f"{ACCOUNT}/windlass-bench-{os.getpid()}"
        os.mkdir(group)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(group.encode(), ACCOUNT.encode(), None, 4096, None):  # MS_BIND
            raise OSError(ctypes.get_errno(), "bind the cpuacct group")
        return ACCOUNT

    # ---- the floor

    def _compile(self, source, name):
        out = f"{self.world}/{name}"
        subprocess.run(["gcc", "-O2", "-static", "-w", "-o", out, source, "-lpthread"], check=True)
        return out

    def _floor(self):
        """The floor program on the options of `shared/bench/floor`, compiled once."""
        self.floor_bin = self._compile(SHARED + "/bench/floor.c", "floor")
        root = self.world + "/floor-root"
        for d in ("bin", "proc", "dev", "sys", "tmp", "etc"):
            os.makedirs(f"{root}/{d}")
        shutil.copy(busybox(), root + "/bin/busybox")
        for link in ("true", "sleep", "sh"):
            os.symlink("busybox", f"{root}/bin/{link}")
        for command in ("link add flbr type bridge", "addr add 10.99.0.1/16 dev flbr", "link set flbr up"):
            subprocess.run(["ip", *command.split()], check=True)

    def floor(self, *args):
        """What the floor program says, with the CPU ms of it."""
        base = [self.floor_bin, "-r", self.world + "/floor-root", "-w", self.world + "/floor-work", "-o", "-f", "-c", "-v", "flbr"]
        before = self.cpu()
        # A mount namespace of its own, as the program leaves its mounts there.
        p = self.measured(["unshare", "--mount", *base, *args])
        for controller in ("memory", "pids", "cpu"):
            for group in glob.glob(f"/sys/fs/cgroup/{controller}/windlassfloor/*/") + [f"/sys/fs/cgroup/{controller}/windlassfloor"]:
                with contextlib.suppress(OSError):
                    os.rmdir(group)
        return json.loads(p.stdout.strip().splitlines()[-1]) | {"cpu": self.cpu() - before}

    def floor_stack(self, n):
        return self.floor("-b", "-s", str(n), "-j", "2", "--", "/bin/sleep", "100000")

    # ---- images and projects

    def _image(self):
        """A docker archive with one layer: busybox, its links, the load programs, and the folders that images have."""
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for d in ("bin", "data", "dev", "etc", "proc", "run", "sys", "tmp"):
                i = tarfile.TarInfo(d); i.type = tarfile.DIRTYPE; i.mode = 0o755; tar.addfile(i)
            for f in ("hostname", "hosts", "resolv.conf"):
                tar.addfile(tarfile.TarInfo("etc/" + f))
            tar.add(busybox(), "bin/busybox")
            tar.add(self.load, "bin/load")
            for link in ("sh", "true", "sleep", "cat", "seq"):
                i = tarfile.TarInfo("bin/" + link); i.type = tarfile.SYMTYPE; i.linkname = "busybox"; tar.addfile(i)
        layer = layer.getvalue()
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sleep", "100000"]},
                             "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
        manifest = json.dumps([{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]).encode()
        self.archive = self.world + "/bench.tar"
        with tarfile.open(self.archive, "w") as tar:
            for name, body in (("config.json", config), ("layer.tar", layer), ("manifest.json", manifest)):
                i = tarfile.TarInfo(name); i.size = len(body); tar.addfile(i, io.BytesIO(body))
        self.windlass("image", "load", "-i", self.archive)

    def project(self, name, text):
        folder = f"{self.world}/projects/{name}"
        os.makedirs(folder, exist_ok=True)
        with open(folder + "/compose.yaml", "w") as f:
            f.write(text)
        self.folders.append(folder)
        return folder

    @contextlib.contextmanager
    def up(self, name, text):
        folder = self.project(name, text)
        self.windlass("up", "-d", cwd=folder)
        try:
            yield folder
        finally:
            self.windlass("down", "-v", "-t", "0", cwd=folder)

    def start(self, args, **kw):
        """A helper outside of the account; it ends with the laboratory."""
        p = subprocess.Popen(args, stdin=subprocess.DEVNULL, **kw)
        self.helpers.append(p)
        return p

    # ---- windlass's processes

    def processes(self, kind):
        """The pids of this world's `__shim` or `__supervisor` processes."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
                if kind.encode() in words and (self.world + "/root").encode() in words:
                    yield int(pid)

    def ran(self, pids):
        """CPU ms that these processes have used, by the scheduler's own account (ns)."""
        total = 0
        for pid in pids:
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with contextlib.suppress(OSError):
                    total += int(open(path).read().split()[0])
        return total / 1e6

    # ---- results

    def row(self, what, windlass, floor="", ratio="", aim=""):
        self.rows.append((what, windlass, floor, ratio, aim))
        print(f"{what}: {windlass} · {floor} · {ratio}", file=sys.stderr, flush=True)

    def compare(self, what, ours, floors, aim=""):
        """A row of (wall, cpu) pairs against the floor's."""
        a, b = both(ours), both(floors)
        ratio = f"W {a[0] / b[0]:.1f}×, C {a[1] / b[1]:.1f}×" if b[1] else f"W {a[0] / b[0]:.1f}×"
        self.row(what, told(ours), told(floors), ratio, aim)

    def table(self):
        lines = ["| what | windlass | floor or base | ratio | aim |", "| --- | --- | --- | --- | --- |"]
        return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in self.rows])

    def close(self):
        for folder in self.folders:
            with contextlib.suppress(SystemExit):
                self.windlass("down", "-v", "-t", "0", cwd=folder, check=False)
        for p in self.helpers:
            p.terminate()
            p.wait()
        subprocess.run(["umount", "-l", self.world + "/run"])
        if os.path.ismount(self.world):
            subprocess.run(["umount", "-l", self.world])
        shutil.rmtree(self.world, ignore_errors=True)
        if self.account:
            ctypes.CDLL(None).umount2(ACCOUNT.encode(), 0)
            group = f"{ACCOUNT}/windlass-bench-{os.getpid()}"
            for below in sorted(glob.glob(group + "/**/", recursive=True), key=len, reverse=True):
                with contextlib.suppress(OSError):
                    os.rmdir(below)


def busybox():
    return next(p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p))


def services(n):
    return "services:\n" + "".join(f"  s{i}: {{image: '{IMAGE}', stop_signal: SIGKILL}}\n" for i in range(n))


def both(pairs):
    return statistics.median(w for w, _ in pairs), statistics.median(c for _, c in pairs)


def told(pairs):
    wall, cpu = both(pairs)
    low = min(w for w, _ in pairs)
    return f"W {short(wall)} (min {short(low)}), C {short(cpu)}"


def short(ms):
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}"
