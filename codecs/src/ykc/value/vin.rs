//! Vehicle identification number, 17 characters, in either order (YKC V1.6 §3.5).

use core::fmt;

use super::text::{trim, write_text};
use crate::ykc::wire::{Shape, Wire};

/// Seventeen bytes, kept as sent. Normal order in the record, reversed in the start request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vin(pub [u8; 17]);

impl Vin {
    /// No vehicle.
    pub const NONE: Self = Self([0; 17]);

    /// The VIN with this text; `None` unless it has 17 ASCII characters.
    pub fn new(text: &str) -> Option<Self> {
        let bytes: [u8; 17] = text.as_bytes().try_into().ok()?;
        bytes.is_ascii().then_some(Self(bytes))
    }

    /// Whether there is none: all zero, or nothing but the digit 0 (seen: "00000").
    pub fn is_absent(&self) -> bool {
        trim(&self.0).iter().all(|byte| *byte == b'0' || *byte == 0)
    }

    /// The text, padding cut; `None` if absent or not printable ASCII.
    pub fn as_str(&self) -> Option<&str> {
        let text = trim(&self.0);
        let printable = !self.is_absent() && text.iter().all(u8::is_ascii_graphic);
        printable.then(|| core::str::from_utf8(text).ok()).flatten()
    }

    /// All 17 bytes in the opposite order.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut bytes = self.0;
        bytes.reverse();
        Self(bytes)
    }

    /// Whether this order reads like a VIN: 17 characters out of digits and capitals without I, O and Q, first one L
    /// (China), last four digits.
    pub fn is_plausible(&self) -> bool {
        let allowed = |byte: &u8| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !b"IOQ".contains(byte));
        let [b'L', .., a, b, c, d] = self.0 else { return false };
        self.0.iter().all(allowed) && [a, b, c, d].iter().all(u8::is_ascii_digit)
    }

    /// The VIN of a start request (0x31), whose order depends on the vendor: of both orders the one that is
    /// plausible; if that decides nothing, the one that `known` knows; else the reversed bytes, as the document
    /// says. `None` if there is no VIN.
    pub fn of_start_request(&self, known: impl Fn(&Vin) -> bool) -> Option<Vin> {
        if self.is_absent() {
            return None;
        }
        let (sent, reversed) = (*self, self.reversed());
        let one_of = |rule: &dyn Fn(&Vin) -> bool| match (rule(&sent), rule(&reversed)) {
            (true, false) => Some(sent),
            (false, true) => Some(reversed),
            _ => None,
        };
        one_of(&Self::is_plausible).or_else(|| one_of(&known)).or(Some(reversed))
    }
}

impl fmt::Display for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(f, &self.0)
    }
}

impl fmt::Debug for Vin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vin(\"{self}\")")
    }
}

impl Wire<17> for Vin {
    const SHAPE: Shape = Shape::Text;
    #[inline(always)]
    fn from_wire(bytes: [u8; 17]) -> Self {
        Self(bytes)
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; 17] {
        self.0
    }
}
