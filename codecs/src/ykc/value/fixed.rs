//! Numbers with a fixed point, as integers with the unit in the type (YKC V1.6 §3.1). No floats.

use core::fmt;

use crate::ykc::wire::{Shape, Wire};

/// Writes `raw` divided by 10 to the power of `decimals`, all decimals shown.
pub(crate) fn write_decimal(f: &mut impl fmt::Write, raw: u64, decimals: u32) -> fmt::Result {
    let scale = 10_u64.pow(decimals);
    let width = decimals as usize;
    write!(f, "{}.{:0width$}", raw / scale, raw % scale)
}

macro_rules! fixed {
    ($($(#[$doc:meta])* $name:ident($int:ty), $len:literal, $decimals:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(f, u64::from(self.0), $decimals)
            }
        }

        impl Wire<$len> for $name {
            const SHAPE: Shape = Shape::Decimal($decimals);
            #[inline(always)]
            fn from_wire(bytes: [u8; $len]) -> Self {
                Self(<$int>::from_le_bytes(bytes))
            }
            #[inline(always)]
            fn to_wire(self) -> [u8; $len] {
                self.0.to_le_bytes()
            }
        }
    )* };
}

fixed! {
    /// Voltage in 0.1 V.
    Volts(u16), 2, 1;
    /// Current in 0.1 A.
    Amps(u16), 2, 1;
    /// Energy in 0.0001 kWh.
    Energy(u32), 4, 4;
    /// Price in 0.00001 yuan/kWh.
    Price(u32), 4, 5;
    /// Amount of money in 0.0001 yuan.
    Amount(u32), 4, 4;
    /// Account balance in 0.01 yuan (fen).
    Balance(u32), 4, 2;
}

/// Reading of a meter in 0.0001 kWh: 40 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterReading(u64);

impl MeterReading {
    /// The largest reading, 109,951,162.7775 kWh.
    pub const MAX: Self = Self((1 << 40) - 1);

    /// A reading in 0.0001 kWh, at most [`MeterReading::MAX`].
    pub const fn new(raw: u64) -> Self {
        if raw > Self::MAX.0 { Self::MAX } else { Self(raw) }
    }

    /// The reading in 0.0001 kWh.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Display for MeterReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, 4)
    }
}

impl Wire<5> for MeterReading {
    const SHAPE: Shape = Shape::Decimal(4);
    #[inline(always)]
    fn from_wire([a, b, c, d, e]: [u8; 5]) -> Self {
        Self(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]))
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; 5] {
        let [a, b, c, d, e, ..] = self.0.to_le_bytes();
        [a, b, c, d, e]
    }
}

/// Temperature as sent: 50 is 0 degrees. In real-time data 0 means "not available", not -50.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Celsius(pub u8);

impl Celsius {
    /// Degrees, -50 to 205, taking the byte at its word.
    pub const fn degrees(self) -> i16 {
        self.0 as i16 - 50
    }

    /// Degrees; `None` for the byte 0, which idle and AC piles send for "not available".
    pub const fn measured(self) -> Option<i16> {
        if self.0 == 0 { None } else { Some(self.degrees()) }
    }
}

impl fmt::Display for Celsius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.degrees().fmt(f)
    }
}

impl Wire<1> for Celsius {
    const SHAPE: Shape = Shape::Temperature;
    #[inline(always)]
    fn from_wire([byte]: [u8; 1]) -> Self {
        Self(byte)
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; 1] {
        [self.0]
    }
}
