//! Values that the canonical tree writes as text: sizes, durations, modes, addresses.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_yaml::Value;

use super::Ulimit;
use crate::compose::units;

/// A size in bytes: a number, or text with a unit.
pub fn bytes_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    scalar(d, units::bytes)
}

/// A duration: text with units.
pub fn duration_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    let nanos = scalar(d, units::duration)?;
    nanos
        .map(|n| u64::try_from(n).map(Duration::from_nanos).map_err(|_| D::Error::custom("must not be negative")))
        .transpose()
}

/// Permission bits: text is octal, a number is what it is.
pub fn mode_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    match Option::<Value>::deserialize(d)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(n)) => match n.as_u64().and_then(|n| u32::try_from(n).ok()) {
            Some(mode) => Ok(Some(mode)),
            None => Err(D::Error::custom(format!("`{n}` is no permission bits"))),
        },
        Some(Value::String(t)) => match u32::from_str_radix(t.trim_start_matches("0o"), 8) {
            Ok(mode) => Ok(Some(mode)),
            Err(_) => Err(D::Error::custom(format!("`{t}` is no octal number"))),
        },
        Some(_) => Err(D::Error::custom("must be an octal number")),
    }
}

/// A whole number, also written as text.
pub fn int_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    scalar(d, |t| t.parse::<i64>().map_err(|_| format!("`{t}` is not a whole number")))
}

/// A number, also written as text.
pub fn float_opt<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    scalar(d, |t| t.parse::<f64>().map_err(|_| format!("`{t}` is not a number")))
}

/// Text with a form of its own, such as an address; empty text (an unset variable) counts as absent.
pub fn parsed_opt<'de, D: Deserializer<'de>, T>(d: D) -> Result<Option<T>, D::Error>
where
    T: FromStr,
    T::Err: Display,
{
    scalar(d, |t| t.parse::<T>().map_err(|e| format!("`{t}`: {e}")))
}

/// A map whose null values stand for the default.
pub fn null_is_default_map<'de, D: Deserializer<'de>, T>(d: D) -> Result<BTreeMap<String, T>, D::Error>
where
    T: Default + DeserializeOwned,
{
    let map = Option::<BTreeMap<String, Option<T>>>::deserialize(d)?.unwrap_or_default();
    Ok(map.into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

/// Limits: one number for both, or soft and hard.
pub fn ulimits<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, Ulimit>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(i64),
        Two(Ulimit),
    }
    let map = Option::<BTreeMap<String, Either>>::deserialize(d)?.unwrap_or_default();
    let both = |either| match either {
        Either::One(n) => Ulimit { soft: n, hard: n },
        Either::Two(limit) => limit,
    };
    Ok(map.into_iter().map(|(name, either)| (name, both(either))).collect())
}

/// Reads null, a number or text; empty text counts as absent.
fn scalar<'de, D, T>(d: D, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = match Option::<Value>::deserialize(d)? {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(n)) => n.to_string(),
        Some(Value::String(t)) if t.is_empty() => return Ok(None),
        Some(Value::String(t)) => t,
        Some(_) => return Err(D::Error::custom("must be text or a number")),
    };
    parse(&text).map(Some).map_err(D::Error::custom)
}
