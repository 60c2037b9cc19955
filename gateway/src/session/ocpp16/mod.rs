//! An OCPP 1.6 connection, after its upgrade: JSON messages in, JSON messages out (OCPP-J 1.6 §4).

mod calls;
mod commands;
mod identity;
mod transactions;

use std::sync::Arc;

use codecs::{
    ocpp::{Envelope, EnvelopeErrorKind, MessageId, Payload, scan_envelope, write_error, write_result},
    ws::{CloseCode, Opcode, frame_with, write_close, write_frame},
};
use events::{
    commands::Command,
    proto::{Connected, ConnectorStatus, Disconnected, envelope::Body as EventBody},
};

pub use self::identity::{Refused, judge_upgrade};
use self::{commands::Outstanding, transactions::Held};
use super::{Class, CloseReason, Context, Effects, Malformed, Note, Voice, pending::Money};
use crate::registry::Seat;

/// The protocol state of one connection.
#[derive(Debug)]
pub struct Ocpp16Session {
    voice: Voice,
    money: Money<Held>,
    connectors: Vec<Connector>,
    /// Commands that wait for their turn.
    queue: Vec<Arc<Command>>,
    /// The CALL that the station has not answered yet: one at a time (OCPP-J 1.6 §4.1.1).
    outstanding: Option<Outstanding>,
    call_last: u32,
    bad: u32,
    /// The registry has it no more: it is answered what it told us, and then it goes.
    leaving: bool,
}

/// What a connector said last.
#[derive(Debug)]
struct Connector {
    id: u32,
    status: ConnectorStatus,
    /// Error code and info, hashed: only a difference matters.
    detail: u64,
    /// The open transaction, 0 = none seen.
    transaction: i64,
}

/// Connectors remembered per station; beyond it every status is news.
const CONNECTORS_MAX: usize = 64;

impl Ocpp16Session {
    /// Begins after the upgrade was granted: claims the charger.
    pub fn begin(cx: &Context<'_>, charger: &str, tenant: u64, fx: &mut Effects) -> Self {
        let claimed = cx.live.claim(charger, tenant, events::proto::Protocol::Ocpp16, cx.address, cx.real_ms);
        fx.fenced.extend(claimed.superseded);
        fx.claimed.push(Arc::clone(&claimed.seat));
        let mut voice = Voice::new(claimed.seat);
        let body = EventBody::Connected(Connected { remote_address: cx.remote.to_string() });
        voice.say(cx, fx, Class::Kept, 0, body);
        Self {
            voice,
            money: Money::default(),
            connectors: Vec::new(),
            queue: Vec::new(),
            outstanding: None,
            call_last: 0,
            bad: 0,
            leaving: false,
        }
    }

    /// A text message.
    pub fn on_text(&mut self, cx: &Context<'_>, text: &str, fx: &mut Effects) {
        if self.voice.seat.is_fenced() || self.leaving {
            return;
        }
        match scan_envelope(text) {
            Ok(Envelope::Call { id, action, payload }) => self.on_call(cx, id, &action, payload, fx),
            Ok(ref envelope @ Envelope::CallResult { ref id, payload }) => match envelope.check() {
                Ok(()) => self.on_result(cx, id, payload, fx),
                Err(error) => self.on_bad(cx, malformed(error.kind), fx),
            },
            Ok(Envelope::CallError { id, code, .. }) => self.on_error(cx, &id, code.as_v16(), fx),
            // Types of 2.1: ignored on 1.6 (§4.1.3).
            Ok(Envelope::CallResultError { .. } | Envelope::Send { .. }) => self.on_bad(cx, Malformed::Envelope, fx),
            Err(error) => {
                // A request whose id could be read is told; everything else is dropped (§4.2.3).
                if let Some(id) = &error.id
                    && error.kind != EnvelopeErrorKind::UnknownType
                    && text.trim_start_matches(['[', ' ', '\t', '\r', '\n']).starts_with('2')
                {
                    refuse(fx, id, &error.kind.error_code(), error.kind.label());
                }
                self.on_bad(cx, malformed(error.kind), fx);
            }
        }
    }

    /// A text that is not UTF-8, a message too long and the like were dealt with below; this is JSON in a binary frame that was
    /// no UTF-8.
    pub fn on_unreadable(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        self.on_bad(cx, Malformed::NotJson, fx);
    }

    fn on_bad(&mut self, cx: &Context<'_>, kind: Malformed, fx: &mut Effects) {
        fx.malformed(kind);
        self.bad += 1;
        if self.bad >= cx.settings.bad_in_a_row {
            self.close(fx, CloseReason::TooManyBad);
        }
    }

    /// The log confirmed a money event, or failed to.
    pub fn on_ack(&mut self, cx: &Context<'_>, ticket: u32, durable: bool, fx: &mut Effects) {
        if !durable {
            self.close(fx, CloseReason::LogUnavailable);
            return;
        }
        let Some((held, waited_ms)) = self.money.confirm(ticket, cx.now.mono_ms) else { return };
        if self.voice.seat.is_fenced() {
            fx.notes.push(Note::MoneyUnanswered(1));
            return;
        }
        held.write(fx);
        fx.notes.push(Note::MoneyAnswered(waited_ms));
        if self.leaving && self.money.len() == 0 {
            self.close(fx, CloseReason::Removed);
        }
    }

