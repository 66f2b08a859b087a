//! Log drivers that send each line to a receiver outside, beside our own files.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::stack::Stack;

const PATIENCE: Duration = Duration::from_secs(30);

/// The first line that has `text`, from a program that goes on.
fn line_with(reader: &mut impl BufRead, text: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the end before {text}");
        if line.contains(text) {
            return line;
        }
    }
}

fn accept(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

#[test]
fn lines_go_to_a_syslog_too() {
    let stack = Stack::new(
        r#"
services:
  udp:
    image: test
    command: [sh, -c, "echo out; sleep 0.3; echo err >&2; exec sleep 1000"]
    logging: { driver: syslog, options: { syslog-address: "udp://localhost:5141", syslog-facility: local0, syslog-format: rfc3164 } }
  unix:
    image: test
    command: [echo, hello]
    logging: { driver: syslog, options: { syslog-address: "unixgram://FOLDER/log", tag: "{{.Name}}/{{.ImageName}}" } }
"#,
    );
    let compose = stack.read("compose.yaml").replace("FOLDER", stack.world.path().to_str().unwrap());
    stack.write("compose.yaml", &compose);
    let udp = UdpSocket::bind("127.0.0.1:5141").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let unix = UnixDatagram::bind(stack.world.path().join("log")).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    stack.run(&["up", "-d"]).ok();
    let id = stack.run(&["ps", "-q", "udp"]).ok().stdout;
    let mut buffer = [0; 2000];
    for (priority, text) in [(16 * 8 + 6, "out"), (16 * 8 + 3, "err")] {
        let length = udp.recv(&mut buffer).unwrap();
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(
            message.starts_with(&format!("<{priority}>")) && message.ends_with(&format!("]: {text}\n")),
            "{message}"
        );
        assert!(message.contains(&format!(" {}[", &id.trim()[..12])), "{message}");
    }
    let length = unix.recv(&mut buffer).unwrap();
    let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(message.contains(" app-unix-1/test[") && message.ends_with("]: hello\n"), "{message}");
    stack.run(&["logs", "--no-log-prefix", "unix"]).ok().says("hello");
    stack.down();
}

#[test]
fn a_container_outlives_the_receiver_of_its_lines_and_does_not_start_without_it() {
    let stack = Stack::new(
        r#"
services:
  a:
    image: test
    init: true
    command: [sh, -c, "i=0; while :; do i=$$((i+1)); echo tick $$i.; sleep 0.05; done"]
    logging: { driver: syslog, options: { syslog-address: "tcp://localhost:5140", syslog-format: rfc5424, tag: "{{.Name}}" } }
"#,
    );
    stack.run(&["up", "-d"]).code(1).says("cannot reach tcp://localhost:5140: Connection refused");
    let listener = TcpListener::bind("127.0.0.1:5140").unwrap();
    stack.run(&["up", "-d"]).ok();
    let mut first = accept(&listener);
    let line = line_with(&mut first, "tick 3.");
    assert!(
        line.starts_with("<30>1 ") && line.contains(" app-a-1 ") && line.ends_with(" app-a-1 - tick 3.\n"),
        "{line}"
    );
    let pid = stack.pid("a");
    drop((first, listener));
    let logs = || stack.run(&["logs", "--no-log-prefix", "a"]).ok().stdout;
    stack.world.wait_for("the word of the loss", || logs().contains("output does not reach tcp://localhost:5140"));
    let listener = TcpListener::bind("127.0.0.1:5140").unwrap();
    let mut second = accept(&listener);
    line_with(&mut second, "tick ");
    stack.world.wait_for("the word of the end", || logs().contains("output reaches tcp://localhost:5140 again"));
    assert_eq!(stack.pid("a"), pid, "the container knew nothing of it");
    // A restart meets the receiver anew.
    stack.run(&["restart", "-t", "0", "a"]).ok();
    line_with(&mut accept(&listener), "tick 1.");
    stack.down();
}

#[test]
fn lines_go_to_the_journal_too() {
    let stack = Stack::new(
        r#"
services:
  a:
    image: test
    command: [sh, -c, "echo hello >&2"]
    environment: { NOTE: noted }
    labels: { com.example.kind: web }
    logging: { driver: journald, options: { tag: t, labels: com.example.kind, env: NOTE } }
"#,
    );
    // This world's own: whether the machine has a journal is no matter.
    stack.world.sh("mkdir -p /run").ok();
    nix::mount::mount(Some("tmpfs"), "/run", Some("tmpfs"), nix::mount::MsFlags::empty(), None::<&str>).unwrap();
    stack.run(&["up", "-d"]).code(1).says("journald is not enabled on this host");
    std::fs::create_dir_all("/run/systemd/journal").unwrap();
    let journal = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    stack.run(&["up", "-d"]).ok();
    let id = stack.run(&["ps", "-aq", "--no-trunc", "a"]).ok().stdout;
    let mut buffer = [0; 4000];
    let length = journal.recv(&mut buffer).unwrap();
    let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let fields: Vec<&str> = message.lines().collect();
    let full = format!("CONTAINER_ID_FULL={}", id.trim());
    let short = format!("CONTAINER_ID={}", &id.trim()[..12]);
    let expected = [
        "MESSAGE=hello",
        "PRIORITY=3",
        &short,
        &full,
        "CONTAINER_NAME=app-a-1",
        "CONTAINER_TAG=t",
        "IMAGE_NAME=test",
        "SYSLOG_IDENTIFIER=t",
        "COM_EXAMPLE_KIND=web",
        "NOTE=noted",
    ];
    assert!(expected.iter().all(|field| fields.contains(field)), "{message}");
    stack.run(&["logs", "--no-log-prefix", "a"]).ok().says("hello");
    stack.down();
}

#[test]
fn lines_go_to_graylog_and_fluentd_too() {
    let stack = Stack::new(
        r#"
services:
  gelf:
    image: test
    command: [echo, hello]
    logging: { driver: gelf, options: { gelf-address: "udp://127.0.0.1:12201" } }
  gelf-tcp:
    image: test
    command: [echo, hello]
    logging: { driver: gelf, options: { gelf-address: "tcp://127.0.0.1:12202" } }
  fluentd:
    image: test
    command: [echo, hello]
    logging: { driver: fluentd, options: { tag: "docker.{{.Name}}" } }
  later:
    image: test
    command: [sh, -c, "echo early; exec sleep 1000"]
    logging: { driver: fluentd, options: { fluentd-address: "127.0.0.1:24225", fluentd-async: "true" } }
"#,
    );
    let udp = UdpSocket::bind("127.0.0.1:12201").unwrap();
    udp.set_read_timeout(Some(PATIENCE)).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:12202").unwrap();
    let fluentd = TcpListener::bind("127.0.0.1:24224").unwrap();
    stack.run(&["up", "-d"]).ok();
    let mut buffer = [0; 4000];
    let length = udp.recv(&mut buffer).unwrap();
    let message: serde_json::Value = serde_json::from_reader(flate2::read::GzDecoder::new(&buffer[..length])).unwrap();
    assert_eq!(message["short_message"], "hello");
    assert_eq!((&message["_container_name"], &message["_image_name"]), (&"app-gelf-1".into(), &"test".into()));
    let mut bytes = Vec::new();
    accept(&tcp).read_until(0, &mut bytes).unwrap();
    let message: serde_json::Value = serde_json::from_slice(&bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(message["_container_name"], "app-gelf-tcp-1");
    let mut bytes = Vec::new();
    // The container has ended, so its connection has too.
    accept(&fluentd).read_to_end(&mut bytes).unwrap();
    assert!(bytes.starts_with(b"\x93\xb4docker.app-fluentd-1\xce"), "{bytes:?}");
    assert!(bytes.windows(10).any(|window| window == b"\xa3log\xa5hello"), "{bytes:?}");
    // One that may come later gets what was said before.
    let mut bytes = Vec::new();
    let listener = TcpListener::bind("127.0.0.1:24225").unwrap();
    accept(&listener).read_until(b'y', &mut bytes).unwrap();
    assert!(bytes.ends_with(b"early"), "{bytes:?}");
    stack.down();
}
