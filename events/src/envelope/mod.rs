//! Making and reading envelopes: ids, encoding into a buffer that is reused, decoding with typed errors.
//!
//! The head is always borrowed and nothing is allocated: the two bodies of the hot path (meter samples, status) have a writer of
//! their own for borrowed values, and [`encode_body`] takes any body that exists already. The bytes are those of `prost`.

mod hot;
mod id;
mod wire;

use prost::{Message, bytes::Bytes};

pub use self::{
    hot::{MeterSample, StatusChange, encode_body, encode_meter_sampled, encode_status_changed},
    id::next_event_id,
};
use crate::proto::{Envelope, Leftover, Protocol, envelope::Body};

/// Everything in an envelope but its body and leftovers, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// From [`next_event_id`].
    pub event_id: [u8; 16],
    /// Never 0.
    pub tenant: u64,
    pub charger: &'a str,
    /// 1.., 0 = the whole charger.
    pub connector: u32,
    pub protocol: Protocol,
    pub epoch: u64,
    /// 1, 2, 3 .. within (charger, epoch).
    pub number: u64,
    /// The charger's clock where it gave a time, else `received_at_ms`. UTC ms.
    pub occurred_at_ms: i64,
    /// The gateway's clock, UTC ms.
    pub received_at_ms: i64,
    pub node: &'a str,
    /// W3C, empty = none.
    pub traceparent: &'a str,
}

/// What the charger said and no field holds: a name, and the bytes.
pub type Rest<'a> = (&'a str, &'a [u8]);

impl Head<'_> {
    /// The envelope as an owned message, for bodies off the hot path.
    #[must_use]
    pub fn envelope(&self, leftovers: &[Rest<'_>], body: Body) -> Envelope {
        let leftover =
            |(name, value): &Rest<'_>| Leftover { name: (*name).to_owned(), value: Bytes::copy_from_slice(value) };
        Envelope {
            event_id: Bytes::copy_from_slice(&self.event_id),
            tenant: self.tenant,
            charger: self.charger.to_owned(),
            connector: self.connector,
            protocol: self.protocol.into(),
            epoch: self.epoch,
            number: self.number,
            occurred_at_ms: self.occurred_at_ms,
            received_at_ms: self.received_at_ms,
            node: self.node.to_owned(),
            traceparent: self.traceparent.to_owned(),
            leftovers: leftovers.iter().map(leftover).collect(),
            body: Some(body),
        }
    }
}

/// Replaces the contents of `out` by the envelope's bytes.
pub fn encode(envelope: &Envelope, out: &mut Vec<u8>) {
    out.clear();
    envelope.encode_raw(out); // a Vec has room for everything
}

/// Why bytes are no event of ours. None of them gets better by waiting: such a record belongs into the dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("not a Protobuf envelope: {0}")]
    Wire(#[from] prost::DecodeError),
    #[error("the event id has {0} bytes instead of 16")]
    EventId(usize),
    #[error("no tenant")]
    NoTenant,
    #[error("no charger")]
    NoCharger,
    /// Also what a body of a newer release looks like.
    #[error("no body that this release knows")]
    NoBody,
}

impl DecodeError {
    /// For metrics: a closed set.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Wire(_) => "wire",
            Self::EventId(_) => "event_id",
            Self::NoTenant => "no_tenant",
            Self::NoCharger => "no_charger",
            Self::NoBody => "no_body",
        }
    }
}

/// Reads an envelope and checks what every event has.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    let envelope = Envelope::decode(bytes)?;
    if envelope.event_id.len() != 16 {
        return Err(DecodeError::EventId(envelope.event_id.len()));
    }
    if envelope.tenant == 0 {
        return Err(DecodeError::NoTenant);
    }
    if envelope.charger.is_empty() {
        return Err(DecodeError::NoCharger);
    }
    if envelope.body.is_none() {
        return Err(DecodeError::NoBody);
    }
    Ok(envelope)
}

/// The JSON form for people; see [`crate::json`].
#[must_use]
pub fn to_json(envelope: &Envelope) -> serde_json::Value {
    crate::json::event(envelope)
}
