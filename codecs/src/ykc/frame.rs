//! Bytes to frames: one step at a time over a slice, in place, without a copy (YKC V1.6 §2.1-2.6).
//!
//! | 0 start 0x68 | 1 length L | 2..4 sequence | 4 encryption | 5 type | 6..2+L body | 2+L..4+L CRC |
//!
//! L counts from the sequence to the end of the body, so a frame is L + 4 bytes long and 259 at most. The start byte is
//! not escaped and may stand anywhere in a body.

use super::crc::crc16;
use super::kind;
use super::message::Message;
use crate::error::{FrameError, ParseError};

/// The first byte of every frame.
pub const START: u8 = 0x68;
/// Bytes before the body.
pub const HEADER_LEN: usize = 6;
/// The shortest frame: an empty body.
pub const FRAME_MIN: usize = 8;
/// The longest body: L is one byte and counts 4 bytes of header.
pub const BODY_MAX: usize = 251;
/// The longest frame: L = 255. (Where L counts only the body it is too small for its type, which keeps below this.)
pub const FRAME_MAX: usize = 259;

/// The length byte counts at least sequence, flag and type.
const LENGTH_MIN: u8 = 4;
/// 0 is plain and 1 is 3DES; up to here a flag is taken for a vendor's cipher, above it these bytes are no header.
/// Without this rule every 0x68 in garbage would wait for up to 255 more bytes.
const ENCRYPTION_MAX: u8 = 0x0F;

/// In which order the two checksum bytes stood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrcOrder {
    /// Low byte first: the right one.
    #[default]
    LowFirst,
    /// High byte first: seen from old firmware, accepted.
    HighFirst,
    /// Neither order matches. Only where the caller asked for it: [`ScanOptions::ignore_crc`] or [`Frame::whole`].
    Wrong,
}

/// What the length byte counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LengthRule {
    /// Sequence, flag, type and body: the right one.
    #[default]
    Standard,
    /// Only the body: seen from one platform, accepted when the checksum proves it.
    BodyOnly,
    /// Something else. Only from [`Frame::whole`].
    Wrong,
}

/// One frame with its place in the bytes it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Sequence number as sent. An answer copies both bytes; their order differs between vendors.
    pub seq: [u8; 2],
    /// Encryption flag; 0 unless the frame comes from [`Frame::whole`].
    pub encryption: u8,
    /// Frame type, see [`kind`].
    pub kind: u8,
    /// The body, at most [`BODY_MAX`] bytes unless the frame comes from [`Frame::whole`].
    pub body: &'a [u8],
    /// How the checksum stood.
    pub crc_order: CrcOrder,
    /// How the length was counted.
    pub length_rule: LengthRule,
    /// The whole frame, from the start byte to the checksum.
    pub raw: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The length byte as sent.
    pub fn length(&self) -> u8 {
        self.raw.get(1).copied().unwrap_or_default()
    }

    /// The body as a typed view.
    ///
    /// # Errors
    /// The body is shorter than the field table of its type.
    #[inline]
    pub fn message(&self) -> Result<Message<'a>, ParseError> {
        Message::parse(self.kind, self.body)
    }

    /// Takes all of `raw` as one frame, whatever its length byte and checksum say: for tools that are given a frame
    /// and have to show it, never for a connection. `None` without a start byte or below [`FRAME_MIN`] bytes.
    pub fn whole(raw: &'a [u8]) -> Option<Self> {
        let [START, length, ..] = raw else { return None };
        let Parts { seq, encryption, kind, body, stated, computed } = split(raw)?;
        let length_rule = match usize::from(*length) {
            l if l + 4 == raw.len() => LengthRule::Standard,
            l if l + 8 == raw.len() => LengthRule::BodyOnly,
            _ => LengthRule::Wrong,
        };
        let crc_order = order(stated, computed).unwrap_or(CrcOrder::Wrong);
        Some(Self { seq, encryption, kind, body, crc_order, length_rule, raw })
    }
}

/// How tolerant a scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// Deliver frames with a wrong checksum too, as [`CrcOrder::Wrong`]: per charger, for firmware that sends none.
    pub ignore_crc: bool,
    /// No more bytes will come (end of input, or the time for half a frame is over): what would be
    /// [`Scan::Incomplete`] becomes a [`FrameError::Truncated`] skip of one byte, so that frames behind a damaged
    /// length byte are still found.
    pub at_end: bool,
}

/// One step of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    /// A frame. Go on behind `consumed` bytes.
    Frame {
        /// The frame.
        frame: Frame<'a>,
        /// Its length in bytes.
        consumed: usize,
    },
    /// Nothing yet: keep the bytes and come back when there are at least `needed` in all (or, once the time limit for
    /// a half frame is over, with [`ScanOptions::at_end`]).
    Incomplete {
        /// Bytes needed, counted from the start of the slice; more than it has.
        needed: usize,
    },
    /// Bytes dropped, and why. Go on behind `consumed` bytes; never 0.
    Skip {
        /// Bytes to drop.
        consumed: usize,
        /// Why.
        error: FrameError,
    },
}

