//! Slices: how systemd names the groups that it divides a machine into.

use std::path::PathBuf;

const SUFFIX: &str = ".slice";

/// The slice that all others are in: the top of the control groups.
const ROOT: &str = "-.slice";

/// A slice of systemd's. Its name says where it lies: `a-b.slice` is in `a.slice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice(Vec<String>);

impl Slice {
    /// The slice of a name; `None` where that is no name of one.
    pub fn parse(name: &str) -> Option<Slice> {
        if name == ROOT {
            return Some(Slice(Vec::new()));
        }
        let stem = name.strip_suffix(SUFFIX)?;
        let may_be = |c: char| c.is_ascii_alphanumeric() || ":-_.\\".contains(c);
        // systemd's own limit of a unit's name.
        if name.len() > 255 || !stem.chars().all(may_be) || stem.split('-').any(str::is_empty) {
            return None;
        }
        let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
        Some(Slice(ends.map(|end| stem[..end].to_owned() + SUFFIX).collect()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0.last().map_or(ROOT, String::as_str)
    }

    /// The names of the slices that it lies in, the outermost first, and its own; none for the one that all are in.
    pub fn chain(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Its control group, below the top of the hierarchy.
    pub fn path(&self) -> PathBuf {
        self.0.iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_slice_says_where_it_lies() {
        let path = |name: &str| Slice::parse(name).map(|slice| slice.path().to_string_lossy().into_owned());
        assert_eq!(path("limits.slice").as_deref(), Some("limits.slice"));
        assert_eq!(path("a-b-c.slice").as_deref(), Some("a.slice/a-b.slice/a-b-c.slice"));
        assert_eq!(path("-.slice").as_deref(), Some(""));
        assert_eq!(path("v1.2_x.slice").as_deref(), Some("v1.2_x.slice"));
        let name = |name: &str| Slice::parse(name).map(|slice| slice.name().to_owned());
        assert_eq!(name("a-b.slice").as_deref(), Some("a-b.slice"));
        assert_eq!(name("-.slice").as_deref(), Some("-.slice"));
    }

    #[test]
    fn what_is_no_name_of_a_slice() {
        let long = "a".repeat(250) + ".slice";
        for name in [
            "",
            ".slice",
            "x",
            "x.scope",
            "/x.slice",
            "a/b.slice",
            "-a.slice",
            "a-.slice",
            "a--b.slice",
            "a@b.slice",
            "a b.slice",
            "é.slice",
            &long,
        ] {
            assert_eq!(Slice::parse(name), None, "{name}");
        }
    }
}
