//! Local dates and times at UTC+8 without a time zone database: China has no daylight saving time (rule R2).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds of a day.
pub const MS_PER_DAY: i64 = 86_400_000;
/// Milliseconds of a tariff slot, a quarter of an hour.
pub const MS_PER_SLOT: i64 = 900_000;
const OFFSET_MS: i64 = 8 * 3_600_000;

/// Why a text is no date, time or instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not `YYYY-MM-DD`, or no day of the calendar.
    #[error("is not a date YYYY-MM-DD")]
    Date,
    /// Not `HH:MM` from 00:00 to 24:00.
    #[error("is not a time HH:MM")]
    Time,
    /// Not RFC 3339 with an offset.
    #[error("is not an RFC 3339 instant with an offset")]
    Instant,
}

/// A calendar date at UTC+8, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDate(pub i32);

impl LocalDate {
    /// The local date of an instant (UTC ms).
    #[must_use]
    pub fn of(at_ms: i64) -> Self {
        let days = at_ms.saturating_add(OFFSET_MS).div_euclid(MS_PER_DAY);
        Self(i32::try_from(days).unwrap_or(if days < 0 { i32::MIN } else { i32::MAX }))
    }

    /// Its first instant, UTC ms.
    #[must_use]
    pub fn starts_at_ms(self) -> i64 {
        i64::from(self.0) * MS_PER_DAY - OFFSET_MS
    }

    /// A date of the proleptic Gregorian calendar; `None` where there is no such day.
    #[must_use]
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        let date = Self(days_from_civil(year, month, day)?);
        (date.ymd() == (i64::from(year), month, day)).then_some(date)
    }

    /// Year, month 1..=12, day 1..=31.
    #[must_use]
    pub fn ymd(self) -> (i64, u32, u32) {
        // Days to civil date on 400-year eras starting at 1 March 0000 (H. Hinnant's algorithm).
        let days = i64::from(self.0) + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year, u32::try_from(month).unwrap_or(0), u32::try_from(day).unwrap_or(0))
    }
}

fn days_from_civil(year: i32, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from(month);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(day) - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    i32::try_from(era * 146_097 + of_era - 719_468).ok()
}

impl fmt::Display for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromStr for LocalDate {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let mut parts = text.split('-');
        let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TimeError::Date);
        };
        let (year, month, day) = (digits(year, 4), digits(month, 2), digits(day, 2));
        let (Some(year), Some(month), Some(day)) = (year, month, day) else { return Err(TimeError::Date) };
        let year = i32::try_from(year).map_err(|_| TimeError::Date)?;
        Self::from_ymd(year, month, day).ok_or(TimeError::Date)
    }
}

impl Serialize for LocalDate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LocalDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|error| de::Error::custom(format_args!("{text:?} {error}")))
    }
}

/// A time of day to the minute, 00:00 to 24:00, as minutes since midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalTime(u16);

impl LocalTime {
    /// Midnight at the start of a day.
    pub const START: Self = Self(0);
    /// Midnight at the end of a day.
    pub const END: Self = Self(1_440);

    /// From minutes since midnight, at most 1440.
    #[must_use]
    pub const fn from_minutes(minutes: u16) -> Option<Self> {
        if minutes <= 1_440 { Some(Self(minutes)) } else { None }
    }

    /// Minutes since midnight, 0..=1440.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }

    /// The local time of an instant (UTC ms), cut to the minute: 00:00..=23:59.
    #[must_use]
    pub fn of(at_ms: i64) -> Self {
        let minutes = at_ms.saturating_add(OFFSET_MS).rem_euclid(MS_PER_DAY) / 60_000;
        Self(u16::try_from(minutes).unwrap_or(0))
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for LocalTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let (hour, minute) = text.split_once(':').ok_or(TimeError::Time)?;
        let (Some(hour), Some(minute)) = (digits(hour, 2), digits(minute, 2)) else { return Err(TimeError::Time) };
        if hour > 24 || minute > 59 || (hour == 24 && minute != 0) {
            return Err(TimeError::Time);
        }
        u16::try_from(hour * 60 + minute).map(Self).map_err(|_| TimeError::Time)
    }
}

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|error| de::Error::custom(format_args!("{text:?} {error}")))
    }
}

fn digits(text: &str, count: usize) -> Option<u32> {
    if text.len() != count || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Reads an RFC 3339 instant, offset included, as UTC ms. Fractions beyond milliseconds must be zero, so that nothing is
/// rounded; a leap second (`:60`) is not accepted.
///
/// # Errors
/// [`TimeError::Instant`].
pub fn parse_instant(text: &str) -> Result<i64, TimeError> {
    instant(text).ok_or(TimeError::Instant)
}

fn instant(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let date: LocalDate = date.parse().ok()?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let mut clock = clock.split(':');
    let (hour, minute, second) = (digits(clock.next()?, 2)?, digits(clock.next()?, 2)?, digits(clock.next()?, 2)?);
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (millis, rest) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            let (fraction, rest) = rest.split_at_checked(end)?;
            let (kept, dropped) = fraction.split_at_checked(3).unwrap_or((fraction, ""));
            if kept.is_empty() || dropped.bytes().any(|byte| byte != b'0') {
                return None;
            }
            (digits(&format!("{kept:0<3}"), 3)?, rest)
        }
    };
    let offset_minutes = match rest {
        "Z" | "z" => 0,
        _ => {
            let (sign, rest) = rest.split_at_checked(1)?;
            let (hours, minutes) = rest.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            let size = i64::from(hours * 60 + minutes);
            match sign {
                _ if hours > 23 || minutes > 59 => return None,
                "+" => size,
                "-" => -size,
                _ => return None,
            }
        }
    };
    let of_day = i64::from((hour * 60 + minute) * 60 + second) * 1_000 + i64::from(millis);
    Some(i64::from(date.0) * MS_PER_DAY + of_day - offset_minutes * 60_000)
}

/// An instant (UTC ms) as RFC 3339 at +08:00; milliseconds only where there are some.
#[must_use]
pub fn instant_text(at_ms: i64) -> String {
    let date = LocalDate::of(at_ms);
    let of_day = at_ms.saturating_add(OFFSET_MS).rem_euclid(MS_PER_DAY);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    match of_day % 1_000 {
        0 => format!("{date}T{hour:02}:{minute:02}:{second:02}+08:00"),
        millis => format!("{date}T{hour:02}:{minute:02}:{second:02}.{millis:03}+08:00"),
    }
}
