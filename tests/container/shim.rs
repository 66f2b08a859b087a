//! The shim itself: what it keeps, who may come and go, what it costs, its log.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use windlass::desired::{LogSpec, Namespaces, NetMode, NsMode};
use windlass::host::cgroup::{Devices, Layout, Leaf};
use windlass::host::container::bundle::{Shared, shared};
use windlass::host::container::client::attach;
use windlass::host::container::protocol::Part;
use windlass::host::container::{Shim, record};
use windlass::host::logs::{Options, Reader};
use windlass::host::record::{Durability, read, write};

use crate::support::{World, isolated, spec};

#[test]
fn a_lost_supervisor_changes_nothing_and_the_next_one_adopts() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        let mut waiter = spec(&["sh", "-c", "read x; echo got $x; exit 4"]);
        waiter.stdin_open = true;
        let bundle = world.bundle(waiter);
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let running = shim.start(&bundle, BTreeMap::new()).await.unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        shim.store("pipe", vec![write]).await.unwrap();
        let pid = shim.pid();
        drop((shim, read));

        let shim = Shim::adopt(&world.run()).await.unwrap();
        assert_eq!(shim.pid(), pid);
        let state = shim.state().await.unwrap();
        assert_eq!(state.running.unwrap().process, running.process);
        assert_eq!(state.stored, ["pipe"]);
        let kept = shim.take("pipe").await.unwrap();
        assert_eq!(kept.len(), 1);
        shim.forget("pipe").await.unwrap();
        assert!(shim.take("pipe").await.unwrap().is_empty());
        let attached = attach(&world.run(), true).await.unwrap();
        attached.write(b"word\n").await.unwrap();
        let (output, _, exit) = crate::support::drain(&attached).await;
        assert_eq!((output.as_str(), exit.exit.code), ("got word\n", 4));
        shim.event().await.unwrap();
        assert_eq!(shim.state().await.unwrap().exit, Some(exit));
        shim.shutdown().await.unwrap();
    });
}

#[test]
fn the_sandbox_hands_out_namespaces_and_sockets_inside() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        let sandbox = shim.sandbox(&Namespaces::default(), 1 << 20).await.unwrap();
        let parts: Vec<_> = sandbox.keys().copied().collect();
        let all = [
            Part::Net,
            Part::Ipc,
            Part::Uts,
            Part::Shm,
            Part::RouteNetlink,
            Part::NetfilterNetlink,
            Part::DnsUdp,
            Part::DnsTcp,
        ];
        assert_eq!(parts, all);
        let net = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&sandbox[&Part::Net]));
        assert_ne!(fs::read_link(net).unwrap(), fs::read_link("/proc/thread-self/ns/net").unwrap());
        let udp = std::net::UdpSocket::from(sandbox[&Part::DnsUdp].try_clone().unwrap());
        assert_eq!(udp.local_addr().unwrap().to_string(), "127.0.0.11:40053");
        let tcp = std::net::TcpListener::from(sandbox[&Part::DnsTcp].try_clone().unwrap());
        assert_eq!(tcp.local_addr().unwrap().to_string(), "127.0.0.11:40053");
        let again = shim.sandbox(&Namespaces::default(), 1 << 20).await.unwrap();
        let inode = |fd: &std::os::fd::OwnedFd| rustix::fs::fstat(fd).unwrap().st_ino;
        assert_eq!(inode(&again[&Part::Net]), inode(&sandbox[&Part::Net]));
        let none = Namespaces { net: NetMode::Host, ipc: NsMode::Host, uts: NsMode::Host, ..Namespaces::default() };
        shim.shutdown().await.unwrap();
        let shim = world.shim().await;
        assert!(shim.sandbox(&none, 0).await.unwrap().is_empty());
        shim.shutdown().await.unwrap();
    });
}

