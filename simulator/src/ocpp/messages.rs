//! Messages of a charge point, out and in: calls one at a time, their answers, and frames of the WebSocket.

use std::sync::atomic::Ordering::Relaxed;

use codecs::ocpp::{Envelope, scan_envelope, write_call_raw};
use rand::Rng;
use serde_json::Value;

use super::calls::{About, Call, Fate, TX_ID};
use super::{Boot, Link, OcppCharger};
use crate::charger::{Hangup, Now, Outbox};
use crate::wire::ws;

impl OcppCharger {
    /// Sends queued calls as long as none is on its way.
    pub(super) fn pump(&mut self, now: Now, out: &mut Outbox) {
        if self.link != Link::Up {
            return;
        }
        while let Some(mut call) = self.calls.next(now.at, self.boot == Boot::Accepted) {
            let Some(payload) = self.filled(&call) else {
                // Meter values of a transaction whose start was given up: the platform never heard of it.
                self.sample_lost(&call.about);
                continue;
            };
            if call.id.is_empty() || !self.retries_keep_id {
                call.id = format!("{:08x}-{:08x}", self.rng.random::<u32>(), self.rng.random::<u32>());
            }
            if call.transmissions > 0 {
                self.world.counters.retries.fetch_add(u64::from(!call.again), Relaxed);
            }
            call.transmissions += 1;
            if let About::StopTx(key) = &call.about
                && let Some(entry) = self.transactions.get(key).and_then(|tx| tx.entry)
            {
                self.world.ledger.update(entry, |line| line.transmissions += 1);
            }
            let mut text = Vec::new();
            write_call_raw(&mut text, &call.id, call.action, &payload);
            self.text(&text, out);
            let wait = self.world.paced(30_000, self.world.floors.ocpp_call_ms);
            self.calls.sent(call, now.at + wait);
        }
    }

    /// The payload with its transaction id. A stop of a transaction without an id says -1, as stations do; meter values of one
    /// are not sent.
    pub(super) fn filled(&self, call: &Call) -> Option<String> {
        let key = match &call.about {
            About::TxMeter(key, ..) | About::StopTx(key) if !call.again => key,
            _ => return Some(call.payload.clone()),
        };
        let id = self.transactions.get(key).and_then(|tx| tx.id);
        match (id, &call.about) {
            (Some(id), _) => Some(call.payload.replace(TX_ID, &id.to_string())),
            (None, About::StopTx(_)) => Some(call.payload.replace(TX_ID, "-1")),
            (None, _) => None,
        }
    }

    /// A time-out or a CALLERROR.
    pub(super) fn call_failed(&mut self, now: Now, call: Call) {
        if call.again {
            return;
        }
        let attempts = self.settings.number("TransactionMessageAttempts");
        let stated = self.settings.number("TransactionMessageRetryInterval").saturating_mul(1000);
        let interval = self.world.paced(stated, self.world.floors.ocpp_retry_ms);
        match self.calls.failed(now.at, call, attempts, interval) {
            Fate::Retry => {}
            Fate::Lost(call) => self.transaction_message_lost(&call.about),
            Fate::Dropped(call) => match call.about {
                About::Boot => self.boot = Boot::Due(now.at + self.world.paced(30_000, self.world.floors.request_ms)),
                About::Authorize { connector } => self.authorize_failed(now, connector),
                _ => {}
            },
        }
    }

    pub(super) fn frame(&mut self, now: Now, frame: ws::Frame<'_>, out: &mut Outbox) -> Result<(), Hangup> {
        match frame.opcode {
            ws::PING => {
                let mut pong = Vec::new();
                ws::write_frame(&mut pong, ws::PONG, frame.payload, self.rng.random());
                out.plain(pong);
                Ok(())
            }
            ws::PONG => Ok(()),
            ws::CLOSE => {
                let mut close = Vec::new();
                ws::write_frame(&mut close, ws::CLOSE, frame.payload.get(..2).unwrap_or_default(), self.rng.random());
                out.plain(close);
                Err(Hangup::Closed)
            }
            ws::TEXT | ws::CONTINUATION if frame.fin && self.fragments.is_empty() => {
                self.message(now, frame.payload, out);
                Ok(())
            }
            ws::TEXT | ws::CONTINUATION => {
                self.fragments.extend_from_slice(frame.payload);
                if frame.fin {
                    let whole = std::mem::take(&mut self.fragments);
                    self.message(now, &whole, out);
                }
                Ok(())
            }
            _ => Err(Hangup::Garbage),
        }
    }

    pub(super) fn message(&mut self, now: Now, bytes: &[u8], out: &mut Outbox) {
        self.world.counters.messages_received.fetch_add(1, Relaxed);
        let Some(envelope) = std::str::from_utf8(bytes).ok().and_then(|text| scan_envelope(text).ok()) else {
            return self.bad();
        };
        let payload: Value = serde_json::from_str(envelope.payload()).unwrap_or(Value::Null);
        match envelope {
            Envelope::Call { id, action, .. } => self.order(now, &id, action.as_str(), &payload, out),
            Envelope::CallResult { id, .. } => match self.calls.answered(id.as_str()) {
                Some(call) => self.answered(now, call, &payload),
                // Late: we gave it up.
                None => self.bad(),
            },
            Envelope::CallError { id, .. } => {
                self.bad();
                if let Some(call) = self.calls.answered(id.as_str()) {
                    self.call_failed(now, call);
                }
            }
            // OCPP 2.1 only.
            Envelope::CallResultError { .. } | Envelope::Send { .. } => self.bad(),
        }
    }

    pub(super) fn answered(&mut self, now: Now, call: Call, answer: &Value) {
        if call.again {
            return self.check_again(&call, answer);
        }
        // With its id filled in: once the stop is confirmed, the transaction is forgotten.
        let duplicate = (call.about.is_transactional() && self.duplicates.duplicates_record())
            .then(|| self.filled(&call))
            .flatten()
            .map(|payload| call.with_payload(payload));
        match call.about {
            About::Boot => self.booted(now, answer),
            About::Heartbeat | About::Status { .. } | About::Meter => {}
            About::Authorize { connector } => self.authorize_answered(now, connector, answer),
            About::StartTx(key) => self.start_confirmed(now, key, answer),
            About::TxMeter(key, at_ms, energy_e4) => self.sample_confirmed(key, at_ms, energy_e4),
            About::StopTx(key) => self.stop_confirmed(key),
        }
        if let Some(call) = duplicate {
            self.world.counters.duplicates.fetch_add(1, Relaxed);
            self.calls.push_again(now.at, call);
        }
    }

    /// A repeated start must get the transaction id of the first one.
    pub(super) fn check_again(&mut self, call: &Call, answer: &Value) {
        if let About::StartTx(key) = call.about {
            let id = answer.get("transactionId").and_then(Value::as_i64);
            if self.transactions.get(&key).is_some_and(|tx| tx.id != id) {
                self.bad();
            }
        }
    }

    pub(super) fn bad(&self) {
        self.world.counters.messages_bad.fetch_add(1, Relaxed);
    }
}
