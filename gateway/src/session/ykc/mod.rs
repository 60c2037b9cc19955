//! A YKC connection (V1.6 §6): usually one pile, several behind a concentrator. Frames are routed by the pile id in each body;
//! frames of a pile that is not logged in here are not answered.

mod authorize;
mod commands;
mod live;
mod login;
mod push;
mod record;
mod stops;
mod tariff;

use std::sync::Arc;

use codecs::{
    error::FrameError,
    ykc::{self, CrcOrder, Frame, FrameStyle, LengthRule, Message, PileId, kind},
};
use events::{
    commands::Command,
    proto::{Disconnected, VendorMessage, envelope::Body as EventBody},
};

use self::{
    authorize::WaitingStarts,
    commands::Pending,
    live::Gun,
    push::{Push, Unanswered},
    record::RecordAnswer,
};
use super::{Class, CloseReason, Context, Effects, Malformed, Note, Voice, pending::Money};
use crate::{registry::Seat, translate};

const DAY_MS: u64 = 24 * 3_600_000;

/// The protocol state of one connection.
#[derive(Debug, Default)]
pub struct YkcSession {
    piles: Vec<Pile>,
    money: Money<RecordAnswer>,
    /// Starts that are answered when the log has them.
    starts: Option<Box<WaitingStarts>>,
    /// Unusable frames since the last good one.
    bad: u16,
    /// Number of the next frame that we begin (§2.3).
    sequence: u16,
    /// Checksum orders seen from this peer.
    low_first: bool,
    high_first: bool,
    /// Somebody logged in once: the login deadline is over.
    greeted: bool,
}

/// One logged-in pile.
#[derive(Debug)]
struct Pile {
    id: PileId,
    voice: Voice,
    guns: Vec<Gun>,
    pending: Vec<Pending>,
    heard_ms: u64,
    synced_ms: u64,
    /// Platform time of the oldest 0x56 whose answer may still come.
    told_ms: i64,
    /// How many answers may still come.
    unanswered: u8,
    /// The registry has it no more: it is answered what it told us, and then it goes.
    leaving: bool,
    /// Guns that it named at login.
    gun_count: u8,
    /// The business side was told that it does not take its prices.
    refuses_prices: bool,
    /// Fingerprint of the billing model that it has; 0 = not known.
    holds: u64,
    /// A billing model that it has to be sent.
    push: Option<Box<Push>>,
    /// Billing models that it was sent and has not answered.
    models_sent: Option<Box<Unanswered>>,
    /// Until then a gun may charge that we have not heard of: since the login, or because a start was let through. Monotonic, ms.
    unsure_until_ms: u64,
    /// A start was let through.
    let_start: bool,
}

impl YkcSession {
    /// A connection that has not said anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A frame with a right checksum.
    pub fn on_frame(&mut self, cx: &Context<'_>, frame: &Frame<'_>, fx: &mut Effects) {
        match frame.crc_order {
            CrcOrder::HighFirst if !self.high_first => {
                self.high_first = true;
                fx.notes.push(Note::Quirk("crc_order"));
            }
            CrcOrder::HighFirst => {}
            _ => self.low_first = true,
        }
        if frame.length_rule != LengthRule::Standard {
            fx.notes.push(Note::Quirk("length_dialect"));
        }
        match frame.message() {
            Ok(message) => {
                if self.route(cx, frame, &message, fx) {
                    self.bad = 0;
                }
            }
            Err(_) if frame.kind == kind::RECORD => self.on_unparsable_record(cx, frame, fx),
            Err(_) => self.on_bad(cx, Malformed::Body, fx),
        }
    }

    /// Bytes that are no frame. Only as many in a row as the settings allow end the connection.
    pub fn on_frame_error(&mut self, cx: &Context<'_>, error: &FrameError, fx: &mut Effects) {
        let kind = match error {
            FrameError::NoStart { .. } => Malformed::Garbage,
            FrameError::BadLength { .. } | FrameError::BadHeader { .. } | FrameError::Truncated { .. } => {
                Malformed::Length
            }
            FrameError::BadCrc { .. } => Malformed::Crc,
            FrameError::Encrypted { .. } => Malformed::Encrypted,
        };
        self.on_bad(cx, kind, fx);
    }

