//! What a container finds inside: mounts, devices, users, names, limits.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use windlass::desired::{DeviceSpec, NetMode, NsMode, Ulimit};

use crate::support::{World, isolated, spec};

#[test]
fn the_standard_mounts_are_there() {
    isolated(|| async {
        let world = World::new();
        let script = "cut -d' ' -f2,3 /proc/mounts | head -40; ls -l /dev/null /dev/fd /dev/ptmx | tr -s ' '";
        let done = world.sh(|_| {}, script).await;
        for line in [
            "/ overlay",
            "/proc proc",
            "/dev tmpfs",
            "/dev/pts devpts",
            "/dev/mqueue mqueue",
            "/dev/shm tmpfs",
            "/sys sysfs",
            "/etc/hosts tmpfs",
            "/etc/hostname tmpfs",
            "/etc/resolv.conf tmpfs",
        ] {
            assert!(done.stdout.lines().any(|found| found == line), "{line} not in {}", done.stdout);
        }
        assert!(done.stdout.contains("1, 3"), "{}", done.stdout);
    });
}

#[test]
fn names_hosts_and_resolver_are_set() {
    isolated(|| async {
        let world = World::new();
        let script =
            "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf /proc/sys/kernel/domainname; echo $HOME $PATH";
        let done = world
            .sh(
                |spec| {
                    spec.hostname = Some("alpha".into());
                    spec.domainname = Some("example.org".into());
                },
                script,
            )
            .await;
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let expected =
            format!("alpha\nalpha\n127.0.0.1\tlocalhost\nnameserver 127.0.0.11\nexample.org\n/root {path}\n");
        assert_eq!(done.stdout, expected);
    });
}

#[test]
fn users_groups_and_home_come_from_the_image() {
    isolated(|| async {
        let world = World::new();
        let change = |spec: &mut windlass::desired::ContainerSpec| {
            spec.user = "app".into();
            spec.groups = vec!["77".into()];
        };
        let done = world.sh(change, "id -u; id -g; id -G; echo $HOME; echo to-me > /dev/stderr").await;
        assert_eq!(done.stdout, "1234\n2345\n2345 77 2000\n/home/app\n");
        assert_eq!(done.stderr, "to-me\n");
        let mut missing = spec(&["true"]);
        missing.user = "nobody-here".into();
        let error = world.refused(&world.bundle(missing)).await;
        assert_eq!((error.stage.as_str(), error.code), ("user", 125), "{error}");
    });
}

#[test]
fn a_missing_working_directory_is_made() {
    isolated(|| async {
        let world = World::new();
        symlink("real", world.layer().join("link")).unwrap();
        let done = world.sh(|spec| spec.cwd = "/link/deep/er".into(), "pwd; ls /real; stat -c %a .").await;
        assert_eq!(done.stdout, "/real/deep/er\ndeep\n755\n");
        let done = world
            .sh(
                |spec| {
                    spec.cwd = "/new".into();
                    spec.read_only = true;
                },
                "pwd; touch /x",
            )
            .await;
        assert_eq!((done.stdout.as_str(), done.exit.exit.code), ("/new\n", 1));
        assert!(done.stderr.contains("Read-only"), "{}", done.stderr);
    });
}

#[test]
fn limits_and_sysctls_are_set() {
    isolated(|| async {
        let world = World::new();
        let change = |spec: &mut windlass::desired::ContainerSpec| {
            spec.ulimits.insert("nofile".into(), Ulimit { soft: 111, hard: 222 });
            spec.ulimits.insert("core".into(), Ulimit { soft: 0, hard: 0 });
            spec.sysctls = BTreeMap::from([
                ("net.ipv4.ip_forward".into(), "1".into()),
                ("kernel.shmmni".into(), "123".into()),
                ("net/ipv4/conf/lo/forwarding".into(), "1".into()),
            ]);
        };
        let script = "ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni \
                      /proc/sys/net/ipv4/ip_unprivileged_port_start";
        assert_eq!(world.sh(change, script).await.stdout, "111\n222\n1\n123\n0\n");
        let mut unknown = spec(&["true"]);
        unknown.ulimits.insert("nonesuch".into(), Ulimit { soft: 1, hard: 1 });
        assert_eq!(world.refused(&world.bundle(unknown)).await.stage, "ulimits");
    });
}

