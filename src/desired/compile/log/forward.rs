//! The options of drivers that send each line to a receiver.

use regex::Regex;

use super::receiver;
use crate::compose::units;
use crate::desired::{ForwardSpec, LogFormat, LogReceiver, SyslogFormat, Tag};

/// The drivers.
pub const DRIVERS: [&str; 1] = ["syslog"];

/// Bytes that wait for a slow receiver with `mode: non-blocking`: docker's.
const BUFFER: u64 = 1 << 20;

/// Facilities of syslog by their names; a name's place is its number.
const FACILITIES: [&str; 12] =
    ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];

/// The first of `local0` to `local7`.
const LOCAL: u8 = 16;

/// Options of all drivers.
const COMMON: [&str; 7] = ["tag", "labels", "labels-regex", "env", "env-regex", "mode", "max-buffer-size"];

/// What the options say so far.
pub struct Forward {
    spec: ForwardSpec,
    non_blocking: bool,
    size: Option<u64>,
}

impl Forward {
    /// A driver with nothing said; `None`: it sends nothing anywhere.
    pub fn new(driver: &str) -> Option<Forward> {
        let (receiver, format) = match driver {
            "syslog" => {
                let daemon = 3;
                (LogReceiver::Syslog, LogFormat::Syslog { facility: daemon, format: SyslogFormat::Local })
            }
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
        Some(Forward { spec, non_blocking: false, size: None })
    }

    /// The driver's options, for whoever has written another.
    pub fn known(&self) -> String {
        let own: &[&str] = match self.spec.format {
            LogFormat::Syslog { .. } => &["syslog-address", "syslog-facility", "syslog-format"],
            _ => &[],
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
            "max-buffer-size" => units::bytes(value).and_then(|bytes| match u64::try_from(bytes) {
                Ok(bytes) if bytes > 0 => {
                    self.size = Some(bytes);
                    Ok(())
                }
                _ => Err(format!("`{value}` is no size for a buffer")),
            }),
            _ => return self.own(option, value),
        })
    }

    fn own(&mut self, option: &str, value: &str) -> Option<Result<(), String>> {
        match &mut self.spec.format {
            LogFormat::Syslog { facility, format } => Some(match option {
                "syslog-address" => receiver::syslog(value).map(|receiver| self.spec.receiver = receiver),
                "syslog-facility" => number_of(value).map(|number| *facility = number),
                "syslog-format" => syslog_format(value).map(|chosen| *format = chosen),
                tls if tls.starts_with("syslog-tls-") => Err(receiver::NO_TLS.to_owned()),
                _ => return None,
            }),
            _ => None,
        }
    }

    /// What they all say together.
    ///
    /// # Errors
    /// Where one needs another.
    pub fn finish(self) -> Result<ForwardSpec, String> {
        let mut spec = self.spec;
        if self.size.is_some() && !self.non_blocking {
            return Err("`max-buffer-size` is of `mode: non-blocking` only".to_owned());
        }
        spec.buffer = self.non_blocking.then(|| self.size.unwrap_or(BUFFER));
        Ok(spec)
    }
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
