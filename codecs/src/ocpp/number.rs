//! Integers as stations send them: a number, a number in quotes, a number with `.0`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Deviation, Note, Notes, decimal::scale, scalar::Scalar};

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
        let (value, retyped) = scaled(deserializer, 0, true)?;
        Ok(Self { value, retyped })
    }
}

/// A meter reading in Wh (`meterStart`, `meterStop`), kept in 0.1 Wh because some meters send a fraction where the
/// schema wants an integer. Digits behind 0.1 Wh round half away from zero.
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
        let (tenths, retyped) = scaled(deserializer, 1, false)?;
        // A fraction has its own flag.
        Ok(Self { tenths, retyped: retyped && tenths % 10 == 0 })
    }
}

/// Reads a number, in quotes or not, times 10^`places`, by decimal arithmetic on the sender's own digits. Yields the value
/// and whether it was anything but a JSON integer. With `exact`, digits behind the last place are refused; without, they
/// round half away from zero.
#[inline]
fn scaled<'de, D: Deserializer<'de>>(deserializer: D, places: i32, exact: bool) -> Result<(i64, bool), D::Error> {
    let scalar = Scalar::deserialize(deserializer)?;
    let expected = if exact { "an integer" } else { "a number" };
    let (text, retyped) = match &scalar {
        Scalar::Number(digits) => (*digits, digits.contains(['.', 'e', 'E'])),
        Scalar::Text(text) => (&**text, true),
        Scalar::Bool(_) | Scalar::Null => return Err(de::Error::invalid_type(scalar.unexpected(), &expected)),
    };
    match scale(text, places) {
        Ok((value, nothing_lost)) if nothing_lost || !exact => Ok((value, retyped)),
        _ => Err(de::Error::invalid_value(scalar.unexpected(), &expected)),
    }
}
