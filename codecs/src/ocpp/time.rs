//! Times as stations write them, to milliseconds since 1970, UTC.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Deviation, Note, Notes, Text};

/// What a time said about its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Zone {
    /// `Z`, or an offset in minutes east of Greenwich.
    Offset(i16),
    /// None. Some firmwares mean UTC, some their local time: the caller may know.
    Missing,
}

/// A time out of a message, with the text that it came as.
///
/// RFC 3339 is expected; understood and flagged besides: no zone, `+02`, `+0200`, a blank for `T`, lower case, no
/// seconds. Any number of fraction digits is cut to milliseconds. What cannot be read at all is kept as text, because a
/// bill may hang on the rest of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timestamp<'a> {
    at: Option<At>,
    /// As received; empty for a time of ours.
    text: Text<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct At {
    /// The clock's face as if it were UTC.
    local_ms: i64,
    zone: Zone,
    /// Understood, but not RFC 3339.
    odd: bool,
}

impl<'a> Timestamp<'a> {
    /// A time of ours, milliseconds since 1970 UTC.
    pub fn from_ms(utc_ms: i64) -> Self {
        Self { at: Some(At { local_ms: utc_ms, zone: Zone::Offset(0), odd: false }), text: Text::default() }
    }

    /// Reads a text; never fails, see [`Timestamp::utc_ms`].
    pub fn from_text(text: Text<'a>) -> Self {
        Self { at: parse(text.as_bytes()), text }
    }

    /// Milliseconds since 1970 UTC; a time without zone counts as UTC. `None`: unreadable or absent.
    pub fn utc_ms(&self) -> Option<i64> {
        self.utc_ms_assuming(0)
    }

    /// The same, a time without zone being `minutes_east` of Greenwich.
    pub fn utc_ms_assuming(&self, minutes_east: i16) -> Option<i64> {
        self.at.map(|at| {
            let offset = match at.zone {
                Zone::Offset(minutes) => minutes,
                Zone::Missing => minutes_east,
            };
            at.local_ms - i64::from(offset) * 60_000
        })
    }

    /// What the text said about its zone; `None` if it could not be read.
    pub fn zone(&self) -> Option<Zone> {
        self.at.map(|at| at.zone)
    }

    /// The text as received; empty for a time of ours and for one that was absent.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same without the borrow, for what outlives the message.
    pub fn into_owned(self) -> Timestamp<'static> {
        Timestamp { at: self.at, text: self.text.into_owned() }
    }
}

impl Note for Timestamp<'_> {
    #[inline]
    fn note(&self, notes: &mut Notes) {
        match self.at {
            None => notes.add(Deviation::TimeUnreadable),
            Some(At { zone: Zone::Offset(_), odd: false, .. }) => {}
            Some(at) => {
                if at.zone == Zone::Missing {
                    notes.add(Deviation::TimeWithoutZone);
                }
                if at.odd {
                    notes.add(Deviation::TimeForm);
                }
            }
        }
        notes.text("timestamp", &self.text, super::BOUNDED_TEXT_CAP);
    }
}

impl Serialize for Timestamp<'_> {
    /// UTC with `Z` and milliseconds. An unreadable one goes out as it came; the writers refuse it first.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.utc_ms() {
            Some(ms) => serializer.serialize_str(Rfc3339::new(ms).as_str()),
            None => serializer.serialize_str(&self.text),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Timestamp<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(Self::from_text)
    }
}

/// Appends `utc_ms` as `2026-11-21T10:08:09.000Z`. Years are held within 0000 to 9999.
pub fn write_rfc3339(out: &mut String, utc_ms: i64) {
    out.push_str(Rfc3339::new(utc_ms).as_str());
}

/// A time as text, without the cost of the formatting machinery: one goes out with every heartbeat.
struct Rfc3339([u8; 24]);

impl Rfc3339 {
    fn new(utc_ms: i64) -> Self {
        const FIRST: i64 = -62_167_219_200_000; // 0000-01-01T00:00:00Z
        const LAST: i64 = 253_402_300_799_999; // 9999-12-31T23:59:59.999Z
        let ms = utc_ms.clamp(FIRST, LAST);
        let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
        let of_day = ms.rem_euclid(DAY_MS);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |range: std::ops::Range<usize>, mut value: i64| {
            for digit in text.get_mut(range).into_iter().flatten().rev() {
                *digit += u8::try_from(value % 10).unwrap_or_default();
                value /= 10;
            }
        };
        put(0..4, year);
        put(5..7, month);
        put(8..10, day);
        put(11..13, of_day / 3_600_000);
        put(14..16, of_day / 60_000 % 60);
        put(17..19, of_day / 1_000 % 60);
        put(20..23, of_day % 1_000);
        Self(text)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default() // digits and separators only
    }
}

const DAY_MS: i64 = 86_400_000;

/// A cursor over the text: every step says whether the text goes on as it should.
struct Cursor<'t>(&'t [u8]);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (head, rest) = self.0.split_at_checked(count)?;
        let mut value = 0;
        for byte in head {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            value = value * 10 + i64::from(digit);
        }
        self.0 = rest;
        Some(value)
    }

    fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        match self.0 {
            [byte, rest @ ..] if wanted.contains(byte) => {
                self.0 = rest;
                Some(*byte)
            }
            _ => None,
        }
    }
}

