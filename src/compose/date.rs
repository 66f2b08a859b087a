//! Dates as go-yaml reads them, and as Go writes them.

/// A point in time, with the offset it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Year, month, day.
    date: [u32; 3],
    /// Hour, minute, second.
    clock: [u32; 3],
    nanos: u32,
    /// Minutes east of UTC.
    offset: i32,
}

impl Moment {
    /// `2001-1-2`, `2001-01-02 3:4:5.6`, or with a `T` and a zone; nothing else is a date.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, clock) = text.find(['T', 't', ' ']).map_or((text, ""), |at| text.split_at(at));
        let mut parts = date.split('-');
        let year = parts.next().filter(|year| year.len() == 4).and_then(digits)?;
        let (month, day) = (small(parts.next()?)?, small(parts.next()?)?);
        if parts.next().is_some() || !(1..=12).contains(&month) || day == 0 || day > days(year, month) {
            return None;
        }
        let date = [year, month, day];
        if clock.is_empty() {
            return Some(Self { date, clock: [0; 3], nanos: 0, offset: 0 });
        }
        let (clock, offset) = if clock.starts_with(' ') { (clock, 0) } else { zone(clock)? };
        let mut parts = clock[1..].splitn(3, ':');
        let (hour, minute, rest) = (small(parts.next()?)?, small(parts.next()?)?, parts.next()?);
        let (second, fraction) = rest.find(['.', ',']).map_or((rest, "0"), |at| (&rest[..at], &rest[at + 1..]));
        let second = small(second)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        digits(&fraction[..fraction.len().min(9)]).filter(|_| fraction.bytes().all(|b| b.is_ascii_digit()))?;
        let nanos = digits(&format!("{fraction:0<9}")[..9])?;
        Some(Self { date, clock: [hour, minute, second], nanos, offset })
    }

    /// As Go prints it among other text: `2001-12-14 21:59:43 +0000 UTC`.
    pub fn in_text(&self) -> String {
        let zone = self.zone("");
        let name = if self.offset == 0 { "UTC" } else { &zone };
        format!("{} {} {zone} {name}", self.day(), self.time())
    }

    /// As Go writes it into JSON and YAML: `2001-12-14T21:59:43Z`.
    fn alone(&self) -> String {
        let zone = if self.offset == 0 { "Z".to_owned() } else { self.zone(":") };
        format!("{}T{}{zone}", self.day(), self.time())
    }

    fn day(&self) -> String {
        let [year, month, day] = self.date;
        format!("{year:04}-{month:02}-{day:02}")
    }

    fn time(&self) -> String {
        let [hour, minute, second] = self.clock;
        let fraction = match self.nanos {
            0 => String::new(),
            nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
        };
        format!("{hour:02}:{minute:02}:{second:02}{fraction}")
    }

    fn zone(&self, between: &str) -> String {
        let (sign, minutes) = if self.offset < 0 { ('-', -self.offset) } else { ('+', self.offset) };
        format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
    }
}

/// What is printed for a date that stands alone.
pub fn printed(text: &str) -> String {
    Moment::parse(text).map_or_else(|| text.to_owned(), |moment| moment.alone())
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A number of one or two digits.
fn small(text: &str) -> Option<u32> {
    digits(text).filter(|_| text.len() <= 2)
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

/// A clock without its zone, and that in minutes: `Z` or `+01:00`.
fn zone(clock: &str) -> Option<(&str, i32)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = clock.rfind(['+', '-'])?;
    let (clock, zone) = clock.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
    let (hours, minutes) = (digits(hours).filter(|h| *h <= 24)?, digits(minutes).filter(|m| *m < 60)?);
    let offset = i32::try_from(hours * 60 + minutes).ok()?;
    Some((clock, if zone.starts_with('-') { -offset } else { offset }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_how_go_writes_them() {
        for (text, among, alone) in [
            ("2001-12-14", "2001-12-14 00:00:00 +0000 UTC", "2001-12-14T00:00:00Z"),
            ("2001-1-2 3:4:5.60", "2001-01-02 03:04:05.6 +0000 UTC", "2001-01-02T03:04:05.6Z"),
            ("2001-12-14T21:59:43Z", "2001-12-14 21:59:43 +0000 UTC", "2001-12-14T21:59:43Z"),
            ("2001-12-14t21:59:43.1-05:00", "2001-12-14 21:59:43.1 -0500 -0500", "2001-12-14T21:59:43.1-05:00"),
        ] {
            let moment = Moment::parse(text).map(|moment| (moment.in_text(), moment.alone()));
            assert_eq!(moment, Some((among.to_owned(), alone.to_owned())), "{text}");
        }
        for text in [
            "2001-02-29",
            "2001-13-01",
            "2001-1-2-3",
            "20011-1-2",
            "2001-12-14T21:59:43",
            "2001-12-14 21:59",
            "2001-12-14 24:00:00",
            "2001-12-14 1:2:3.x",
            "2001-12-14 1:2:3.é",
            "2001-12-14 21:59:43 +1",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
