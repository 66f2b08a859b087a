//! Where the output of a container goes.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the output of a container goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// `json-file` and `local` (our files), `none`, or the driver that gets each line beside our files.
    pub driver: String,
    /// Bytes of one file before the next is begun.
    pub max_size: u64,
    /// Files that are kept.
    pub max_file: u32,
    /// Files that are no longer written are compressed.
    pub compress: bool,
    /// Where each line goes too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Box<ForwardSpec>>,
}

impl Default for LogSpec {
    fn default() -> Self {
        Self { driver: "json-file".into(), max_size: 10 << 20, max_file: 3, compress: false, forward: None }
    }
}

/// A receiver outside that gets each line, beside our own files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardSpec {
    /// Where it is.
    pub receiver: LogReceiver,
    /// What it is told.
    pub format: LogFormat,
    /// How the container calls itself there; a [`Tag`].
    pub tag: String,
    /// Labels that are told with each line.
    pub labels: Vec<String>,
    /// The same, by a regular expression of their names.
    pub labels_regex: Option<String>,
    /// Environment variables that are told with each line.
    pub env: Vec<String>,
    /// The same, by a regular expression of their names.
    pub env_regex: Option<String>,
    /// `mode: non-blocking`: so many bytes wait for a slow receiver, and what is beyond is lost. `None`: the program waits.
    pub buffer: Option<u64>,
    /// The container starts without it too.
    pub optional: bool,
}

/// Where a receiver of lines is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum LogReceiver {
    /// This machine's syslog.
    Syslog,
    /// This machine's journal.
    Journal,
    /// Datagrams.
    Udp {
        /// Name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A connection.
    Tcp {
        /// Name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A connection to a socket of this machine.
    Unix {
        /// The socket.
        path: PathBuf,
    },
    /// Datagrams to a socket of this machine.
    Unixgram {
        /// The socket.
        path: PathBuf,
    },
}

impl fmt::Display for LogReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let net = |f: &mut fmt::Formatter<'_>, scheme: &str, host: &str, port: u16| match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        };
        match self {
            Self::Syslog => f.write_str("the local syslog"),
            Self::Journal => f.write_str("the journal"),
            Self::Udp { host, port } => net(f, "udp", host, *port),
            Self::Tcp { host, port } => net(f, "tcp", host, *port),
            Self::Unix { path } => write!(f, "unix://{}", path.display()),
            Self::Unixgram { path } => write!(f, "unixgram://{}", path.display()),
        }
    }
}

/// The form of a line for its receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum LogFormat {
    /// syslog.
    Syslog {
        /// 0 to 23.
        facility: u8,
        /// Which of its forms.
        format: SyslogFormat,
    },
    /// The journal's own protocol.
    Journal,
    /// Graylog's extended log format.
    Gelf {
        /// Of datagrams.
        compression: Compression,
        /// 0 to 9.
        level: u32,
    },
    /// fluentd's forward protocol.
    Fluentd {
        /// Times with nanoseconds, in place of whole seconds.
        nanoseconds: bool,
    },
}

/// A form of syslog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyslogFormat {
    /// As local programs write it: without a host name.
    #[default]
    Local,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424, whole seconds.
    Rfc5424,
    /// RFC 5424 with microseconds.
    Rfc5424Micro,
}

/// How a datagram is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// RFC 1952.
    #[default]
    Gzip,
    /// RFC 1950.
    Zlib,
    /// Not at all.
    None,
}

/// A container's name at a receiver: text with fields as `{{.Name}}`.
#[derive(Clone, Copy, Debug)]
pub struct Tag<'a>(pub &'a str);

impl Tag<'_> {
    /// The fields that there are.
    pub const FIELDS: [&'static str; 9] =
        ["ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "Command", "Hostname", "DaemonName"];

    /// The text with the value of each field in its place.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn render(&self, value: impl Fn(&str) -> String) -> Result<String, String> {
        let (mut out, mut rest) = (String::new(), self.0);
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, later) =
                after.split_once("}}").ok_or_else(|| format!("`{}` has a `{{{{` without end", self.0))?;
            let field = inside.trim().strip_prefix('.').filter(|field| Self::FIELDS.contains(field));
            let field = field.ok_or_else(|| {
                format!(
                    "`{{{{{inside}}}}}` is no field of a tag: {}",
                    Self::FIELDS.map(|field| format!("{{{{.{field}}}}}")).join(", ")
                )
            })?;
            out.push_str(before);
            out.push_str(&value(field));
            rest = later;
        }
        out.push_str(rest);
        Ok(out)
    }
}