#[test]
fn devices_are_made_inside() {
    isolated(|| async {
        let world = World::new();
        let device = |source: &str, target: &str| DeviceSpec {
            node: None,
            source: source.into(),
            target: target.into(),
            permissions: "rwm".into(),
        };
        let devices = vec![device("/dev/null", "/dev/sub/nothing"), device("/dev/zero", "/other/zero")];
        let script = "echo x > /dev/sub/nothing; head -c 3 /other/zero | wc -c; stat -c '%t:%T' /dev/sub/nothing";
        assert_eq!(world.sh(|spec| spec.devices = devices, script).await.stdout, "3\n1:3\n");
        let mut none = spec(&["true"]);
        none.devices = vec![device("/dev/none-such", "/dev/x")];
        assert_eq!(world.refused(&world.bundle(none)).await.stage, "devices");
    });
}

#[test]
fn namespaces_are_its_own_or_the_hosts() {
    isolated(|| async {
        let world = World::new();
        let names = ["net", "ipc", "uts", "pid", "cgroup", "mnt"];
        let script = format!("for n in {}; do readlink /proc/self/ns/$n; done", names.join(" "));
        let outside: Vec<_> = names
            .iter()
            .map(|name| fs::read_link(format!("/proc/thread-self/ns/{name}")).unwrap().display().to_string())
            .collect();
        let own = world.sh(|_| {}, &script).await.stdout;
        for (inside, outside) in own.lines().zip(&outside) {
            assert_ne!(inside, outside);
        }
        let change = |spec: &mut windlass::desired::ContainerSpec| {
            spec.namespaces.net = NetMode::Host;
            spec.namespaces.ipc = NsMode::Host;
            spec.namespaces.uts = NsMode::Host;
            spec.namespaces.pid = NsMode::Host;
            spec.namespaces.host_cgroup = true;
        };
        let shared = world.sh(change, &script).await.stdout;
        assert_eq!(shared.lines().collect::<Vec<_>>()[..5], outside[..5]);
    });
}

#[test]
fn pid_1_of_init_reaps_orphans_and_passes_signals_on() {
    isolated(|| async {
        let world = World::new();
        let script = "(sleep 0.05 &) ; cat /proc/1/comm; sleep 0.2; ps | grep -c '[Z] '; exit 9";
        let done = world.sh(|spec| spec.init = true, script).await;
        assert_eq!((done.stdout.as_str(), done.exit.exit.code), ("windlass-init\n0\n", 9));

        let shim = world.shim().await;
        let script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done";
        let mut signalled = spec(&["sh", "-c", script]);
        signalled.init = true;
        let bundle = world.bundle(signalled);
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let attached = windlass::host::container::client::attach(&world.run(), false).await.unwrap();
        shim.start(&bundle, BTreeMap::new()).await.unwrap();
        attached.next().await.unwrap().unwrap();
        shim.signal(15).await.unwrap();
        shim.event().await.unwrap();
        assert_eq!(world.exit().exit.code, 42);
        shim.shutdown().await.unwrap();

        let mut missing = spec(&["nonesuch"]);
        missing.init = true;
        assert_eq!(world.refused(&world.bundle(missing)).await.code, 127);
    });
}

#[test]
fn standard_input_reaches_the_process_and_ends() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        let mut reader = spec(&["sh", "-c", "wc -c"]);
        reader.stdin_open = true;
        let bundle = world.bundle(reader);
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let attached = windlass::host::container::client::attach(&world.run(), true).await.unwrap();
        shim.start(&bundle, BTreeMap::new()).await.unwrap();
        attached.write(&vec![b'x'; 1_000_000]).await.unwrap();
        attached.close_stdin().await.unwrap();
        assert_eq!(crate::support::drain(&attached).await.0, "1000000\n");
        shim.shutdown().await.unwrap();
        // Without it there is nothing to read.
        assert_eq!(world.sh(|_| {}, "wc -c").await.stdout, "0\n");
    });
}

#[test]
fn umask_signals_and_descriptors_are_clean() {
    isolated(|| async {
        let world = World::new();
        let _left_open = fs::File::open("/").unwrap();
        rustix::io::fcntl_setfd(&_left_open, rustix::io::FdFlags::empty()).unwrap();
        let script =
            "umask; grep -E 'Sig(Blk|Ign)' /proc/self/status | tr -s '\\t' ' '; ls /proc/self/fd | tr '\\n' ' '";
        let done = world.sh(|_| {}, script).await;
        // 3 is the folder that ls reads.
        assert_eq!(done.stdout, "0022\nSigBlk: 0000000000000000\nSigIgn: 0000000000000000\n0 1 2 3 ");
    });
}
