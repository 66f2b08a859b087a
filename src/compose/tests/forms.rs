//! One table of attributes: what stands in the file, what `config` makes of it.

use super::{one, service};

fn same(rows: &[(&str, &str)]) {
    for (lines, printed) in rows {
        let printed: String = printed.lines().map(|line| format!("{}\n", line)).collect();
        assert_eq!(service(lines), printed, "{lines}");
    }
}

#[test]
fn commands() {
    same(&[
        ("command: a 'b c'", "command:\n  - a\n  - b c"),
        ("command: [a, \"$$b\"]", "command:\n  - a\n  - $$b"),
        ("command: []", "command: []"),
        ("command: ''", "command: []"),
        ("command:", ""),
        ("entrypoint: /run", "entrypoint:\n  - /run"),
    ]);
}

#[test]
fn maps_and_lists_of_pairs() {
    same(&[
        ("environment: [A=1, B, C=]", "environment:\n  A: \"1\"\n  B: null\n  C: \"\""),
        (
            "environment: {A: 1.10, B: true, C: null, D: 0777, E: x}",
            "environment:\n  A: \"1.1\"\n  B: \"true\"\n  C: null\n  D: \"511\"\n  E: x",
        ),
        ("labels: {A: null, B: 2}", "labels:\n  A: \"\"\n  B: \"2\""),
        ("labels: [a.b=c=d]", "labels:\n  a.b: c=d"),
        ("sysctls: {net.core.somaxconn: 1024}", "sysctls:\n  net.core.somaxconn: \"1024\""),
        (
            "extra_hosts: {b: 1.2.3.4, a: ['[::1]', 127.0.0.1]}",
            "extra_hosts:\n  - a=127.0.0.1\n  - a=::1\n  - b=1.2.3.4",
        ),
        ("extra_hosts: ['h:1.2.3.4', 'g=::1']", "extra_hosts:\n  - g=::1\n  - h=1.2.3.4"),
    ]);
}

#[test]
fn numbers_sizes_durations() {
    same(&[
        ("cpus: '0.5'", "cpus: 0.5"),
        ("cpus: 2", "cpus: 2"),
        ("cpu_shares: 1.5", "cpu_shares: 1"),
        ("mem_limit: 1g", "mem_limit: \"1073741824\""),
        ("memswap_limit: -1", "memswap_limit: \"-1\""),
        ("stop_grace_period: 90s", "stop_grace_period: 1m30s"),
        ("shm_size: 64mb", "shm_size: \"67108864\""),
        (
            "ulimits: {nproc: 5, nofile: {soft: 1, hard: 2}}",
            "ulimits:\n  nofile:\n    soft: 1\n    hard: 2\n  nproc: 5",
        ),
        (
            "healthcheck: {test: exit 0, interval: 1m, retries: 0}",
            "healthcheck:\n  test:\n    - CMD-SHELL\n    - exit 0\n  interval: 1m0s\n  retries: 0",
        ),
        ("privileged: 'yes'\ntty: false\ninit: false", "init: false\nprivileged: true"),
        ("pids_limit: 0\nscale: 0", "scale: 0"),
    ]);
}

#[test]
fn ports() {
    let port = |rest: &str| format!("ports:\n  - mode: ingress\n{rest}    protocol: tcp\n");
    assert_eq!(service("ports: [80]"), port("    target: 80\n"));
    assert_eq!(service("ports: ['8080:80']"), port("    target: 80\n    published: \"8080\"\n"));
    assert_eq!(service("ports: ['8000-9000:80']"), port("    target: 80\n    published: 8000-9000\n"));
    assert_eq!(
        service("ports: ['[::1]::80/TCP']"),
        port("    host_ip: ::1\n    target: 80\n"),
        "brackets go, the protocol is lower case"
    );
    assert_eq!(
        service("ports: ['9-10:9-10/udp']"),
        "ports:\n  - mode: ingress\n    target: 10\n    published: \"10\"\n    protocol: udp\n  - mode: ingress\n    target: 9\n    published: \"9\"\n    protocol: udp\n"
    );
    assert_eq!(service("ports: [{target: 80, published: 8080}]"), port("    target: 80\n    published: \"8080\"\n"));
    for bad in ["localhost:80:80", "::1:80:80", "80-81:80-83", "80/tls", "x", "99999", ":"] {
        assert!(service(&format!("ports: ['{bad}']")).contains("is no port"), "{bad}");
    }
}

#[test]
fn volumes() {
    let bind = |source: &str, target: &str, more: &str| {
        format!(
            "volumes:\n  - type: bind\n    source: {source}\n    target: {target}\n{more}    bind:\n      create_host_path: true\n"
        )
    };
    assert_eq!(service("volumes: ['./a:/b/../c/']"), bind("@/a", "/c", ""));
    assert_eq!(service("volumes: ['/a/:/b:ro']"), bind("/a/", "/b", "    read_only: true\n"));
    assert_eq!(service("volumes: ['~/a:/b']"), bind("/home/me/a", "/b", ""));
    assert_eq!(service("volumes: [/data]"), "volumes:\n  - type: volume\n    target: /data\n    volume: {}\n");
    assert_eq!(
        one("volumes: ['vol:/data:nocopy']", "volumes: {vol: }\n"),
        "volumes:\n  - type: volume\n    source: vol\n    target: /data\n    volume:\n      nocopy: true\n"
    );
    assert_eq!(
        service("volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1k, mode: 0o700}}]"),
        "volumes:\n  - type: tmpfs\n    target: /t\n    tmpfs:\n      size: \"1024\"\n      mode: 448\n"
    );
    assert_eq!(
        service("volumes: ['/a:/b:z,rshared']"),
        "volumes:\n  - type: bind\n    source: /a\n    target: /b\n    bind:\n      selinux: z\n      propagation: rshared\n      create_host_path: true\n"
    );
    for bad in [":/x", "/a:/b:ro:x", "/a::b"] {
        assert!(service(&format!("volumes: ['{bad}']")).contains("is no volume"), "{bad}");
    }
}

#[test]
fn other_short_forms() {
    same(&[
        (
            "devices: [/dev/a, '/dev/b:/dev/c:r']",
            "devices:\n  - source: /dev/a\n    target: /dev/a\n    permissions: rwm\n  - source: /dev/b\n    target: /dev/c\n    permissions: r",
        ),
        ("dns: 1.1.1.1", "dns:\n  - 1.1.1.1"),
        ("tmpfs: /run", "tmpfs:\n  - /run"),
        ("gpus: all", "gpus:\n  - count: -1"),
        ("expose: [80, '81-82/udp']", "expose:\n  - \"80\"\n  - 81-82/udp"),
        ("group_add: [1, a]", "group_add:\n  - \"1\"\n  - a"),
        ("pull_policy: if_not_present", "pull_policy: missing"),
        ("build: .", "build:\n  context: @\n  dockerfile: Dockerfile"),
        (
            "build: {context: 'https://x/y.git', dockerfile_inline: FROM x}",
            "build:\n  context: https://x/y.git\n  dockerfile_inline: FROM x",
        ),
    ]);
    let secrets = "secrets: {x: {file: ./x}}\nconfigs: {y: {content: '$$z'}}\n";
    assert_eq!(
        one("secrets: [x]\nconfigs: [y, {source: y, target: /y, mode: 0440}]", secrets),
        "configs:\n  - source: \"y\"\n  - source: \"y\"\n    target: /y\n    mode: \"0440\"\nsecrets:\n  - source: x\n    target: /run/secrets/x\n"
            .replace("  - source: \"y\"\n  - source: \"y\"\n", "  - source: \"y\"\n")
    );
}
