//! Values of the right kind that no machine can carry out: a hardware address that is none, a processor list that is no
//! list, a port beyond the last one. docker compose prints them, and fails when it brings the project up; here they are told
//! with everything else that is wrong. What a file may have that is only printed, or that a later file or a variable puts
//! right, is warned of by `config`, and refused by whoever uses it.

use super::attributes::{Keys, PROJECT, Shape};
use super::node::{Kind, Node};
use super::schema::Path;
use super::units;
use crate::diag::{Code, Diagnostic};

/// What a value must look like, beside its kind. Nothing and empty text (of an unset variable) stand for the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// As it likes.
    Any,
    /// One of these words.
    Word(&'static [&'static str]),
    /// `02:42:ac:11:00:02`.
    Hardware,
    /// `0-3,5`.
    Processors,
    /// `user[:group]`, numbers in their range.
    User,
    /// `80`, `80/udp`, `8000-8010`.
    Exposed,
    /// A port inside a container.
    Target,
    /// A port of the host, or a range of them.
    Published,
    /// A path inside a container.
    Inside,
    /// At least 0.
    Positive,
    /// A word, or `every_<duration>`.
    PullPolicy,
    /// A time with a unit, above 0.
    Time,
}

/// Words of `pull_policy`, beside `every_<duration>`.
const POLICIES: [&str; 8] = ["always", "never", "missing", "if_not_present", "build", "refresh", "daily", "weekly"];

/// What is wrong with a value: what to say, and what to do.
struct Wrong {
    code: Code,
    message: String,
    label: String,
    help: String,
    /// Only [`refused`] tells it as an error.
    printed: bool,
}

impl Wrong {
    fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, message: message.into(), label: String::new(), help: help.into(), printed: false }
    }

    fn diagnostic(self, node: &Node) -> Diagnostic {
        let diag = Diagnostic::new(self.code, self.message).at(node.span, self.label);
        if self.help.is_empty() { diag } else { diag.help(self.help) }
    }

    /// `config` prints the value all the same.
    fn printed(self) -> Self {
        Self { printed: true, ..self }
    }
}

/// Looks at every value of a finished tree.
pub fn check(node: &Node, shape: &Shape, path: &Path<'_>, diags: &mut Vec<Diagnostic>) {
    walk(node, shape, path, &mut |node, wrong| {
        let wrong = if wrong.printed {
            let message = format!("{}; `plan` and `up` refuse it", wrong.message);
            Wrong { code: Code::OnlyPrinted, message, ..wrong }
        } else {
            wrong
        };
        diags.push(wrong.diagnostic(node));
    });
}

/// What [`check`] has only warned of: values that are printed, and refused by whoever uses them.
pub fn refused(tree: &Node) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    walk(tree, &PROJECT, &Path::Root, &mut |node, wrong| {
        if wrong.printed {
            found.push(wrong.diagnostic(node));
        }
    });
    found
}

fn walk(node: &Node, shape: &Shape, path: &Path<'_>, tell: &mut dyn FnMut(&Node, Wrong)) {
    if shape.looks != Looks::Any
        && let Err(wrong) = judge(node, shape.looks, path)
    {
        tell(node, wrong);
    }
    match &node.kind {
        Kind::Map(map) if !matches!(shape.keys, Keys::No) => {
            for (key, value) in map {
                if let Some(row) = shape.field(key) {
                    walk(value, row, &Path::Key(path, key), tell);
                }
            }
        }
        Kind::List(list) => {
            let Some(row) = shape.items else { return };
            list.iter().enumerate().for_each(|(at, item)| walk(item, row, &Path::Item(path, at), tell));
        }
        _ => {}
    }
}

