//! RFC 6455, both sides, as pure functions over bytes: no socket, no clock, no buffer of its own.
//!
//! ```text
//! bytes ── parse_upgrade ──▶ UpgradeRequest ── (the caller decides) ──▶ write_switching_protocols | write_refusal
//! bytes ── parse_frame, unmasked in place ──▶ Frame ── Assembler ──▶ Message { Text | Binary | Ping | Pong | Close }
//! bytes ◀── write_frame / write_masked_frame / frame_with / write_close
//! ```
//!
//! An idle connection needs an [`Assembler`], which is one pointer wide and owns memory only while a fragmented message
//! is unfinished. Extensions are not negotiated (RFC 7692 compression is declined), so the reserved bits must be 0.

mod assembler;
mod client;
mod close;
mod credentials;
mod frame;
mod identity;
mod mask;
mod response;
mod upgrade;
mod write;

pub use assembler::{Assembler, Message, Read, read};
pub use client::{ClientHead, ClientRequest, HandshakeError, encode_segment, parse_client_response};
pub use close::{CloseCode, WsError, WsErrorKind};
pub use credentials::Credentials;
pub use frame::{Frame, HEADER_MAX, Header, Limits, Opcode, Role, Step, parse_frame, parse_header};
pub use identity::{IDENTITY_MAX, Identity, IdentityError};
pub use mask::mask_in_place;
pub use response::{Status, accept_key, pick_subprotocol, write_refusal, write_switching_protocols};
pub use upgrade::{HEAD_MAX, UpgradeError, UpgradeRequest, UpgradeStep, parse_upgrade};
pub use write::{frame_with, write_close, write_frame, write_frame_header, write_masked_frame};