    fn on_bad(&mut self, cx: &Context<'_>, kind: Malformed, fx: &mut Effects) {
        fx.malformed(kind);
        self.bad = self.bad.saturating_add(1);
        if u32::from(self.bad) >= cx.settings.bad_in_a_row.min(u16::MAX.into()) {
            fx.close(CloseReason::TooManyBad);
        }
    }

    /// True if the frame could be used.
    fn route(&mut self, cx: &Context<'_>, frame: &Frame<'_>, message: &Message<'_>, fx: &mut Effects) -> bool {
        if let Message::Login(login) = message {
            self.on_login(cx, frame.seq, login, fx);
            return true;
        }
        let named = message.pile().or_else(|| pile_of_unknown(frame.kind, frame.body));
        let Some(index) = named.and_then(|id| self.index_of(id)) else {
            fx.malformed(Malformed::NotLoggedIn);
            return false;
        };
        let style = self.style();
        let Some(pile) = self.piles.get_mut(index) else { return false };
        if pile.voice.seat.is_fenced() || pile.leaving {
            // Told soon; until then it may not speak.
            return false;
        }
        pile.heard_ms = cx.now.mono_ms;
        match message {
            Message::Heartbeat(beat) => {
                let ack = ykc::HeartbeatAck { pile: beat.pile(), gun: beat.gun(), ack: 0 };
                ykc::encode_styled(frame.seq, &ack, style, &mut fx.out);
                if cx.settings.sync_time && cx.now.mono_ms.saturating_sub(pile.synced_ms) >= DAY_MS {
                    self.sync_time(cx, index, fx);
                }
            }
            Message::RealTime(view) => {
                pile.on_real_time(cx, view, fx);
                self.stops_go_on(cx, index, view.gun(), fx);
            }
            Message::ModelCheck(check) => pile.on_model_check(cx, frame.seq, check, style, fx),
            Message::ModelRequest(_) => pile.on_model_request(cx, frame.seq, style, fx),
            Message::StartRequest(request) => self.on_start_request(cx, frame.seq, index, request, fx),
            Message::Record(record) => self.on_record(cx, frame.seq, index, record, frame.body, fx),
            Message::RemoteStartReply(reply) => pile.on_start_reply(cx, reply, fx),
            Message::RemoteStopReply(reply) => pile.on_stop_reply(cx, reply, fx),
            Message::BalanceReply(reply) => {
                pile.on_reply(cx, kind::BALANCE_REPLY, None, reply.result().code() == 0, reply.result().code(), fx);
            }
            Message::ModelSetReply(reply) => pile.on_model_set_reply(cx, reply.result().code(), fx),
            Message::RebootReply(reply) => {
                pile.on_reply(cx, kind::REBOOT_REPLY, None, reply.result().code() == 1, reply.result().code(), fx);
            }
            Message::TimeSyncReply(reply) => pile.on_time_sync_reply(cx, reply.time(), fx),
            _ => return self.on_other(cx, frame, index, fx),
        }
        true
    }

    /// Frames without a field table here: ground lock, BMS data, records of other versions, whatever vendors add.
    fn on_other(&mut self, cx: &Context<'_>, frame: &Frame<'_>, index: usize, fx: &mut Effects) -> bool {
        const RECORD_V17: u8 = 0x3d;
        if frame.kind == RECORD_V17 {
            return self.on_record_v17(cx, frame, index, fx);
        }
        let Some(pile) = self.piles.get_mut(index) else { return false };
        let connector = gun_of_unknown(frame.kind, frame.body).map_or(0, |gun| u32::from(gun.number()));
        match frame.kind {
            0x61 => match translate::ykc::ground_lock(frame.body) {
                Some(report) => {
                    pile.voice.say(cx, fx, Class::Status, connector, EventBody::GroundLockReported(report));
                }
                None => {
                    self.on_bad(cx, Malformed::Body, fx);
                    return false;
                }
            },
            kind if !kind::from_charger(kind) => {
                // A frame of the platform's direction: a peer that mirrors us, or a wrong wiring. Not an event.
                self.on_bad(cx, Malformed::Unasked, fx);
                return false;
            }
            kind => {
                if kind == 0x19 {
                    pile.on_charge_end(cx, frame.body, fx);
                }
                let class = if is_bms(kind) { Class::Live } else { Class::Kept };
                let message = VendorMessage { kind: format!("{kind:#04x}"), payload: frame.body.to_vec().into() };
                pile.voice.say(cx, fx, class, connector, EventBody::VendorMessage(message));
            }
        }
        true
    }