fn judge(node: &Node, looks: Looks, path: &Path<'_>) -> Result<(), Wrong> {
    let value = |message, help: &str| Wrong::new(Code::BadValue, message, help);
    let text = match (&node.kind, looks) {
        (Kind::Str(text), _) if text.is_empty() => return Ok(()),
        (Kind::Str(text), _) => text.as_str(),
        (Kind::Int(port), Looks::Target) if !(0..=65_535).contains(port) => {
            let wrong = Wrong::new(Code::OutOfRange, format!("`{path}` cannot be {port}"), "a port is 1 to 65535");
            return Err(wrong.printed());
        }
        (Kind::Int(number), Looks::Positive) if *number < 0 => return Err(negative(path, number)),
        (Kind::Float(number), Looks::Positive) if *number < 0.0 => return Err(negative(path, number)),
        _ => return Ok(()),
    };
    match looks {
        Looks::Any | Looks::Target | Looks::Positive => Ok(()),
        Looks::Word(words) => word(text, words, path).map_err(Wrong::printed),
        Looks::Hardware => match hardware(text) {
            Some(_) => Ok(()),
            None => Err(value(
                format!("`{text}` is no hardware address of one link"),
                "write six bytes, the first of them even, as `02:42:ac:11:00:02`",
            )),
        },
        Looks::Processors => match processors(text) {
            Some(_) => Ok(()),
            None => Err(value(format!("`{text}` is no list of processors"), "write numbers and ranges, as `0-3,5`")),
        },
        Looks::User => user(text).map_err(|message| {
            let help = "write `user` or `user:group`, names of the image or numbers from 0 to 2147483647";
            value(message, help)
        }),
        Looks::Exposed => exposed(text).map_err(|problem| {
            let help = "write the port inside, as `80`, `80/udp` or `8000-8010`";
            Wrong::new(Code::BadPort, format!("`{text}` is no port: {problem}"), help).printed()
        }),
        Looks::Published => published(text, path),
        Looks::Inside if text.starts_with('/') || text.contains('$') => Ok(()),
        Looks::Inside => Err(odd(
            text,
            path,
            "a path inside a container begins with `/`; in `NAME:PATH` a name of one letter \
            is taken for a drive of Windows, so such a volume needs the long form",
        )),
        Looks::PullPolicy if !has_policy(text) => Ok(()),
        Looks::PullPolicy => pull_policy(text, path).map_err(Wrong::printed),
        Looks::Time => time(text).map_err(|problem| value(format!("`{path}`: {problem}"), "write a time, as `12h`")),
    }
}

fn negative(path: &Path<'_>, number: impl std::fmt::Display) -> Wrong {
    Wrong::new(Code::OutOfRange, format!("`{path}` must be at least 0, not {number}"), "leave it out for no limit")
}

fn word(text: &str, words: &[&'static str], path: &Path<'_>) -> Result<(), Wrong> {
    if words.contains(&text) {
        return Ok(());
    }
    let near = crate::diag::nearest(text, words.iter().copied());
    let help = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
    let wrong = Wrong::new(Code::UnknownWord, format!("`{path}` cannot be `{text}`"), help);
    Err(Wrong { label: format!("one of {}", words.join(", ")), ..wrong })
}

/// A hardware address in lower case with colons: six bytes that colons or dashes part, or three pairs that dots part.
pub fn hardware(text: &str) -> Option<String> {
    let width = if text.contains('.') { 4 } else { 2 };
    let parts: Vec<&str> = text.split([':', '-', '.']).collect();
    let fits = |part: &&str| part.len() == width && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.len() * width != 12 || !parts.iter().all(fits) {
        return None;
    }
    let digits = parts.concat().to_ascii_lowercase();
    let bytes: Vec<&str> = (0..6).map(|at| &digits[at * 2..at * 2 + 2]).collect();
    // An odd first byte is the address of many.
    let one = u8::from_str_radix(bytes[0], 16).is_ok_and(|first| first & 1 == 0);
    one.then(|| bytes.join(":"))
}

/// The ranges of a list of processors, `0-3,5`.
pub fn processors(text: &str) -> Option<Vec<(u32, u32)>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some((first, last))
    };
    text.split(',').map(range).collect()
}

/// Names are the image's to know; numbers have a range.
fn user(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 2 {
        return Err(format!("`{text}` is no user: it has more than `user:group`"));
    }
    for part in parts {
        let digits = part.strip_prefix(['-', '+']).unwrap_or(part);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && !part.parse::<i64>().is_ok_and(|number| (0..=i64::from(i32::MAX)).contains(&number)) {
            return Err(format!("`{part}` is the number of no user and no group"));
        }
        if part.contains(char::is_control) {
            return Err("a user's name has no line ends and no other control characters".to_owned());
        }
    }
    Ok(())
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => format!("`{text}` is above 65535"),
        false => format!("`{text}` is no number"),
    })
}

fn ports(text: &str) -> Result<(), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    if port(first)? > port(last)? {
        return Err(format!("the range {text} ends before it begins"));
    }
    Ok(())
}

fn exposed(text: &str) -> Result<(), String> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol.to_ascii_lowercase().as_str()) {
        return Err(format!("`{protocol}` is no protocol (tcp, udp, sctp)"));
    }
    // `6379:6379` is often written, and docker compose takes it.
    numbers.split(':').try_for_each(ports)
}

