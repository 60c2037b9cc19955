//! CP56Time2a: seven bytes of local time without a zone (YKC V1.6 §3.2).
//!
//! | 0..2 ms within the minute, LE | 2 minute | 3 hour | 4 day, bits 5-7 weekday | 5 month | 6 year - 2000 |
//!
//! The upper bits are masked: real chargers fill the weekday and disagree about its numbering. The zone is China's,
//! UTC+8, without daylight saving.

use core::fmt;

use crate::ykc::wire::{Shape, Wire};

/// UTC+8 in milliseconds.
const ZONE_MS: i64 = 8 * 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// 2000-01-01 00:00 as days since 1970-01-01.
const EPOCH_DAYS: i64 = 10_957;
/// The first and the last millisecond that two digits of year can say, local time as if it were UTC.
const FIRST_MS: i64 = EPOCH_DAYS * DAY_MS;
const LAST_MS: i64 = (EPOCH_DAYS + 36_525) * DAY_MS - 1;

/// Seven bytes of time, kept as sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cp56(pub [u8; 7]);

/// What the bytes say, in the station's local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalTime {
    /// 2000 to 2099.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to the length of the month.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999.
    pub ms: u16,
}

impl Default for LocalTime {
    fn default() -> Self {
        Self { year: 2000, month: 1, day: 1, hour: 0, minute: 0, second: 0, ms: 0 }
    }
}

impl Cp56 {
    /// The fields, masked; `None` if they are no time of any day (month 0, 31 June, hour 24, ms over 59,999, ...).
    pub fn local(&self) -> Option<LocalTime> {
        let [ms_low, ms_high, minute, hour, day, month, year] = self.0;
        let ms = u16::from_le_bytes([ms_low, ms_high]);
        let time = LocalTime {
            year: 2000 + u16::from(year & 0x7F),
            month: month & 0x0F,
            day: day & 0x1F,
            hour: hour & 0x1F,
            minute: minute & 0x3F,
            second: u8::try_from(ms / 1000).ok()?,
            ms: ms % 1000,
        };
        let valid = ms < 60_000
            && time.minute < 60
            && time.hour < 24
            && time.year < 2100
            && (1..=12).contains(&time.month)
            && (1..=month_days(time.year, time.month)).contains(&time.day);
        valid.then_some(time)
    }

    /// Milliseconds since 1970-01-01 UTC, the bytes being UTC+8; `None` as for [`Cp56::local`].
    pub fn utc_ms(&self) -> Option<i64> {
        let time = self.local()?;
        let minutes = i64::from(time.hour) * 60 + i64::from(time.minute);
        let ms = minutes * 60_000 + i64::from(time.second) * 1000 + i64::from(time.ms);
        Some(days_from(time.year, time.month, time.day) * DAY_MS + ms - ZONE_MS)
    }

    /// The time of `utc_ms` in UTC+8, weekday 0. Outside of 2000 to 2099 (local) the nearest end of that range.
    pub fn from_utc_ms(utc_ms: i64) -> Self {
        let local = utc_ms.saturating_add(ZONE_MS).clamp(FIRST_MS, LAST_MS);
        let (days, ms) = (local.div_euclid(DAY_MS), local.rem_euclid(DAY_MS));
        let (year, month, day) = date_from(days);
        let [ms_low, ms_high] = small::<u16>(ms % 60_000).to_le_bytes();
        Self([ms_low, ms_high, small(ms / 60_000 % 60), small(ms / 3_600_000), day, month, small(year - 2000)])
    }
}

/// A number known to fit; its default if it did not.
fn small<T: TryFrom<i64> + Default>(number: i64) -> T {
    T::try_from(number).unwrap_or_default()
}

const fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn month_days(year: u16, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`, years count from March).
fn days_from(year: u16, month: u8, day: u8) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (i64::from(month) + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of days since 1970-01-01 (`civil_from_days`).
fn date_from(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), small(month), small(day))
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, ms } = self;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}")
    }
}

/// `2025-10-18T12:14:20.000`, or the bytes in hex where they are no time.
impl fmt::Display for Cp56 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.local() {
            Some(time) => time.fmt(f),
            None => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl fmt::Debug for Cp56 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cp56({self})")
    }
}

impl Wire<7> for Cp56 {
    const SHAPE: Shape = Shape::Time;
    #[inline(always)]
    fn from_wire(bytes: [u8; 7]) -> Self {
        Self(bytes)
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; 7] {
        self.0
    }
}
