//! What a plain scalar means, and how numbers are written: the rules of go-yaml and of Go (spec.md 10.2, 10.3).

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;

use super::date::Moment;
use super::node::Kind;

/// The value of an unquoted scalar without a tag.
pub fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'0'..=b'9' | b'+' | b'-' => number(text).unwrap_or_else(|| Kind::Str(text.to_owned())),
        b'.' => float(text).map_or_else(|| Kind::Str(text.to_owned()), Kind::Float),
        _ => Kind::Str(text.to_owned()),
    }
}

/// The value of a scalar with a standard tag (`!!str`, `!!int`, …); `None` when it does not fit.
pub fn tagged(tag: &str, text: &str) -> Option<Kind> {
    let value = plain(text);
    match (tag, value) {
        ("str", _) => Some(Kind::Str(text.to_owned())),
        ("null", Kind::Null) => Some(Kind::Null),
        ("bool", value @ Kind::Bool(_))
        | ("int", value @ (Kind::Int(_) | Kind::Large(_)))
        | ("float", value @ Kind::Float(_)) => Some(value),
        ("float", Kind::Int(n)) => Some(Kind::Float(n as f64)),
        ("float", Kind::Large(n)) => Some(Kind::Float(n as f64)),
        ("binary", _) => binary(text).map(Kind::Str),
        _ => None,
    }
}

/// Text in base 64, as go-yaml reads it: only line ends may stand in it.
fn binary(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

fn number(text: &str) -> Option<Kind> {
    if Moment::parse(text).is_some() {
        return Some(Kind::Date(text.to_owned()));
    }
    let digits = text.replace('_', "");
    if let Some(whole) = integer(&digits) {
        return Some(whole);
    }
    float(&digits).map(Kind::Float)
}

/// A whole number in any of the bases: `0x`, `0o`, `0b`, and octal behind a plain leading zero.
fn integer(text: &str) -> Option<Kind> {
    let (minus, body) = match text.strip_prefix(['-', '+']) {
        Some(body) => (text.starts_with('-'), body),
        None => (false, text),
    };
    if body.starts_with(['+', '-']) {
        return None;
    }
    let lower = body.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    // `0-1` is text, as of a `cpuset`.
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if minus { -value } else { value };
    i64::try_from(value).map(Kind::Int).or_else(|_| u64::try_from(value).map(Kind::Large)).ok()
}

/// A decimal number with at most a fraction and an exponent.
fn float(text: &str) -> Option<f64> {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |t: &str| t.bytes().take_while(u8::is_ascii_digit).count();
    let whole = digits(body);
    let mut rest = &body[whole..];
    let mut fraction = 0;
    if let Some(after) = rest.strip_prefix('.') {
        fraction = digits(after);
        rest = &after[fraction..];
    }
    if whole + fraction == 0 {
        return None;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if exponent.is_empty() || digits(exponent) != exponent.len() {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    text.parse().ok()
}

/// A number as Go's `%v` writes it: `1.1`, `1e+06`, `+Inf`.
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..21 if value.abs() < 1e6 || value == 0.0 && exponent == "0" => format!("{value}"),
        exponent => format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

/// A scalar as text, as Go's `%v` writes it; `None` for lists, mappings and nothing.
pub fn text(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Str(text) | Kind::Date(text) => Some(text.clone()),
        Kind::Bool(b) => Some(b.to_string()),
        Kind::Int(n) => Some(n.to_string()),
        Kind::Large(n) => Some(n.to_string()),
        Kind::Float(f) => Some(float_text(*f)),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// A scalar as it becomes part of a text in a merge, where a date is one that Go has read.
pub fn merged_text(kind: &Kind) -> Option<String> {
    match kind {
        Kind::Date(text) => Moment::parse(text).map(|moment| moment.in_text()),
        kind => text(kind),
    }
}

/// What YAML 1.1 calls a boolean; `None` for anything else.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "y" | "yes" | "on" => Some(true),
        "false" | "n" | "no" | "off" => Some(false),
        _ => None,
    }
}
