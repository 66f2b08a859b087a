//! The options of drivers that send each line to a receiver.

use std::collections::BTreeSet;

use regex::Regex;

use super::boolean;
use super::receiver;
use crate::compose::units;
use crate::desired::{Compression, ForwardSpec, LogFormat, LogReceiver, SyslogFormat, Tag};

/// The drivers.
pub const DRIVERS: [&str; 4] = ["syslog", "journald", "gelf", "fluentd"];

/// Bytes that wait for a slow receiver with `mode: non-blocking`: docker's.
const BUFFER: u64 = 1 << 20;

/// Facilities of syslog by their names; a name's place is its number.
const FACILITIES: [&str; 12] =
    ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];

/// The first of `local0` to `local7`.
const LOCAL: u8 = 16;

/// Options of GELF. How often and how soon a receiver that is gone is tried again is checked, and otherwise left to the sender.
const GELF: [&str; 5] = [
    "gelf-address",
    "gelf-compression-type",
    "gelf-compression-level",
    "gelf-tcp-max-reconnect",
    "gelf-tcp-reconnect-delay",
];

/// Options of fluentd. Of attempts the same is true, and of the time that a write may take.
const FLUENTD: [&str; 9] = [
    "fluentd-address",
    "fluentd-async",
    "fluentd-buffer-limit",
    "fluentd-sub-second-precision",
    "fluentd-request-ack",
    "fluentd-max-retries",
    "fluentd-retry-wait",
    "fluentd-async-reconnect-interval",
    "fluentd-write-timeout",
];

/// Options of all drivers.
const COMMON: [&str; 7] = ["tag", "labels", "labels-regex", "env", "env-regex", "mode", "max-buffer-size"];

/// What the options say so far.
pub struct Forward {
    spec: ForwardSpec,
    non_blocking: bool,
    size: Option<u64>,
    /// The driver's own options that were written, with a value.
    written: BTreeSet<String>,
}

impl Forward {
    /// A driver with nothing said; `None`: it sends nothing anywhere.
    pub fn new(driver: &str) -> Option<Forward> {
        let (receiver, format) = match driver {
            "syslog" => {
                let daemon = 3;
                (LogReceiver::Syslog, LogFormat::Syslog { facility: daemon, format: SyslogFormat::Local })
            }
            "journald" => (LogReceiver::Journal, LogFormat::Journal),
            "gelf" => {
                // There is no usual place: an address has to be written.
                let nowhere = LogReceiver::Udp { host: String::new(), port: 0 };
                (nowhere, LogFormat::Gelf { compression: Compression::Gzip, level: 1 })
            }
            "fluentd" => (receiver::fluentd("").ok()?, LogFormat::Fluentd { nanoseconds: false }),
            _ => return None,
        };
        let spec = ForwardSpec {
            receiver,
            format,
            tag: "{{.ID}}".to_owned(),
            labels: Vec::new(),
            labels_regex: None,
            env: Vec::new(),
            env_regex: None,
            buffer: None,
            optional: false,
        };
        Some(Forward { spec, non_blocking: false, size: None, written: BTreeSet::new() })
    }

    /// The driver's options, for whoever has written another.
    pub fn known(&self) -> String {
        let own: &[&str] = match self.spec.format {
            LogFormat::Syslog { .. } => &["syslog-address", "syslog-facility", "syslog-format"],
            LogFormat::Journal => &[],
            LogFormat::Gelf { .. } => &GELF,
            LogFormat::Fluentd { .. } => &FLUENTD,
        };
        COMMON.iter().chain(own).map(|option| format!(", {option}")).collect()
    }

    /// Takes an option; `None`: the driver has none of this name.
    pub fn option(&mut self, option: &str, value: &str) -> Option<Result<(), String>> {
        let spec = &mut self.spec;
        Some(match option {
            // Docker takes an empty text for no text.
            "tag" if value.is_empty() => Ok(()),
            "tag" => Tag(value).render(|_| String::new()).map(|_| spec.tag = value.to_owned()),
            "labels" => {
                spec.labels = list(value);
                Ok(())
            }
            "env" => {
                spec.env = list(value);
                Ok(())
            }
            "labels-regex" => expression(value).map(|text| spec.labels_regex = text),
            "env-regex" => expression(value).map(|text| spec.env_regex = text),
            "mode" => match value {
                "" | "blocking" => Ok(()),
                "non-blocking" => {
                    self.non_blocking = true;
                    Ok(())
                }
                _ => Err(format!("`{value}` is neither `blocking` nor `non-blocking`")),
            },
            "max-buffer-size" => buffer(value).map(|bytes| self.size = Some(bytes)),
            _ => return self.own(option, value),
        })
    }

    fn own(&mut self, option: &str, value: &str) -> Option<Result<(), String>> {
        if !value.is_empty() {
            self.written.insert(option.to_owned());
        }
        match &mut self.spec.format {
            LogFormat::Syslog { facility, format } => Some(match option {
                "syslog-address" => receiver::syslog(value).map(|receiver| self.spec.receiver = receiver),
                "syslog-facility" => number_of(value).map(|number| *facility = number),
                "syslog-format" => syslog_format(value).map(|chosen| *format = chosen),
                tls if tls.starts_with("syslog-tls-") => Err(receiver::NO_TLS.to_owned()),
                _ => return None,
            }),
            LogFormat::Journal => None,
            LogFormat::Gelf { .. } if GELF.contains(&option) => Some(self.gelf(option, value)),
            LogFormat::Fluentd { .. } if FLUENTD.contains(&option) => Some(self.fluentd(option, value)),
            LogFormat::Gelf { .. } | LogFormat::Fluentd { .. } => None,
        }
    }

