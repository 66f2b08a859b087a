"""The measurements of tests/bench/run; each takes turns between windlass and the floor. W: wall, C: CPU, ms, medians."""
import contextlib, glob, json, os, shutil, signal, statistics, subprocess, sys, time, urllib.request

from lab import IMAGE, SHARED, Lab, both, services, short, told
import layers

AIMS = {1: ("60", "20"), 10: ("300", "120"), 50: ("1000 and 3×", "600"), 100: ("2000", "1200")}
DOWN = {1: "", 10: "W 150", 50: "W 400 and 3×", 100: "W 800"}
AGAIN = {1: "C 5", 10: "", 50: "C 15", 100: "C 25"}
PEERS = {"docker": ["docker", "compose"], "podman": ["podman-compose"]}


def part_up(lab):
    for n in (1, 10, 50, 100):
        folder = lab.project(f"up{n}", services(n))
        ups, downs, again, floors, floor_downs = [], [], [], [], []
        for _ in range(7 if n <= 10 else 5):
            f = lab.floor_stack(n)
            floors.append((f["up_ms"], f["cpu"])); floor_downs.append((f["down_ms"], 0.0))
            ups += lab.timed("up", "-d", cwd=folder)
            again += lab.timed("up", "-d", cwd=folder)
            downs += lab.timed("down", cwd=folder)
        whole = [(u[0], u[1] + d[1]) for u, d in zip(ups, downs)]
        lab.compare(f"up, {n} services (C: up and down)", whole, floors, "W {}, C {}".format(*AIMS[n]))
        lab.row(f"up alone, {n} services", told(ups))
        lab.compare(f"down, {n} services", downs, floor_downs, DOWN[n])
        lab.row(f"up again, nothing to do, {n} services", told(again), aim=AGAIN[n])
        peers(lab, n, folder)


def peers(lab, n, folder):
    """The same with docker compose and podman-compose, where they are installed and run."""
    for tool, compose in PEERS.items():
        if not shutil.which(compose[0]) or subprocess.run([tool, "info"], capture_output=True).returncode:
            continue
        subprocess.run([tool, "load", "-i", lab.archive], capture_output=True, check=True)
        run = lambda *a: subprocess.run([*compose, *a], cwd=folder, capture_output=True, check=True)
        up = [lab.time(lambda: run("up", "-d"))]
        down = [lab.time(lambda: run("down"))]
        lab.row(f"{' '.join(compose)}: up / down, {n} services", f"W {short(up[0][0])} / {short(down[0][0])}")


def part_one(lab):
    on, off = services(1), f"services:\n  s0: {{image: '{IMAGE}', network_mode: none, stop_signal: SIGKILL}}\n"
    for what, text, aim in (("bridge network", on, "C 15, W 1.5× + 10"), ("no network", off, "C 12")):
        folder = lab.project("one-" + what.split()[0], text)
        # A project that is up: a supervisor is there, and the network.
        lab.windlass("up", "-d", cwd=folder)
        ours, floors = [], []
        for _ in range(10):
            f = lab.floor("-n", "3", "--", "/bin/true")
            floors.append((f["total_ms"]["med"], f["cpu"] / 6))
            ours += lab.timed("run", "--rm", "-T", "s0", "true", cwd=folder)
            time.sleep(0.2)  # the container is removed after its client has ended: not a part of the next round
        lab.compare(f"run --rm true, {what}, stack up", ours, floors, aim)
        lab.windlass("down", cwd=folder)
        ours = []
        for _ in range(7):
            ours += lab.timed("run", "--rm", "-T", "s0", "true", cwd=folder)
            time.sleep(0.2)
        lab.row(f"run --rm true, {what}, nothing up", told(ours))
        lab.windlass("down", cwd=folder)


def part_exec(lab):
    with lab.up("exec", services(100)) as folder:
        shim = next(lab.processes("__shim"))
        sleeper = open(f"/proc/{shim}/task/{shim}/children").read().split()[0]
        ours, floors = [], []
        for _ in range(20):
            ours += lab.timed("exec", "-T", "s0", "true", cwd=folder)
            floors.append(lab.time(lambda: lab.measured(["nsenter", "-a", "-t", sleeper, "/bin/true"])))
        lab.compare("exec true (floor: nsenter)", ours, floors, "C 8")
        lab.row("ps of 100", told(lab.timed("ps", cwd=folder, n=20)), aim="W 15")
        lab.row("logs of 100, no lines", told(lab.timed("logs", cwd=folder, n=10)))
    lab.row("version", told(lab.timed("version", n=20)), aim="C 3")


def cmdline(pid):
    with contextlib.suppress(OSError):
        return open(f"/proc/{pid}/cmdline", "rb").read()


