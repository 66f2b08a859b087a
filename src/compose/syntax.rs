//! YAML text → [`Node`] trees, with the meaning go-yaml gives to it (spec.md 10.2): anchors, aliases and `<<` are gone
//! afterwards, `!reset` and `!override` are marks on their nodes.

mod escape;
mod help;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span as RawSpan, StrInput, Tag as RawTag};
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::node::{Kind, Map, Node, Tag};
use super::scalar;
use crate::diag::{Code, Diagnostic, FileId, Span};

/// How many nodes aliases and merges may add to one file: real files stay far below, nine levels of nine aliases far above.
const ALIAS_BUDGET: usize = 200_000;
/// How many values one file may have: ten thousand services have fewer, and a million need some 200 MB.
const LARGEST: usize = 1_000_000;
/// How many places of a file are put up with that go-yaml reads and the parser does not: each has the file read once more.
const MOST_PATCHES: usize = 200;
/// Where the tags of YAML itself begin.
const YAML_TAGS: &str = "tag:yaml.org,2002:";
/// How deep collections may be nested.
const DEEPEST: usize = 120;

/// A document and whether `!reset` or `!override` stand anywhere in it.
pub struct Document {
    /// Its tree.
    pub root: Node,
    /// Are there tags for the merge?
    pub tagged: bool,
}

/// docker compose joins keys by dots, so that to it one alias under `a` and under `a.b` contains itself. A file that it
/// refuses is refused here too, with the reason.
fn no_false_circle(aliases: &[(String, usize, Span)]) -> Read<()> {
    let known: BTreeMap<(usize, &str), Span> = aliases.iter().map(|(key, id, at)| ((*id, key.as_str()), *at)).collect();
    for (key, id, span) in aliases {
        let outers = key.match_indices('.').map(|(at, _)| &key[..at]);
        if let Some((outer, first)) = outers.filter_map(|outer| known.get(&(*id, outer)).map(|at| (outer, at))).next() {
            return Err(Diagnostic::new(
                Code::Alias,
                format!("the same alias under `{outer}` and under `{key}`: docker compose takes this for a circle"),
            )
            .at(*span, "")
            .at(*first, "the other one")
            .help(format!("rename `{key}`, or write the value out")));
        }
    }
    Ok(())
}

/// All documents of a file. Errors are those of the YAML itself; one at a time, as nothing behind it can be trusted.
pub fn parse(file: FileId, text: &str) -> Result<Vec<Document>, Diagnostic> {
    let escapes = escape::patchable(text);
    let mut patched: Option<String> = None;
    for _ in 0..MOST_PATCHES {
        let text = patched.as_deref().unwrap_or(text);
        let mut reader = Reader::new(file, text);
        let documents = reader.documents();
        if documents.is_ok() {
            return documents;
        }
        let escape = reader.bad_escape.filter(|_| escapes).and_then(|at| escape::patched(text, at));
        match escape.or_else(|| reader.glued.map(|at| without_comment(text, at))) {
            Some(text) => patched = Some(text),
            None => return documents,
        }
    }
    Reader::new(file, patched.as_deref().unwrap_or(text)).documents()
}

/// The text with blanks in place of the comment that begins at a byte.
fn without_comment(text: &str, at: usize) -> String {
    let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length);
    let mut patched = text.to_owned();
    patched.replace_range(at..end, &" ".repeat(end - at));
    patched
}

struct Reader<'a> {
    file: FileId,
    text: &'a str,
    events: Parser<'a, StrInput<'a>>,
    anchors: BTreeMap<usize, (Node, usize)>,
    /// Anchors of the collections that are being read: an alias to one of them would contain itself.
    open: Vec<usize>,
    added: usize,
    /// Values read so far.
    read: usize,
    depth: usize,
    tagged: bool,
    /// Where a comment follows a value without a blank. go-yaml takes it, and the scanner does not.
    glued: Option<usize>,
    /// Where a scalar begins that has an escape sequence the parser does not know.
    bad_escape: Option<usize>,
}

type Read<T> = Result<T, Diagnostic>;

impl<'a> Reader<'a> {
    fn new(file: FileId, text: &'a str) -> Self {
        let mut options =
            granit_parser::options! { emit_comments: false, block_nesting_limit: 200, flow_nesting_limit: 200 };
        options.block_scalar_eof_without_line_feed = true;
        Self {
            file,
            text,
            events: Parser::new_from_str_with_options(text, options),
            anchors: BTreeMap::new(),
            open: Vec::new(),
            added: 0,
            read: 0,
            depth: 0,
            tagged: false,
            glued: None,
            bad_escape: None,
        }
    }

