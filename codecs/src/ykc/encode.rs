//! Messages to bytes.

use super::crc::crc16;
use super::frame::{BODY_MAX, CrcOrder, FRAME_MAX, HEADER_LEN, LengthRule, START};

/// A body that can be written: every value, every view, and [`Message`](super::Message) itself.
///
/// Sealed, so that whatever can be constructed fits into a frame: an implementation emits at most [`BODY_MAX`] bytes.
pub trait Body: Sealed {
    /// Frame type.
    fn kind(&self) -> u8;
    /// Appends the body, without header and checksum.
    fn emit(&self, out: &mut Vec<u8>);
}

/// Keeps [`Body`] to this crate.
pub trait Sealed {}

impl<B: Body + ?Sized> Sealed for &B {}
impl<B: Body + ?Sized> Body for &B {
    fn kind(&self) -> u8 {
        (**self).kind()
    }
    fn emit(&self, out: &mut Vec<u8>) {
        (**self).emit(out);
    }
}

impl<B: Body + ?Sized> Sealed for Box<B> {}
impl<B: Body + ?Sized> Body for Box<B> {
    fn kind(&self) -> u8 {
        (**self).kind()
    }
    fn emit(&self, out: &mut Vec<u8>) {
        (**self).emit(out);
    }
}

/// How a frame is written. The default is what the specification says; the rest is for peers and tests that need a
/// deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameStyle {
    /// Checksum order. [`CrcOrder::Wrong`] writes an inverted checksum.
    pub crc_order: CrcOrder,
    /// What the length byte counts. [`LengthRule::Wrong`] writes one less than right.
    pub length_rule: LengthRule,
    /// The encryption flag. The body is written in plain all the same.
    pub encryption: u8,
}

/// Appends one frame to `out`, strictly as the specification says: plain, checksum low byte first.
#[inline]
pub fn encode<B: Body + ?Sized>(seq: [u8; 2], body: &B, out: &mut Vec<u8>) {
    encode_styled(seq, body, FrameStyle::default(), out);
}

/// Appends one frame to `out` with deviations.
pub fn encode_styled<B: Body + ?Sized>(seq: [u8; 2], body: &B, style: FrameStyle, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(FRAME_MAX);
    out.extend_from_slice(&[START, 0, seq[0], seq[1], style.encryption, body.kind()]);
    body.emit(out);
    let body_len = out.len() - start - HEADER_LEN;
    debug_assert!(body_len <= BODY_MAX, "a body of {body_len} bytes fits into no frame");
    let counted = match style.length_rule {
        LengthRule::Standard => body_len + 4,
        LengthRule::BodyOnly => body_len,
        LengthRule::Wrong => body_len + 3,
    };
    if let Some(length) = out.get_mut(start + 1) {
        *length = u8::try_from(counted).unwrap_or(u8::MAX);
    }
    let crc = crc16(out.get(start + 2..).unwrap_or_default());
    out.extend_from_slice(&match style.crc_order {
        CrcOrder::LowFirst => crc.to_le_bytes(),
        CrcOrder::HighFirst => crc.to_be_bytes(),
        CrcOrder::Wrong => (!crc).to_le_bytes(),
    });
}
