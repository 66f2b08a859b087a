//! `volumes`: `[SOURCE:]TARGET[:OPTIONS]` → a mapping (spec.md 4.4).

use crate::compose::node::{Kind, Map, Node};
use crate::compose::paths;
use crate::diag::{Code, Diagnostic};

/// A short form, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Short {
    /// Empty: an anonymous volume.
    pub source: String,
    /// Where it is mounted.
    pub target: String,
    read_only: bool,
    nocopy: bool,
    propagation: String,
    selinux: String,
    /// One or two characters: nothing but a target.
    bare: bool,
    /// Options that nobody knows.
    unknown: Vec<String>,
}

/// Takes a short form apart.
pub fn parse(text: &str) -> Result<Short, String> {
    let mut short = Short::default();
    match text.len() {
        0 => return Err("it is empty".to_owned()),
        1 | 2 => return Ok(Short { target: text.to_owned(), bare: true, ..short }),
        _ => {}
    }
    let sections = sections(text);
    let last = sections.len() - 1;
    for (at, section) in sections.into_iter().enumerate() {
        if section.is_empty() {
            return Err("empty section between colons".to_owned());
        }
        if short.source.is_empty() && at == last {
            short.target = section;
        } else if short.source.is_empty() {
            short.source = section;
        } else if short.target.is_empty() {
            short.target = section;
        } else if at != last {
            return Err("it has too many colons".to_owned());
        } else {
            section.split(',').for_each(|option| short.option(option));
        }
    }
    Ok(short)
}

/// Splits at colons, but not behind what looks like a Windows drive, nor inside a variable that was not replaced.
fn sections(text: &str) -> Vec<String> {
    let mut sections = vec![String::new()];
    let mut braces = 0_usize;
    for c in text.chars() {
        let section = sections.last().map_or("", String::as_str);
        match c {
            '{' if section.ends_with('$') || braces > 0 => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            _ => {}
        }
        let drive = braces > 0 || section.chars().count() == 1 && section.chars().all(char::is_alphabetic);
        match sections.last_mut() {
            Some(section) if c != ':' || drive => section.push(c),
            _ => sections.push(String::new()),
        }
    }
    sections
}

impl Short {
    fn option(&mut self, option: &str) {
        match option {
            "ro" => self.read_only = true,
            "rw" => self.read_only = false,
            "nocopy" => self.nocopy = true,
            "z" | "Z" => option.clone_into(&mut self.selinux),
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
                option.clone_into(&mut self.propagation)
            }
            // They are of file sharing on other systems.
            "cached" | "delegated" | "consistent" => {}
            unknown => self.unknown.push(unknown.to_owned()),
        }
    }

    fn node(self, place: &Node) -> Kind {
        let mut map = Map::new();
        let text = |value: &str| Node::text_like(place, value);
        let bind = is_path(&self.source);
        map.insert("type".to_owned(), text(if bind { "bind" } else { "volume" }));
        if !self.source.is_empty() {
            map.insert("source".to_owned(), text(&self.source));
        }
        map.insert("target".to_owned(), text(&paths::clean_target(&self.target)));
        if self.read_only {
            map.insert("read_only".to_owned(), Node::like(place, Kind::Bool(true)));
        }
        let mut options = Map::new();
        if bind {
            options.insert("create_host_path".to_owned(), Node::like(place, Kind::Bool(true)));
        }
        for (key, value) in [("propagation", &self.propagation), ("selinux", &self.selinux)] {
            if !value.is_empty() {
                options.insert(key.to_owned(), text(value));
            }
        }
        if bind || !options.is_empty() {
            map.insert("bind".to_owned(), Node::like(place, Kind::Map(options)));
        }
        if (!bind && !self.bare) || self.nocopy {
            let mut options = Map::new();
            if self.nocopy {
                options.insert("nocopy".to_owned(), Node::like(place, Kind::Bool(true)));
            }
            map.insert("volume".to_owned(), Node::like(place, Kind::Map(options)));
        }
        Kind::Map(map)
    }
}

/// Does a source name a path rather than a volume?
fn is_path(source: &str) -> bool {
    if source.starts_with(['.', '/', '~', '\\']) {
        return true;
    }
    let mut chars = source.chars();
    chars.next().is_some_and(char::is_alphabetic) && chars.next() == Some(':')
}

const OPTIONS: [&str; 11] =
    ["ro", "rw", "z", "Z", "nocopy", "private", "rprivate", "shared", "rshared", "slave", "rslave"];

/// docker compose takes any word for an option, and leaves it out.
fn ignored(text: &str, option: &str, node: &Node) -> Diagnostic {
    let message = format!("the option `{option}` of the volume `{text}` is unknown, so it has no effect");
    let diag = Diagnostic::new(Code::MountOption, message).at(node.span, "");
    let words = option.is_ascii() && option.len() == 3 && ["ro", "rw"].contains(&&option[..2]);
    match crate::diag::nearest(option, OPTIONS) {
        _ if words => diag.help(format!("write a comma between two options: `{},{}`", &option[..2], &option[2..])),
        Some(near) => diag.help(format!("did you mean `{near}`?")),
        None => diag.help(format!("the options are {}; several stand with commas between them", OPTIONS.join(", "))),
    }
}

/// Writes one entry long; what cannot be read stays as it is when `lenient`.
pub fn long(node: &mut Node, lenient: bool, diags: &mut Vec<Diagnostic>) {
    let Kind::Str(text) = &node.kind else { return };
    match parse(text) {
        Ok(short) => {
            diags.extend(short.unknown.iter().filter(|_| !lenient).map(|option| ignored(text, option, node)));
            node.kind = short.node(node);
        }
        Err(_) if lenient => {}
        Err(problem) => diags.push(
            Diagnostic::new(Code::BadMount, format!("`{text}` is no volume: {problem}"))
                .at(node.span, "")
                .help("write [SOURCE:]TARGET[:OPTIONS], as `./data:/data:ro`"),
        ),
    }
}
