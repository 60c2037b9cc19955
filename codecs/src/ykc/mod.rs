//! 云快充 (YKC) V1.5/V1.6: binary over TCP, little-endian, BCD ids (`docs/protocol/ykc.md`).
//!
//! Bytes to messages: [`scan`] finds one [`Frame`] after the other in a slice, [`Message::parse`] gives its body as a
//! checked view that borrows the bytes. Messages to bytes: fill in a body and [`encode`] it. For streams there is
//! [`codec::YkcCodec`], for people [`describe()`].
//!
//! ```
//! use codecs::ykc::{self, Gun, HeartbeatAck, Message, Scan, ScanOptions};
//!
//! let bytes = [0x68, 0x0d, 1, 0, 0, 3, 0x32, 1, 6, 0, 1, 0x92, 0x36, 1, 0, 0x3d, 0xca];
//! let Scan::Frame { frame, consumed } = ykc::scan(&bytes, ScanOptions { ignore_crc: true, ..Default::default() })
//!     else { panic!("no frame") };
//! let Ok(Message::Heartbeat(beat)) = frame.message() else { panic!("no heartbeat") };
//! assert_eq!((consumed, beat.gun()), (17, Gun(1)));
//!
//! let mut out = Vec::new();
//! ykc::encode(frame.seq, &HeartbeatAck { pile: beat.pile(), gun: beat.gun(), ack: 0 }, &mut out);
//! assert_eq!(out[..4], [0x68, 0x0d, 1, 0]);
//! ```

pub mod body;
pub mod codec;
mod crc;
pub mod describe;
mod encode;
mod frame;
pub mod kind;
mod message;
pub mod value;
mod wire;

pub use body::*;
pub use crc::crc16;
pub use describe::{describe, describe_text};
pub use encode::{Body, FrameStyle, encode, encode_styled};
pub use frame::{
    BODY_MAX, CrcOrder, FRAME_MAX, FRAME_MIN, Frame, HEADER_LEN, LengthRule, START, Scan, ScanOptions, scan,
};
pub use message::{Message, Unknown};
pub use value::*;
pub use wire::{Field, Shape};
