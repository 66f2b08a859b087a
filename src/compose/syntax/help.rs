//! What to do about text that is no YAML. The scanner tells what it did not expect; people want to know what they forgot.

/// `info` is what the scanner says, `at` the byte where it says so.
pub fn help(text: &str, at: usize, info: &str) -> Option<String> {
    let before = text.get(..at)?;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let here = before.get(start..)?;
    let rest = text.get(at..)?;
    if info.contains("tabs") {
        return Some("indent by spaces: YAML takes no tabs".to_owned());
    }
    if info.contains("unknown anchor") {
        let name: String = rest.chars().skip(1).take_while(|c| !c.is_whitespace() && !",]}".contains(*c)).collect();
        return Some(format!("no `&{name}` stands before it: an anchor comes first, and in the same file"));
    }
    if info.contains("unexpected character") {
        let value = rest.lines().next().unwrap_or_default().trim_end();
        return Some(format!("no value begins so without quotes: \"{value}\""));
    }
    if info.contains("mapping values are not allowed") {
        return Some(colon(before, start, here));
    }
    info.contains("did not find expected key").then(|| {
        let blanks = here.chars().count() - here.trim_start().chars().count();
        format!("the keys of one mapping begin in the same column; this one follows {blanks} blanks")
    })
}

/// A colon too many, or one too few in the line above.
fn colon(before: &str, start: usize, here: &str) -> String {
    if here.trim_start().trim_start_matches("- ").contains(": ") {
        return "a value with `: ` in it stands in quotes".to_owned();
    }
    let above = before.get(..start).unwrap_or_default().lines().rev().map(str::trim).find(|line| {
        let comment = line.starts_with('#');
        !line.is_empty() && !comment
    });
    match above.and_then(|line| line.split_whitespace().next()) {
        Some(word) => format!("the line above needs a colon: `{}: …`", word.trim_end_matches(':')),
        None => "a key stands at the beginning of a line".to_owned(),
    }
}
