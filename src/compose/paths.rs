//! Relative paths → absolute ones, for the attributes that the table marks (spec.md 10.11).

use std::path::{Component, Path, PathBuf};

use super::attributes::{Keys, Paths, Shape};
use super::disk;
use super::node::{Kind, Node};
use super::remote::Address;
use crate::diag::{Code, Diagnostic};

/// What paths of one file are resolved against.
#[derive(Clone, Debug)]
pub struct Base {
    /// The folder; relative when paths shall stay relative (`--no-path-resolution`).
    pub dir: PathBuf,
    /// What `~` stands for; `None`, where nobody says: for itself, as with docker compose.
    pub home: Option<PathBuf>,
}

/// Resolves every path of a tree.
pub fn resolve(node: &mut Node, shape: &Shape, base: &Base, diags: &mut Vec<Diagnostic>) {
    match shape.paths {
        Paths::No => {}
        Paths::Mount => return mount(node, base, diags),
        Paths::Volume => return volume(node, base),
        Paths::Contexts => {
            if let Kind::Map(map) = &mut node.kind {
                map.values_mut().for_each(|value| context(value, base));
            }
            return;
        }
        Paths::Values => {
            for value in node.as_map_mut().into_iter().flat_map(|map| map.values_mut()) {
                if let Kind::Str(text) = &mut value.kind {
                    *text = base.join(text);
                }
            }
            return;
        }
        Paths::Context => return context(node, base),
        Paths::File => return file(node, base),
        Paths::Watch => {
            if let Kind::Str(text) = &mut node.kind {
                let path = base.join(text);
                *text = disk::real_path(&path).map_or(path, |real| real.to_string_lossy().into_owned());
            }
            return;
        }
        Paths::Local | Paths::Source => return local(node, base, shape.paths == Paths::Source),
    }
    match &mut node.kind {
        Kind::Map(map) if !matches!(shape.keys, Keys::No) => {
            for (key, value) in map {
                if let Some(row) = shape.field(key) {
                    resolve(value, row, base, diags);
                }
            }
        }
        Kind::List(list) => {
            if let Some(items) = shape.items {
                list.iter_mut().for_each(|item| resolve(item, items, base, diags));
            }
        }
        _ => {}
    }
}

/// A path, or a list of them; `empty` text is the folder itself, or stays.
fn local(node: &mut Node, base: &Base, empty: bool) {
    match &mut node.kind {
        Kind::Str(text) if empty || !text.is_empty() => *text = base.join(text),
        Kind::List(list) => list.iter_mut().for_each(|item| {
            if let Kind::Str(text) = &mut item.kind {
                *text = base.join(text);
            }
        }),
        _ => {}
    }
}

impl Base {
    /// A relative path against this base, cleaned; absolute ones stay as they are written.
    pub fn join(&self, text: &str) -> String {
        if text.starts_with('/') || is_windows(text) {
            return text.to_owned();
        }
        let expanded = self.expand(text);
        clean(&self.dir.join(expanded))
    }

    fn expand(&self, text: &str) -> String {
        match (text.strip_prefix('~'), &self.home) {
            // `~name` is no other's home to the peer, but a path below one's own.
            (Some(rest), Some(home)) => format!("{}/{rest}", home.display()),
            _ => text.to_owned(),
        }
    }
}

/// A path of Windows, which is left as it is.
fn is_windows(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.starts_with("\\\\") || matches!(bytes, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic())
}

/// Without `.`, `..` and doubled slashes, as Go's `filepath.Clean`.
pub fn clean(path: &Path) -> String {
    let mut out: Vec<&std::ffi::OsStr> = Vec::new();
    let absolute = path.is_absolute();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name),
            Component::ParentDir => match out.last() {
                Some(last) if *last != ".." => {
                    out.pop();
                }
                _ if absolute => {}
                _ => out.push("..".as_ref()),
            },
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let joined = out.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// A path inside a container.
pub fn clean_target(text: &str) -> String {
    if text.is_empty() || is_windows(text) { text.to_owned() } else { clean(Path::new(text)) }
}

/// Is a build context an address rather than a path?
fn is_remote(text: &str) -> bool {
    ["https://", "http://", "git://", "ssh://", "github.com/", "git@"].iter().any(|prefix| text.starts_with(prefix))
        || text.contains("://")
        || text.starts_with("service:")
}

fn context(node: &mut Node, base: &Base) {
    if let Kind::Str(text) = &mut node.kind
        && !text.is_empty()
        && !is_remote(text)
    {
        *text = base.join(text);
    }
}

fn file(node: &mut Node, base: &Base) {
    if let Kind::Str(text) = &mut node.kind
        && Address::parse(text).is_none()
    {
        *text = base.join(text);
    }
}

fn mount(node: &mut Node, base: &Base, diags: &mut Vec<Diagnostic>) {
    if node.get_str("type") != Some("bind") {
        return;
    }
    let place = node.span;
    match node.get_mut("source").map(|source| &mut source.kind) {
        Some(Kind::Str(text)) => *text = base.join(text),
        _ => diags.push(Diagnostic::new(Code::MissingKey, "a bind needs a `source`").at(place, "")),
    }
}

/// A local volume with the options of a bind is one.
fn volume(node: &mut Node, base: &Base) {
    let is_bind =
        node.get_str("driver") == Some("local") && node.get("driver_opts").and_then(|o| o.get_str("o")) == Some("bind");
    if is_bind
        && let Some(Kind::Str(device)) =
            node.get_mut("driver_opts").and_then(|o| o.get_mut("device")).map(|d| &mut d.kind)
    {
        *device = base.join(device);
    }
}

/// How to get from one absolute folder to another path.
pub fn relative(path: &Path, from: &Path) -> PathBuf {
    let (path, from) = (PathBuf::from(clean(path)), PathBuf::from(clean(from)));
    let common = path.components().zip(from.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(path.components().skip(common)).collect();
    if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_of_who_has_one() {
        let base = |home: Option<&str>| Base { dir: "/project".into(), home: home.map(PathBuf::from) };
        assert_eq!(base(Some("/home/ann")).join("~/data"), "/home/ann/data");
        assert_eq!(base(None).join("~/data"), "/project/~/data", "never the root folder");
    }
}
