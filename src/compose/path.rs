//! Paths of values, `services.web.ports[0]`. A key with dots stands in quotes or brackets (`labels["com.example.a"]`), or
//! bare, where the tree has such a key.

use std::fmt::{self, Write};

use super::node::Node;

/// One step of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A key of a mapping.
    Key(&'a str),
    /// A place in a list.
    Item(usize),
}

/// A step as it is written: bare ones may be parts of one key.
struct Word<'a> {
    part: Part<'a>,
    /// The bytes of a bare key.
    bare: Option<(usize, usize)>,
}

/// The steps of a path; keys with dots are found by looking into the tree, as far as it goes.
pub fn parts<'a>(tree: &Node, path: &'a str) -> Vec<Part<'a>> {
    let words = words(path);
    let (mut parts, mut node, mut at) = (Vec::new(), Some(tree), 0);
    while let Some(word) = words.get(at) {
        let (mut part, mut taken) = (word.part, 1);
        if let (Some((start, _)), Some(map)) = (word.bare, node.and_then(Node::as_map)) {
            let joined = words[at..].iter().map_while(|word| word.bare).enumerate();
            let joined = joined.map(|(index, (_, end))| (index + 1, &path[start..end]));
            if let Some((words, key)) = joined.into_iter().find(|(_, key)| map.contains_key(*key)) {
                (part, taken) = (Part::Key(key), words);
            }
        }
        node = node.and_then(|node| child(node, &part));
        parts.push(part);
        at += taken;
    }
    parts
}

fn words(path: &str) -> Vec<Word<'_>> {
    let (mut words, mut at) = (Vec::new(), 0);
    while at < path.len() {
        let rest = &path[at..];
        let inner = rest.strip_prefix(['.', '[']);
        let bracket = rest.starts_with('[');
        let begin = at + rest.len() - inner.unwrap_or(rest).len();
        let text = &path[begin..];
        let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
        let quoted = quote.and_then(|quote| text[1..].find(quote).map(|end| &text[1..1 + end]));
        let (part, bare, mut end) = match quoted {
            Some(key) => (Part::Key(key), None, begin + key.len() + 2),
            None => {
                let stop = if bracket { text.find(']') } else { text.find(['.', '[']) };
                let key = &text[..stop.unwrap_or(text.len())];
                let part = match key.parse() {
                    Ok(index) if bracket => Part::Item(index),
                    _ => Part::Key(key),
                };
                let bare = (!bracket).then_some((begin, begin + key.len()));
                (part, bare, begin + key.len())
            }
        };
        if bracket && path[end..].starts_with(']') {
            end += 1;
        }
        if part != Part::Key("") || quoted.is_some() {
            words.push(Word { part, bare });
        }
        at = end.max(at + 1);
    }
    words
}

/// The value that a step leads to.
pub fn child<'a>(node: &'a Node, part: &Part<'_>) -> Option<&'a Node> {
    match part {
        Part::Key(key) => node.get(key),
        Part::Item(at) => node.as_list()?.get(*at),
    }
}

/// Steps as they are written, in the form that [`parts`] reads.
pub struct Shown<'a>(pub &'a [Part<'a>]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the file");
        }
        for (at, part) in self.0.iter().enumerate() {
            match part {
                Part::Item(item) => write!(f, "[{item}]")?,
                Part::Key(key) if key.is_empty() || key.contains(['.', '[', ']', '"', '\'']) => {
                    let quote = if key.contains('"') { '\'' } else { '"' };
                    write!(f, "[{quote}{key}{quote}]")?;
                }
                Part::Key(key) => {
                    if at > 0 {
                        f.write_char('.')?;
                    }
                    f.write_str(key)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::node::{Kind, Map};

    fn map(entries: &[(&str, Node)]) -> Node {
        let map: Map = entries.iter().map(|(key, node)| ((*key).to_owned(), node.clone())).collect();
        Node { kind: Kind::Map(map), ..Node::default() }
    }

    #[test]
    fn keys_with_dots() {
        let labels = map(&[("com.example.a", Node::default()), ("b", Node::default())]);
        let tree = map(&[("services", map(&[("my.web", map(&[("labels", labels)]))]))]);
        let wanted = [Part::Key("services"), Part::Key("my.web"), Part::Key("labels"), Part::Key("com.example.a")];
        for path in [
            "services.my.web.labels.com.example.a",
            "services.\"my.web\".labels['com.example.a']",
            "services[\"my.web\"][labels].'com.example.a'",
            "services['my.web'].labels[com.example.a]",
        ] {
            assert_eq!(parts(&tree, path), wanted, "{path}");
        }
        let shown = Shown(&wanted).to_string();
        assert_eq!(shown, "services[\"my.web\"].labels[\"com.example.a\"]");
        assert_eq!(parts(&tree, &shown), wanted);
    }

    #[test]
    fn any_text_is_some_path() {
        let tree = map(&[]);
        assert_eq!(parts(&tree, "a.b[0].c[1][2]").len(), 6);
        for path in ["", ".", "[", "]", "[]", "a..b", "[\"", "['x", "a[0", "é.[ü]", "\"\"", "a]b", "['a']b"] {
            parts(&tree, path);
        }
        assert_eq!(parts(&tree, "a..b"), [Part::Key("a"), Part::Key("b")]);
    }
}
