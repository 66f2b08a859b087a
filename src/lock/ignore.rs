//! `.dockerignore`: what of a build context is not part of the build (the rules of moby's patternmatcher, which are not
//! those of .gitignore: every pattern begins at the context's root, and the last one that matches decides).

/// The patterns of a `.dockerignore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    /// `!`: what it matches stays.
    keeps: bool,
    parts: Vec<String>,
}

impl Ignore {
    /// Reads a `.dockerignore`.
    pub fn parse(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim);
        Self { patterns: lines.filter_map(pattern).collect() }
    }

    /// Whether a file is left out; its path is relative to the context, with `/` between its parts.
    pub fn leaves_out(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        // A pattern that matches a folder matches all that is in it.
        let hit = |pattern: &&Pattern| (1..=parts.len()).any(|end| matches(&pattern.parts, &parts[..end]));
        self.patterns.iter().rev().find(hit).is_some_and(|pattern| !pattern.keeps)
    }

    /// Whether a folder is left out with all that is in it.
    pub fn leaves_out_all(&self, folder: &str) -> bool {
        self.leaves_out(folder) && !self.patterns.iter().any(|pattern| pattern.keeps)
    }
}

fn pattern(line: &str) -> Option<Pattern> {
    let (keeps, text) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let mut parts: Vec<String> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part.to_owned()),
        }
    }
    (!parts.is_empty()).then_some(Pattern { keeps, parts })
}

/// `**` stands for any number of folders; at the end, for all that is below.
fn matches(pattern: &[String], path: &[&str]) -> bool {
    match pattern {
        [] => path.is_empty(),
        [last] if last == "**" => !path.is_empty(),
        [any, rest @ ..] if any == "**" => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        [first, rest @ ..] => path.split_first().is_some_and(|(name, below)| {
            let (glob, name): (Vec<char>, Vec<char>) = (first.chars().collect(), name.chars().collect());
            part_matches(&glob, &name) && matches(rest, below)
        }),
    }
}

fn part_matches(glob: &[char], name: &[char]) -> bool {
    match (glob, name) {
        ([], _) => name.is_empty(),
        (['*', rest @ ..], _) => (0..=name.len()).any(|skip| part_matches(rest, &name[skip..])),
        (['?', rest @ ..], [_, name @ ..]) => part_matches(rest, name),
        (['[', class @ ..], [c, name @ ..]) => match class.iter().skip(1).position(|c| *c == ']') {
            Some(end) => in_class(&class[..=end], *c) && part_matches(&class[end + 2..], name),
            None => *c == '[' && part_matches(class, name),
        },
        (['\\', escaped, rest @ ..], [c, name @ ..]) => escaped == c && part_matches(rest, name),
        ([one, rest @ ..], [c, name @ ..]) => one == c && part_matches(rest, name),
        (_, []) => false,
    }
}

/// `a-z_` or `^a-z`.
fn in_class(class: &[char], c: char) -> bool {
    let (negated, mut class) = match class {
        ['^', rest @ ..] => (true, rest),
        class => (false, class),
    };
    let mut found = false;
    while let [first, rest @ ..] = class {
        class = match rest {
            ['-', last, rest @ ..] => {
                found |= (*first..=*last).contains(&c);
                rest
            }
            rest => {
                found |= *first == c;
                rest
            }
        };
    }
    found != negated
}
