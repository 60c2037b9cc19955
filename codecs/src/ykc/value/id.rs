//! Numbers that name things: pile, gun, trade, card (YKC V1.6 §3.3, §3.4). All opaque bytes that are shown as hex.

use core::fmt;
use core::str::FromStr;

use super::time::Cp56;
use crate::ykc::wire::{Shape, Wire};

/// A text that is not the hex form of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {digits} hex digits")]
pub struct IdError {
    /// Digits the id has.
    pub digits: usize,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// All bytes zero: none, unknown or absent.
            pub const ZERO: Self = Self([0; $len]);

            /// The bytes as on the wire.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Whether all bytes are zero.
            pub fn is_zero(&self) -> bool {
                self.0 == [0; $len]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads the hex form, upper or lower case.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let wrong = IdError { digits: 2 * $len };
                let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(wrong) };
                let mut bytes = [0; $len];
                if pairs.len() != $len {
                    return Err(wrong);
                }
                for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
                    let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(wrong) };
                    *byte = high << 4 | low;
                }
                Ok(Self(bytes))
            }
        }

        impl Wire<$len> for $name {
            const SHAPE: Shape = Shape::Hex;
            #[inline(always)]
            fn from_wire(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }
            #[inline(always)]
            fn to_wire(self) -> [u8; $len] {
                self.0
            }
        }
    };
}

fn digit(ascii: u8) -> Option<u8> {
    char::from(ascii).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

hex_id! {
    /// Number of a charger, issued by the platform: 14 BCD digits. In the field also 7 ASCII characters, so the bytes
    /// are the key and the hex digits only their name.
    PileId, 7
}

hex_id! {
    /// Number of one charge: 32 digits. By rule pile, gun, yyMMddHHmmss and a counter of 4 digits, in the field
    /// anything; zero means no session.
    TradeNo, 16
}

hex_id! {
    /// Card number, physical (opaque) or logical (BCD, for the display). Zero if none.
    Card, 8
}

impl TradeNo {
    /// Makes a number by the rule: pile, gun, local time (UTC+8) of `utc_ms` and the last four digits of `counter`.
    pub fn compose(pile: PileId, gun: Gun, utc_ms: i64, counter: u16) -> Self {
        let time = Cp56::from_utc_ms(utc_ms).local().unwrap_or_default();
        let mut bytes = [0; 16];
        let parts = pile.0.into_iter().chain([gun.0]).chain(
            [time.year, time.month.into(), time.day.into(), time.hour.into(), time.minute.into(), time.second.into()]
                .map(bcd::<u16>),
        );
        let counter = counter % 10_000;
        let parts = parts.chain([counter / 100, counter % 100].map(bcd::<u16>));
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = part;
        }
        Self(bytes)
    }

    /// The first seven bytes: the pile, if the number follows the rule.
    pub fn pile(&self) -> PileId {
        PileId(crate::ykc::wire::at::<0, 7, 16>(&self.0))
    }

    /// The eighth byte: the gun, if the number follows the rule.
    pub fn gun(&self) -> Gun {
        Gun(crate::ykc::wire::at::<7, 1, 16>(&self.0)[0])
    }
}

impl Card {
    /// Whether two numbers are equal once zeros are stripped from either end: vendors align a short card number left
    /// or right.
    pub fn same_digits(&self, other: &Self) -> bool {
        self.stripped() == other.stripped()
    }

    /// The bytes without leading and trailing zeros.
    pub fn stripped(&self) -> &[u8] {
        let start = self.0.iter().position(|byte| *byte != 0).unwrap_or(self.0.len());
        let end = self.0.iter().rposition(|byte| *byte != 0).map_or(start, |last| last + 1);
        self.0.get(start..end).unwrap_or_default()
    }
}

/// Two decimal digits in a byte; the last two digits of a larger number.
pub(crate) fn bcd<T: Into<u16>>(number: T) -> u8 {
    let number = number.into() % 100;
    u8::try_from(number / 10 * 16 + number % 10).unwrap_or_default()
}

/// Number of a gun (connector) on its pile: one byte, BCD, from 01. In an answer 00 means the whole pile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gun(pub u8);

impl Gun {
    /// The gun with this number, as BCD; numbers above 99 keep their last two digits.
    pub fn from_number(number: u8) -> Self {
        Self(bcd(number))
    }

    /// The number: BCD where both digits are decimal, else binary (seen: 0x0A for 10).
    pub const fn number(self) -> u8 {
        let (tens, ones) = (self.0 >> 4, self.0 & 0x0F);
        if tens < 10 && ones < 10 { tens * 10 + ones } else { self.0 }
    }

    /// Whether this addresses the pile as a whole.
    pub const fn is_whole_pile(self) -> bool {
        self.0 == 0
    }
}

/// The byte as two hex digits.
impl fmt::Display for Gun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}", self.0)
    }
}

impl Wire<1> for Gun {
    const SHAPE: Shape = Shape::Hex;
    #[inline(always)]
    fn from_wire([byte]: [u8; 1]) -> Self {
        Self(byte)
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; 1] {
        [self.0]
    }
}
