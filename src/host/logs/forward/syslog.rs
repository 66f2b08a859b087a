//! Lines for a syslog, as docker writes them.

use super::local_time::LocalTime;
use super::{Forward, Line};
use crate::desired::SyslogFormat;
use crate::host::logs::Stream;

/// Severities: error, information.
const ERROR: u8 = 3;
const INFORMATION: u8 = 6;

/// One message, with the line end that divides them on a connection.
pub(super) fn message(
    forward: &Forward,
    facility: u8,
    format: SyslogFormat,
    line: &Line,
    time: &LocalTime,
    pid: u32,
) -> Vec<u8> {
    let severity = if line.stream == Stream::Stderr { ERROR } else { INFORMATION };
    let priority = u32::from(facility) * 8 + u32::from(severity);
    let (host, tag) = (&forward.host, &forward.tag);
    let new = |time: String| format!("<{priority}>1 {time} {host} {tag} {pid} {tag} - ");
    let head = match format {
        SyslogFormat::Local => format!("<{priority}>{} {tag}[{pid}]: ", time.stamp()),
        SyslogFormat::Rfc3164 => format!("<{priority}>{} {host} {tag}[{pid}]: ", time.stamp()),
        SyslogFormat::Rfc5424 => new(time.rfc3339(0)),
        SyslogFormat::Rfc5424Micro => new(time.rfc3339(6)),
    };
    let mut message = head.into_bytes();
    message.extend_from_slice(&line.text);
    message.push(b'\n');
    message
}
