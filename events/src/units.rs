//! Integers with their unit in the type. No float carries energy, price or money anywhere in the project.
//!
//! As text they are decimals with a fixed number of places (`"20.0000"`); reading refuses more places than the unit has, so
//! nothing is ever rounded on the way in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a decimal of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Something other than `-?digits[.digits]`.
    #[error("is not a decimal number")]
    NotDecimal,
    /// More decimals than the unit has.
    #[error("has more than {max} decimals")]
    TooManyDecimals {
        /// Decimals of the unit.
        max: u32,
    },
    /// Does not fit 64 bits.
    #[error("is too large")]
    TooLarge,
}

/// Reads `-?digits[.digits]` with at most `decimals` places as an integer of that scale: `("0.5", 4)` is 5000.
///
/// # Errors
/// [`DecimalError`]; also for a sign other than `-`, an exponent, blanks, and a dot without digits on both sides.
pub fn parse_decimal(text: &str, decimals: u32) -> Result<i64, DecimalError> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if digits.is_empty() {
        return Err(if negative { DecimalError::NotDecimal } else { DecimalError::Empty });
    }
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) if !whole.is_empty() && !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(DecimalError::NotDecimal),
        None => (digits, ""),
    };
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::NotDecimal);
    }
    let places = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    if places > decimals {
        return Err(DecimalError::TooManyDecimals { max: decimals });
    }
    let mut value: i64 = 0;
    let padding = std::iter::repeat_n(b'0', usize::try_from(decimals - places).unwrap_or(0));
    for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
        // Built on the negative side, which reaches one further: every i64 that prints can be read back.
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_sub(i64::from(digit - b'0')))
            .ok_or(DecimalError::TooLarge)?;
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or(DecimalError::TooLarge) }
}

/// Writes an integer of scale `decimals` as decimal text with exactly that many places.
///
/// # Errors
/// Those of the formatter.
pub fn write_decimal(f: &mut fmt::Formatter<'_>, value: i64, decimals: u32) -> fmt::Result {
    let scale = 10_u64.saturating_pow(decimals);
    let magnitude = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    if decimals == 0 {
        return write!(f, "{sign}{magnitude}");
    }
    let width = usize::try_from(decimals).unwrap_or(0);
    write!(f, "{sign}{}.{:0width$}", magnitude / scale, magnitude % scale)
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $decimals:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0);
            /// Places of its decimal text.
            pub const DECIMALS: u32 = $decimals;

            /// The sum, or `None` where it does not fit 64 bits.
            #[must_use]
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The difference, or `None` where it does not fit 64 bits.
            #[must_use]
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }

            /// Below zero.
            #[must_use]
            pub const fn is_negative(self) -> bool {
                self.0 < 0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(f, self.0, Self::DECIMALS)
            }
        }

        impl FromStr for $name {
            type Err = DecimalError;

            fn from_str(text: &str) -> Result<Self, DecimalError> {
                parse_decimal(text, Self::DECIMALS).map(Self)
            }
        }

        /// From an unsigned field of an event; fails above `i64::MAX`.
        impl TryFrom<u64> for $name {
            type Error = DecimalError;

            fn try_from(value: u64) -> Result<Self, DecimalError> {
                i64::try_from(value).map(Self).map_err(|_| DecimalError::TooLarge)
            }
        }
    };
}

unit!(
    /// Energy in 0.0001 kWh (0.1 Wh).
    EnergyE4,
    4
);
unit!(
    /// Price in 0.00001 yuan per kWh.
    PriceP5,
    5
);
unit!(
    /// An amount in 0.0001 yuan: the precision in which segments are rated before they are summed.
    AmountE4,
    4
);
unit!(
    /// Money in fen, 1/100 yuan. Its decimal text is in yuan.
    Fen,
    2
);

/// `#[serde(with = "events::units::as_text")]`: a unit as its decimal text, the form of REST and of bills.
pub mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes the decimal text.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<T: Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    /// Reads the decimal text.
    ///
    /// # Errors
    /// When it is no text, or no decimal of the unit.
    pub fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(from: D) -> Result<T, D::Error>
    where
        T::Err: Display,
    {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(|error| de::Error::custom(format_args!("{text:?} {error}")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_fixed_places() {
        for (text, value, printed) in [
            ("20", 200_000, "20.0000"),
            ("0.0001", 1, "0.0001"),
            ("-0.5", -5_000, "-0.5000"),
            ("922337203685477.5807", i64::MAX, "922337203685477.5807"),
            ("-922337203685477.5808", i64::MIN, "-922337203685477.5808"),
        ] {
            let energy: EnergyE4 = text.parse().unwrap();
            assert_eq!((energy.0, energy.to_string().as_str()), (value, printed), "{text}");
        }
        assert_eq!(Fen(-5).to_string(), "-0.05");
        assert_eq!(PriceP5(131_840).to_string(), "1.31840");
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, error) in [
            ("", DecimalError::Empty),
            ("-", DecimalError::NotDecimal),
            ("+1", DecimalError::NotDecimal),
            ("1.", DecimalError::NotDecimal),
            (".5", DecimalError::NotDecimal),
            ("1e3", DecimalError::NotDecimal),
            (" 1", DecimalError::NotDecimal),
            ("1.2.3", DecimalError::NotDecimal),
            ("１", DecimalError::NotDecimal),
            ("0.00000", DecimalError::TooManyDecimals { max: 4 }),
            ("922337203685477.5808", DecimalError::TooLarge),
        ] {
            assert_eq!(text.parse::<EnergyE4>(), Err(error), "{text:?}");
        }
        assert_eq!(EnergyE4::try_from(u64::MAX), Err(DecimalError::TooLarge));
    }

    #[test]
    fn sums_do_not_wrap() {
        assert_eq!(Fen(i64::MAX).checked_add(Fen(1)), None);
        assert_eq!(Fen(i64::MIN).checked_sub(Fen(1)), None);
        assert_eq!(Fen(2).checked_sub(Fen(3)), Some(Fen(-1)));
    }

    proptest! {
        #[test]
        fn text_reads_back(value in any::<i64>()) {
            prop_assert_eq!(AmountE4(value).to_string().parse(), Ok(AmountE4(value)));
            prop_assert_eq!(PriceP5(value).to_string().parse(), Ok(PriceP5(value)));
        }
    }
}
