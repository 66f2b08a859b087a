"""The measurements of tests/bench/run. Standard library only."""
import contextlib, glob, hashlib, io, json, os, re, shutil, socket, statistics, subprocess, sys, tarfile, tempfile, threading, time

BINARY, PARTS = sys.argv[1], sys.argv[2:]
SHARED = os.environ["WINDLASS_SHARED"]
WORLD = tempfile.mkdtemp(prefix="windlass-bench-")
HOME = os.environ.get("HOME", "/root")
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": WORLD, "WINDLASS_ROOT": WORLD + "/root", "WINDLASS_RUN": WORLD + "/run"}
ROWS = []


def row(what, *cells):
    ROWS.append((what, *cells))
    print(f"{what}: {' · '.join(map(str, cells))}", file=sys.stderr)


def run(args, cwd=WORLD, check=True, **kw):
    return subprocess.run(args, cwd=cwd, env=ENV, check=check, capture_output=True, text=True, **kw)


def cpu():
    """CPU seconds of all processes that this script started and that have ended."""
    t = os.times()
    return t.children_user + t.children_system


def timed(args, cwd=WORLD, times=1):
    """Wall times in ms and the CPU ms of the command itself."""
    walls, cpus = [], []
    for _ in range(times):
        c, t = cpu(), time.perf_counter()
        p = run(args, cwd)
        walls.append((time.perf_counter() - t) * 1e3)
        cpus.append((cpu() - c) * 1e3)
    return walls, cpus


def med(values):
    return f"{statistics.median(values):.1f}"


