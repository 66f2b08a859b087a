//! The time of this machine's clocks on the wall.

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalTime {
    pub year: i32,
    /// 1 to 12.
    pub month: usize,
    pub day: i32,
    pub hour: i32,
    pub minute: i32,
    pub second: i32,
    pub nanos: u32,
    /// Minutes east of Greenwich.
    pub offset: i32,
}

impl LocalTime {
    /// The local time of nanoseconds since 1970.
    pub fn of(time: u64) -> LocalTime {
        let (seconds, nanos) = (time / 1_000_000_000, time % 1_000_000_000);
        let seconds = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
        // SAFETY: an all-zero tm is a valid one, and localtime_r(3) writes nothing but that.
        let tm = unsafe {
            let mut tm = std::mem::zeroed::<libc::tm>();
            libc::localtime_r(&raw const seconds, &raw mut tm);
            tm
        };
        LocalTime {
            year: tm.tm_year + 1900,
            month: usize::try_from(tm.tm_mon).unwrap_or(0) + 1,
            day: tm.tm_mday.max(1),
            hour: tm.tm_hour,
            minute: tm.tm_min,
            second: tm.tm_sec,
            nanos: u32::try_from(nanos).unwrap_or(0),
            offset: i32::try_from(tm.tm_gmtoff / 60).unwrap_or(0),
        }
    }

    /// `Nov  4 07:08:54`
    pub fn stamp(&self) -> String {
        const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let month = MONTHS.get(self.month - 1).unwrap_or(&"Jan");
        format!("{month} {:2} {:02}:{:02}:{:02}", self.day, self.hour, self.minute, self.second)
    }

    /// `2026-11-04T07:08:54+01:00`, with so many digits of a second's fraction.
    pub fn rfc3339(&self, digits: usize) -> String {
        let LocalTime { year, month, day, hour, minute, second, .. } = self;
        let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        if digits > 0 {
            let fraction = format!("{:09}", self.nanos);
            text.push('.');
            text.push_str(&fraction[..digits.min(9)]);
        }
        match self.offset {
            0 => text.push('Z'),
            offset => {
                let sign = if offset < 0 { '-' } else { '+' };
                text.push_str(&format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60));
            }
        }
        text
    }
}
