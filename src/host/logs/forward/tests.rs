use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::{Entry, Options, Reader, Stream, Writer, frame::Framer};
use super::encode::Encoder;
use super::join::Joiner;
use super::local_time::LocalTime;
use super::{Forward, Line, Origin, Part, Target};
use crate::desired::{Compression, LogFormat, LogSpec, SyslogFormat};

/// 2026-11-04 07:08:54.123456789, an hour east of Greenwich.
fn clock(_: u64) -> LocalTime {
    LocalTime { year: 2026, month: 11, day: 4, hour: 7, minute: 8, second: 54, nanos: 123_456_789, offset: 60 }
}

fn forward(targets: Vec<Target>, format: LogFormat) -> Forward {
    Forward {
        receiver: "there".to_owned(),
        targets,
        required: false,
        buffer: None,
        format,
        tag: "tag".to_owned(),
        host: "machine".to_owned(),
        extra: [("com.example.a".to_owned(), "1".to_owned()), ("_B".to_owned(), "2\n3".to_owned())].into(),
        origin: Origin {
            id: "0123456789abcdef".repeat(4),
            name: "app-web-1".to_owned(),
            image_id: "sha256:aa".to_owned(),
            image: "web:1".to_owned(),
            command: "sh -c x".to_owned(),
            created: "2026-11-04T06:00:00Z".to_owned(),
        },
    }
}

fn syslog(format: SyslogFormat) -> LogFormat {
    LogFormat::Syslog { facility: 3, format }
}

fn line(stream: Stream, text: &str) -> Line {
    Line { time: 1_793_772_534_123_456_789, stream, part: None, text: text.into() }
}

fn messages(format: LogFormat, line: &Line) -> Vec<Vec<u8>> {
    encoder().encode(&forward(Vec::new(), format), line).expect("there is room for it")
}

fn encoder() -> Encoder {
    Encoder { pid: 7, clock, count: 0 }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn syslog_messages() {
    let of = |format, stream| text(&messages(syslog(format), &line(stream, "hello")).concat());
    assert_eq!(of(SyslogFormat::Local, Stream::Stdout), "<30>Nov  4 07:08:54 tag[7]: hello\n");
    assert_eq!(of(SyslogFormat::Local, Stream::Stderr), "<27>Nov  4 07:08:54 tag[7]: hello\n");
    assert_eq!(of(SyslogFormat::Rfc3164, Stream::Stdout), "<30>Nov  4 07:08:54 machine tag[7]: hello\n");
    assert_eq!(
        of(SyslogFormat::Rfc5424, Stream::Stdout),
        "<30>1 2026-11-04T07:08:54+01:00 machine tag 7 tag - hello\n"
    );
    assert_eq!(
        of(SyslogFormat::Rfc5424Micro, Stream::Stdout),
        "<30>1 2026-11-04T07:08:54.123456+01:00 machine tag 7 tag - hello\n"
    );
    assert!(messages(syslog(SyslogFormat::Local), &line(Stream::Stdout, "")).is_empty());
    let west = LocalTime { offset: -210, ..clock(0) };
    assert_eq!(west.rfc3339(0), "2026-11-04T07:08:54-03:30");
    assert_eq!(LocalTime { offset: 0, ..west }.rfc3339(0), "2026-11-04T07:08:54Z");
}

#[test]
fn journal_messages() {
    let mut line = line(Stream::Stderr, "hello");
    line.part = Some(Part { id: 10, ordinal: 1, last: false });
    let message = messages(LogFormat::Journal, &line).concat();
    let expected = [
        "MESSAGE=hello\nPRIORITY=3\nCONTAINER_ID=0123456789ab\nCONTAINER_ID_FULL=",
        &"0123456789abcdef".repeat(4),
        "\nCONTAINER_NAME=app-web-1\nCONTAINER_TAG=tag\nIMAGE_NAME=web:1\nSYSLOG_IDENTIFIER=tag\n",
        "SYSLOG_TIMESTAMP=2026-11-04T06:08:54.123456789Z\nCONTAINER_PARTIAL_ID=000000000000000a\n",
        "CONTAINER_PARTIAL_ORDINAL=1\nCONTAINER_PARTIAL_LAST=false\nCONTAINER_PARTIAL_MESSAGE=true\n",
        "B\n\u{3}\0\0\0\0\0\0\u{0}2\n3\nCOM_EXAMPLE_A=1\n",
    ];
    assert_eq!(text(&message), expected.concat());
    line.part = None;
    line.stream = Stream::Stdout;
    let message = text(&messages(LogFormat::Journal, &line).concat());
    assert!(message.contains("PRIORITY=6\n") && !message.contains("PARTIAL"), "{message}");
}

fn gelf(compression: Compression) -> LogFormat {
    LogFormat::Gelf { compression, level: 1 }
}

#[test]
fn gelf_messages() {
    let expected = serde_json::json!({
        "version": "1.1", "host": "machine", "short_message": "hello", "timestamp": 1_793_772_534.123, "level": 6,
        "_container_id": "0123456789abcdef".repeat(4), "_container_name": "app-web-1", "_image_id": "sha256:aa",
        "_image_name": "web:1", "_command": "sh -c x", "_tag": "tag", "_created": "2026-11-04T06:00:00Z",
        "_com.example.a": "1", "_B": "2\n3",
    });
    let line = line(Stream::Stdout, "hello");
    let parsed = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
    let unpacked = |reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("it is whole");
        bytes
    };
    assert_eq!(parsed(&messages(gelf(Compression::None), &line).concat()), expected);
    let packed = messages(gelf(Compression::Gzip), &line).concat();
    assert_eq!(parsed(&unpacked(&mut flate2::read::GzDecoder::new(&packed[..]))), expected);
    let packed = messages(gelf(Compression::Zlib), &line).concat();
    assert_eq!(parsed(&unpacked(&mut flate2::read::ZlibDecoder::new(&packed[..]))), expected);
    let connection = forward(vec![Target::Tcp(([127, 0, 0, 1], 1).into())], gelf(Compression::Gzip));
    let message = encoder().encode(&connection, &line).expect("a message").concat();
    assert_eq!(parsed(message.strip_suffix(b"\0").expect("the end of a message")), expected);
}

