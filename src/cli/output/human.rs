//! Sizes, durations and times as docker prints them (docker/go-units).

use std::time::Duration;

/// How long something has lasted, roughly: `Less than a second`, `5 seconds`, `About a minute`, `2 hours`.
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match (seconds, minutes, hours) {
        (0, ..) => "Less than a second".into(),
        (1, ..) => "1 second".into(),
        (s, ..) if s < 60 => format!("{s} seconds"),
        (_, 1, _) => "About a minute".into(),
        (_, m, _) if m < 60 => format!("{m} minutes"),
        (.., 1) => "About an hour".into(),
        (.., h) if h < 48 => format!("{h} hours"),
        (.., h) if h < 24 * 7 * 2 => format!("{} days", h / 24),
        (.., h) if h < 24 * 30 * 2 => format!("{} weeks", h / 24 / 7),
        (.., h) if h < 24 * 365 * 2 => format!("{} months", h / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// How long ago something was: `2 minutes ago`.
pub fn ago(time: Duration) -> String {
    format!("{} ago", duration(time))
}

/// A command in one line as docker has it: arguments with blanks stand between quotation marks.
pub fn command(argv: &[String]) -> String {
    let word = |(index, word): (usize, &String)| match index > 0 && word.contains(' ') {
        true => format!("'{word}'"),
        false => word.clone(),
    };
    argv.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
}

/// A text between double quotation marks, in one line: what would break it, or can't be seen, is escaped as Go does it.
pub fn quoted(text: &str) -> String {
    let mut all = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' | '\\' | '\n' | '\r' | '\t' => all.extend(sign.escape_default()),
            sign if sign.is_control() && sign.is_ascii() => all.push_str(&format!("\\x{:02x}", u32::from(sign))),
            sign => all.push(sign),
        }
    }
    all.push('"');
    all
}

/// A size in powers of 1000 with four digits: `130MB`, `4.21kB`.
pub fn size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 4)
}

/// A size in powers of 1024 with four digits: `1.5GiB`.
pub fn binary_size(bytes: u64) -> String {
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"], 4)
}

/// A size in powers of 1000 with three digits: `1.2kB`, as `stats` and `image ls` have it.
pub fn short_size(bytes: u64) -> String {
    scaled(bytes, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB"], 3)
}

fn scaled(bytes: u64, base: f64, units: &[&str], digits: i32) -> String {
    // Rounded to a few digits anyway.
    #[allow(clippy::cast_precision_loss)]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), units[unit])
}

/// `%.Ng` of C: N significant digits, no zeros behind.
fn significant(value: f64, digits: i32) -> String {
    let before = if value >= 1000.0 {
        4
    } else if value >= 100.0 {
        3
    } else if value >= 10.0 {
        2
    } else {
        1
    };
    let places = usize::try_from(digits - before).unwrap_or(0);
    let text = format!("{value:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Nanoseconds since 1970 as RFC 3339 in UTC with nine digits: the stamp in front of log lines.
pub fn rfc3339_nanos(nanos: u64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    format!("{stamp:.9}")
}

/// Nanoseconds since 1970 in local time, as `events` of docker compose has it: `2026-11-24 08:00:00.123456`.
pub fn local_micros(nanos: u64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    stamp.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// Nanoseconds since 1970 as docker's `CreatedAt`: `2026-11-24 07:00:00 +0000 UTC`.
pub fn created_at(nanos: u64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default();
    stamp.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

/// A moment as a flag has it, in nanoseconds since 1970: RFC 3339 (with or without zone), a date, Unix seconds, or a
/// time before now (`42m`, `1h30m`).
///
/// # Errors
/// Any other text.
pub fn moment(text: &str, now: u64) -> Result<u64, String> {
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        return nanos(stamp);
    }
    if let Some(time) = go_duration(text) {
        return Ok(now.saturating_sub(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        if seconds.is_finite() && seconds >= 0.0 {
            return Ok(u64::try_from(Duration::from_secs_f64(seconds.min(1e10)).as_nanos()).unwrap_or(u64::MAX));
        }
    } else if let Ok(local) = text.parse::<jiff::civil::DateTime>() {
        let zoned = local.to_zoned(jiff::tz::TimeZone::system()).map_err(|e| e.to_string())?;
        return nanos(zoned.timestamp());
    }
    Err(format!("`{text}` is no time: use 2026-01-02T15:04:05Z, seconds since 1970, or a time ago like 42m"))
}

fn nanos(stamp: jiff::Timestamp) -> Result<u64, String> {
    u64::try_from(stamp.as_nanosecond()).map_err(|_| "a time before 1970".into())
}

/// A duration of Go: `1h30m`, `90s`, `1.5h`, `300ms`.
pub fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|ch: char| !ch.is_ascii_digit() && ch != '.')?;
        let value: f64 = rest.get(..digits)?.parse().ok()?;
        let tail = &rest[digits..];
        let (seconds, unit) =
            [("ms", 1e-3), ("us", 1e-6), ("µs", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)]
                .into_iter()
                .find_map(|(unit, seconds)| tail.starts_with(unit).then_some((seconds, unit)))?;
        total += value * seconds;
        rest = &tail[unit.len()..];
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(total).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line_of_words() {
        let argv = |words: &[&str]| command(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(argv(&["sh", "-c", "exit 4"]), "sh -c 'exit 4'");
        assert_eq!(argv(&["/my program", "a"]), "/my program a");
        assert_eq!(quoted("sh -c 'echo \"a\\b\"\n\x01'"), r#""sh -c 'echo \"a\\b\"\n\x01'""#);
    }

    #[test]
    fn durations_are_rough_like_dockers() {
        let cases = [
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (2 * 3600, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
            (14 * 24 * 3600, "2 weeks"),
            (60 * 24 * 3600, "2 months"),
            (3 * 365 * 24 * 3600, "3 years"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(Duration::from_secs(seconds)), text, "{seconds} s");
        }
    }

    #[test]
    fn sizes_have_four_digits() {
        assert_eq!(size(0), "0B");
        assert_eq!(size(999), "999B");
        assert_eq!(size(1_000), "1kB");
        assert_eq!(size(130_400_000), "130.4MB");
        assert_eq!(size(4_213), "4.213kB");
        assert_eq!(short_size(4_213), "4.21kB");
        assert_eq!(binary_size(1536 << 20), "1.5GiB");
        assert_eq!(binary_size(1000), "1000B");
    }

    #[test]
    fn moments_come_in_dockers_forms() {
        let now = 1_000_000_000_000;
        assert_eq!(moment("1h", 3_600_000_000_001), Ok(1));
        assert_eq!(moment("1.5s", now), Ok(now - 1_500_000_000));
        assert_eq!(moment("1h30m", 5_400_000_000_000), Ok(0));
        assert_eq!(moment("100", now), Ok(100_000_000_000));
        assert_eq!(moment("1970-01-01T00:00:01.5Z", now), Ok(1_500_000_000));
        assert!(moment("yesterday", now).is_err());
        assert!(moment("", now).is_err());
        assert!(moment("5 parsecs", now).is_err());
    }

    #[test]
    fn stamps_have_nine_digits() {
        assert_eq!(rfc3339_nanos(1_500_000_000), "1970-01-01T00:00:01.500000000Z");
        assert_eq!(created_at(1_500_000_000), "1970-01-01 00:00:01 +0000 UTC");
    }
}
