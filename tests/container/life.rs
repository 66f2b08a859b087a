//! A container's life: start, output, end, failure, restart.

use std::collections::BTreeMap;

use windlass::host::container::record;

use crate::support::{World, isolated, spec};

#[test]
fn a_container_runs_and_its_output_and_exit_code_arrive() {
    isolated(|| async {
        let world = World::new();
        let done = world.sh(|_| {}, "echo out; echo err >&2; exit 3").await;
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(done.exit.exit.code, 3);
        assert_eq!(world.exit(), done.exit);
        assert_eq!(record::living(&world.run()).unwrap(), None);
    });
}

#[test]
fn a_missing_program_is_127_and_one_that_cannot_run_126() {
    isolated(|| async {
        let world = World::new();
        let error = world.refused(&world.bundle(spec(&["nonesuch"]))).await;
        assert_eq!((error.stage.as_str(), error.code), ("program", 127), "{error}");
        assert_eq!(world.exit().exit.code, 127);
        let error = world.refused(&world.bundle(spec(&["/etc/passwd"]))).await;
        assert_eq!((error.stage.as_str(), error.code), ("program", 126), "{error}");
    });
}

#[test]
fn a_process_starts_again_in_the_same_sandbox() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        let bundle = world.bundle(spec(&[
            "sh",
            "-c",
            "readlink /proc/self/ns/net; ls /dev/shm; echo x > /dev/shm/kept; echo y > /kept",
        ]));
        let first = world.complete_in(&shim, &bundle).await.unwrap();
        let second = world.complete_in(&shim, &bundle).await.unwrap();
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&first.stdout)[0], lines(&second.stdout)[0]);
        assert_eq!(lines(&second.stdout)[1], "kept");
        shim.shutdown().await.unwrap();
    });
}

#[test]
fn a_signal_ends_it_with_128_and_the_number() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        let bundle = world.bundle(spec(&["sleep", "1000"]));
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let running = shim.start(&bundle, BTreeMap::new()).await.unwrap();
        let living = record::living(&world.run()).unwrap().unwrap();
        assert_eq!(living, running.process);
        shim.signal(9).await.unwrap();
        shim.event().await.unwrap();
        assert_eq!(world.exit().exit.code, 137);
    });
}
