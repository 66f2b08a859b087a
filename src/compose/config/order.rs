//! The order of keys in the output: go-yaml's, where numbers inside names count as numbers.

use std::cmp::Ordering;

/// Compares two keys.
pub fn natural(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { compare(a.as_bytes(), b.as_bytes()) } else { a.cmp(b) }
}

fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let mut digits = false;
    for at in 0..a.len().min(b.len()) {
        let (x, y) = (a[at], b[at]);
        if x == y {
            digits = x.is_ascii_digit();
            continue;
        }
        return match (x.is_ascii_alphabetic(), y.is_ascii_alphabetic()) {
            (true, true) => x.cmp(&y),
            // Behind a digit letters come first, elsewhere last.
            (true, false) => {
                if digits {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, true) => {
                if digits {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, false) => numbers(a, b, at),
        };
    }
    a.len().cmp(&b.len())
}

/// Compares by the numbers that begin where the keys first differ.
fn numbers(a: &[u8], b: &[u8], at: usize) -> Ordering {
    // A zero inside a longer number is a digit of it, not a leading zero.
    let inside =
        (a[at] == b'0' || b[at] == b'0') && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != b'0');
    let read = |text: &[u8]| {
        let digits: Vec<u8> = text[at..].iter().copied().take_while(u8::is_ascii_digit).collect();
        let value = digits.iter().fold(i64::from(inside), |n, d| n.wrapping_mul(10).wrapping_add(i64::from(d - b'0')));
        (value, digits.len())
    };
    read(a).cmp(&read(b)).then(a[at].cmp(&b[at]))
}