    fn gelf(&mut self, option: &str, value: &str) -> Result<(), String> {
        let LogFormat::Gelf { compression, level } = &mut self.spec.format else { return Ok(()) };
        match option {
            "gelf-address" => self.spec.receiver = receiver::gelf(value)?,
            "gelf-compression-type" => {
                *compression = match value {
                    "" | "gzip" => Compression::Gzip,
                    "zlib" => Compression::Zlib,
                    "none" => Compression::None,
                    _ => return Err(format!("`{value}` is none of gzip, zlib, none")),
                }
            }
            "gelf-compression-level" => {
                // -1 is the usual one of both methods.
                let number = if value == "-1" { Some(6) } else { value.parse().ok().filter(|level| *level < 10) };
                *level = number.ok_or_else(|| format!("`{value}` is no level: -1 to 9"))?;
            }
            _ => drop(count(value)?),
        }
        Ok(())
    }

    fn fluentd(&mut self, option: &str, value: &str) -> Result<(), String> {
        let LogFormat::Fluentd { nanoseconds } = &mut self.spec.format else { return Ok(()) };
        match option {
            _ if value.is_empty() => {}
            "fluentd-address" => self.spec.receiver = receiver::fluentd(value)?,
            "fluentd-async" => self.spec.optional = boolean(value)?,
            "fluentd-sub-second-precision" => *nanoseconds = boolean(value)?,
            "fluentd-request-ack" if boolean(value)? => {
                return Err(
                    "acknowledgements of fluentd are not done yet: a connection that breaks is noticed without".into(),
                );
            }
            "fluentd-request-ack" => {}
            "fluentd-buffer-limit" => self.size = Some(buffer(value)?),
            "fluentd-max-retries" => drop(count(value)?),
            _ => drop(units::duration(value)?),
        }
        Ok(())
    }

    /// What they all say together.
    ///
    /// # Errors
    /// Where one needs another.
    pub fn finish(self) -> Result<ForwardSpec, String> {
        let mut spec = self.spec;
        let has = |option: &str| self.written.contains(option);
        if self.size.is_some() && !self.non_blocking && !has("fluentd-buffer-limit") {
            return Err("`max-buffer-size` is of `mode: non-blocking` only".to_owned());
        }
        if matches!(spec.format, LogFormat::Gelf { .. }) {
            let is_tcp = matches!(spec.receiver, LogReceiver::Tcp { .. });
            if !has("gelf-address") {
                return Err("`gelf-address` is missing: udp://HOST:PORT or tcp://HOST:PORT".to_owned());
            }
            let of_datagrams = ["gelf-compression-type", "gelf-compression-level"];
            if let Some(option) = of_datagrams.into_iter().find(|option| is_tcp && has(option)) {
                return Err(format!("`{option}` is of datagrams only, and the address is one of tcp"));
            }
        }
        // fluentd's own way of not waiting.
        let non_blocking = self.non_blocking || spec.optional;
        spec.buffer = non_blocking.then(|| self.size.unwrap_or(BUFFER));
        Ok(spec)
    }
}

fn buffer(value: &str) -> Result<u64, String> {
    let bytes = u64::try_from(units::bytes(value)?).ok().filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| format!("`{value}` is no size for a buffer"))
}

fn count(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("`{value}` is no number"))
}

fn list(value: &str) -> Vec<String> {
    value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn expression(value: &str) -> Result<Option<String>, String> {
    if value.is_empty() {
        return Ok(None);
    }
    let checked = Regex::new(value).map_err(|_| format!("`{value}` is no regular expression"));
    checked.map(|_| Some(value.to_owned()))
}

fn number_of(facility: &str) -> Result<u8, String> {
    let named = FACILITIES.iter().position(|name| *name == facility).and_then(|place| u8::try_from(place).ok());
    let local = facility.strip_prefix("local").and_then(|rest| rest.parse().ok()).filter(|number: &u8| *number < 8);
    let number = || facility.parse().ok().filter(|number: &u8| *number < 24);
    match facility {
        "" => Ok(3),
        _ => named.or(local.map(|number| LOCAL + number)).or_else(number).ok_or_else(|| {
            format!("`{facility}` is no facility of syslog: its name (as `daemon`, `local0`), or 0 to 23")
        }),
    }
}

fn syslog_format(value: &str) -> Result<SyslogFormat, String> {
    match value {
        "" => Ok(SyslogFormat::Local),
        "rfc3164" => Ok(SyslogFormat::Rfc3164),
        "rfc5424" => Ok(SyslogFormat::Rfc5424),
        "rfc5424micro" => Ok(SyslogFormat::Rfc5424Micro),
        _ => Err(format!("`{value}` is none of rfc3164, rfc5424, rfc5424micro")),
    }
}
