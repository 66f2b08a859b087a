//! Sizes and durations as compose writes them (spec.md 10.8, 10.9).

use std::fmt::Write;

/// Bytes of a text such as `64m`, `1.5 GiB` or `1024`: binary multiples, any case. Errors say what is wrong with it.
pub fn bytes(text: &str) -> Result<i64, String> {
    let bad = || format!("`{text}` is not a size (as `512m` or `1.5gb`)");
    if text == "-1" {
        return Ok(-1);
    }
    // The number is all up to the last digit, so that it may be one such as `1e3`.
    let end = text.rfind(|c: char| c.is_ascii_digit() || ". ".contains(c)).ok_or_else(bad)? + 1;
    let (number, unit) = text.split_at(end);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let unit = unit.to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit == "ib" => return Err(bad()),
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(bad()),
    };
    let scale = 1024_i64.pow(power);
    if let Ok(whole) = number.parse::<i64>().map(|whole| whole.checked_mul(scale)) {
        return whole.filter(|whole| *whole >= 0).ok_or_else(bad);
    }
    // A fraction of a multiple is rounded down, as docker's units package does.
    let value = real(number).ok_or_else(bad)? * scale as f64;
    if (0.0..9.2e18).contains(&value) { Ok(value as i64) } else { Err(bad()) }
}

/// A number as Go writes them, with a fraction, an exponent and `_` between digits; no `inf`, and none of base 16.
fn real(text: &str) -> Option<f64> {
    let between = |at: usize| {
        let digit = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
        digit(at.checked_sub(1)) && digit(Some(at + 1))
    };
    let known = |c: char| c.is_ascii_digit() || "+-._eE".contains(c);
    let fits = text.chars().all(known) && text.match_indices('_').all(|(at, _)| between(at));
    fits.then(|| text.replace('_', "").parse().ok()).flatten()
}

const UNITS: [(&str, f64); 9] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
    ("d", 86_400e9),
];
const WEEK: f64 = 7.0 * 86_400e9;

/// Nanoseconds of a text such as `1m30s`, `1.5h` or `2d`; every number needs its unit.
pub fn duration(text: &str) -> Result<i64, String> {
    let bad = || format!("`{text}` is not a duration (as `90s` or `1m30s`; every number needs a unit)");
    let (minus, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    let mut total = 0.0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(bad)?;
        let number: f64 = rest[..end].parse().map_err(|_| bad())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..end];
        let nanos = match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, nanos)) => *nanos,
            None if unit == "w" => WEEK,
            None => return Err(bad()),
        };
        total += number * nanos;
        rest = &rest[end..];
    }
    if total > i64::MAX as f64 {
        return Err(bad());
    }
    Ok(if minus { -(total.round() as i64) } else { total.round() as i64 })
}

/// Nanoseconds as Go prints them: `1m30s`, `1.5s`, `10µs`, `0s`.
pub fn duration_text(nanos: i64) -> String {
    let mut out = String::new();
    if nanos < 0 {
        out.push('-');
    }
    let n = nanos.unsigned_abs();
    if n == 0 {
        return "0s".to_owned();
    }
    if n < 1_000_000_000 {
        let (unit, size) = match n {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        fraction(&mut out, n, size);
        out.push_str(unit);
        return out;
    }
    let seconds = n / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours > 0 {
        let _ = write!(out, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(out, "{minutes}m");
    }
    fraction(&mut out, n % 60_000_000_000, 1_000_000_000);
    out.push('s');
    out
}

fn fraction(out: &mut String, n: u64, size: u64) {
    let _ = write!(out, "{}", n / size);
    let rest = n % size;
    if rest > 0 {
        let digits = format!("{:0width$}", rest, width = size.ilog10() as usize);
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}