    fn documents(&mut self) -> Read<Vec<Document>> {
        let mut documents = Vec::new();
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) => {
                    self.anchors.clear();
                    self.tagged = false;
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Comment(..) => {}
                event => {
                    let (root, _) = self.node(event, span)?;
                    documents.push(Document { root, tagged: self.tagged });
                }
            }
        }
        Ok(documents)
    }

    fn next(&mut self) -> Read<Option<(Event<'a>, RawSpan)>> {
        match self.events.next_event() {
            None => Ok(None),
            Some(Ok(next)) => Ok(Some(next)),
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or(self.text.len());
                self.bad_escape = (*error.kind() == ErrorKind::UnknownQuotedScalarEscape).then_some(at);
                let place = Span::new(self.file, at, at + 1);
                if error.info().contains("comments must be separated")
                    && self.text.get(at..).is_some_and(|rest| rest.starts_with('#'))
                {
                    self.glued = Some(at);
                }
                let told = Diagnostic::new(Code::NotYaml, format!("this is not valid YAML: {}", error.info()));
                let told = told.at(place, "");
                Err(match help::help(self.text, at, &error.info()) {
                    Some(help) => told.help(help),
                    None => told,
                })
            }
        }
    }

    fn must_next(&mut self) -> Read<(Event<'a>, RawSpan)> {
        self.next()?.ok_or_else(|| Diagnostic::new(Code::NotYaml, "the YAML ends too early"))
    }

    fn span(&self, raw: RawSpan) -> Span {
        raw.byte_range().map_or_else(Span::default, |range| Span::new(self.file, range.start, range.end))
    }

    /// The node that begins with an event, and how many nodes it consists of.
    fn node(&mut self, event: Event<'a>, raw: RawSpan) -> Read<(Node, usize)> {
        let span = self.span(raw);
        self.read += 1;
        if self.read > LARGEST {
            let text = format!("this file has more than {LARGEST} values");
            return Err(Diagnostic::new(Code::TooLarge, text).at(span, "").help("split it by `include`"));
        }
        let (mut node, count, anchor, tag) = match event {
            Event::Alias(id) => return self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => {
                let kind = self.scalar(&escape::restored(text), style, tag.as_deref(), span)?;
                (Node { kind, span: self.trimmed(span), ..Node::default() }, 1, anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let (kind, count) = self.nested(anchor, span, Self::list)?;
                (Node { kind, span, ..Node::default() }, count, anchor, tag)
            }
            Event::MappingStart(_, anchor, tag) => {
                let (kind, count) = self.nested(anchor, span, Self::map)?;
                (Node { kind, span, ..Node::default() }, count, anchor, tag)
            }
            _ => return Err(Diagnostic::new(Code::NotYaml, "this is not valid YAML").at(span, "")),
        };
        node.tag = self.merge_tag(tag.as_ref());
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), count));
        }
        Ok((node, count))
    }

    /// Block scalars reach to the next line; what is shown should not.
    fn trimmed(&self, span: Span) -> Span {
        let text = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        span.part(0, text.trim_end().len().max(1))
    }

    fn nested(
        &mut self,
        anchor: usize,
        span: Span,
        read: impl FnOnce(&mut Self) -> Read<(Kind, usize)>,
    ) -> Read<(Kind, usize)> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(
                Diagnostic::new(Code::TooDeep, format!("more than {DEEPEST} levels inside each other")).at(span, "")
            );
        }
        self.open.push(anchor);
        let result = read(self)?;
        self.open.pop();
        self.depth -= 1;
        Ok(result)
    }

    fn list(&mut self) -> Read<(Kind, usize)> {
        let (mut list, mut count) = (Vec::new(), 1);
        loop {
            let (event, span) = self.must_next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((Kind::List(list), count));
            }
            let (node, nodes) = self.node(event, span)?;
            count += nodes;
            list.push(node);
        }
    }

    fn map(&mut self) -> Read<(Kind, usize)> {
        let (mut map, mut count) = (Map::new(), 1);
        let mut merges: Option<Node> = None;
        let mut aliases: Vec<(String, usize, Span)> = Vec::new();
        loop {
            let (event, raw) = self.must_next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let place = self.span(raw);
            let (key, is_merge) = self.key(event, raw, place)?;
            let (event, raw) = self.must_next()?;
            if let Event::Alias(id) = event
                && !is_merge
            {
                aliases.push((key.clone(), id, self.span(raw)));
            }
            let (mut value, nodes) = self.node(event, raw)?;
            count += nodes + 1;
            value.key = place;
            let earlier = if is_merge { merges.replace(value) } else { map.insert(key.clone(), value) };
            if let Some(earlier) = earlier {
                return Err(Diagnostic::new(Code::KeyTwice, format!("the key `{key}` stands here twice"))
                    .at(place, "again")
                    .at(earlier.key, "first"));
            }
        }
        if let Some(merges) = merges {
            self.merge(&mut map, merges)?;
        }
        no_false_circle(&aliases)?;
        Ok((Kind::Map(map), count))
    }

    /// A key's text, and whether it is the merge key.
    fn key(&mut self, event: Event<'a>, raw: RawSpan, place: Span) -> Read<(String, bool)> {
        if let Event::Scalar(text, style, _, tag) = &event
            && text == "<<"
        {
            let is_merge = match tag.as_deref() {
                None => *style == ScalarStyle::Plain,
                Some(tag) => tag.suffix_in_namespace(YAML_TAGS).as_deref() == Some("merge"),
            };
            if is_merge {
                return Ok(("<<".to_owned(), true));
            }
        }
        let (node, _) = self.node(event, raw)?;
        match node.kind {
            Kind::Str(text) => Ok((text, false)),
            kind => {
                let shown = scalar::text(&kind).unwrap_or_default();
                Err(Diagnostic::new(
                    Code::KeyKind,
                    format!("a key must be text, `{shown}` is {}", Node { kind, ..node }.kind_name()),
                )
                .at(place, "")
                .help(format!("put it in quotes: \"{shown}\"")))
            }
        }
    }

    /// `<<`: what the mapping itself has wins, then the first of the list.
    fn merge(&mut self, map: &mut Map, from: Node) -> Read<()> {
        let place = from.place();
        let sources = match from.kind {
            Kind::Map(source) => vec![source],
            Kind::List(list) => {
                let maps: Option<Vec<Map>> = list
                    .into_iter()
                    .map(|node| match node.kind {
                        Kind::Map(map) => Some(map),
                        _ => None,
                    })
                    .collect();
                maps.ok_or_else(|| {
                    Diagnostic::new(Code::MergeKey, "`<<` takes a mapping or a list of mappings").at(place, "")
                })?
            }
            _ => {
                return Err(Diagnostic::new(Code::MergeKey, "`<<` takes a mapping or a list of mappings").at(place, ""));
            }
        };
        for source in sources {
            for (key, mut value) in source {
                match map.get_mut(&key) {
                    // What is reset beside `<<` takes away what earlier files said, and not what is merged here.
                    Some(own) if own.tag == Tag::Reset && value.tag != Tag::Reset => {
                        value.tag = Tag::Override;
                        *own = value;
                    }
                    Some(_) => {}
                    None => {
                        map.insert(key, value);
                    }
                }
            }
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Read<(Node, usize)> {
        if self.open.contains(&id) {
            return Err(Diagnostic::new(Code::Alias, "this alias contains itself").at(span, ""));
        }
        let Some((node, count)) = self.anchors.get(&id) else {
            return Err(Diagnostic::new(Code::Alias, "no anchor with this name stands above").at(span, ""));
        };
        self.added += count;
        if self.added > ALIAS_BUDGET {
            return Err(Diagnostic::new(
                Code::TooLarge,
                format!("aliases make this file grow beyond {ALIAS_BUDGET} values"),
            )
            .at(span, "")
            .help("repeat less by aliases, or split the file"));
        }
        Ok((node.clone(), *count))
    }

    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&RawTag>, span: Span) -> Read<Kind> {
        if style == ScalarStyle::DoubleQuoted {
            self.no_foreign_escape(span)?;
        }
        let tag = tag.filter(|tag| tag.original() != "!");
        let name = tag.map(|tag| tag.suffix_in_namespace(YAML_TAGS));
        let known = |name: &str| name == "binary" || tag.is_some_and(RawTag::is_yaml_core_schema);
        match (name, style) {
            // What a tag of one's own stands before is text, and so it is before `!override`.
            (Some(None), _) => Ok(Kind::Str(text.to_string())),
            (Some(Some(name)), _) if known(&name) => scalar::tagged(&name, text).ok_or_else(|| {
                Diagnostic::new(Code::YamlTag, format!("`{text}` is no value for the tag !!{name}")).at(span, "")
            }),
            (_, ScalarStyle::Plain) => Ok(scalar::plain(text)),
            (_, _) => Ok(Kind::Str(text.to_string())),
        }
    }

    /// What JSON and later YAML have and docker compose refuses.
    fn no_foreign_escape(&self, span: Span) -> Read<()> {
        let text = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let Some((at, length)) = escape::foreign(text) else { return Ok(()) };
        let sequence = text.get(at..at + length).unwrap_or_default();
        let help =
            if sequence == "\\/" { "write `/`" } else { "write the character itself, or `\\U` and eight digits" };
        Err(Diagnostic::new(Code::NotYaml, format!("`{sequence}` is no escape sequence of YAML"))
            .at(span.part(at, at + sequence.len().max(1)), "")
            .help(help))
    }

    fn merge_tag(&mut self, tag: Option<&Cow<'a, RawTag>>) -> Tag {
        let tag = match tag.map(|tag| tag.original()).as_deref() {
            Some("!reset") => Tag::Reset,
            Some("!override") => Tag::Override,
            _ => return Tag::None,
        };
        self.tagged = true;
        tag
    }
}
