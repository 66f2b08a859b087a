//! Addresses: `https://host/repository.git#ref:folder`, `git@host:repository`, `oci://registry/name:tag`.

use std::borrow::Cow;
use std::fmt;

use super::super::env::hidden;

/// What stands for the branch that a repository has by default.
const HEAD: &str = "HEAD";

/// Where compose files lie, and which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What is fetched.
    pub source: Source,
    /// The folder or the file in it; empty: its top.
    pub path: String,
}

/// What is fetched as a whole. Its text has no password, and no user either where none is needed to find the place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A git repository as it is at a branch, tag or commit.
    Git {
        /// As git takes it; may hold a password.
        url: String,
        /// `HEAD` if none was named.
        reference: String,
    },
    /// An artifact of a registry: `registry/name`, with tag or digest.
    Oci {
        /// As written, without `oci://`.
        reference: String,
    },
}

impl Address {
    /// Reads an address; `None`: it is a path.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Option<Result<Self, String>> {
        if let Some(reference) = text.strip_prefix("oci://") {
            return Some(oci(reference));
        }
        if let Some(path) = text.strip_prefix("github.com/") {
            return Some(git(&format!("https://github.com/{path}"), false));
        }
        if text.starts_with("git@") && text.contains(':') {
            return Some(git(text, false));
        }
        match scheme(text)? {
            "http" | "https" => Some(git(text, true)),
            "git" | "ssh" => Some(git(text, false)),
            other => Some(Err(format!("`{other}://` is no address of compose files: {KINDS}"))),
        }
    }
}

const KINDS: &str = "they come from git (https://, http://, ssh://, git://, git@host:) or a registry (oci://)";

fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    is_scheme.then_some(scheme)
}

fn oci(reference: &str) -> Result<Address, String> {
    if reference.is_empty() || !is_plain(reference) || reference.starts_with('-') {
        return Err("an address of an artifact is `oci://REGISTRY/NAME:TAG`".to_owned());
    }
    Ok(Address { source: Source::Oci { reference: reference.to_owned() }, path: String::new() })
}

/// As docker compose, a repository on the web is told from a page by `.git` at its end.
fn git(text: &str, needs_suffix: bool) -> Result<Address, String> {
    let (url, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (reference, path) = fragment.split_once(':').unwrap_or((fragment, ""));
    if !is_plain(url) {
        return Err("the address has blanks or control characters".to_owned());
    }
    if needs_suffix && !url.ends_with(".git") {
        return Err(
            "the address of a git repository on the web ends in `.git`, then `#REF:FOLDER` if needed".to_owned()
        );
    }
    // A host that begins with `-` would be an option of ssh.
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if host.is_empty() || host.starts_with(['-', '/', ':']) {
        return Err("the address names no host".to_owned());
    }
    let reference = if reference.is_empty() { HEAD } else { reference };
    check_reference(reference)?;
    check_path(path)?;
    let source = Source::Git { url: url.to_owned(), reference: reference.to_owned() };
    Ok(Address { source, path: path.trim_end_matches('/').to_owned() })
}

fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// git's own rules for names of branches and tags. One that begins with `-` would be an option, one with `*` a pattern.
fn check_reference(text: &str) -> Result<(), String> {
    let bad = text.starts_with(['-', '/', '.'])
        || text.ends_with(['/', '.'])
        || text.contains("..")
        || text.contains("//")
        || text.contains("@{")
        || text.contains(['~', '^', '?', '*', '[', '\\'])
        || !is_plain(text);
    if bad { Err(format!("`{}` is no branch, tag or commit", text.escape_debug())) } else { Ok(()) }
}

fn check_path(text: &str) -> Result<(), String> {
    let leaves = text.starts_with('/') || text.contains('\\') || text.split('/').any(|part| part == "..");
    if leaves || text.contains(|c: char| c.is_control()) {
        return Err(format!("`{}` is no folder of the repository", text.escape_debug()));
    }
    Ok(())
}

impl Source {
    /// The variable by which it can be switched off, as docker compose has it.
    pub fn switch(&self) -> &'static str {
        match self {
            Self::Git { .. } => "COMPOSE_EXPERIMENTAL_GIT_REMOTE",
            Self::Oci { .. } => "COMPOSE_EXPERIMENTAL_OCI_REMOTE",
        }
    }

    /// How people know a file of it: the address that leads to it.
    pub fn label(&self, path: &str) -> String {
        match self {
            Self::Git { reference, .. } if reference == HEAD => format!("{self}#:{path}"),
            Self::Git { .. } => format!("{self}:{path}"),
            Self::Oci { .. } => format!("{self}/{path}"),
        }
    }

    /// Somebody else's words about it, as they may be shown.
    pub fn mask(&self, text: &str) -> String {
        let Self::Git { url, .. } = self else { return text.to_owned() };
        let Some((scheme, door, _)) = split(url) else { return text.to_owned() };
        let (user, password) = door.split_once(':').unwrap_or((door, ""));
        // A user of ssh is no secret; elsewhere it may be a token.
        let secrets = if scheme == "ssh://" { ["", password, ""] } else { [door, password, user] };
        // Shorter ones are none, and parts of other words.
        let secrets = secrets.into_iter().filter(|secret| secret.len() > 3);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// An address as it may be shown; a path as it is.
pub fn masked(text: &str) -> String {
    match Address::parse(text) {
        Some(Ok(Address { source, path })) if path.is_empty() => source.to_string(),
        Some(Ok(Address { source, path })) => source.label(&path),
        Some(Err(_)) => split(text).map_or_else(|| text.to_owned(), |(scheme, _, rest)| format!("{scheme}{rest}")),
        None => text.to_owned(),
    }
}

/// A text that is shown with its places, such as a compose file: what stands before the `@` of an address is hidden, sign by
/// sign. Where variables stand there, it is they that are shown, and not their values.
pub fn without_passwords(text: &str) -> Cow<'_, str> {
    let mut shown = Cow::Borrowed(text);
    for (at, scheme) in text.match_indices("://") {
        let start = at + scheme.len();
        let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '#' | '?' | '"' | '\'' | '`' | ',');
        let host = &text[start..text[start..].find(ends).map_or(text.len(), |end| start + end)];
        let Some(door) = host.rfind('@').map(|end| &host[..end]).filter(|door| !door.contains('$')) else { continue };
        shown.to_mut().replace_range(start..start + door.len(), &door.chars().map(hidden).collect::<String>());
    }
    shown
}