def archive(path, name):
    """A docker archive with one layer: busybox and its links."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for d in ("bin", "tmp", "etc", "data"):
            i = tarfile.TarInfo(d); i.type = tarfile.DIRTYPE; i.mode = 0o755; tar.addfile(i)
        tar.add("/bin/busybox", "bin/busybox")
        for link in ("sh", "true", "sleep", "cat", "seq", "nslookup", "httpd", "nc", "wget"):
            i = tarfile.TarInfo("bin/" + link); i.type = tarfile.SYMTYPE; i.linkname = "busybox"; tar.addfile(i)
    layer = layer.getvalue()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sleep", "100000"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for n, body in (("config.json", config), ("layer.tar", layer), ("manifest.json", manifest)):
            i = tarfile.TarInfo(n); i.size = len(body); tar.addfile(i, io.BytesIO(body))


def project(name, text):
    folder = f"{WORLD}/{name}"
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/compose.yaml", "w") as f:
        f.write(text)
    return folder


def services(n):
    return "services:\n" + "".join(f"  s{i}: {{image: 'bench:latest', stop_signal: SIGKILL}}\n" for i in range(n))


def floor(n):
    p = subprocess.run([SHARED + "/bench/floor", str(n)], capture_output=True, text=True, check=True)
    return json.loads(p.stdout.strip().splitlines()[-1])


def part_up():
    for n in (1, 10, 50, 100):
        folder = project(f"up{n}", services(n))
        ups, downs, again, floors_up, floors_down = [], [], [], [], []
        for _ in range(5 if n < 50 else 3):
            f = floor(n)
            floors_up.append(f["up_ms"]); floors_down.append(f["down_ms"])
            ups += timed([BINARY, "up", "-d"], folder)[0]
            again += timed([BINARY, "up", "-d"], folder)[0]
            downs += timed([BINARY, "down"], folder)[0]
        row(f"up, {n} services", med(ups) + " ms", med(floors_up) + " ms", f"{statistics.median(ups)/statistics.median(floors_up):.1f}×")
        row(f"down, {n} services", med(downs) + " ms", med(floors_down) + " ms", f"{statistics.median(downs)/statistics.median(floors_down):.1f}×")
        row(f"up again, nothing to do, {n}", med(again) + " ms", "", "")


def part_one():
    folder = project("one", services(1))
    run([BINARY, "up", "-d"], folder)
    walls, _ = timed([BINARY, "run", "--rm", "-T", "s0", "true"], folder, 10)
    p = subprocess.run([SHARED + "/bench/floor", "one", "20"], capture_output=True, text=True, check=True)
    f = json.loads(p.stdout.strip().splitlines()[-1])
    row("run --rm true", med(walls) + " ms", f"{f['total_ms']['med']:.1f} ms", f"{statistics.median(walls)/f['total_ms']['med']:.1f}×")
    run([BINARY, "down"], folder)


def part_exec():
    folder = project("exec", services(20))
    run([BINARY, "up", "-d"], folder)
    walls, cpus = timed([BINARY, "exec", "-T", "s0", "true"], folder, 20)
    row("exec true", f"{med(walls)} ms, {med(cpus)} ms CPU", "", "")
    walls, cpus = timed([BINARY, "ps"], folder, 20)
    row("ps of 20", f"{med(walls)} ms, {med(cpus)} ms CPU", "", "")
    walls, cpus = timed([BINARY, "version"], folder, 20)
    row("version", f"{med(walls)} ms, {med(cpus)} ms CPU", "", "")
    run([BINARY, "down"], folder)


def part_logs():
    folder = project("logs", "services:\n  s0: {image: 'bench:latest', command: [sh, -c, 'seq 500000; echo END; sleep 100000'], stop_signal: SIGKILL}\n")
    t = time.perf_counter()
    subprocess.run("busybox seq 500000 > " + WORLD + "/seq; sync " + WORLD + "/seq", shell=True, check=True)
    base = time.perf_counter() - t
    t = time.perf_counter()
    run([BINARY, "up", "-d"], folder)
    while "END" not in run([BINARY, "logs", "--tail", "1", "--no-log-prefix"], folder).stdout:
        time.sleep(0.01)
    row("500,000 lines into the log", f"{(time.perf_counter()-t)*1e3:.0f} ms with `up`", f"{base*1e3:.0f} ms (seq to a file)", "")
    walls, _ = timed([BINARY, "logs"], folder, 3)
    row("reading them back", med(walls) + " ms", "", "")
    run([BINARY, "down"], folder)


def processes(word):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            line = open(f"/proc/{pid}/cmdline", "rb").read()
            if word in line and WORLD.encode() in line or word in line and b"__shim" == word and b"__shim" in line:
                yield int(pid)


def memory(pid):
    text = open(f"/proc/{pid}/smaps_rollup").read()
    return int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])


def part_memory():
    n = 50
    folder = project("memory", services(n))
    run([BINARY, "up", "-d"], folder)
    shims = [memory(p) for p in processes(b"__shim")]
    supervisors = [memory(p) for p in processes(b"__supervisor")]
    row("memory of a shim (PSS, median of %d)" % len(shims), f"{statistics.median(shims)} KiB", "", "")
    row(f"memory of the supervisor of {n} (PSS)", f"{sum(supervisors)} KiB", "", "")
    before = idle_cpu()
    time.sleep(20)
    row(f"CPU of all of them, idle, over 20 s", f"{(idle_cpu()-before)*1e3:.0f} ms", "", "")
    run([BINARY, "down"], folder)


def idle_cpu():
    total = 0
    for word in (b"__shim", b"__supervisor", b"__relay"):
        for pid in processes(word):
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")



def part_watch():
    """Save → visible in the container at 10,000 watched files; 10,000 files at once; what watching costs while idle."""
    folder = project("watch", "services:\n  web:\n    image: bench:latest\n    stop_signal: SIGKILL\n"
                     "    develop: {watch: [{path: src, action: sync, target: /app}]}\n")
    for d in range(100):
        os.makedirs(f"{folder}/src/d{d}")
        for f in range(100):
            with open(f"{folder}/src/d{d}/f{f}", "w") as out:
                out.write("x")
    log = open(folder + "/log", "w+")
    watch = subprocess.Popen([BINARY, "watch"], cwd=folder, env=ENV, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        while "watching" not in open(folder + "/log").read():
            time.sleep(0.05)
        record = glob.glob(f"{WORLD}/run/containers/*/process.json")
        pid = [json.loads(open(r).read().splitlines()[1])["pid"] for r in record][-1]
        inside = f"/proc/{pid}/root/app"
        for what, pause in (("a save now and then", 0.05), ("saves without a pause", 0)):
            walls = []
            for n in range(400):
                time.sleep(pause)
                name = f"d{n % 100}/f{n % 97}"
                text = f"{what} {n}"
                with open(f"{folder}/src/{name}", "w") as out:
                    out.write(text)
                t = time.perf_counter()
                while True:
                    with contextlib.suppress(FileNotFoundError):
                        if open(f"{inside}/{name}").read() == text:
                            break
                walls.append((time.perf_counter() - t) * 1e3)
            p99 = sorted(walls)[int(len(walls) * 0.99)]
            row(f"watch, {what}: save to visible, ms", f"median {med(walls)}", f"p99 {p99:.1f}", f"max {max(walls):.1f}")
        t = time.perf_counter()
        for d in range(100):
            for f in range(100):
                with open(f"{folder}/src/d{d}/f{f}", "w") as out:
                    out.write(f"new {d} {f}")
                os.chmod(f"{folder}/src/d{d}/f{f}", 0o600 + (f % 8) * 8)
        wrote = time.perf_counter() - t
        def look(top):
            found = {}
            for above, _, names in os.walk(top):
                for name in names:
                    path = f"{above}/{name}"
                    with contextlib.suppress(FileNotFoundError):
                        s = os.stat(path)
                        found[path[len(top):]] = (open(path).read(), s.st_mode, s.st_uid, s.st_gid)
            return found
        wanted = look(folder + "/src")
        while look(inside) != wanted:
            pass
        row("watch, 10,000 files at once, s", f"written in {wrote:.2f}", f"all equal after {time.perf_counter() - t:.2f}")
        def ticks():
            return sum(int(x) for x in open(f"/proc/{watch.pid}/stat").read().rsplit(")", 1)[1].split()[11:13])
        time.sleep(1)
        before = ticks()
        time.sleep(10)
        row("watch, idle for 10 s: CPU, ms", (ticks() - before) * 10)
    finally:
        watch.send_signal(2)
        watch.wait()
        run([BINARY, "down"], folder)


def part_port():
    folder = project("port", "services:\n  s0:\n    image: bench:latest\n    command: [httpd, -f, -p, '80', -h, /etc]\n    ports: ['127.0.0.1:8099:80']\n    stop_signal: SIGKILL\n")
    run([BINARY, "up", "-d"], folder)
    address = json.loads(run([BINARY, "ps", "--format", "json"], folder).stdout.splitlines()[0])
    def connections(host, port, seconds=3):
        n, end = 0, time.time() + seconds
        while time.time() < end:
            with socket.create_connection((host, port)):
                n += 1
        return n / seconds
    ip = run([BINARY, "exec", "-T", "s0", "cat", "/etc/hosts"], folder).stdout.split("\n")[-2].split("\t")[0]
    published, direct = connections("127.0.0.1", 8099), connections(ip, 80)
    row("new connections a second, published port", f"{published:.0f}", f"{direct:.0f} (to the container's address)", f"{published/direct:.2f}×")
    run([BINARY, "down"], folder)


ALL = {"up": part_up, "one": part_one, "exec": part_exec, "logs": part_logs, "memory": part_memory, "port": part_port,
       "watch": part_watch}


def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    archive(WORLD + "/bench.tar", "bench:latest")
    run([BINARY, "image", "load", "-i", WORLD + "/bench.tar"])
    try:
        for part in PARTS or ALL:
            ALL[part]()
    finally:
        for folder in glob.glob(WORLD + "/*/compose.yaml"):
            run([BINARY, "down", "-v", "-t", "0"], os.path.dirname(folder), check=False)
        shutil.rmtree(WORLD, ignore_errors=True)
    print("| what | windlass | floor | ratio |\n| --- | --- | --- | --- |")
    for r in ROWS:
        print("| " + " | ".join(map(str, (*r, "", "", "")[:4])) + " |")


main()