#[test]
fn long_gelf_messages_go_in_chunks() {
    let mut encoder = encoder();
    let receiver = forward(Vec::new(), gelf(Compression::None));
    let chunks = encoder.encode(&receiver, &line(Stream::Stdout, &"x".repeat(3000))).expect("chunks");
    assert!(chunks.len() > 2 && chunks.iter().all(|chunk| chunk.len() <= 1420));
    let mut whole = Vec::new();
    for (number, chunk) in chunks.iter().enumerate() {
        assert_eq!((&chunk[..2], &chunk[2..10]), (&[0x1e, 0x0f][..], &chunks[0][2..10]));
        assert_eq!((usize::from(chunk[10]), usize::from(chunk[11])), (number, chunks.len()));
        whole.extend_from_slice(&chunk[12..]);
    }
    assert!(text(&whole).contains(&"x".repeat(3000)) && whole.ends_with(b"}"));
    let next = encoder.encode(&receiver, &line(Stream::Stdout, &"x".repeat(3000))).expect("chunks");
    assert_ne!(next[0][2..10], chunks[0][2..10], "each message has its own id");
    assert!(encoder.encode(&receiver, &line(Stream::Stdout, &"x".repeat(200_000))).is_none());
}

#[test]
fn fluentd_messages() {
    let mut line = line(Stream::Stdout, "hello");
    let message = messages(LogFormat::Fluentd { nanoseconds: false }, &line).concat();
    let mut expected = b"\x93\xa3tag\xce\x6a\xea\xcb\xf6\x86\xaccontainer_id\xd9\x40".to_vec();
    expected.extend_from_slice("0123456789abcdef".repeat(4).as_bytes());
    expected.extend_from_slice(b"\xaecontainer_name\xaa/app-web-1\xa6source\xa6stdout\xa3log\xa5hello");
    expected.extend_from_slice(b"\xa2_B\xa32\n3\xadcom.example.a\xa11");
    assert_eq!(text(&message), text(&expected));
    assert_eq!(message, expected);
    line.part = Some(Part { id: 1, ordinal: 2, last: true });
    line.text = vec![b'x'; 300];
    let message = messages(LogFormat::Fluentd { nanoseconds: true }, &line).concat();
    assert!(message.starts_with(b"\x93\xa3tag\xd7\0\x6a\xea\xcb\xf6\x07\x5b\xcd\x15\x8a"));
    let has = |bytes: &[u8]| message.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"\xa3log\xda\x01\x2cxxx") && has(b"\xafpartial_message\xa4true") && has(b"partial_ordinal\xa12"));
}