/// Scheme, what stands before the `@` of the host, and the rest.
fn split(url: &str) -> Option<(&str, &str, &str)> {
    let start = url.find("://")? + 3;
    let end = url[start..].find(['/', '#', '?']).map_or(url.len(), |at| start + at);
    let at = start + url[start..end].rfind('@')?;
    Some((&url[..start], &url[start..at], &url[at + 1..]))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oci { reference } => write!(f, "oci://{reference}"),
            Self::Git { url, reference } => {
                match split(url) {
                    // A user of ssh belongs to the place; elsewhere it may be a token.
                    Some((scheme @ "ssh://", user, rest)) => {
                        write!(f, "{scheme}{}@{rest}", user.split(':').next().unwrap_or_default())?;
                    }
                    Some((scheme, _, rest)) => write!(f, "{scheme}{rest}")?,
                    None => f.write_str(url)?,
                }
                if reference == HEAD { Ok(()) } else { write!(f, "#{reference}") }
            }
        }
    }
}

impl fmt::Debug for Source {
    /// As it may be shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match Address::parse(text) {
            None => "a path".to_owned(),
            Some(Err(problem)) => format!("error: {problem}"),
            Some(Ok(Address { source: Source::Git { url, reference }, path })) => format!("{url} {reference} {path}"),
            Some(Ok(Address { source: Source::Oci { reference }, .. })) => format!("oci {reference}"),
        }
    }

    #[test]
    fn addresses_are_told_from_paths() {
        for (text, wanted) in [
            ("https://host/a/b.git", "https://host/a/b.git HEAD "),
            ("https://host/a/b.git#main", "https://host/a/b.git main "),
            ("https://host/a/b.git#v1.2:deploy/web", "https://host/a/b.git v1.2 deploy/web"),
            ("https://host/a/b.git#:deploy/", "https://host/a/b.git HEAD deploy"),
            ("git://host/b#feature/x", "git://host/b feature/x "),
            ("ssh://git@host:22/b.git#a:b.yaml", "ssh://git@host:22/b.git a b.yaml"),
            ("git@host:team/b.git", "git@host:team/b.git HEAD "),
            ("github.com/team/b#:x", "https://github.com/team/b HEAD x"),
            ("oci://registry:5000/team/app:1", "oci registry:5000/team/app:1"),
            ("compose.yaml", "a path"),
            ("./https://host/x", "a path"),
            ("../x.git#main", "a path"),
            ("git@folder/compose.yaml", "a path"),
            ("ext::sh://x", "a path"),
        ] {
            assert_eq!(shown(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_would_reach_elsewhere_is_refused() {
        for text in [
            "https://host/compose.yaml",
            "https://host/b.git?x#main",
            "ftp://host/b.git",
            "file:///tmp/b.git",
            "https://host/b.git#--upload-pack=touch /tmp/x",
            "git://host/b.git#--upload-pack=x",
            "git://host/b.git#ma*n",
            "git://host/b.git#main~1",
            "git://host/b.git#a..b",
            "git://host/b.git#main:../../etc",
            "git://host/b.git#main:/etc",
            "git://host/b.git#main:a/../../b",
            "ssh://-oProxyCommand=x/b.git",
            "ssh://git@-oProxyCommand=x/b.git",
            "git@-oProxyCommand=x:b.git",
            "git:///b.git",
            "https://ho st/b.git",
            "oci://",
            "oci://host/x y",
        ] {
            assert!(shown(text).starts_with("error: "), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn a_file_is_shown_without_its_passwords_and_its_places_stay() {
        for (text, wanted) in [
            ("include: ['https://me:hünter2@host/b.git']\n", "include: ['https://**:*·*****@host/b.git']\n"),
            ("a: https://t0ken@h/x # b@c\n", "a: https://*****@h/x # b@c\n"),
            ("a: https://h/x@y\nb: c@d", "a: https://h/x@y\nb: c@d"),
            ("a: https://${USER}:${PASSWORD}@h/x", "a: https://${USER}:${PASSWORD}@h/x"),
        ] {
            assert_eq!(without_passwords(text), wanted);
            assert_eq!(without_passwords(text).len(), text.len());
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        for (text, wanted) in [
            ("https://me:hunter2@host/b.git#main:x", "https://host/b.git#main:x"),
            ("https://hunter2@host/b.git", "https://host/b.git"),
            ("https://me:hun@ter2@host/b.git", "https://host/b.git"),
            ("ssh://git:hunter2@host/b.git", "ssh://git@host/b.git"),
            ("https://hunter2@host/page", "https://host/page"),
            ("git@host:b.git#main", "git@host:b.git#main"),
            ("oci://host/b:1", "oci://host/b:1"),
            ("https://host/b.git#:x", "https://host/b.git#:x"),
        ] {
            assert_eq!(masked(text), wanted);
            if let Some(Ok(address)) = Address::parse(text) {
                assert!(!format!("{address:?}").contains("hunter2"));
                assert!(!address.source.mask(&format!("fatal: '{text}'")).contains("hunter2"));
            }
        }
    }
}
