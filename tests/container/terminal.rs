//! A container with a terminal.

use std::collections::BTreeMap;

use windlass::host::container::client::{Output, attach};

use crate::support::{World, drain, isolated, spec};

#[test]
fn a_terminal_is_sized_typed_into_and_interrupted() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        // Short sleeps: a shell that gets the signal just as it starts a long one runs its trap only after that.
        let mut shell = spec(&[
            "sh",
            "-c",
            "trap 'exit 130' INT; stty -echo; stty size; echo ready; read line; echo got $line; stty size; while :; do sleep 0.01; done",
        ]);
        shell.tty = true;
        shell.stdin_open = true;
        let bundle = world.bundle(shell);
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let attached = attach(&world.run(), true).await.unwrap();
        // Asked for before the process is there: that finds it at once.
        shim.resize(17, 39).await.unwrap();
        let running = shim.start(&bundle, BTreeMap::new()).await.unwrap();
        assert!(running.parts.contains_key(&windlass::host::container::protocol::Part::Terminal));
        let mut seen = String::new();
        let mut sent = 0;
        loop {
            let Some(Output::Stdout(bytes)) = attached.next().await.unwrap() else { panic!("it ended: {seen}") };
            seen += &String::from_utf8(bytes).unwrap();
            if sent == 0 && seen.contains("ready") {
                attached.resize(21, 43).await.unwrap();
                attached.write(b"hello\n").await.unwrap();
                sent = 1;
            }
            if sent == 1 && seen.contains("21 43\r\n") {
                attached.write(&[3]).await.unwrap();
                break;
            }
        }
        assert_eq!(seen, "17 39\r\nready\r\ngot hello\r\n21 43\r\n");
        assert_eq!(drain(&attached).await.2.exit.code, 130);
        shim.shutdown().await.unwrap();
    });
}

#[test]
fn a_terminal_with_init_has_its_own_foreground_group() {
    isolated(|| async {
        let world = World::new();
        let shim = world.shim().await;
        let mut shell = spec(&["sh", "-c", "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.01; done"]);
        shell.tty = true;
        shell.init = true;
        let bundle = world.bundle(shell);
        shim.sandbox(&bundle.spec.namespaces, 1 << 20).await.unwrap();
        let attached = attach(&world.run(), true).await.unwrap();
        shim.start(&bundle, BTreeMap::new()).await.unwrap();
        attached.next().await.unwrap().unwrap();
        attached.write(&[3]).await.unwrap();
        let (output, _, exit) = drain(&attached).await;
        assert!(output.contains("caught"), "{output}");
        assert_eq!(exit.exit.code, 7);
        shim.shutdown().await.unwrap();
    });
}