fn parse(text: &[u8]) -> Option<At> {
    let trimmed = text.trim_ascii();
    let mut odd = trimmed.len() != text.len();
    let mut at = Cursor(trimmed);
    let year = at.digits(4)?;
    at.one_of(b"-")?;
    let month = at.digits(2)?;
    at.one_of(b"-")?;
    let day = at.digits(2)?;
    odd |= at.one_of(b"Tt ")? != b'T';
    let hour = at.digits(2)?;
    at.one_of(b":")?;
    let minute = at.digits(2)?;
    let (mut second, mut milli) = (0, 0);
    if at.one_of(b":").is_some() {
        second = at.digits(2)?;
        if at.one_of(b".,").is_some() {
            milli = fraction(&mut at)?;
        }
    } else {
        odd = true;
    }
    // 60 is a leap second: the first moment of the next minute.
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let zone = match at.one_of(b"Zz+-") {
        Some(b'Z') => Zone::Offset(0),
        Some(b'z') => {
            odd = true;
            Zone::Offset(0)
        }
        Some(sign) => offset(&mut at, sign == b'-', &mut odd)?,
        None => Zone::Missing,
    };
    if !at.0.is_empty() {
        return None;
    }
    let seconds = (days_from_civil(year, month, day) * 24 + hour) * 3_600 + minute * 60 + second;
    Some(At { local_ms: seconds * 1_000 + milli, zone, odd })
}

/// One or more digits of a second, cut to milliseconds.
fn fraction(at: &mut Cursor<'_>) -> Option<i64> {
    let (mut milli, mut weight) = (at.digits(1)? * 100, 10);
    while let Some(digit) = at.digits(1) {
        milli += digit * weight;
        weight /= 10;
    }
    Some(milli)
}

/// `02:00`, and, odd, `0200` and `02`.
fn offset(at: &mut Cursor<'_>, west: bool, odd: &mut bool) -> Option<Zone> {
    let hours = at.digits(2)?;
    let minutes = if at.one_of(b":").is_some() {
        at.digits(2)?
    } else {
        *odd = true;
        if at.0.is_empty() { 0 } else { at.digits(2)? }
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let east = i16::try_from(hours * 60 + minutes).ok()?;
    Some(Zone::Offset(if west { -east } else { east }))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years begin in March, so that the leap day is the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, utc_ms: Option<i64>, labels: &[Deviation]) {
        let time = Timestamp::from_text(text.into());
        assert_eq!(time.utc_ms(), utc_ms, "{text:?}");
        let mut notes = Notes::default();
        time.note(&mut notes);
        assert_eq!(notes.deviations, labels.iter().copied().collect(), "{text:?}");
        assert_eq!(time.text(), text);
    }

    #[test]
    fn reads_what_stations_write() {
        const T: i64 = 1_795_255_689_000; // 2026-11-21T10:08:09Z, by `date -u +%s -d ..`
        check("2026-11-21T10:08:09Z", Some(T), &[]);
        check("2026-11-21T10:08:09.5Z", Some(T + 500), &[]);
        check("2026-11-21T10:08:09.1234567Z", Some(T + 123), &[]);
        check("2026-11-21T12:08:09+02:00", Some(T), &[]);
        check("2026-11-21T05:38:09.250-04:30", Some(T + 250), &[]);
        check("2026-11-21T12:08:09+02", Some(T), &[Deviation::TimeForm]);
        check("2026-11-21T12:08:09+0200", Some(T), &[Deviation::TimeForm]);
        check("2026-11-21 10:08:09z", Some(T), &[Deviation::TimeForm]);
        check("2026-11-21T10:08Z", Some(T - 9_000), &[Deviation::TimeForm]);
        check("2026-11-21T10:08:09", Some(T), &[Deviation::TimeWithoutZone]);
        check("2026-11-21T10:08:09.000000", Some(T), &[Deviation::TimeWithoutZone]);
        check("2026-12-31T23:59:60Z", Some(1_798_761_600_000), &[]);
        check("1970-01-01T00:00:00Z", Some(0), &[]);
        check("0000-03-01T00:00:00Z", Some(-62_162_035_200_000), &[]);
        check("2000-02-29T00:00:00Z", Some(951_782_400_000), &[]);
    }

    #[test]
    fn keeps_what_it_cannot_read() {
        for text in [
            "",
            "now",
            "1795255689",
            "2026-11-21",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T10:08:09.Z",
            "2026-11-21T10:08:09Zjunk",
            "2026-11-21T10:08:09+2",
            "2026-11-21T10:08:09+25:00",
            "２０２６-11-21T10:08:09Z",
            "-026-11-21T10:08:09Z",
        ] {
            check(text, None, &[Deviation::TimeUnreadable]);
        }
    }

    #[test]
    fn a_zone_can_be_assumed() {
        let local = Timestamp::from_text("2026-11-21T18:08:09".into());
        assert_eq!(local.utc_ms_assuming(480), Some(1_795_255_689_000));
        let stated = Timestamp::from_text("2026-11-21T10:08:09Z".into());
        assert_eq!(stated.utc_ms_assuming(480), Some(1_795_255_689_000));
    }

    #[test]
    fn writes_all_fields_and_holds_the_year() {
        let written = |ms| {
            let mut out = String::from("at ");
            write_rfc3339(&mut out, ms);
            out
        };
        assert_eq!(written(1_795_255_689_045), "at 2026-11-21T10:08:09.045Z");
        assert_eq!(written(-1), "at 1969-12-31T23:59:59.999Z");
        assert_eq!(written(i64::MAX), "at 9999-12-31T23:59:59.999Z");
        assert_eq!(written(i64::MIN), "at 0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn writes_what_it_reads_for_every_day_of_four_centuries() {
        let mut text = String::new();
        for day in -1_000..146_097 {
            let ms = day * DAY_MS + 12_345_678;
            text.clear();
            write_rfc3339(&mut text, ms);
            assert_eq!(Timestamp::from_text(text.as_str().into()).utc_ms(), Some(ms), "{text}");
        }
    }
}
