//! Text of fixed length, padded with zeros on the right (YKC V1.6 §3.1).

use core::fmt;

use crate::ykc::wire::{Shape, Wire};

/// `N` bytes of ASCII text, kept as sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text<const N: usize>(pub [u8; N]);

impl<const N: usize> Text<N> {
    /// The first `N` bytes of `text`, padded with zeros.
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; N];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(bytes)
    }

    /// The bytes without the zeros at the end.
    pub fn trimmed(&self) -> &[u8] {
        trim(&self.0)
    }

    /// The text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.trimmed()).ok()
    }
}

/// Cuts trailing zeros and keeps everything before them.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

/// The text; bytes that are not printable ASCII as `\xNN`, so that it is always safe in a log line.
pub(crate) fn write_text(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    trim(bytes).escape_ascii().try_for_each(|ascii| f.write_char(char::from(ascii)))
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_text(f, &self.0)
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text(\"{self}\")")
    }
}

impl<const N: usize> Wire<N> for Text<N> {
    const SHAPE: Shape = Shape::Text;
    #[inline(always)]
    fn from_wire(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
    #[inline(always)]
    fn to_wire(self) -> [u8; N] {
        self.0
    }
}