/// What docker compose prints too, and what fails when it is used.
fn odd(text: &str, path: &Path<'_>, help: &str) -> Wrong {
    Wrong::new(Code::OnlyPrinted, format!("`{path}` is `{text}`, which `plan` and `up` refuse"), help)
}

fn published(text: &str, path: &Path<'_>) -> Result<(), Wrong> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let help = "a port is 1 to 65535; leave `published` out for one that is free";
    if !is_number(first) || !is_number(last) {
        return if text.contains('$') { Ok(()) } else { Err(odd(text, path, help)) };
    }
    ports(text).map_err(|problem| Wrong::new(Code::BadPort, format!("`{path}`: {problem}"), help).printed())
}

/// `12h`, `1w2d`: whole numbers, each with one letter.
fn time(text: &str) -> Result<(), String> {
    let letters = |c: char| "wdhms".contains(c);
    let whole = text.split_inclusive(letters).all(|part| {
        let number = part.trim_end_matches(letters);
        part.len() == number.len() + 1 && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    match units::duration(text) {
        Ok(nanos) if whole && nanos > 0 => Ok(()),
        _ => {
            Err(format!("`{text}` is no time above 0 of whole weeks, days, hours, minutes and seconds (`1w2d`, `12h`)"))
        }
    }
}

/// Is there a word of `pull_policy` anywhere in a text? That is all that the peer asks for.
pub fn has_policy(text: &str) -> bool {
    let every = |rest: &str| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(['w', 'd', 'h', 'm', 's'])
    };
    POLICIES.iter().any(|word| text.contains(word)) || text.split("every_").skip(1).any(every)
}

/// What is told of a text that is no `pull_policy`.
pub fn no_policy(node: &Node, text: &str, path: &Path<'_>) -> Diagnostic {
    let found = pull_policy(text, path).err().filter(|_| !text.is_empty());
    let wrong =
        found.unwrap_or_else(|| Wrong::new(Code::UnknownWord, format!("`{path}` cannot be empty"), "remove it"));
    wrong.diagnostic(node)
}

fn pull_policy(text: &str, path: &Path<'_>) -> Result<(), Wrong> {
    match text.strip_prefix("every_") {
        Some(every) => time(every).map_err(|problem| {
            let help = "write how old the image may get, as `every_12h` or `every_2d`";
            Wrong::new(Code::BadValue, format!("`{path}` cannot be `{text}`: {problem}"), help)
        }),
        None => word(text, &POLICIES, path)
            .map_err(|wrong| Wrong { label: format!("{}, every_<duration>", wrong.label), ..wrong }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses() {
        for good in ["02:42:AC:11:00:02", "02-42-ac-11-00-02", "0242.ac11.0002"] {
            assert_eq!(hardware(good).as_deref(), Some("02:42:ac:11:00:02"), "{good}");
        }
        for bad in [
            "zz",
            "03:42:ac:11:00:02",
            "02:42:ac:11:00",
            "02:42:ac:11:00:02:03",
            "0:242:ac:11:00:02",
            "02:42:ac:11:00:é",
        ] {
            assert_eq!(hardware(bad), None, "{bad}");
        }
    }

    #[test]
    fn lists_of_processors() {
        assert_eq!(processors("0-3, 5"), Some(vec![(0, 3), (5, 5)]));
        for bad in ["zz", "3-1", "1,,2", "-1", "1-"] {
            assert_eq!(processors(bad), None, "{bad}");
        }
    }

    #[test]
    fn users() {
        for good in ["root", "1000:1000", ":", "0", "2147483647", "$(id -u)", "unit:root", "a-1"] {
            assert_eq!(user(good), Ok(()), "{good}");
        }
        for bad in ["-1", "1:4294967295", "a:b:c", "a\nb", "99999999999999999999"] {
            assert!(user(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        assert_eq!((time("12h"), time("1w2d3h4m5s")), (Ok(()), Ok(())));
        for bad in ["foo", "1.5h", "10ms", "0s", "5", "-5m", ""] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exposed_ports() {
        for good in ["80", "80/UDP", "8000-8010", "6379:6379", "8000-8010/tcp"] {
            assert_eq!(exposed(good), Ok(()), "{good}");
        }
        for bad in ["zz", "70000", "80/foo", "81-80", "80/", "-80"] {
            assert!(exposed(bad).is_err(), "{bad}");
        }
    }
}