def part_logs(lab):
    """From the program's side: two clocks in the container, before the first line and after the last."""
    lines = lambda to, last: f"load stamp {to} & seq 500000{last}; load stamp {to}"
    text = (f"services:\n  s0: {{image: '{IMAGE}', command: [sh, -c, '{lines('/stamps/s', '')}'], stop_signal: SIGKILL, "
            "volumes: ['./stamps:/stamps']}\n")
    ours, floors, reads = [], [], []
    for _ in range(5):
        floors.append(stamped(lab, f"{lab.world}/s", lambda: lab.begin(
            ["sh", "-c", lines(f"{lab.world}/s", f" > {lab.world}/seq")], {"PATH": f"{lab.world}:{lab.world}/floor-root/bin"})))
        folder = lab.project("logs", text)
        ours.append(stamped(lab, f"{folder}/stamps/s", lambda: lab.windlass("up", "-d", cwd=folder)))
        while "500000\n" != lab.windlass("logs", "--tail", "1", "--no-log-prefix", cwd=folder).stdout:
            time.sleep(0.01)
        reads += lab.timed("logs", cwd=folder)
        lab.windlass("down", cwd=folder)
    lab.compare("500 000 lines into the log, as their program sees it (floor: seq to a file)", ours, floors, "W 1.5×")
    lab.row("reading them back", told(reads), aim="W 500")