/// Looks at the start of `buf` and takes one step. An empty slice is `Incomplete`.
///
/// A bad checksum drops one byte, not the frame: its length byte may be what is wrong, and would swallow the good
/// frames behind. The price is bounded: every byte of a stream begins at most one candidate, and a candidate costs at
/// most two checksums over 255 and 257 bytes, so a hostile stream of start bytes costs 512 bytes of CRC per byte at
/// the worst and never the square of its length.
#[inline]
pub fn scan(buf: &[u8], options: ScanOptions) -> Scan<'_> {
    let [start, header @ ..] = buf else { return Scan::Incomplete { needed: 1 } };
    if *start != START {
        let skipped = buf.iter().position(|byte| *byte == START).unwrap_or(buf.len());
        return Scan::Skip { consumed: skipped, error: FrameError::NoStart { skipped } };
    }
    let Some(length) = header.first().copied() else { return incomplete(buf, FRAME_MIN, 2, options) };
    if length < LENGTH_MIN {
        return Scan::Skip { consumed: 1, error: FrameError::BadLength { length } };
    }
    let total = usize::from(length) + 4;
    if let Some(flag) = header.get(3).copied()
        && flag > ENCRYPTION_MAX
    {
        return Scan::Skip { consumed: 1, error: FrameError::BadHeader { flag } };
    }
    let Some(raw) = buf.get(..total) else {
        // Ask for the flag first: it unmasks most of the start bytes that are none.
        return incomplete(buf, total, if buf.len() < 5 { 5 } else { total }, options);
    };
    let Some(parts) = split(raw) else { return incomplete(buf, FRAME_MIN, FRAME_MIN, options) };
    match order(parts.stated, parts.computed) {
        Some(crc_order) => deliver(raw, parts, crc_order, LengthRule::Standard),
        None => wrong_crc(buf, raw, parts, options),
    }
}

/// What becomes of a frame whose checksum is wrong.
#[cold]
fn wrong_crc<'a>(buf: &'a [u8], raw: &'a [u8], parts: Parts<'a>, options: ScanOptions) -> Scan<'a> {
    // A length byte too small for its type may count only the body (seen from one platform). The rule depends on the
    // first 6 bytes alone, so the same stream gives the same frames however it is cut.
    let length = raw.len() - 4;
    if kind::body_min(parts.kind).is_some_and(|min| length < usize::from(min) + 4) {
        let total = raw.len() + 4;
        let Some(longer) = buf.get(..total) else { return incomplete(buf, total, total, options) };
        if let Some(parts) = split(longer)
            && let Some(crc_order) = order(parts.stated, parts.computed)
        {
            return deliver(longer, parts, crc_order, LengthRule::BodyOnly);
        }
    }
    if options.ignore_crc {
        return deliver(raw, parts, CrcOrder::Wrong, LengthRule::Standard);
    }
    let Parts { kind, stated, computed, .. } = parts;
    Scan::Skip { consumed: 1, error: FrameError::BadCrc { kind, stated, computed } }
}

/// A frame's bytes, taken apart; the checksum computed, not yet compared.
struct Parts<'a> {
    seq: [u8; 2],
    encryption: u8,
    kind: u8,
    body: &'a [u8],
    stated: u16,
    computed: u16,
}

/// `None` below [`FRAME_MIN`] bytes.
#[inline]
fn split(raw: &[u8]) -> Option<Parts<'_>> {
    let [_, _, covered @ .., c0, c1] = raw else { return None };
    let [s0, s1, encryption, kind, body @ ..] = covered else { return None };
    Some(Parts {
        seq: [*s0, *s1],
        encryption: *encryption,
        kind: *kind,
        body,
        stated: u16::from_le_bytes([*c0, *c1]),
        computed: crc16(covered),
    })
}

#[inline]
fn order(stated: u16, computed: u16) -> Option<CrcOrder> {
    if stated == computed {
        Some(CrcOrder::LowFirst)
    } else if stated == computed.swap_bytes() {
        Some(CrcOrder::HighFirst)
    } else {
        None
    }
}

#[inline]
fn deliver<'a>(raw: &'a [u8], parts: Parts<'a>, crc_order: CrcOrder, length_rule: LengthRule) -> Scan<'a> {
    let Parts { seq, encryption, kind, body, .. } = parts;
    if encryption == 0 {
        let frame = Frame { seq, encryption, kind, body, crc_order, length_rule, raw };
        Scan::Frame { frame, consumed: raw.len() }
    } else {
        Scan::Skip { consumed: raw.len(), error: FrameError::Encrypted { kind, flag: encryption } }
    }
}

#[cold]
fn incomplete(buf: &[u8], need: usize, needed: usize, options: ScanOptions) -> Scan<'_> {
    if options.at_end {
        Scan::Skip { consumed: 1, error: FrameError::Truncated { need, have: buf.len() } }
    } else {
        Scan::Incomplete { needed }
    }
}
