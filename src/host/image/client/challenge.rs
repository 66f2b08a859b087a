//! `WWW-Authenticate` (RFC 9110 section 11.6.1): several challenges in one header, each with quoted parameters.

use std::collections::BTreeMap;

/// One challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// `basic`, `bearer`; lower case.
    pub scheme: String,
    /// Parameters, names in lower case.
    pub parameters: BTreeMap<String, String>,
}

/// All challenges of a header; what can't be read is left out.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    for part in split(header) {
        let (first, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquote(value.trim()))),
            None => (part.trim(), None),
        };
        // `Bearer realm="…"` begins a challenge; `service="…"` goes on with it.
        let (scheme, name) = match (first.split_once(char::is_whitespace), value.is_some()) {
            (Some((scheme, name)), true) => (Some(scheme), name.trim()),
            (None, true) => (None, first),
            (_, false) => (Some(first), ""),
        };
        if let Some(scheme) = scheme {
            challenges.push(Challenge { scheme: scheme.to_ascii_lowercase(), parameters: BTreeMap::new() });
        }
        if let (Some(challenge), Some(value)) = (challenges.last_mut(), value) {
            challenge.parameters.insert(name.to_ascii_lowercase(), value);
        }
    }
    challenges
}

/// Splits at commas outside of quotes.
fn split(header: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in header.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(&header[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&header[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_several_challenges_and_commas_in_quotes() {
        let all = parse(r#"Basic realm="a \"b\"", Bearer realm="https://x/t",service=reg,scope="repository:a:pull,push""#);
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].parameters["realm"], "a \"b\"");
        assert_eq!(all[1].scheme, "bearer");
        assert_eq!(all[1].parameters["service"], "reg");
        assert_eq!(all[1].parameters["scope"], "repository:a:pull,push");
    }

    #[test]
    fn a_scheme_alone_is_a_challenge() {
        assert_eq!(parse("Basic")[0].scheme, "basic");
        assert_eq!(parse(""), Vec::new());
        assert_eq!(parse(",,=,\""), Vec::new());
    }
}
