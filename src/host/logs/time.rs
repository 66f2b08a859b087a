//! Times as RFC 3339 texts of fixed width, so that texts sort as times do.

/// Bytes of a text.
pub(super) const WIDTH: usize = 30;

const NANOS: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// `2026-11-24T07:08:54.123456789Z` for nanoseconds since 1970.
pub fn format(nanos: u64) -> String {
    String::from_utf8_lossy(&encode(nanos)).into_owned()
}

/// The nanoseconds since 1970 of such a text; `None` where it is none.
pub fn parse(text: &[u8]) -> Option<u64> {
    let shape = b"0000-00-00T00:00:00.000000000Z";
    if text.len() != WIDTH
        || !text.iter().zip(shape).all(|(byte, like)| byte == like || (*like == b'0' && byte.is_ascii_digit()))
    {
        return None;
    }
    let number =
        |from: usize, to: usize| text[from..to].iter().fold(0u64, |sum, byte| sum * 10 + u64::from(byte - b'0'));
    let days = days_of(number(0, 4), number(5, 7), number(8, 10))?;
    let seconds = days * DAY + number(11, 13) * 3600 + number(14, 16) * 60 + number(17, 19);
    seconds.checked_mul(NANOS)?.checked_add(number(20, 29))
}

/// The text's bytes.
pub(super) fn encode(nanos: u64) -> [u8; WIDTH] {
    let (seconds, fraction) = (nanos / NANOS, nanos % NANOS);
    let (year, month, day) = date_of(seconds / DAY);
    let clock = seconds % DAY;
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    let fields = [
        (0, 4, year),
        (5, 7, month),
        (8, 10, day),
        (11, 13, clock / 3600),
        (14, 16, clock / 60 % 60),
        (17, 19, clock % 60),
        (20, 29, fraction),
    ];
    for (from, to, mut value) in fields {
        for digit in text[from..to].iter_mut().rev() {
            // One decimal digit.
            *digit = b'0' + u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    }
    text
}

/// The date of a day since 1970, by counting in years that begin in March: the leap day is their last then.
fn date_of(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The day since 1970 of a date; `None` before it, and for no date.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * march_month + 2) / 5 + day - 1;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}
