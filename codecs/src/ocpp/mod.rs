//! OCPP-J: JSON arrays in WebSocket text messages (OCPP-J 1.6 §4).
//!
//! ```text
//! text ── scan_envelope ──▶ Envelope { id, action, payload: &str } ── v16::<action>::Request::parse ──▶ typed, borrowed from the text
//! text ◀── write_call / write_result / write_error ◀── typed
//! ```
//!
//! Tolerant in, strict out: what a station gets wrong and still can be understood is accepted and named by
//! [`Deviations`] (so that it can be counted); what we send ourselves is refused by the writers unless it conforms.
//! Nothing here does I/O, knows the time or logs.

mod decimal;
mod deviation;
mod envelope;
mod error_code;
mod json;
mod number;
mod payload;
mod scalar;
mod text;
mod time;
mod write;

#[macro_use]
mod enumeration;
pub mod v16;

pub use decimal::{DecimalError, scale_decimal};
pub use deviation::{BOUNDED_TEXT_CAP, Deviation, Deviations, Note, Notes};
pub use envelope::{ACTION_MAX, Envelope, EnvelopeError, EnvelopeErrorKind, MESSAGE_ID_MAX, MessageId, scan_envelope};
pub use error_code::ErrorCode;
pub use json::{DEPTH_MAX, check_value};
pub use number::{Int, MeterWh};
pub use payload::{Payload, PayloadError, PayloadErrorKind};
pub use text::Text;
pub use time::{Timestamp, Zone, write_rfc3339};
pub use write::{WriteError, write_call, write_call_raw, write_error, write_result, write_result_raw};