    /// The log confirmed a money event or a start, or failed to.
    pub fn on_ack(&mut self, cx: &Context<'_>, ticket: u32, durable: bool, fx: &mut Effects) {
        if self.on_start_ack(cx.now.mono_ms, ticket, durable, fx) {
            return;
        }
        if !durable {
            // A start that was refused already waits for nothing.
            if self.money.holds(ticket) {
                fx.close(CloseReason::LogUnavailable);
            }
            return;
        }
        let Some((answer, waited_ms)) = self.money.confirm(ticket, cx.now.mono_ms) else { return };
        let pile = self.piles.iter_mut().find(|pile| pile.voice.seat.epoch == answer.epoch);
        if let Some(pile) = pile.filter(|pile| !pile.voice.seat.is_fenced()) {
            pile.on_settled(cx, answer.trade_no, fx);
        }
        // A pile that lost its seat meanwhile is not spoken to: the newer connection gets the repeated record.
        if self.piles.iter().any(|pile| pile.voice.seat.epoch == answer.epoch && !pile.voice.seat.is_fenced()) {
            let confirm = ykc::RecordConfirm { trade_no: answer.trade_no, result: answer.result };
            ykc::encode_styled(answer.seq, &confirm, self.style(), &mut fx.out);
            fx.notes.push(Note::MoneyAnswered(waited_ms));
        } else {
            fx.notes.push(Note::MoneyUnanswered(1));
        }
        self.let_go(cx, fx);
    }

    /// The business side wants something done. False: the pile is not here (any more).
    pub fn on_command(&mut self, cx: &Context<'_>, command: &Arc<Command>, fx: &mut Effects) -> bool {
        let here = |pile: &Pile| *pile.voice.seat.charger == *command.charger && !pile.voice.seat.is_fenced();
        let Some(index) = self.piles.iter().position(here) else { return false };
        self.carry_out(cx, index, command, fx);
        true
    }

    /// The registry has this seat's charger no more, or has disabled it: nothing is taken from it any more, and it goes when
    /// what was taken is answered. Other piles of a concentrator stay.
    pub fn on_removed(&mut self, cx: &Context<'_>, seat: &Seat, fx: &mut Effects) {
        if let Some(pile) = self.piles.iter_mut().find(|pile| pile.voice.seat.epoch == seat.epoch) {
            pile.leaving = true;
            self.let_go(cx, fx);
        }
    }

    /// Ends the sessions of removed piles that have all their answers.
    fn let_go(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        let money = &self.money;
        let answered = |pile: &Pile| !money.any(|answer| answer.epoch == pile.voice.seat.epoch);
        let gone: Vec<Pile> = self.piles.extract_if(.., |pile| pile.leaving && answered(pile)).collect();
        if gone.is_empty() {
            return;
        }
        for mut pile in gone {
            pile.finish(cx, CloseReason::Removed, fx);
        }
        if self.piles.is_empty() {
            fx.close(CloseReason::Removed);
        }
    }

    /// A newer login took this seat's charger over.
    pub fn on_fenced(&mut self, cx: &Context<'_>, seat: &Seat, fx: &mut Effects) {
        let lost: Vec<Pile> = self.piles.extract_if(.., |pile| pile.voice.seat.epoch == seat.epoch).collect();
        for mut pile in lost {
            pile.finish(cx, CloseReason::Superseded, fx);
        }
        if self.piles.is_empty() && self.greeted {
            fx.close(CloseReason::Superseded);
        }
    }

    /// Looks at the deadlines. `login_over`: the time for a login has passed.
    pub fn on_tick(&mut self, cx: &Context<'_>, login_over: bool, fx: &mut Effects) {
        let now = cx.now.mono_ms;
        if !self.greeted {
            if login_over {
                fx.close(CloseReason::LoginTimeout);
            }
            return;
        }
        if self.money.overdue(now, cx.settings.ack_ms) {
            fx.close(CloseReason::LogUnavailable);
            return;
        }
        self.refuse_late_starts(cx, fx);
        let silence = cx.settings.ykc_silence_ms;
        let silent: Vec<Pile> =
            self.piles.extract_if(.., |pile| now.saturating_sub(pile.heard_ms) >= silence).collect();
        for mut pile in silent {
            pile.finish(cx, CloseReason::Silent, fx);
        }
        if self.piles.is_empty() {
            fx.close(CloseReason::Silent);
            return;
        }
        for index in 0..self.piles.len() {
            if let Some(pile) = self.piles.get_mut(index) {
                pile.expire(cx, fx);
                self.push_model(cx, index, fx);
            }
        }
    }

