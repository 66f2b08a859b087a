//! Programs that join a container.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use windlass::host::cgroup::Cgroup;
use windlass::host::container::exec::{self, ExecSpec, Streams};
use windlass::host::container::{Running, Shim};

use crate::support::{World, isolated, spec};

/// A container that sleeps.
async fn sleeper(world: &World) -> (Shim, Running) {
    sleeper_of(world, spec(&["sleep", "1000"])).await
}

async fn sleeper_of(world: &World, spec: windlass::desired::ContainerSpec) -> (Shim, Running) {
    let shim = world.shim().await;
    let bundle = world.bundle(spec);
    shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
    let running = shim.start(&bundle, BTreeMap::new()).await.unwrap();
    (shim, running)
}

async fn stop(shim: Shim) {
    shim.signal(9).await.unwrap();
    shim.event().await.unwrap();
    shim.shutdown().await.unwrap();
}

fn request(running: &Running, argv: &[&str]) -> ExecSpec {
    let mut exec = ExecSpec::new(&spec(&["x"]), &running.process, Cgroup::default());
    exec.argv = argv.iter().map(|word| (*word).to_owned()).collect();
    exec
}

fn program() -> OwnedFd {
    fs::File::open(env!("CARGO_BIN_EXE_windlass")).unwrap().into()
}

/// Runs it to its end: exit code, output.
async fn run(exec: &ExecSpec) -> (i32, String) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let streams = Streams { stdin: null.into(), stdout: write.try_clone().unwrap(), stderr: write };
    let code = match exec::start(program().as_fd(), exec, Some(streams)).await {
        Ok(running) => running.wait().await.unwrap(),
        Err(error) => return (error.code, error.to_string()),
    };
    let mut text = String::new();
    fs::File::from(read).read_to_string(&mut text).unwrap();
    (code, text)
}

#[test]
fn a_program_joins_the_container() {
    isolated(|| async {
        let world = World::new();
        let (shim, running) = sleeper(&world).await;
        let script = "echo $HOSTNAME; hostname; ps | grep -c '[s]leep 1000'; id -u; cat /proc/1/comm; exit 5";
        let (code, text) = run(&request(&running, &["sh", "-c", script])).await;
        assert_eq!((code, text.as_str()), (5, "box\nbox\n1\n0\nsleep\n"));
        let mut exec = request(&running, &["sh", "-c", "id -u; id -G; pwd"]);
        exec.user = "app".into();
        exec.cwd = "/etc".into();
        assert_eq!(run(&exec).await, (0, "1234\n2345 2000\n/etc\n".into()));
        stop(shim).await;
    });
}

#[test]
fn exec_has_dockers_exit_codes() {
    isolated(|| async {
        let world = World::new();
        let (shim, running) = sleeper(&world).await;
        assert_eq!(run(&request(&running, &["nonesuch"])).await.0, 127);
        assert_eq!(run(&request(&running, &["/etc/passwd"])).await.0, 126);
        assert_eq!(run(&request(&running, &["sh", "-c", "kill -9 $$"])).await.0, 137);
        let mut exec = request(&running, &["true"]);
        exec.cwd = "/nonesuch".into();
        assert_eq!(run(&exec).await.0, 127);
        stop(shim).await;
        let (code, text) = run(&request(&running, &["true"])).await;
        assert_eq!(code, 125);
        assert!(text.contains("does not run"), "{text}");
    });
}

#[test]
fn a_terminal_comes_from_the_containers_own_pts() {
    isolated(|| async {
        let world = World::new();
        let (shim, running) = sleeper(&world).await;
        let mut exec = request(&running, &["sh", "-c", "stty size; readlink /proc/self/fd/0"]);
        exec.tty = Some((33, 77));
        let mut running = exec::start(program().as_fd(), &exec, None).await.unwrap();
        let terminal = running.take_terminal().unwrap();
        assert_eq!(running.wait().await.unwrap(), 0);
        let mut text = Vec::new();
        let mut buffer = [0; 1000];
        while let Ok(length @ 1..) = rustix::io::read(&terminal, &mut buffer) {
            text.extend_from_slice(&buffer[..length]);
        }
        assert_eq!(String::from_utf8(text).unwrap(), "33 77\r\n/dev/pts/0\r\n");
        stop(shim).await;
    });
}

#[test]
fn a_probe_is_killed_at_its_limit_with_all_it_started() {
    isolated(|| async {
        let world = World::new();
        let (shim, running) = sleeper(&world).await;
        let limit = Duration::from_millis(300);
        let passed = exec::probe(program().as_fd(), request(&running, &["echo", "fine"]), limit * 20).await;
        assert_eq!((passed.code, passed.output.as_str()), (0, "fine\n"));
        let long = request(&running, &["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; exit 1"]);
        let long = exec::probe(program().as_fd(), long, limit * 20).await;
        assert_eq!((long.code, long.output.len()), (1, 4096));
        let hangs =
            exec::probe(program().as_fd(), request(&running, &["sh", "-c", "sleep 777 & sleep 777"]), limit).await;
        assert_eq!(hangs.code, -1);
        assert!(hangs.output.contains("longer than"), "{}", hangs.output);
        assert_eq!(run(&request(&running, &["sh", "-c", "ps | grep -c '[7]77'"])).await.1, "0\n");
        stop(shim).await;
    });
}

#[test]
fn a_probe_that_is_given_up_is_killed() {
    isolated(|| async {
        let world = World::new();
        let (shim, running) = sleeper(&world).await;
        let program = program();
        let probe = exec::probe(program.as_fd(), request(&running, &["sleep", "777"]), Duration::from_secs(60));
        let mut probe = Box::pin(probe);
        let count = || async { run(&request(&running, &["sh", "-c", "ps | grep -c '[7]77'"])).await.1 };
        while count().await == "0\n" {
            let _ = tokio::time::timeout(Duration::from_millis(20), &mut probe).await;
        }
        drop(probe);
        let end = Instant::now() + Duration::from_secs(10);
        while count().await != "0\n" {
            assert!(Instant::now() < end, "it goes on");
        }
        stop(shim).await;
    });
}

#[test]
fn cve_2026_53495_a_probe_that_leaves_a_child_holding_its_output_does_not_hang() {
    isolated(|| async {
        let world = World::new();
        let (shim, running) = sleeper(&world).await;
        let begun = Instant::now();
        for _ in 0..5 {
            let probe = request(&running, &["sh", "-c", "sleep 777 & echo up"]);
            let outcome = exec::probe(program().as_fd(), probe, Duration::from_secs(20)).await;
            assert_eq!((outcome.code, outcome.output.as_str()), (0, "up\n"));
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(run(&request(&running, &["sh", "-c", "ps | grep -c '[7]77'"])).await.1, "0\n");
        stop(shim).await;
    });
}
