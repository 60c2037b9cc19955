//! [`scan`] and [`encode_styled`] for `tokio_util`'s `Framed`, over one `BytesMut` per connection: for the simulator, tests
//! and clients. The gateway scans its own buffer.

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::encode::{Body, FrameStyle, encode_styled};
use super::frame::{CrcOrder, FRAME_MAX, Frame, LengthRule, Scan, ScanOptions, scan};
use super::message::Message;
use crate::error::{FrameError, ParseError};

/// Frames of a byte stream. A bad one is an item, never the end of the stream.
#[derive(Debug, Default)]
pub struct YkcCodec {
    options: ScanOptions,
    style: FrameStyle,
    scratch: Vec<u8>,
}

impl YkcCodec {
    /// A codec that reads with `options` and writes with `style`; [`Default`] is what the specification says.
    pub fn new(options: ScanOptions, style: FrameStyle) -> Self {
        Self { options, style, scratch: Vec::new() }
    }
}

/// A frame that keeps its bytes: a reference into the buffer it was read from, not a copy.
#[derive(Clone, Debug)]
pub struct OwnedFrame {
    raw: Bytes,
    crc_order: CrcOrder,
    length_rule: LengthRule,
}

impl OwnedFrame {
    /// The frame.
    pub fn frame(&self) -> Frame<'_> {
        let [_, _, s0, s1, encryption, kind, rest @ ..] = &self.raw[..] else { return EMPTY };
        let body = rest.split_last_chunk::<2>().map_or(&[][..], |(body, _)| body);
        Frame {
            seq: [*s0, *s1],
            encryption: *encryption,
            kind: *kind,
            body,
            crc_order: self.crc_order,
            length_rule: self.length_rule,
            raw: &self.raw,
        }
    }

    /// The body as a typed view.
    ///
    /// # Errors
    /// The body is shorter than the field table of its type.
    pub fn message(&self) -> Result<Message<'_>, ParseError> {
        self.frame().message()
    }

    /// All bytes of the frame.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }
}

/// Never seen: an `OwnedFrame` is made from a frame.
const EMPTY: Frame<'static> = Frame {
    seq: [0; 2],
    encryption: 0,
    kind: 0,
    body: &[],
    crc_order: CrcOrder::Wrong,
    length_rule: LengthRule::Wrong,
    raw: &[],
};

impl YkcCodec {
    fn step(&self, src: &mut BytesMut, options: ScanOptions) -> Option<Result<OwnedFrame, FrameError>> {
        match scan(src, options) {
            Scan::Frame { frame: Frame { crc_order, length_rule, .. }, consumed } => {
                let raw = src.split_to(consumed).freeze();
                Some(Ok(OwnedFrame { raw, crc_order, length_rule }))
            }
            Scan::Skip { consumed, error } => {
                src.advance(consumed);
                Some(Err(error))
            }
            Scan::Incomplete { needed } => {
                src.reserve(needed.saturating_sub(src.len()).max(FRAME_MAX));
                None
            }
        }
    }
}

impl Decoder for YkcCodec {
    type Item = Result<OwnedFrame, FrameError>;
    type Error = std::io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Self::Item>, Self::Error> {
        Ok(self.step(src, self.options))
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Self::Item>, Self::Error> {
        if src.is_empty() {
            return Ok(None);
        }
        Ok(self.step(src, ScanOptions { at_end: true, ..self.options }))
    }
}

/// A sequence number and the body that goes with it.
impl<B: Body> Encoder<([u8; 2], B)> for YkcCodec {
    type Error = std::io::Error;

    fn encode(&mut self, (seq, body): ([u8; 2], B), dst: &mut BytesMut) -> Result<(), Self::Error> {
        self.scratch.clear();
        encode_styled(seq, &body, self.style, &mut self.scratch);
        dst.extend_from_slice(&self.scratch);
        Ok(())
    }
}
