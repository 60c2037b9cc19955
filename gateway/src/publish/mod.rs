//! Events to the log: the envelope is written into a buffer that is reused, from borrowed parts, and handed over at once.
//! The log copies it; nothing of it is kept here.

mod ids;
pub mod queue;

use std::sync::Arc;

use events::{
    log::{Ack, AckSink, Append, AppendError, EventLog},
    prost::encoding,
    proto::{Protocol, SessionClaimed, envelope::Body},
    topic::Topic,
};

pub use ids::EventIds;

use crate::{
    registry::{Address, Seat},
    session::{Event, What, pending::TICKET_MASK},
};

/// The head of an envelope: every field but the body.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// UUIDv7.
    pub event_id: [u8; 16],
    /// Whose event it is.
    pub seat: &'a Seat,
    /// This node.
    pub node: &'a str,
}

/// Appends the envelope of an event, as `evgate.events.v1.Envelope` on the wire.
///
/// By hand for the head, because prost's `Envelope` would need four strings of its own per event.
pub fn encode_envelope(head: &Head<'_>, event: &Event, body: &Body, out: &mut Vec<u8>) {
    tag(1, encoding::WireType::LengthDelimited, out);
    bytes(&head.event_id, out);
    uint(2, head.seat.tenant, out);
    text(3, &head.seat.charger, out);
    uint(4, u64::from(event.connector), out);
    uint(5, head.seat.protocol as u64, out);
    uint(6, head.seat.epoch, out);
    uint(7, event.number, out);
    uint(8, event.occurred_at_ms.cast_unsigned(), out);
    uint(9, event.received_at_ms.cast_unsigned(), out);
    text(10, head.node, out);
    for leftover in &event.leftovers {
        encoding::message::encode(12, leftover, out);
    }
    body.encode(out);
}

fn tag(field: u32, wire: encoding::WireType, out: &mut Vec<u8>) {
    encoding::encode_key(field, wire, out);
}

fn bytes(value: &[u8], out: &mut Vec<u8>) {
    encoding::encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn text(field: u32, value: &str, out: &mut Vec<u8>) {
    if !value.is_empty() {
        tag(field, encoding::WireType::LengthDelimited, out);
        bytes(value.as_bytes(), out);
    }
}

fn uint(field: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        tag(field, encoding::WireType::Varint, out);
        encoding::encode_varint(value, out);
    }
}

/// What the log hands back with a confirmation: the connection (slot and generation in its shard) and the money it is for.
#[must_use]
pub fn token(address: Address, ticket: u32) -> u64 {
    (u64::from(address.slot) << 40) | (u64::from(address.generation) << 24) | u64::from(ticket & TICKET_MASK)
}

/// The parts of a token: slot, generation, ticket.
#[must_use]
pub const fn untoken(token: u64) -> (u32, u16, u32) {
    let ticket = (token & TICKET_MASK as u64) as u32;
    ((token >> 40) as u32, ((token >> 24) & 0xffff) as u16, ticket)
}

/// A shard's door to the log.
pub struct Publisher {
    log: Arc<dyn EventLog>,
    sink: Arc<dyn AckSink>,
    node: Box<str>,
    ids: EventIds,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Publisher {
    /// A door; confirmations of money go to `sink`.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, sink: Arc<dyn AckSink>, node: &str, seed: u64) -> Self {
        Self { log, sink, node: node.into(), ids: EventIds::new(seed), buffer: Vec::with_capacity(1024) }
    }

