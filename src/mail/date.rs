//! Dates as mail and mail logs write them. No clock here: seconds and a zone come in.
//!
//! Standards: RFC 5322 section 3.3. The day of the month is padded with a blank in header dates, as
//! Postfix 3.7 writes it.

use alloc::string::String;
use core::fmt;

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The local zone at some time.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Zone {
    /// Seconds east of UTC.
    pub offset: i32,
    /// Its abbreviation, such as `UTC`.
    pub name: String,
}

/// A broken-down local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year, such as 2026.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Day of the week, 0 is Sunday.
    pub weekday: u8,
    /// Hour, minute, second.
    pub time: (u8, u8, u8),
}

impl Civil {
    /// Breaks down `unix` seconds, `offset` seconds east of UTC.
    pub fn new(unix: u64, offset: i32) -> Civil {
        let seconds = unix as i64 + i64::from(offset);
        let days = seconds.div_euclid(86_400);
        let second = seconds.rem_euclid(86_400);
        let (year, month, day) = civil_from_days(days);
        Civil {
            year,
            month,
            day,
            weekday: (days + 4).rem_euclid(7) as u8,
            time: ((second / 3600) as u8, (second / 60 % 60) as u8, (second % 60) as u8),
        }
    }

    fn month_name(&self) -> &'static str {
        MONTHS[usize::from(self.month) - 1]
    }

    fn day_name(&self) -> &'static str {
        DAYS[usize::from(self.weekday)]
    }
}

/// A date for a header: `Mon, 23 Nov 2026 01:40:00 +0000 (UTC)`.
pub struct HeaderDate<'a> {
    /// Seconds since 1970.
    pub unix: u64,
    /// The local zone then.
    pub zone: &'a Zone,
}

impl fmt::Display for HeaderDate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::new(self.unix, self.zone.offset);
        let (hour, minute, second) = civil.time;
        let sign = if self.zone.offset < 0 { '-' } else { '+' };
        let minutes = self.zone.offset.unsigned_abs() / 60;
        write!(f, "{}, {:2} {} {}", civil.day_name(), civil.day, civil.month_name(), civil.year)?;
        write!(f, " {hour:02}:{minute:02}:{second:02}")?;
        write!(f, " {sign}{:02}{:02}", minutes / 60, minutes % 60)?;
        if self.zone.name.is_empty() { Ok(()) } else { write!(f, " ({})", self.zone.name) }
    }
}

/// A log time stamp: `Nov  3 01:40:00` for syslog, `Nov 03 01:40:00` in Postfix's own log file.
pub struct LogDate {
    /// Seconds since 1970.
    pub unix: u64,
    /// Seconds east of UTC.
    pub offset: i32,
    /// Whether the day is padded with a zero.
    pub zero: bool,
}

impl fmt::Display for LogDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::new(self.unix, self.offset);
        let (hour, minute, second) = civil.time;
        let month = civil.month_name();
        if self.zero {
            write!(f, "{month} {:02} {hour:02}:{minute:02}:{second:02}", civil.day)
        } else {
            write!(f, "{month} {:2} {hour:02}:{minute:02}:{second:02}", civil.day)
        }
    }
}

/// ctime(3) without the newline: `Sun Nov 22 11:44:06 2026`.
pub struct CTime {
    /// Seconds since 1970.
    pub unix: u64,
    /// Seconds east of UTC.
    pub offset: i32,
}

impl fmt::Display for CTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::new(self.unix, self.offset);
        let (hour, minute, second) = civil.time;
        write!(f, "{} {} {:2}", civil.day_name(), civil.month_name(), civil.day)?;
        write!(f, " {hour:02}:{minute:02}:{second:02} {}", civil.year)
    }
}

/// `YYYYMMDDhhmmss` in UTC, as in a Message-Id made from a short queue id.
pub struct Stamp(pub u64);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::new(self.0, 0);
        let (hour, minute, second) = civil.time;
        write!(f, "{:04}{:02}{:02}", civil.year, civil.month, civil.day)?;
        write!(f, "{hour:02}{minute:02}{second:02}")
    }
}

/// Days since 1970 to year, month and day in the Gregorian calendar, by counting 400-year eras that
/// begin on 1 March.
fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn dates_are_written_as_postfix_writes_them() {
        let utc = Zone { offset: 0, name: "UTC".into() };
        let at = |unix| HeaderDate { unix, zone: &utc }.to_string();
        assert_eq!(at(1_795_398_000), "Mon, 23 Nov 2026 01:40:00 +0000 (UTC)");
        assert_eq!(at(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 +0000 (UTC)");
        assert_eq!(at(1_704_110_400), "Mon,  1 Jan 2024 12:00:00 +0000 (UTC)");
        let west = Zone { offset: -12_600, name: "NST".into() };
        let newfoundland = HeaderDate { unix: 1_795_398_000, zone: &west }.to_string();
        assert_eq!(newfoundland, "Sun, 22 Nov 2026 22:10:00 -0330 (NST)");
        let log = |zero| LogDate { unix: 1_704_110_400, offset: 0, zero }.to_string();
        assert_eq!(log(false), "Jan  1 12:00:00");
        assert_eq!(log(true), "Jan 01 12:00:00");
        assert_eq!(
            CTime { unix: 1_704_110_400, offset: 0 }.to_string(),
            "Mon Jan  1 12:00:00 2024"
        );
        assert_eq!(Stamp(1_704_110_400).to_string(), "20240101120000");
    }
}
