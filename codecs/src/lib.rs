//! Bytes to frames to messages, and back. Pure: no I/O, no clock, no log, and no event of the platform.
//!
//! - [`ykc`]: 云快充 (YKC) V1.5/V1.6, binary over TCP.
//! - [`ocpp`]: OCPP-J, JSON in WebSocket messages.
//! - [`ws`]: those messages, RFC 6455, both sides.
//! - [`error`]: what can be wrong with a YKC byte stream and with one message in it.

pub mod error;
pub mod ocpp;
pub mod ws;
pub mod ykc;