    /// Hands an event to the log.
    ///
    /// # Errors
    /// When the log does not take it now; the caller keeps, sheds or closes.
    pub fn publish(&mut self, event: &Event, address: Address) -> Result<(), AppendError> {
        self.buffer.clear();
        let ack = if event.ticket == 0 {
            Ack::None
        } else {
            Ack::Notify { sink: Arc::clone(&self.sink), token: token(address, event.ticket) }
        };
        let key = event.seat.charger.as_bytes();
        match &event.what {
            What::Body(body) => {
                let event_id = self.ids.next(event.received_at_ms);
                let head = Head { event_id, seat: &event.seat, node: &self.node };
                encode_envelope(&head, event, body, &mut self.buffer);
                self.log.append(Append { topic: event.topic(), key, payload: Some(&self.buffer), headers: &[] }, ack)
            }
            What::DeadLetter { bytes, why } => {
                let received = event.received_at_ms.to_string();
                let epoch = event.seat.epoch.to_string();
                let headers: [(&str, &[u8]); 5] = [
                    ("reason", why.as_bytes()),
                    ("node", self.node.as_bytes()),
                    ("epoch", epoch.as_bytes()),
                    ("protocol", event.seat.protocol.as_str_name().as_bytes()),
                    ("received_at_ms", received.as_bytes()),
                ];
                self.log.append(Append { topic: Topic::DeviceDlq, key, payload: Some(bytes), headers: &headers }, ack)
            }
        }
    }

    /// Publishes a claim, or its release, on `ev.session.v1`.
    ///
    /// # Errors
    /// As [`Self::publish`]. A claim that does not fit is only late: the next login repeats it.
    pub fn claim(&mut self, seat: &Arc<Seat>, claim: SessionClaimed, now_ms: i64) -> Result<(), AppendError> {
        self.buffer.clear();
        let event = Event {
            seat: Arc::clone(seat),
            class: crate::session::Class::Kept,
            connector: 0,
            number: 0,
            occurred_at_ms: now_ms,
            received_at_ms: now_ms,
            ticket: 0,
            leftovers: Vec::new(),
            what: What::Body(Body::SessionClaimed(claim)),
        };
        let What::Body(body) = &event.what else { return Ok(()) };
        let head = Head { event_id: self.ids.next(now_ms), seat, node: &self.node };
        encode_envelope(&head, &event, body, &mut self.buffer);
        let key = seat.charger.as_bytes();
        self.log.append(Append { topic: Topic::Session, key, payload: Some(&self.buffer), headers: &[] }, Ack::None)
    }
}

/// The protocol's word in a `RegistryEntry` charger.
#[must_use]
pub fn protocol_matches(registered: &str, protocol: Protocol) -> bool {
    match protocol {
        Protocol::Ykc => registered.eq_ignore_ascii_case("ykc"),
        Protocol::Ocpp16 => registered.eq_ignore_ascii_case("ocpp1.6"),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use events::{
        prost::Message as _,
        proto::{Envelope, Leftover, MeterSampled},
    };
    use proptest::prelude::*;

    use super::*;
    use crate::session::Class;

    proptest! {
        #[test]
        fn the_hand_written_head_is_what_prost_reads(
            charger in "[!-~]{1,48}", tenant: u64, epoch: u64, number: u64,
            occurred: i64, received: i64, connector: u32, energy: Option<u64>,
        ) {
            let seat = Seat::detached(&charger, tenant, Protocol::Ykc, epoch);
            let body = Body::MeterSampled(MeterSampled { energy_e4: energy, ..MeterSampled::default() });
            let event = Event {
                seat: Arc::clone(&seat), class: Class::Live, connector, number, occurred_at_ms: occurred,
                received_at_ms: received, ticket: 0,
                leftovers: vec![Leftover { name: "x".into(), value: vec![1, 2].into() }],
                what: What::Body(body.clone()),
            };
            let mut out = Vec::new();
            encode_envelope(&Head { event_id: [7; 16], seat: &seat, node: "n1" }, &event, &body, &mut out);
            let expected = Envelope {
                event_id: vec![7; 16].into(), tenant, charger, connector, protocol: Protocol::Ykc.into(), epoch, number,
                occurred_at_ms: occurred, received_at_ms: received, node: "n1".into(), traceparent: String::new(),
                leftovers: event.leftovers.clone(), body: Some(body),
            };
            prop_assert_eq!(Envelope::decode(&out[..]).unwrap(), expected);
        }

        #[test]
        fn a_token_names_connection_and_ticket(slot in 0..1u32 << 24, generation: u16, ticket in 1..=TICKET_MASK) {
            let address = Address { shard: 3, generation, slot };
            prop_assert_eq!(untoken(token(address, ticket)), (slot, generation, ticket));
        }
    }
}
