//! Where the output of a container goes.

use super::*;

#[test]
fn logs() {
    let log = |yaml: &str| one(yaml, |_| {}).spec.log;
    assert_eq!(log("    image: x"), LogSpec::default());
    let set = log("    logging: {driver: json-file, options: {max-size: 1m, max-file: '2', compress: 'true', tag: x}}");
    assert_eq!((set.max_size, set.max_file, set.compress), (1 << 20, 2, true));
    assert_eq!(log("    logging: {driver: none}").driver, "none");
    assert!(error("    logging: {driver: awslogs}").starts_with("logging.driver: log driver `awslogs`"));
    assert!(error("    logging: {options: {what: x}}").starts_with("logging.options.what: "));
}

#[test]
fn logs_that_go_to_a_receiver_too() {
    let log = |options: &str| one(&format!("    logging: {{driver: syslog, options: {{{options}}}}}"), |_| {}).spec.log;
    let to = |options: &str| *log(options).forward.unwrap();
    assert_eq!((log("").max_size, log("").max_file, log("").compress), (20 << 20, 5, true));
    let own = log("max-size: 1m, cache-max-file: '2', cache-compress: 'false', cache-disabled: 'false'");
    assert_eq!((own.max_size, own.max_file, own.compress), (1 << 20, 2, false));
    let usual = to("");
    assert_eq!((usual.receiver, usual.tag.as_str(), usual.buffer), (LogReceiver::Syslog, "{{.ID}}", None));
    assert_eq!(usual.format, LogFormat::Syslog { facility: 3, format: SyslogFormat::Local });
    let address = |text: &str| to(&format!("syslog-address: '{text}'")).receiver.to_string();
    for (written, meant) in [
        ("udp://logs", "udp://logs:514"),
        ("udp://1.2.3.4:1234", "udp://1.2.3.4:1234"),
        ("tcp://[::1]", "tcp://[::1]:514"),
        ("unix:///run/a", "unix:///run/a"),
        ("unixgram:///run/a", "unixgram:///run/a"),
    ] {
        assert_eq!(address(written), meant);
    }
    for (written, number) in [("daemon", 3), ("local7", 23), ("5", 5)] {
        let format = to(&format!("syslog-facility: '{written}', syslog-format: rfc5424micro")).format;
        assert_eq!(format, LogFormat::Syslog { facility: number, format: SyslogFormat::Rfc5424Micro });
    }
    assert_eq!(to("mode: non-blocking").buffer, Some(1 << 20));
    assert_eq!(to("mode: non-blocking, max-buffer-size: 4m").buffer, Some(4 << 20));
    let told = to("labels: 'a,b', env-regex: '^X', tag: '{{.Name}}/{{ .ID }}'");
    assert_eq!((told.labels, told.env_regex.as_deref()), (vec!["a".to_owned(), "b".to_owned()], Some("^X")));
    for (options, says) in [
        ("max-buffer-size: 4m", "logging.options: `max-buffer-size` is of `mode: non-blocking` only"),
        ("mode: fast", "logging.options.mode: `fast` is neither"),
        ("syslog-facility: local8", "logging.options.syslog-facility: `local8` is no facility"),
        ("syslog-format: json", "logging.options.syslog-format: `json` is none of"),
        ("syslog-address: 'logs:514'", "logging.options.syslog-address: `logs:514` is no address"),
        ("syslog-address: 'udp://a:b'", "logging.options.syslog-address: `udp://a:b` is no address"),
        ("syslog-address: 'tcp+tls://a'", "logging.options.syslog-address: TLS to a syslog receiver"),
        ("syslog-tls-ca-cert: /a", "logging.options.syslog-tls-ca-cert: TLS to a syslog receiver"),
        ("tag: '{{.Nme}}'", "logging.options.tag: `{{.Nme}}` is no field of a tag"),
        ("tag: '{{.Name'", "logging.options.tag: `{{.Name` has a `{{` without end"),
        ("env-regex: '('", "logging.options.env-regex: `(` is no regular expression"),
        ("cache-disabled: 'true'", "logging.options.cache-disabled: our own files can't be left out"),
        ("gelf-address: x", "logging.options.gelf-address: log option `gelf-address` is unknown to syslog: max-size"),
    ] {
        let error = error(&format!("    logging: {{driver: syslog, options: {{{options}}}}}"));
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn options_of_each_receiver() {
    let yaml = |driver: &str, options: &str| format!("    logging: {{driver: {driver}, options: {{{options}}}}}");
    let to = |driver: &str, options: &str| *one(&yaml(driver, options), |_| {}).spec.log.forward.unwrap();
    let journal = to("journald", "tag: x");
    assert_eq!((journal.receiver, journal.format), (LogReceiver::Journal, LogFormat::Journal));
    let gelf = to("gelf", "gelf-address: 'udp://g:12201', gelf-compression-type: zlib, gelf-compression-level: '-1'");
    assert_eq!(gelf.receiver.to_string(), "udp://g:12201");
    assert_eq!(gelf.format, LogFormat::Gelf { compression: Compression::Zlib, level: 6 });
    let tcp = to("gelf", "gelf-address: 'tcp://g:1', gelf-tcp-max-reconnect: '3', gelf-tcp-reconnect-delay: '1'");
    assert_eq!(tcp.format, LogFormat::Gelf { compression: Compression::Gzip, level: 1 });
    for (written, meant) in [
        ("", "tcp://127.0.0.1:24224"),
        ("f", "tcp://f:24224"),
        ("f:1", "tcp://f:1"),
        ("tcp://f", "tcp://f:24224"),
        ("unix:///run/f", "unix:///run/f"),
    ] {
        assert_eq!(to("fluentd", &format!("fluentd-address: '{written}'")).receiver.to_string(), meant);
    }
    let usual = to("fluentd", "fluentd-retry-wait: 1s, fluentd-max-retries: '3'");
    assert_eq!((usual.optional, usual.buffer), (false, None));
    let free = to("fluentd", "fluentd-async: 'true', fluentd-buffer-limit: 2m, fluentd-sub-second-precision: 'true'");
    assert_eq!((free.optional, free.buffer), (true, Some(2 << 20)));
    assert_eq!(free.format, LogFormat::Fluentd { nanoseconds: true });
    for (driver, options, says) in [
        ("gelf", "", "logging.options: `gelf-address` is missing"),
        ("gelf", "gelf-address: 'udp://g'", "logging.options.gelf-address: `udp://g` is no address"),
        ("gelf", "gelf-address: 'unix:///g'", "logging.options.gelf-address: `unix:///g` is no address"),
        (
            "gelf",
            "gelf-address: 'tcp://g:1', gelf-compression-type: gzip",
            "logging.options: `gelf-compression-type` is",
        ),
        ("gelf", "gelf-address: 'udp://g:1', gelf-compression-level: '10'", "logging.options.gelf-compression-level: "),
        ("fluentd", "fluentd-address: 'tls://f'", "logging.options.fluentd-address: `tls://f` is no address"),
        ("fluentd", "fluentd-request-ack: 'true'", "logging.options.fluentd-request-ack: acknowledgements of fluentd"),
        ("fluentd", "fluentd-max-retries: x", "logging.options.fluentd-max-retries: `x` is no number"),
        (
            "journald",
            "syslog-format: x",
            "logging.options.syslog-format: log option `syslog-format` is unknown to journald",
        ),
    ] {
        let error = error(&yaml(driver, options));
        assert!(error.starts_with(says), "{error}");
    }
}
