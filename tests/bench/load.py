"""How long it takes to load compose files, as a whole and by pass: `tests/bench/load.py BINARY [SERVICES…]`.

Writes a file of N services (21 lines each: anchors, merge keys, interpolation, every third with a dependency), runs
`config -q` on it and prints CPU time, the most memory held, and what each pass took; beside it docker compose where that is
installed. Standard library only.
"""
import os, re, resource, shutil, statistics, subprocess, sys, tempfile

PEER = ["docker", "compose"]


def services(count):
    """The text of a file with so many services."""
    out = ["x-common: &common", "  restart: unless-stopped", "  logging: &log {driver: json-file, options: {max-size: 10m}}",
           "  environment: &env", "    TZ: ${TZ:-UTC}", "    LEVEL: ${LEVEL:-info}", "services:"]
    for n in range(count):
        out += [f"  service-{n:04}:", "    <<: *common", f"    image: registry.test/team/app-{n}:${{TAG:-1.{n}}}",
                f"    command: [serve, --port, \"{8000 + n}\", --name, \"${{NAME:-app}}-{n}\"]", "    environment:",
                "      <<: *env", f"      INDEX: \"{n}\"", f"      URL: http://service-{n:04}:${{PORT:-80}}/",
                "    ports:", f"      - \"${{BIND:-127.0.0.1}}:{10000 + n}:80\"", "    volumes:", f"      - data-{n % 50}:/data",
                f"      - ./conf/{n}:/etc/app:ro", "    labels:", f"      team: ${{TEAM:-t{n % 7}}}",
                "    healthcheck:", "      test: [CMD, probe]", "      interval: ${EVERY:-30s}", "    networks: [front, back]",
                f"    mem_limit: {64 + n % 64}m"]
        out.append(f"    depends_on: [{f'service-{n - n % 3:04}' if n % 3 else 'base'}]")
    out += ["  base: {image: busybox}", "networks: {front: , back: }", "volumes:"] + [f"  data-{n}:" for n in range(50)]
    return "\n".join(out) + "\n"


def measure(command, folder, times):
    """Milliseconds of CPU, one for each run."""
    spent = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*command, "config", "-q"], cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3)
    return spent


def main():
    binary = os.path.abspath(sys.argv[1])
    print("| services | lines | CPU, median | least | memory | passes, µs |\n| --- | --- | --- | --- | --- | --- |")
    for count in [int(n) for n in sys.argv[2:]] or [10, 500]:
        with tempfile.TemporaryDirectory() as folder:
            text = services(count)
            with open(folder + "/compose.yaml", "w") as file:
                file.write(text)
            spent = measure([binary], folder, 15)
            told = subprocess.run([binary, "--verbose", "config", "-q"], cwd=folder, check=True, capture_output=True, text=True)
            passes = " · ".join(f"{a} {b}" for a, b in re.findall(r"pass=\"?(\w+)\"? micros=(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", told.stderr)))
            memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            lines = text.count("\n")
            print(f"| {count} | {lines} | {statistics.median(spent):.1f} ms | {min(spent):.1f} ms | {memory:.0f} MiB | {passes} |")
            if has_peer():
                spent = measure(PEER, folder, 5)
                print(f"| {count}, {' '.join(PEER)} | {lines} | {statistics.median(spent):.1f} ms | {min(spent):.1f} ms | | |")


def has_peer():
    return bool(shutil.which(PEER[0])) and subprocess.run([*PEER, "version"], capture_output=True).returncode == 0


main()