#[test]
fn lines_that_were_written_early_are_joined_and_long_ones_go_in_parts() {
    let (mut framer, mut joiner, mut records, mut lines) =
        (Framer::default(), Joiner::default(), Vec::new(), Vec::new());
    framer.add(&mut records, 1, Stream::Stdout, b"a pro");
    framer.flush(&mut records);
    framer.add(&mut records, 2, Stream::Stderr, b"between\n");
    framer.add(&mut records, 3, Stream::Stdout, b"mpt\nnext\n");
    framer.add(&mut records, 4, Stream::Stdout, format!("{}\nlast", "x".repeat(40 << 10)).as_bytes());
    framer.finish(&mut records);
    joiner.add(&records, |line| lines.push(line));
    let seen: Vec<_> = lines.iter().map(|line| (line.stream, line.text.len(), line.part.clone())).collect();
    let part = |ordinal, last| Some(Part { id: 4, ordinal, last });
    assert_eq!(
        seen,
        [
            (Stream::Stderr, 7, None),
            (Stream::Stdout, 8, None),
            (Stream::Stdout, 4, None),
            (Stream::Stdout, 16 << 10, part(1, false)),
            (Stream::Stdout, 16 << 10, part(2, false)),
            (Stream::Stdout, 8 << 10, part(3, true)),
            (Stream::Stdout, 4, None),
        ]
    );
    assert_eq!(text(&lines[1].text), "a prompt");
}

fn entries(dir: &Path) -> Vec<Entry> {
    Reader::open(dir, &Options::default()).expect("a reader").collect::<Result<_, _>>().expect("entries")
}

/// What the writer itself says in the log.
fn notes(dir: &Path) -> Vec<String> {
    let entries = entries(dir).into_iter().filter(|entry| entry.stream == Stream::System);
    entries.map(|entry| text(&entry.bytes).trim_end().to_owned()).collect()
}

fn start(dir: &Path, forward: Forward) -> Writer {
    Writer::start_with(dir, &LogSpec::default(), Some(forward.open().expect("a receiver"))).expect("a writer")
}

#[track_caller]
fn wait_for(what: &str, mut question: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !question() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_receiver_that_goes_and_comes_back_gets_what_came_meanwhile() {
    let dir = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let mut forward = forward(vec![Target::Tcp(address)], syslog(SyslogFormat::Local));
    forward.required = true;
    let writer = start(dir.path(), forward);
    let put = |bytes: &[u8]| assert_eq!(writer.write(Stream::Stdout, bytes), bytes.len());
    let read = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        line
    };
    let mut first = BufReader::new(listener.accept().expect("a connection").0);
    put(b"one\n");
    assert!(read(&mut first).ends_with("]: one\n"));
    drop((first, listener));
    put(b"two\n");
    wait_for("the word of the loss", || notes(dir.path()).len() == 1);
    let listener = TcpListener::bind(address).expect("the same port");
    let mut second = BufReader::new(listener.accept().expect("a connection").0);
    assert!(read(&mut second).ends_with("]: two\n"));
    put(b"three\n");
    assert!(writer.finish(Duration::from_secs(20)));
    assert!(read(&mut second).ends_with("]: three\n"));
    let notes = notes(dir.path());
    assert!(notes[0].starts_with("output does not reach there: "), "{notes:?}");
    assert_eq!(notes[1..], ["output reaches there again, and nothing was lost"]);
}

