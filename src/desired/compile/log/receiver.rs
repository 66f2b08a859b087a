//! Addresses of receivers: `udp://host:port`, `unix:///path`.

use std::path::PathBuf;

use crate::desired::LogReceiver;

/// What is said of certificates.
pub const NO_TLS: &str =
    "TLS to a syslog receiver is not done yet: send to a local relay (rsyslog, syslog-ng) that has it";

/// What stands before `://`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Udp,
    Tcp,
    Unix,
    Unixgram,
}

/// The address of a syslog receiver; empty: this machine's.
pub fn syslog(text: &str) -> Result<LogReceiver, String> {
    if text.is_empty() {
        return Ok(LogReceiver::Syslog);
    }
    if text.starts_with("tcp+tls://") {
        return Err(NO_TLS.to_owned());
    }
    parse(text, Some(514), &[Scheme::Udp, Scheme::Tcp, Scheme::Unix, Scheme::Unixgram])
}

/// The address of a receiver of GELF.
pub fn gelf(text: &str) -> Result<LogReceiver, String> {
    parse(text, None, &[Scheme::Udp, Scheme::Tcp])
}

/// The address of a fluentd, with or without a scheme; empty: on this machine.
pub fn fluentd(text: &str) -> Result<LogReceiver, String> {
    let usual = if text.is_empty() { "127.0.0.1" } else { text };
    let text = if usual.contains("://") { usual.to_owned() } else { format!("tcp://{usual}") };
    parse(&text, Some(24224), &[Scheme::Tcp, Scheme::Unix])
}

/// An address with one of these schemes; the port may be left out where there is a usual one.
pub fn parse(text: &str, usual: Option<u16>, schemes: &[Scheme]) -> Result<LogReceiver, String> {
    let wrong = || {
        let forms = schemes.iter().map(|scheme| match scheme {
            Scheme::Udp => "udp://HOST:PORT",
            Scheme::Tcp => "tcp://HOST:PORT",
            Scheme::Unix => "unix:///PATH",
            Scheme::Unixgram => "unixgram:///PATH",
        });
        format!("`{text}` is no address of a receiver: {}", forms.collect::<Vec<_>>().join(", "))
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    let scheme = match scheme {
        "udp" => Scheme::Udp,
        "tcp" => Scheme::Tcp,
        "unix" => Scheme::Unix,
        "unixgram" => Scheme::Unixgram,
        _ => return Err(wrong()),
    };
    if !schemes.contains(&scheme) {
        return Err(wrong());
    }
    if matches!(scheme, Scheme::Unix | Scheme::Unixgram) {
        let path = Some(PathBuf::from(rest)).filter(|path| path.is_absolute()).ok_or_else(wrong)?;
        return Ok(if scheme == Scheme::Unix { LogReceiver::Unix { path } } else { LogReceiver::Unixgram { path } });
    }
    let (host, port) = host_and_port(rest.trim_end_matches('/'), usual).ok_or_else(wrong)?;
    Ok(if scheme == Scheme::Udp { LogReceiver::Udp { host, port } } else { LogReceiver::Tcp { host, port } })
}

fn host_and_port(text: &str, usual: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
        None => usual?,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then(|| (host.to_owned(), port))
}