#[test]
fn a_container_joins_the_namespaces_of_another() {
    isolated(|| async {
        let world = World::new();
        let first = world.shim().await;
        let bundle = world.bundle(spec(&["sh", "-c", "echo here > /dev/shm/file; echo ready; sleep 1000"]));
        let mut sandbox = first.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let attached = attach(&world.run(), false).await.unwrap();
        let running = first.start(&bundle, BTreeMap::new()).await.unwrap();
        attached.next().await.unwrap();

        let other = |name: &str| NsMode::Container(name.into());
        let mut joined =
            spec(&["sh", "-c", "readlink /proc/self/ns/net; hostname; cat /dev/shm/file; ps | grep -c '[s]leep 1000'"]);
        joined.namespaces = Namespaces {
            without_shm: false,
            net: NetMode::Container("first".into()),
            ipc: other("first"),
            uts: other("first"),
            pid: other("first"),
            host_cgroup: false,
        };
        let (run, state) = (world.path().join("run/containers/c2"), world.path().join("root/containers/c1/c2"));
        let second = world.shim_of(&run, &state).await;
        let mut bundle = world.bundle(joined);
        (bundle.host.run, bundle.host.state) = (run.clone(), state);
        assert!(second.sandbox(&bundle.spec.namespaces, 0).await.unwrap().is_empty());
        let pid = fs::File::open(format!("/proc/{}/ns/pid", running.process.pid)).unwrap();
        let parts =
            [(Shared::Net, Part::Net), (Shared::Ipc, Part::Ipc), (Shared::Uts, Part::Uts), (Shared::Shm, Part::Shm)];
        let mut passed: BTreeMap<_, _> =
            parts.into_iter().map(|(kind, part)| (kind, sandbox.remove(&part).unwrap())).collect();
        passed.insert(Shared::Pid, pid.into());
        assert_eq!(passed.len(), shared(&bundle.spec.namespaces).len());
        let net = fs::read_link(format!("/proc/{}/ns/net", running.process.pid)).unwrap();
        let attached = attach(&run, false).await.unwrap();
        second.start(&bundle, passed).await.unwrap();
        let (output, errors, _) = crate::support::drain(&attached).await;
        assert_eq!(output, format!("{}\nbox\nhere\n1\n", net.display()), "{errors}");
        second.shutdown().await.unwrap();
        first.signal(9).await.unwrap();
    });
}

#[test]
fn paths_longer_than_a_sockets_name_are_fine() {
    isolated(|| async {
        let world = World::new();
        let run = world.path().join("r".repeat(150)).join("c1");
        let shim = world.shim_of(&run, &world.state()).await;
        drop(shim);
        Shim::adopt(&run).await.unwrap().shutdown().await.unwrap();
        assert!(!run.join("shim.sock").exists());
    });
}

#[test]
fn output_reaches_the_log_with_its_streams() {
    isolated(|| async {
        let world = World::new();
        let mut bundle = world.bundle(spec(&["sh", "-c", "echo one; echo two >&2; echo three; echo -n end"]));
        bundle.host.log = Some(world.state().join("log"));
        bundle.spec.log = LogSpec::default();
        let done = world.complete(&bundle).await.unwrap();
        assert_eq!(done.stdout, "one\nthree\nend");
        let reader = Reader::open(&world.state().join("log"), &Options::default()).unwrap();
        let lines: Vec<_> = reader.map(|entry| String::from_utf8(entry.unwrap().bytes).unwrap()).collect();
        let mut sorted = lines.clone();
        sorted.sort();
        assert_eq!(sorted, ["end", "one\n", "three\n", "two\n"], "{lines:?}");
    });
}

#[test]
fn a_flood_of_output_is_read_whole_and_memory_stays_small() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        let mut bundle = world.bundle(spec(&["sh", "-c", "head -c 30000000 /dev/zero | tr '\\0' x; sleep 1000"]));
        bundle.host.log = Some(world.state().join("log"));
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let attached = attach(&world.run(), false).await.unwrap();
        shim.start(&bundle, BTreeMap::new()).await.unwrap();
        let mut bytes = 0;
        while bytes < 30_000_000 {
            match attached.next().await.unwrap().unwrap() {
                windlass::host::container::client::Output::Stdout(part) => bytes += part.len(),
                other => panic!("{other:?}"),
            }
        }
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", shim.pid())).unwrap();
        // Its own memory. The program's pages lie in a memory file, which counts as dirty, and as private while only one
        // process happens to have a page of it.
        let own: u64 = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Anonymous:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap();
        assert!(own < 4096, "{own} KiB\n{rollup}");
        shim.signal(9).await.unwrap();
        shim.event().await.unwrap();
        shim.shutdown().await.unwrap();
    });
}