    /// A newer login took this seat's charger over.
    pub fn on_fenced(&mut self, seat: &Seat, fx: &mut Effects) {
        if seat.epoch == self.voice.seat.epoch {
            self.close(fx, CloseReason::Superseded);
        }
    }

    /// The registry has this seat's charger no more, or has disabled it: nothing is taken from it any more, and it goes when
    /// what was taken is answered.
    pub fn on_removed(&mut self, seat: &Seat, fx: &mut Effects) {
        if seat.epoch == self.voice.seat.epoch {
            self.leaving = true;
            if self.money.len() == 0 {
                self.close(fx, CloseReason::Removed);
            }
        }
    }

    /// Looks at the deadlines of money and commands.
    pub fn on_tick(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        if self.money.overdue(cx.now.mono_ms, cx.settings.ack_ms) {
            self.close(fx, CloseReason::LogUnavailable);
            return;
        }
        self.expire_command(cx, fx);
    }

    /// Asks an idle station whether it is there.
    pub fn ping(&self, fx: &mut Effects) {
        write_frame(&mut fx.out, Opcode::Ping, &[]);
    }

    /// Ends the connection with a close frame that says why.
    pub fn close(&self, fx: &mut Effects, reason: CloseReason) {
        if fx.close.is_none() {
            write_close(&mut fx.out, Some(close_code(reason)), reason.label(), None);
        }
        fx.close(reason);
    }

    /// The connection ends.
    pub fn finish(&mut self, cx: &Context<'_>, reason: CloseReason, fx: &mut Effects) {
        self.lose_commands(cx, fx);
        if self.money.len() > 0 {
            fx.notes.push(Note::MoneyUnanswered(u32::try_from(self.money.len()).unwrap_or(u32::MAX)));
            self.money.clear();
        }
        // Fails if a newer login holds the charger: then it did not leave.
        if cx.live.release(&self.voice.seat) {
            let body = EventBody::Disconnected(Disconnected { reason: reason.label().to_owned() });
            self.voice.say(cx, fx, Class::Kept, 0, body);
        }
    }

    /// Money that waits for the log.
    #[must_use]
    pub fn money_waiting(&self) -> usize {
        self.money.len()
    }

    /// Has to be looked at every sweep.
    #[must_use]
    pub fn has_deadlines(&self) -> bool {
        self.money.len() > 0 || self.outstanding.is_some()
    }

    /// A goodbye now would interrupt something.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.has_deadlines() || self.connectors.iter().any(|connector| connector.transaction != 0)
    }

    fn connector(&mut self, id: u32) -> Option<&mut Connector> {
        match self.connectors.iter().position(|known| known.id == id) {
            Some(index) => self.connectors.get_mut(index),
            None if self.connectors.len() < CONNECTORS_MAX => {
                self.connectors.reserve_exact(1);
                self.connectors.push(Connector { id, status: ConnectorStatus::Unspecified, detail: 0, transaction: 0 });
                self.connectors.last_mut()
            }
            None => None,
        }
    }
}

/// Answers a CALL.
fn reply<'p, P: Payload<'p>>(fx: &mut Effects, id: &MessageId<'_>, payload: &P) {
    // What we write conforms to the schema; if it did not, nothing is written and the station asks again.
    if let Err(error) = frame_with(&mut fx.out, Opcode::Text, |out| write_result(out, id, payload)) {
        debug_assert!(false, "an answer of ours deviates: {error}");
    }
}

/// Refuses a CALL.
fn refuse(fx: &mut Effects, id: &MessageId<'_>, code: &codecs::ocpp::ErrorCode<'_>, why: &str) {
    let written: Result<(), std::convert::Infallible> = frame_with(&mut fx.out, Opcode::Text, |out| {
        write_error(out, id, code, why);
        Ok(())
    });
    let Ok(()) = written;
}

const fn malformed(kind: EnvelopeErrorKind) -> Malformed {
    match kind {
        EnvelopeErrorKind::NotJson | EnvelopeErrorKind::TooDeep => Malformed::NotJson,
        EnvelopeErrorKind::ActionTooLong => Malformed::UnknownAction,
        _ => Malformed::Envelope,
    }
}

/// The close code of a reason.
#[must_use]
pub const fn close_code(reason: CloseReason) -> CloseCode {
    match reason {
        CloseReason::Drain | CloseReason::GatewayLost => CloseCode::SERVICE_RESTART,
        CloseReason::LogUnavailable => CloseCode::TRY_AGAIN_LATER,
        CloseReason::StreamLost => CloseCode::PROTOCOL_ERROR,
        CloseReason::Panicked => CloseCode::INTERNAL_ERROR,
        CloseReason::PeerLeft => CloseCode::NORMAL,
        _ => CloseCode::POLICY,
    }
}
