//! Limits of a container's cgroup and of its processes.

use std::fs;

use crate::stack::{Stack, refused};

/// A file of a service's cgroup: the v1 one where the controller is mounted so, else the v2 one.
fn limit(stack: &Stack, service: &str, controller: &str, (v1, v2): (&str, &str)) -> String {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", stack.pid(service))).unwrap();
    let own = |line: &str| line.splitn(3, ':').nth(2).unwrap().trim_start_matches('/').to_owned();
    let of_v1 = groups.lines().find(|l| l.split(':').nth(1).unwrap().split(',').any(|c| c == controller));
    let path = match of_v1 {
        Some(line) => format!("/sys/fs/cgroup/{controller}/{}/{v1}", own(line)),
        None => format!("/sys/fs/cgroup/{}/{v2}", own(groups.lines().find(|l| l.starts_with("0::")).unwrap())),
    };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

#[test]
fn memory_processor_and_process_limits_stand_on_the_cgroup() {
    let stack = Stack::up(
        r#"
services:
  own:
    image: test
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 96m
    cpus: 0.5
    cpu_shares: 512
    cpuset: "0"
    pids_limit: 77
  deployed:
    image: test
    deploy: { resources: { limits: { memory: 48M, cpus: "0.25", pids: 55 }, reservations: { memory: 16M } } }
  quota: { image: test, cpu_quota: 30000, cpu_period: 60000 }
"#,
    );
    let memory = |service: &str| limit(&stack, service, "memory", ("memory.limit_in_bytes", "memory.max"));
    assert_eq!(memory("own"), (64 << 20).to_string());
    assert_eq!(memory("deployed"), (48 << 20).to_string());
    let reserved = |service: &str| limit(&stack, service, "memory", ("memory.soft_limit_in_bytes", "memory.low"));
    assert_eq!(reserved("own"), (32 << 20).to_string());
    assert_eq!(reserved("deployed"), (16 << 20).to_string());
    let quota = |service: &str| limit(&stack, service, "cpu", ("cpu.cfs_quota_us", "cpu.max"));
    assert!(quota("own").starts_with("50000"), "{}", quota("own"));
    assert!(quota("deployed").starts_with("25000"));
    assert!(quota("quota").starts_with("30000"));
    let period = limit(&stack, "quota", "cpu", ("cpu.cfs_period_us", "cpu.max"));
    assert!(period.ends_with("60000"), "{period}");
    // v1 counts memory and swap together, v2 swap alone.
    let swap = limit(&stack, "own", "memory", ("memory.memsw.limit_in_bytes", "memory.swap.max"));
    assert!([(96 << 20).to_string(), (32 << 20).to_string()].contains(&swap), "{swap}");
    assert_eq!(limit(&stack, "own", "cpuset", ("cpuset.cpus", "cpuset.cpus")), "0");
    assert_eq!(limit(&stack, "own", "pids", ("pids.max", "pids.max")), "77");
    assert_eq!(limit(&stack, "deployed", "pids", ("pids.max", "pids.max")), "55");
    assert_eq!(limit(&stack, "quota", "pids", ("pids.max", "pids.max")), "8192");
    let shares = limit(&stack, "own", "cpu", ("cpu.shares", "cpu.weight"));
    assert!(["512", "59"].contains(&shares.as_str()), "{shares}");
    stack.down();
}

#[test]
fn what_this_kernel_can_not_limit_is_told_and_fails_nothing() {
    let stack = Stack::new(
        r#"
services:
  web:
    image: test
    mem_limit: 64m
    mem_swappiness: 10
    oom_kill_disable: true
    cpu_rt_runtime: 1000
    cpu_rt_period: 1000000
    blkio_config: { weight: 300 }
"#,
    );
    let ran = stack.run(&["up", "-d"]).ok();
    // Each has its effect, or is told to have none.
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", stack.pid("web"))).unwrap();
    let v1 = groups.contains(":memory:");
    if v1 {
        assert_eq!(limit(&stack, "web", "memory", ("memory.swappiness", "")), "10");
        assert!(limit(&stack, "web", "memory", ("memory.oom_control", "")).contains("oom_kill_disable 1"));
    } else {
        assert!(ran.stderr.contains("mem_swappiness has no effect"), "{}", ran.stderr);
        assert!(ran.stderr.contains("oom_kill_disable has no effect"), "{}", ran.stderr);
    }
    if std::path::Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists() {
        assert_eq!(limit(&stack, "web", "cpu", ("cpu.rt_runtime_us", "")), "1000");
        assert_eq!(limit(&stack, "web", "cpu", ("cpu.rt_period_us", "")), "1000000");
    } else {
        assert!(ran.stderr.contains("cpu_rt_runtime has no effect"), "{}", ran.stderr);
    }
    stack.down();
}

#[test]
fn block_devices_are_throttled() {
    let Some((device, numbers)) = block_device() else { return };
    let stack = Stack::new("");
    stack.world.sh(&format!("mknod {}/disk b {}", stack.folder.display(), numbers.replace(':', " "))).ok();
    stack.write(
        "compose.yaml",
        &format!(
            "services:\n  web:\n    image: test\n    blkio_config:\n      device_read_bps: [{{path: {0}/disk, rate: 1mb}}]\n      device_write_bps: [{{path: {0}/disk, rate: 2mb}}]\n      device_read_iops: [{{path: {0}/disk, rate: 40}}]\n      device_write_iops: [{{path: {0}/disk, rate: 50}}]\n",
            stack.folder.display()
        ),
    );
    stack.run(&["up", "-d"]).ok();
    let read = limit(&stack, "web", "blkio", ("blkio.throttle.read_bps_device", "io.max"));
    assert!(read.contains(&numbers) && read.contains("1048576"), "{device}: {read}");
    let write = limit(&stack, "web", "blkio", ("blkio.throttle.write_iops_device", "io.max"));
    assert!(write.contains("50"), "{write}");
    let bytes = limit(&stack, "web", "blkio", ("blkio.throttle.write_bps_device", "io.max"));
    assert!(bytes.contains("2097152"), "{bytes}");
    let read = limit(&stack, "web", "blkio", ("blkio.throttle.read_iops_device", "io.max"));
    assert!(read.contains("40"), "{read}");
    stack.down();
}

/// A disk of this machine, and its numbers.
fn block_device() -> Option<(String, String)> {
    let mut disks = fs::read_dir("/sys/block").ok()?.flatten();
    disks.find_map(|disk| {
        let size = fs::read_to_string(disk.path().join("size")).ok()?;
        let numbers = fs::read_to_string(disk.path().join("dev")).ok()?.trim().to_owned();
        (size.trim() != "0").then(|| (disk.file_name().to_string_lossy().into_owned(), numbers))
    })
}

#[test]
fn limits_of_a_process_and_its_score() {
    let stack = Stack::up(
        r#"
services:
  web:
    image: test
    oom_score_adj: 500
    ulimits: { nofile: { soft: 100, hard: 200 }, nproc: 333, core: 0 }
    shm_size: 16m
"#,
    );
    assert_eq!(stack.line("web", "cat /proc/1/oom_score_adj"), "500");
    let limits = stack.line("web", "grep -E 'open files|processes|core' /proc/1/limits | sed 's/  */ /g'");
    for line in ["Max open files 100 200", "Max processes 333 333", "Max core file size 0 0"] {
        assert!(limits.contains(line), "{limits}");
    }
    assert_eq!(stack.line("web", "df -k /dev/shm | tail -1 | sed 's/  */ /g' | cut -d' ' -f2"), "16384");
    stack.down();
}

#[test]
fn a_cgroup_namespace_of_its_own_or_the_hosts() {
    let stack = Stack::new("services:\n  own: {image: test}\n  host: {image: test, cgroup: host}\n");
    stack.run(&["up", "-d"]).ok();
    let groups = |service: &str| stack.line(service, "cat /proc/1/cgroup");
    assert!(!groups("own").contains("windlass"), "{}", groups("own"));
    assert!(groups("host").contains("windlass"), "{}", groups("host"));
    stack.down();
}

#[test]
fn a_value_that_can_not_be_names_its_limit() {
    for (line, says) in [
        ("mem_limit: 1m", "too small"),
        ("cpuset: '500'", "cpuset"),
        ("ulimits: {nofile: {soft: 5, hard: 4}}", "soft limit"),
        ("oom_score_adj: 2000", "-1000 and 1000"),
        ("mem_swappiness: 200", "between 0 and 100"),
        ("sysctls: {kernel.panic: '1'}", "whole machine"),
        ("blkio_config: {weight: 5}", "between 10 and 1000"),
    ] {
        refused(&format!("services:\n  web:\n    image: test\n    {line}\n"), &[says]);
    }
}

#[test]
fn a_container_in_a_group_of_the_users() {
    let name = format!("wl-parent-{}", std::process::id());
    let stack = Stack::up(&format!(
        "services:\n  web: {{image: test, cgroup_parent: /{name}/deep, cgroup: host, mem_limit: 64m}}\n"
    ));
    let inside = stack.line("web", "cat /proc/self/cgroup");
    assert!(inside.contains(&format!("/{name}/deep/windlass-")), "{inside}");
    let limit = stack.world.sh(&format!("cat /sys/fs/cgroup/memory/{name}/deep/windlass-*/memory.limit_in_bytes || cat /sys/fs/cgroup/{name}/deep/windlass-*/memory.max"));
    assert_eq!(limit.ok().stdout.trim(), "67108864");
    // It is found again by who comes later, and stopped, and what was made for it goes.
    stack.run(&["restart", "-t", "0"]).ok();
    stack.run(&["stats", "--no-stream"]).ok().says("app-web-1");
    stack.run(&["plan", "--detailed-exitcode"]).ok();
    stack.down();
    assert_eq!(stack.world.sh(&format!("find /sys/fs/cgroup -name {name} 2>/dev/null")).stdout, "");
}