#[test]
fn the_process_is_in_its_cgroup_and_probes_below_it() {
    isolated(|| async {
        let world = World::new();
        let layout = Layout::open(&format!("test-{}", std::process::id())).unwrap();
        if layout.unit().is_some() {
            // Under systemd a project's groups are in a scope, which is made around a process.
            layout.join_self(Leaf::Supervisor).unwrap();
        }
        let mut running = spec(&["sh", "-c", "cat /proc/self/cgroup; ls /sys/fs/cgroup | wc -l; sleep 1000"]);
        running.resources.pids = Some(50);
        let created = layout.container("c1", &running.resources, &Devices::All).unwrap();
        let mut bundle = world.bundle(running);
        bundle.host.cgroup = created.cgroup.clone();
        let shim = world.shim().await;
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let attached = attach(&world.run(), false).await.unwrap();
        let process = shim.start(&bundle, BTreeMap::new()).await.unwrap().process;
        assert!(created.cgroup.pids().unwrap().contains(&process.pid));
        let windlass::host::container::client::Output::Stdout(text) = attached.next().await.unwrap().unwrap() else {
            panic!("no output")
        };
        let text = String::from_utf8(text).unwrap();
        // Seen from inside, the groups that it was put into are the roots.
        assert!(text.lines().filter(|line| line.contains("pids")).all(|line| line.ends_with(":/")), "{text}");
        assert!(text.lines().filter(|line| line.starts_with("0::")).all(|line| line == "0::/"), "{text}");
        let mut probe = windlass::host::container::exec::ExecSpec::new(&bundle.spec, &process, created.cgroup.clone());
        probe.argv = ["sh", "-c", "setsid sleep 777 & grep 0:: /proc/self/cgroup"].map(str::to_owned).to_vec();
        let outcome =
            windlass::host::container::exec::probe(world.program.as_fd(), probe, Duration::from_secs(9)).await;
        assert_eq!(outcome.code, 0, "{}", outcome.output);
        if created.cgroup.v2().is_some() {
            assert!(outcome.output.starts_with("0::/windlass-probe-"), "{}", outcome.output);
        }
        created.cgroup.kill().unwrap();
        shim.event().await.unwrap();
        assert_eq!(world.exit().exit.code, 137);
        shim.shutdown().await.unwrap();
        created.cgroup.remove().unwrap();
        if layout.unit().is_some() {
            layout.leave_self().unwrap();
        }
        layout.remove().unwrap();
    });
}

#[test]
fn a_process_is_known_by_more_than_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let process = record::ProcessRecord {
        pid: std::process::id() as i32,
        ticks: 1,
        started: windlass::host::clock::now(),
        shim: 1,
        shim_ticks: 1,
        ..record::ProcessRecord::default()
    };
    let path = folder.path().join(record::PROCESS);
    write(&path, &process, Durability::Lazy).unwrap();
    assert_eq!(read(&path).unwrap(), Some(process));
    // The pid lives, but it is another process's.
    assert_eq!(record::living(folder.path()).unwrap(), None);
}

#[test]
fn a_supervisor_is_started_again_by_one_shim_only() {
    isolated(|| async {
        let world = World::new();
        let note = world.path().join("run/note");
        let mut shims = Vec::new();
        for name in ["c1", "c2", "c3"] {
            let shim = world.shim_of(&world.path().join("run/containers").join(name), &world.state()).await;
            shim.set_executable(fs::File::open("/proc/self/exe").unwrap().into()).await.unwrap();
            shims.push(shim);
        }
        let lock = fs::create_dir_all(world.path().join("run/projects/test"))
            .and_then(|()| fs::File::create(world.path().join("run/projects/test/supervisor.lock")))
            .unwrap();
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
        drop(shims);
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(!note.exists(), "a supervisor was there");
        drop(lock);
        let text = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match fs::read_to_string(&note) {
                Ok(text) if text.ends_with("end\n") => break text,
                _ => {}
            }
        };
        let expected = format!(
            "windlass\n__supervisor\n--project\ntest\n--root\n{}\n--run\n{}\n0 1 2 \nPATH\nend\n",
            world.path().join("root").display(),
            world.path().join("run").display(),
        );
        assert_eq!(text, expected);
        for name in ["c1", "c2", "c3"] {
            let run = world.path().join("run/containers").join(name);
            Shim::adopt(Path::new(&run)).await.unwrap().shutdown().await.unwrap();
        }
    });
}

/// Runs before main of this test program: a shim of the test below executes it in place of a supervisor, and it writes
/// down its arguments, its open descriptors and the names of its environment.
#[used]
#[unsafe(link_section = ".init_array")]
static STAND_IN: extern "C" fn(i32, *const *const libc::c_char, *const *const libc::c_char) = stand_in;

extern "C" fn stand_in(count: i32, arguments: *const *const libc::c_char, environment: *const *const libc::c_char) {
    let text =
        |pointer: *const libc::c_char| unsafe { std::ffi::CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    let arguments: Vec<_> = (0..count as usize).map(|index| text(unsafe { *arguments.add(index) })).collect();
    if arguments.get(1).map(String::as_str) != Some("__supervisor") {
        return;
    }
    let mut note = arguments.join("\n") + "\n";
    for fd in 0..100 {
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0 {
            note += &format!("{fd} ");
        }
    }
    note += "\n";
    for index in 0.. {
        let entry = unsafe { *environment.add(index) };
        if entry.is_null() {
            break;
        }
        note += text(entry).split('=').next().unwrap_or_default();
        note += "\n";
    }
    let path = Path::new(arguments.last().unwrap()).join("note");
    fs::File::options().create(true).append(true).open(path).unwrap().write_all((note + "end\n").as_bytes()).unwrap();
    unsafe { libc::_exit(0) };
}