    /// The connection ends.
    pub fn finish(&mut self, cx: &Context<'_>, reason: CloseReason, fx: &mut Effects) {
        for mut pile in self.piles.drain(..) {
            pile.finish(cx, reason, fx);
        }
        if self.money.len() > 0 {
            fx.notes.push(Note::MoneyUnanswered(u32::try_from(self.money.len()).unwrap_or(u32::MAX)));
            self.money.clear();
        }
    }

    /// Money that waits for the log.
    #[must_use]
    pub fn money_waiting(&self) -> usize {
        self.money.len()
    }

    /// Has to be looked at every sweep: something waits for time to pass.
    #[must_use]
    pub fn has_deadlines(&self) -> bool {
        !self.greeted
            || self.money.len() > 0
            || self.starts.is_some()
            || self.piles.len() > 1
            || self.piles.iter().any(Pile::has_deadlines)
    }

    /// A goodbye now would interrupt something.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.money.len() > 0
            || self.starts.is_some()
            || self.piles.iter().any(|pile| !pile.pending.is_empty() || pile.is_charging())
    }

    /// Number of logged-in piles.
    #[must_use]
    pub fn seats(&self) -> usize {
        self.piles.len()
    }

    fn index_of(&self, id: PileId) -> Option<usize> {
        self.piles.iter().position(|pile| pile.id == id)
    }

    /// How we write frames: as the standard says, unless the peer only ever did otherwise.
    const fn style(&self) -> FrameStyle {
        let crc_order = if self.high_first && !self.low_first { CrcOrder::HighFirst } else { CrcOrder::LowFirst };
        FrameStyle { crc_order, length_rule: LengthRule::Standard, encryption: 0 }
    }

    fn next_sequence(&mut self) -> [u8; 2] {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        sequence.to_le_bytes()
    }

    fn sync_time(&mut self, cx: &Context<'_>, index: usize, fx: &mut Effects) {
        let (seq, style) = (self.next_sequence(), self.style());
        let Some(pile) = self.piles.get_mut(index) else { return };
        ykc::encode_styled(seq, &pile.tell_time(cx), style, &mut fx.out);
    }
}

impl Pile {
    /// Something waits for time to pass. A model that waits for the end of a session does not: a frame brings that.
    fn has_deadlines(&self) -> bool {
        !self.pending.is_empty() || self.push.is_some() && !self.is_charging()
    }

    /// Its connection is gone or another one has it: what it was asked is told lost, and that it left.
    fn finish(&mut self, cx: &Context<'_>, reason: CloseReason, fx: &mut Effects) {
        self.lose_commands(cx, fx);
        self.lose_push(fx);
        // Fails if a newer login holds the charger: then it did not leave.
        if cx.live.release(&self.voice.seat) {
            let body = EventBody::Disconnected(Disconnected { reason: reason.label().to_owned() });
            self.voice.say(cx, fx, Class::Kept, 0, body);
        }
    }
}

const fn is_bms(kind: u8) -> bool {
    matches!(kind, 0x15 | 0x17 | 0x19 | 0x1b | 0x1d | 0x21 | 0x23 | 0x25)
}

/// Bodies of a session begin with the trade number (16 bytes), others with the pile id.
const fn id_offset(kind: u8) -> usize {
    if is_bms(kind) || kind == 0x3d { 16 } else { 0 }
}

fn pile_of_unknown(kind: u8, body: &[u8]) -> Option<PileId> {
    body.get(id_offset(kind)..)?.first_chunk().copied().map(PileId)
}

fn gun_of_unknown(kind: u8, body: &[u8]) -> Option<ykc::Gun> {
    (is_bms(kind) || matches!(kind, 0x61 | 0x63 | 0x3d))
        .then(|| body.get(id_offset(kind) + 7).copied().map(ykc::Gun))
        .flatten()
}
