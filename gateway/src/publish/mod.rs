//! Events to the log: the envelope is written into a buffer that is reused, from borrowed parts, and handed over at once.
//! The log copies it; nothing of it is kept here.

pub mod queue;

use std::sync::Arc;

use events::{
    envelope::{Head, encode_body, next_event_id},
    log::{Ack, AckSink, Append, AppendError, EventLog, LogError},
    proto::{Protocol, SessionClaimed, envelope::Body},
    topic::Topic,
};

use crate::{
    registry::{Address, Seat},
    session::{Class, Event, What, pending::TICKET_MASK},
};

/// The head of an event's envelope.
#[must_use]
pub fn head<'a>(event: &'a Event, node: &'a str) -> Head<'a> {
    let seat = &*event.seat;
    Head {
        event_id: next_event_id(event.received_at_ms),
        tenant: seat.tenant,
        charger: &seat.charger,
        connector: event.connector,
        protocol: seat.protocol,
        epoch: seat.epoch,
        number: event.number,
        occurred_at_ms: event.occurred_at_ms,
        received_at_ms: event.received_at_ms,
        node,
        traceparent: "",
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
    pub fn new(log: Arc<dyn EventLog>, sink: Arc<dyn AckSink>, node: &str) -> Self {
        Self { log, sink, node: node.into(), buffer: Vec::with_capacity(1024) }
    }

    /// Hands an event to the log.
    ///
    /// # Errors
    /// When the log does not take it now; the caller keeps, sheds or closes.
    pub fn publish(&mut self, event: &Event, address: Address) -> Result<(), AppendError> {
        let ack = match event.class {
            _ if event.ticket != 0 => Ack::Notify { sink: Arc::clone(&self.sink), token: token(address, event.ticket) },
            Class::Money | Class::Asked | Class::Kept => Ack::Kept,
            Class::Status | Class::Live => Ack::None,
        };
        let key = event.seat.charger.as_bytes();
        match &event.what {
            What::Body(body) => {
                encode_body(&head(event, &self.node), &event.leftovers, body, &mut self.buffer);
                self.log.append(Append { topic: event.topic(), key, payload: Some(&self.buffer), headers: &[] }, ack)
            }
            What::DeadLetter { bytes, why } => {
                let received = event.received_at_ms.to_string();
                let epoch = event.seat.epoch.to_string();
                let tenant = event.seat.tenant.to_string();
                let headers: [(&str, &[u8]); 6] = [
                    ("reason", why.as_bytes()),
                    ("tenant", tenant.as_bytes()),
                    ("node", self.node.as_bytes()),
                    ("epoch", epoch.as_bytes()),
                    ("protocol", event.seat.protocol.as_str_name().as_bytes()),
                    ("received_at_ms", received.as_bytes()),
                ];
                self.log.append(Append { topic: Topic::DeviceDlq, key, payload: Some(bytes), headers: &headers }, ack)
            }
        }
    }

    /// Publishes a claim on `ev.session.v1`; `said` hears what became of it, also when it is not taken at all.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn claim(
        &mut self,
        seat: &Seat,
        claim: SessionClaimed,
        now_ms: i64,
        said: Arc<dyn AckSink>,
    ) -> Result<(), AppendError> {
        let head = Head {
            event_id: next_event_id(now_ms),
            tenant: seat.tenant,
            charger: &seat.charger,
            connector: 0,
            protocol: seat.protocol,
            epoch: seat.epoch,
            number: 0,
            occurred_at_ms: now_ms,
            received_at_ms: now_ms,
            node: &self.node,
            traceparent: "",
        };
        encode_body(&head, &[], &Body::SessionClaimed(claim), &mut self.buffer);
        let key = seat.charger.as_bytes();
        let record = Append { topic: Topic::Session, key, payload: Some(&self.buffer), headers: &[] };
        let taken = self.log.append(record, Ack::Notify { sink: Arc::clone(&said), token: 0 });
        if taken.is_err() {
            said.acked(0, Err(LogError::Closed));
        }
        taken
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_names_connection_and_ticket(slot in 0..1u32 << 24, generation: u16, ticket in 1..=TICKET_MASK) {
            let address = Address { shard: 3, generation, slot };
            prop_assert_eq!(untoken(token(address, ticket)), (slot, generation, ticket));
        }
    }
}