def stamped(lab, path, start):
    """Wall ms between the two stamps that what is started writes, and the CPU ms until then."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    begun, cpu = start(), lab.cpu()
    while not (os.path.exists(path) and len(stamps := open(path).read().split()) == 2):
        time.sleep(0.005)
    used = lab.cpu() - cpu
    if isinstance(begun, subprocess.Popen):
        os.killpg(begun.pid, signal.SIGKILL)
        begun.wait()
    return (int(stamps[1]) - int(stamps[0])) / 1e6, used


def part_restart(lab):
    n = 7
    text = "services:\n" + "".join(
        f"  s{i}: {{image: '{IMAGE}', command: [load, stamp, /stamps/{i}], restart: always, stop_signal: SIGKILL, "
        f"volumes: ['./stamps:/stamps']}}\n" for i in range(n))
    with lab.up("restart", text) as folder:
        # Only after 10 s of life a restart comes without delay.
        time.sleep(10.5)
        times = []
        for i in range(n):
            path = f"{folder}/stamps/{i}"
            pid = next(p for p in os.listdir("/proc") if p.isdigit() and cmdline(p) == f"load\0stamp\0/stamps/{i}\0".encode())
            killed = time.time_ns()
            os.kill(int(pid), signal.SIGKILL)
            while len(lines := open(path).read().split()) < 2:
                time.sleep(0.002)
            times.append((int(lines[1]) - killed) / 1e6)
            time.sleep(0.3)
        lab.row("restart: kill -9 of the process to its successor", f"W {short(statistics.median(times))} (min {short(min(times))})", aim="W 30")


def part_memory(lab):
    n = 100
    with lab.up("memory", services(n)):
        # Threads that only the start needed have ended then.
        time.sleep(4)
        shims, supervisors = list(lab.processes("__shim")), list(lab.processes("__supervisor"))
        pss, own = memory(shims, "Pss"), memory(shims, "Private_Dirty")
        lab.row(f"memory of a shim, median of {len(shims)}", f"PSS {statistics.median(pss)} KiB, private {statistics.median(own)} KiB", aim="PSS 512 KiB")
        lab.row(f"memory of the supervisor of {n}", f"PSS {sum(memory(supervisors, 'Pss'))} KiB, private {sum(memory(supervisors, 'Private_Dirty'))} KiB", aim=f"PSS {10 + n // 10} MiB")
        before, seconds = lab.cpu(), 60
        time.sleep(seconds)
        used = lab.cpu() - before
        lab.row(f"idle CPU of all of it over {seconds} s, {n} sleepers", f"{used:.1f} ms ({used / seconds:.3f} ms/s)", aim="0.2 ms/s")
    lab.row("size of the program", f"{os.path.getsize(lab.binary) / 1e6:.1f} MB")


def memory(pids, field):
    def one(pid):
        return next(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith(field + ":"))
    return [one(pid) for pid in pids]


def part_port(lab):
    text = "services:\n" + "".join(
        f"  {kind}: {{image: '{IMAGE}', command: [load, {kind}, '80'], ports: ['127.0.0.1:{port}:80', '[::1]:{port}:80'], stop_signal: SIGKILL}}\n"
        for kind, port in (("accept", 8099), ("stream", 8098)))
    with lab.up("port", text) as folder:
        for kind, client, port, unit in (("accept", "connect", 8099, "connections a second"), ("stream", "receive", 8098, "Gbit/s, one stream")):
            direct = address(lab, folder, kind)
            through, relayed, straight = [], [], []
            for _ in range(5):
                for target, results in ((("127.0.0.1", str(port)), through), (("::1", str(port)), relayed), ((direct, "80"), straight)):
                    before = lab.cpu()
                    amount = "2000" if kind == "accept" else "2"
                    rate = float(lab.measured([lab.load, client, *target, amount]).stdout)
                    spent = lab.cpu() - before
                    results.append((rate, spent / 2000 * 1e3 if kind == "accept" else spent / (rate * 2) * 8))
            (a, ca), (r, cr), (b, cb) = both(through), both(relayed), both(straight)
            per = "us a connection" if kind == "accept" else "ms a GB"
            for way, rate, cost, aim in (("", a, ca, "C 1.1×"), (" ([::1], relay)", r, cr, "")):
                lab.row(f"published port{way}: {unit}", f"{rate:.4g}, C {cost:.0f} {per}", f"{b:.4g}, C {cb:.0f} {per} (container's address)",
                        f"rate {rate / b:.2f}×, C {cost / cb:.2f}×", aim)


def address(lab, folder, service):
    hosts = lab.windlass("exec", "-T", service, "cat", "/etc/hosts", cwd=folder).stdout
    return hosts.strip().splitlines()[-1].split("\t")[0]


def part_dns(lab):
    text = f"services:\n  a: {{image: '{IMAGE}', stop_signal: SIGKILL}}\n  echo: {{image: '{IMAGE}', command: [load, echo, '5353'], stop_signal: SIGKILL}}\n"
    with lab.up("dns", text) as folder:
        supervisors = list(lab.processes("__supervisor"))
        for outstanding, aim in ((50, "30 000/s, C 10 us"), (1, "latency 1.3× echo")):
            ours, floors = [], []
            for _ in range(5):
                for service, target, results in (("a", ("127.0.0.11", "53"), ours), ("echo", ("127.0.0.1", "5353"), floors)):
                    before = lab.ran(supervisors)
                    p = lab.windlass("exec", "-T", service, "load", "query", *target, "a", "2", str(outstanding), cwd=folder)
                    rate = float(p.stdout)
                    results.append((rate, (lab.ran(supervisors) - before) / (rate * 2) * 1e3))
            (a, c), (b, _) = both(ours), both(floors)
            lab.row(f"DNS, {outstanding} outstanding", f"{a:.0f}/s ({1e6 / a * outstanding:.0f} us), server C {c:.1f} us", f"{b:.0f}/s (UDP echo)", f"rate {a / b:.2f}×", aim)


def part_pull(lab):
    port, name, sizes = layers.serve(lab)
    reference = f"127.0.0.1:{port}/{name}:latest"
    ours, floors = [], []
    for _ in range(3):
        def pipeline():
            script = "".join(
                f"( mkdir -p {lab.world}/pulled/{i}; curl -sf http://127.0.0.1:{port}/v2/{name}/blobs/{digest} | tee >(sha256sum >/dev/null) | gzip -dc"
                f" | tar xf - -C {lab.world}/pulled/{i} ) & " for i, digest in enumerate(sizes)) + f"wait; sync -f {lab.world}"
            lab.measured(["bash", "-c", script])
        floors.append(lab.time(pipeline))
        shutil.rmtree(lab.world + "/pulled")
        ours += lab.timed("image", "pull", reference)
        lab.windlass("image", "rm", reference)
        lab.windlass("image", "prune", "-f", check=False)
    total = sum(sizes.values())
    lab.compare(f"pull of {total / 1e6:.0f} MB in {len(sizes)} layers (floor: curl, sha256sum, gzip, tar in parallel, sync)", ours, floors, "W 1.2×, C 1.0×")


def part_config(lab):
    def text(n):
        return "x-common: &common\n  image: bench:latest\n  restart: unless-stopped\n  environment: {A: '${A:-1}', B: b}\n" \
            "  logging: {driver: json-file, options: {max-size: 10m}}\nservices:\n" + "".join(
                f"  s{i}:\n    <<: *common\n    command: [sleep, '{i}']\n    hostname: 'h${{X:-{i}}}'\n    labels:\n      number: '{i}'\n      name: service-{i}\n"
                f"    ports: ['127.0.0.1::80']\n    volumes:\n      - data:/data\n      - type: tmpfs\n        target: /tmp\n"
                f"    healthcheck:\n      test: [CMD, 'true']\n      interval: 10s\n    networks:\n      default:\n        aliases: [alias-{i}]\n"
                for i in range(n)) + "volumes: {data: {}}\n"
    for n, aim in ((10, "C 5"), (500, "C 40")):
        folder = lab.project(f"config{n}", text(n))
        lines = text(n).count(chr(10))
        lab.row(f"config -q, {n} services ({lines} lines)", told(lab.timed("config", "-q", cwd=folder, n=10)), aim=aim)
        lab.row(f"config, {n} services ({lines} lines), printed", told(lab.timed("config", cwd=folder, n=10)))


def part_stack(lab):
    """The stack flask-redis, from `up` to its first answer; its images are there already."""
    cache = os.environ.get("WINDLASS_IMAGES", os.path.expanduser("~/.cache") + "/windlass-images")
    if not layers.has(cache, "library/flask-redis-web"):
        return lab.row("flask-redis, `up` to its first answer", "left out: its images are not built (shared/images/build stack-flask-redis)")
    serve = SHARED + "/images/serve"
    subprocess.run([serve, "--port", "5000"], check=True, capture_output=True)
    try:
        with open(lab.env["CONTAINERS_REGISTRIES_CONF"], "w") as f:
            f.write(subprocess.run([serve, "--conf", "--port", "5000"], check=True, capture_output=True, text=True).stdout)
        folder = lab.world + "/flask-redis"
        shutil.copytree(SHARED + "/stacks/flask-redis", folder)
        with open(lab.world + "/over.yaml", "w") as f:
            f.write(subprocess.run([SHARED + "/stacks/override", "flask-redis"], check=True, capture_output=True, text=True).stdout)
        files = ("-f", "compose.yaml", "-f", "../over.yaml")
        lab.windlass(*files, "pull", cwd=folder)
        times = []

        def first_answer():
            lab.windlass(*files, "up", "-d", cwd=folder)
            while True:
                with contextlib.suppress(OSError):
                    return urllib.request.urlopen("http://127.0.0.1:8000/", timeout=30).read()
                time.sleep(0.01)

        for _ in range(5):
            times.append(lab.time(first_answer))
            lab.windlass(*files, "down", "-v", "-t", "1", cwd=folder)
        lab.row("flask-redis, `up` to its first answer", told(times))
    finally:
        subprocess.run([serve, "--stop", "--port", "5000"], capture_output=True)


def part_watch(lab):
    """Save → visible in the container at 10,000 watched files; 10,000 files at once; what watching costs while idle."""
    # Somebody else than who writes here, so that the owners are seen to be set.
    user = (1234, 2345)
    folder = lab.project("watch", f"services:\n  web:\n    image: '{IMAGE}'\n    stop_signal: SIGKILL\n"
                     f"    user: '{user[0]}:{user[1]}'\n"
                     "    develop: {watch: [{path: src, action: sync, target: /app}]}\n")
    for d in range(100):
        os.makedirs(f"{folder}/src/d{d}")
        for f in range(100):
            with open(f"{folder}/src/d{d}/f{f}", "w") as out:
                out.write("x")
    log = open(folder + "/log", "w+")
    watch = subprocess.Popen([lab.binary, "watch"], cwd=folder, env=lab.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        while "watching" not in open(folder + "/log").read():
            time.sleep(0.05)
        record = glob.glob(f"{lab.env['WINDLASS_RUN']}/containers/*/process.json")
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
            lab.row(f"watch, {what}: save to visible, ms", f"median {statistics.median(walls):.1f}", f"p99 {p99:.1f}", f"max {max(walls):.1f}")
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
                        found[path[len(top):]] = (open(path).read(), s.st_mode, (s.st_uid, s.st_gid))
            return found
        wanted = {path: (text, mode, user) for path, (text, mode, _) in look(folder + "/src").items()}
        while look(inside) != wanted:
            pass
        lab.row("watch, 10,000 files at once, s", f"written in {wrote:.2f}", f"all equal after {time.perf_counter() - t:.2f}")
        def ticks():
            return sum(int(x) for x in open(f"/proc/{watch.pid}/stat").read().rsplit(")", 1)[1].split()[11:13])
        time.sleep(1)
        before = ticks()
        time.sleep(10)
        lab.row("watch, idle for 10 s: CPU, ms", str((ticks() - before) * 10))
    finally:
        watch.send_signal(2)
        watch.wait()
        lab.windlass("down", cwd=folder)


PARTS = {"up": part_up, "one": part_one, "exec": part_exec, "logs": part_logs, "restart": part_restart, "memory": part_memory,
         "port": part_port, "dns": part_dns, "pull": part_pull, "config": part_config, "stack": part_stack,
         "watch": part_watch}


def main():
    wanted = sys.argv[2:] or list(PARTS)
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        sys.exit(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    lab = Lab(sys.argv[1])
    try:
        for part in wanted:
            PARTS[part](lab)
    finally:
        lab.close()
        print(lab.table())


main()
