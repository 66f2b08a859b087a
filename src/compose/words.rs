//! Splits a command line into words as a shell does: quotes and backslashes, nothing is expanded (spec.md 10.10).

/// The words of a command line. Fails on a quote that is not closed.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut inside = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                if let Some(next) = chars.next() {
                    word.push(next);
                }
                inside = true;
            }
            '\'' | '"' => {
                quoted(c, &mut chars, &mut word).ok_or_else(|| format!("a quote is not closed in `{text}`"))?;
                inside = true;
            }
            c if c.is_whitespace() => {
                if inside {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            c => {
                word.push(c);
                inside = true;
            }
        }
    }
    if inside {
        words.push(word);
    }
    Ok(words)
}

/// Takes what stands up to the closing quote; in double quotes a backslash takes the next character as it is.
fn quoted(quote: char, chars: &mut impl Iterator<Item = char>, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            c if c == quote => return Some(()),
            '\\' if quote == '"' => word.push(chars.next()?),
            c => word.push(c),
        }
    }
}
