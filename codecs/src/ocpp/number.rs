//! Integers as stations send them: a number, a number in quotes, a number with `.0`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Deviation, Note, Notes, decimal::scale};

/// An integer field. Holds all of `i64`, because stations send ids far outside of what the schema calls an integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Int {
    value: i64,
    retyped: bool,
}

impl Int {
    /// The value.
    pub const fn get(self) -> i64 {
        self.value
    }

    /// True if the sender wrote it in quotes or with a decimal point.
    pub const fn is_retyped(self) -> bool {
        self.retyped
    }
}

impl fmt::Debug for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

macro_rules! int_from {
    ($($from:ty),+) => {$(
        impl From<$from> for Int {
            fn from(value: $from) -> Self {
                Self { value: value.into(), retyped: false }
            }
        }
    )+};
}
int_from!(i64, i32, u32, u16, u8);

impl PartialEq<i64> for Int {
    fn eq(&self, other: &i64) -> bool {
        self.value == *other
    }
}

impl Note for Int {
    #[inline]
    fn note(&self, notes: &mut Notes) {
        if self.retyped {
            notes.add(Deviation::TextForNumber);
        }
    }
}

impl Serialize for Int {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.value)
    }
}

impl<'de> Deserialize<'de> for Int {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (value, retyped) = deserializer.deserialize_any(Scaled { places: 0, exact: true })?;
        Ok(Self { value, retyped })
    }
}

/// A meter reading in Wh (`meterStart`, `meterStop`), kept in 0.1 Wh because some meters send a fraction where the
/// schema wants an integer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterWh {
    tenths: i64,
    retyped: bool,
}

impl MeterWh {
    /// A reading of whole Wh; saturates at the end of the range (10^14 kWh).
    pub const fn from_wh(wh: i64) -> Self {
        Self { tenths: wh.saturating_mul(10), retyped: false }
    }

    /// The reading in 0.0001 kWh (0.1 Wh).
    pub const fn energy_e4(self) -> i64 {
        self.tenths
    }

    /// The reading in whole Wh, rounded towards zero.
    pub const fn wh(self) -> i64 {
        self.tenths / 10
    }
}

impl fmt::Debug for MeterWh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}e-1 Wh", self.tenths)
    }
}

impl Note for MeterWh {
    fn note(&self, notes: &mut Notes) {
        if self.retyped {
            notes.add(Deviation::TextForNumber);
        }
        if self.tenths % 10 != 0 {
            notes.add(Deviation::FractionalMeter);
        }
    }
}

impl Serialize for MeterWh {
    /// Whole Wh. A fraction is lost, and for that reason the writers refuse it first.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.wh())
    }
}

impl<'de> Deserialize<'de> for MeterWh {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (tenths, retyped) = deserializer.deserialize_any(Scaled { places: 1, exact: false })?;
        // A fraction has its own flag.
        Ok(Self { tenths, retyped: retyped && tenths % 10 == 0 })
    }
}

/// Reads a number, in quotes or not, times 10^places. Yields the value and whether it was anything but a JSON integer.
struct Scaled {
    places: i32,
    /// Refuse digits behind the last place instead of rounding them.
    exact: bool,
}

impl Scaled {
    fn text<E: de::Error>(self, text: &str) -> Result<(i64, bool), E> {
        match scale(text, self.places) {
            Ok((value, exact)) if exact || !self.exact => Ok((value, true)),
            _ => Err(de::Error::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

impl de::Visitor<'_> for Scaled {
    type Value = (i64, bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.exact { "an integer" } else { "a number" })
    }

    #[inline]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(i64, bool), E> {
        let factor = if self.places == 0 { 1 } else { 10 };
        value
            .checked_mul(factor)
            .map(|value| (value, false))
            .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Signed(value), &self))
    }

    #[inline]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(i64, bool), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(de::Error::invalid_value(de::Unexpected::Unsigned(value), &self)),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(i64, bool), E> {
        // The shortest text that reads back as this double has the digits that the sender wrote.
        self.text(&value.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(i64, bool), E> {
        self.text(text)
    }
}
