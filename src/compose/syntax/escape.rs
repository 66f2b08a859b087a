//! Escape sequences in double quotes, where go-yaml and the parser here differ. go-yaml takes `\'`; it takes neither `\/` nor
//! halves of a character, which JSON has.

use std::borrow::Cow;

/// Stands for `\'` while a text is parsed: as long, and a letter that no language has.
const STAND_IN: char = '\u{7ff}';

/// Can a text be patched?
pub fn patchable(text: &str) -> bool {
    !text.contains(STAND_IN)
}

/// The text with a stand-in for each `\'` of the quoted scalar that begins at a byte; nothing if it has none.
pub fn patched(text: &str, at: usize) -> Option<String> {
    let scalar = text.get(at..)?.strip_prefix('"')?;
    let mut out = text.get(..=at)?.to_owned();
    let mut chars = scalar.chars();
    while let Some(c) = chars.next().filter(|c| *c != '"') {
        let next = if c == '\\' { chars.next() } else { None };
        match next {
            Some('\'') => out.push(STAND_IN),
            next => out.extend([Some(c), next].into_iter().flatten()),
        }
    }
    out.push_str(&text[out.len()..]);
    (out != text).then_some(out)
}

/// What is meant by a text that was read from a patched one.
pub fn restored(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains(STAND_IN) { text.replace(STAND_IN, "'").into() } else { text }
}

/// The first sequence in a double-quoted scalar that go-yaml does not know: where it is, and how long.
pub fn foreign(scalar: &str) -> Option<(usize, usize)> {
    let mut rest = scalar.char_indices();
    while let Some((at, c)) = rest.next() {
        if c != '\\' {
            continue;
        }
        let half = || matches!(scalar.get(at + 2..at + 4), Some(s) if s.starts_with(['d', 'D']) && s[1..] >= *"8");
        match rest.next() {
            Some((_, '/')) => return Some((at, 2)),
            Some((_, 'u')) if half() => return Some((at, 6)),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_quote_of_the_scalar_is_patched() {
        let text = r#"a: "it\'s \\'" # \'"#;
        let patched = patched(text, 3).unwrap_or_default();
        assert_eq!(patched, "a: \"it\u{7ff}s \\\\'\" # \\'");
        assert_eq!(restored(Cow::from("it\u{7ff}s")), "it's");
        assert_eq!((super::patched(text, 2), super::patched("\"a\\n\"", 0)), (None, None));
        assert_eq!(super::patched("\"a\\'", 0).as_deref(), Some("\"a\u{7ff}"));
    }

    #[test]
    fn sequences_of_json() {
        assert_eq!(foreign(r#""\\/ \u00e9 \uD7ff a\/""#), Some((20, 2)));
        assert_eq!(foreign(r#""\ud83d\ude00""#), Some((1, 6)));
        assert_eq!(foreign(r#""\" \é""#), None);
    }
}