#[test]
fn what_waits_is_bounded_and_what_is_lost_is_counted() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut forward = forward(vec![Target::Unix(dir.path().join("nobody"))], syslog(SyslogFormat::Local));
    forward.buffer = Some(4 << 10);
    let writer = start(&dir.path().join("log"), forward);
    for number in 0..1000 {
        let text = format!("line {number}\n");
        assert_eq!(writer.write(Stream::Stdout, text.as_bytes()), text.len());
    }
    let begun = Instant::now();
    assert!(writer.finish(Duration::from_secs(20)));
    assert!(begun.elapsed() < Duration::from_secs(3), "nobody waits for who is not there");
    let notes = notes(&dir.path().join("log"));
    assert_eq!(notes.last().map(String::as_str), Some("1000 lines of output did not reach there"), "{notes:?}");
    let kept = entries(&dir.path().join("log")).into_iter().filter(|entry| entry.stream == Stream::Stdout).count();
    assert_eq!(kept, 1000, "our own files have all of it");
}

#[test]
fn a_slow_receiver_is_waited_for_and_gets_everything() {
    const LINES: usize = 30_000;
    let dir = tempfile::tempdir().expect("a folder");
    let listener = UnixListener::bind(dir.path().join("slow")).expect("a socket");
    let forward = forward(vec![Target::Unix(dir.path().join("slow"))], syslog(SyslogFormat::Local));
    let writer = start(&dir.path().join("log"), forward);
    let (begin, begun) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        begun.recv().expect("the word");
        BufReader::new(listener.accept().expect("a connection").0).lines().take(LINES).count()
    });
    let line = [b"x".repeat(99), b"\n".to_vec()].concat();
    for _ in 0..LINES {
        let mut rest = &line[..];
        while !rest.is_empty() {
            let taken = writer.write(Stream::Stdout, rest);
            rest = &rest[taken..];
            if taken == 0 {
                // All is full: the program waits, as it would in its pipe.
                let _ = begin.send(());
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
    // It may have read all of it by now.
    let _ = begin.send(());
    assert_eq!(reader.join().expect("the reader"), LINES);
    assert!(writer.finish(Duration::from_secs(20)));
    assert_eq!(notes(&dir.path().join("log")), [""; 0]);
}

#[test]
fn a_receiver_that_takes_nothing_does_not_hold_the_end_up() {
    let dir = tempfile::tempdir().expect("a folder");
    let listener = UnixListener::bind(dir.path().join("deaf")).expect("a socket");
    let forward = forward(vec![Target::Unix(dir.path().join("deaf"))], syslog(SyslogFormat::Local));
    let writer = start(&dir.path().join("log"), forward);
    let line = vec![b'x'; 64 << 10];
    // Until everything is full: the files' queue, the receiver's, its socket.
    while writer.write(Stream::Stdout, &line) == line.len() || writer.write(Stream::Stdout, &line) > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    assert!(writer.finish(Duration::from_secs(20)));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let notes = notes(&dir.path().join("log"));
    assert!(notes.last().is_some_and(|note| note.ends_with("of output did not reach there")), "{notes:?}");
    drop(listener);
}

#[test]
fn datagrams_need_nobody_and_a_connection_does_where_it_is_required() {
    let dir = tempfile::tempdir().expect("a folder");
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
    receiver.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let address = receiver.local_addr().expect("its address");
    let writer = start(dir.path(), forward(vec![Target::Udp(address)], syslog(SyslogFormat::Rfc3164)));
    assert_eq!(writer.write(Stream::Stderr, b"hello\n"), 6);
    let mut buffer = [0; 1000];
    let length = receiver.recv(&mut buffer).expect("a datagram");
    assert!(text(&buffer[..length]).starts_with("<27>") && buffer[..length].ends_with(b"]: hello\n"));
    drop(receiver);
    for _ in 0..3 {
        assert_eq!(writer.write(Stream::Stderr, b"nobody\n"), 7);
    }
    assert!(writer.finish(Duration::from_secs(20)));
    assert_eq!(notes(dir.path()), [""; 0]);

    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let mut forward = forward(vec![Target::Tcp(gone)], syslog(SyslogFormat::Local));
    forward.required = true;
    let error = forward.open().expect_err("nobody is there").to_string();
    assert_eq!(error, "cannot reach there: Connection refused (os error 111)");
}
