//! Commands to a pile: what is sent, what answers it, and when nobody does. One of a kind per gun is in flight, because an
//! answer names no command: it is matched by pile, gun and frame type (V1.6 §2.3).

use std::sync::Arc;

use codecs::ykc::{
    self, Balance, Card, Gun, RebootWhen, RecordView, RemoteStartReplyView, RemoteStopReplyView, StartFailure, TradeNo,
    kind,
};
use events::{
    commands::{Command, command::Action},
    proto::{ClockReported, CommandOutcome, envelope::Body as EventBody},
};

use super::{DAY_MS, Pile, YkcSession, stops::MayStop};
use crate::{
    session::{Answer, Class, Context, Effects, Malformed},
    translate,
};

/// After "not plugged" the charger may say yes for this long (V1.6 §6.3).
const PLUG_IN_MS: u64 = 60_000;
/// At least this long for a start, whatever the setting: the pile checks its vehicle side first.
const START_ANSWER_MS: u64 = 30_000;

/// A command in flight.
#[derive(Debug)]
pub(super) struct Pending {
    pub command: Arc<Command>,
    /// Frame type of the answer.
    reply: u8,
    /// `None`: the answer names no gun.
    pub gun: Option<Gun>,
    deadline_ms: u64,
    /// The outcome was told already and only a better one would be news.
    told: bool,
}

impl Pending {
    pub fn is_stop(&self) -> bool {
        matches!(&self.command.action, Some(Action::StopCharging(_)))
    }

    /// A stop that waits for a word of what its gun does.
    pub fn asks_first(&self) -> bool {
        self.reply == kind::REAL_TIME && self.is_stop()
    }

    fn starts(&self, session: &str) -> bool {
        let Some(Action::StartCharging(start)) = &self.command.action else { return false };
        start.session.eq_ignore_ascii_case(session)
    }
}

impl YkcSession {
    pub(super) fn carry_out(&mut self, cx: &Context<'_>, index: usize, command: &Arc<Command>, fx: &mut Effects) {
        let style = self.style();
        // Numbers are used up by refused commands too: gaps mean nothing (§2.3).
        let seq = self.next_sequence();
        let Some(pile) = self.piles.get_mut(index) else { return };
        if command.expires_at_ms != 0 && command.expires_at_ms < cx.now.wall_ms {
            return pile.answer(cx, fx, command, CommandOutcome::Expired, "");
        }
        if pile.leaving {
            return pile.answer(cx, fx, command, CommandOutcome::Rejected, "removed");
        }
        let Some(action) = &command.action else {
            return pile.answer(cx, fx, command, CommandOutcome::Unsupported, "no_action");
        };
        let gun = Gun::from_number(u8::try_from(command.connector).unwrap_or(0));
        if matches!(action, Action::StopCharging(_)) {
            // At most one per gun, so that it needs no room of its own.
            pile.supersede_stop(cx, gun, fx);
        } else if pile.pending.len() >= cx.settings.command_queue {
            return pile.answer(cx, fx, command, CommandOutcome::QueueFull, "");
        }
        let out = &mut fx.out;
        let before = out.len();
        let outcome = match pile.prepare(cx, action, gun) {
            Ok((reply, waits_for)) if pile.in_flight(reply.reply, waits_for) => Err("in_flight"),
            Ok((reply, waits_for)) => {
                reply.write(seq, style, out);
                Ok((reply.reply, waits_for))
            }
            Err(code) => Err(code),
        };
        match outcome {
            Ok((reply, gun)) => {
                let wait = if reply == kind::REMOTE_START_REPLY {
                    cx.settings.answer_ms.max(START_ANSWER_MS)
                } else {
                    cx.settings.answer_ms
                };
                if let Action::SetTariff(set) = action
                    && let Some(model) = pile.model(cx, (!set.tariff.is_empty()).then_some(&set.tariff))
                {
                    pile.sent_model(cx, &model);
                }
                if let Action::StartCharging(start) = action {
                    pile.let_start(cx.now.mono_ms);
                    pile.expect_start(cx, command.connector, &start.session);
                }
                pile.pending.push(Pending {
                    command: Arc::clone(command),
                    reply,
                    gun,
                    deadline_ms: cx.now.mono_ms + wait,
                    told: false,
                });
            }
            Err(code) => {
                out.truncate(before);
                let outcome = match code {
                    // Sent by a process that did not live to hear the answer.
                    "running" => CommandOutcome::Accepted,
                    "in_flight" => CommandOutcome::QueueFull,
                    "unsupported" => CommandOutcome::Unsupported,
                    _ => CommandOutcome::Rejected,
                };
                pile.answer(cx, fx, command, outcome, code);
            }
        }
    }
}

/// A frame to send and the type of what answers it.
struct Outgoing {
    reply: u8,
    frame: Box<dyn ykc::Body>,
}

impl Outgoing {
    fn new(reply: u8, frame: impl ykc::Body + 'static) -> Self {
        Self { reply, frame: Box::new(frame) }
    }

    fn write(&self, seq: [u8; 2], style: ykc::FrameStyle, out: &mut Vec<u8>) {
        ykc::encode_styled(seq, &*self.frame, style, out);
    }
}

impl Pile {
    /// The frame for an action, and the gun that its answer will name; or why it is refused here.
    fn prepare(
        &mut self,
        cx: &Context<'_>,
        action: &Action,
        gun: Gun,
    ) -> Result<(Outgoing, Option<Gun>), &'static str> {
        let pile = self.id;
        let balance = |fen: i64| Balance(u32::try_from(fen.max(0)).unwrap_or(u32::MAX));
        let card = |text: &str| -> Result<Card, &'static str> {
            if text.is_empty() { Ok(Card::ZERO) } else { text.parse().map_err(|_| "bad_card") }
        };
        let needs_gun = |gun: Gun| if gun.is_whole_pile() { Err("bad_connector") } else { Ok(gun) };
        Ok(match action {
            Action::StartCharging(start) => {
                let gun = needs_gun(gun)?;
                let trade_no: TradeNo = start.session.parse().map_err(|_| "bad_session")?;
                if trade_no.is_zero() {
                    return Err("bad_session");
                }
                if self.guns.iter().any(|known| known.gun == gun && known.trade_no == trade_no) {
                    return Err("running");
                }
                let frame = ykc::RemoteStart {
                    trade_no,
                    pile,
                    gun,
                    logical_card: card(&start.logical_card)?,
                    physical_card: card(&start.physical_card)?,
                    balance: balance(start.balance_fen),
                };
                (Outgoing::new(kind::REMOTE_START_REPLY, frame), Some(gun))
            }
            Action::StopCharging(stop) => {
                let gun = needs_gun(gun)?;
                // 0x36 stops whatever runs: the check that it is still our session is ours (§5, 0x36).
                match self.may_stop(cx, gun, &stop.session) {
                    MayStop::Yes => (Outgoing::new(kind::REMOTE_STOP_REPLY, ykc::RemoteStop { pile, gun }), Some(gun)),
                    MayStop::No(code) => return Err(code),
                    // Its 0x13 decides. On its own accord a gun may say the next one minutes later.
                    MayStop::Unknown => (Outgoing::new(kind::REAL_TIME, ykc::ReadRealTime { pile, gun }), Some(gun)),
                }
            }
            Action::SetTariff(set) => {
                if self.is_charging() {
                    return Err("not_idle");
                }
                let tariff = (!set.tariff.is_empty()).then_some(set.tariff.as_str());
                let model = self.model(cx, tariff).ok_or("no_tariff")?;
                let frame = translate::ykc::billing_model(pile, &model).ok_or("not_representable")?;
                (Outgoing::new(kind::MODEL_SET_REPLY, ykc::ModelSet(frame)), None)
            }
            Action::Reboot(reboot) => {
                let when = if reboot.immediately { RebootWhen::Now } else { RebootWhen::Idle };
                (Outgoing::new(kind::REBOOT_REPLY, ykc::Reboot { pile, when }), None)
            }
            Action::SyncTime(_) => (Outgoing::new(kind::TIME_SYNC_REPLY, self.tell_time(cx)), None),
            Action::UpdateBalance(update) => {
                let gun = needs_gun(gun)?;
                let frame = ykc::BalanceUpdate {
                    pile,
                    gun,
                    physical_card: card(&update.physical_card)?,
                    balance: balance(update.balance_fen),
                };
                (Outgoing::new(kind::BALANCE_REPLY, frame), None)
            }
            Action::ReadLiveData(_) => {
                let gun = needs_gun(gun)?;
                (Outgoing::new(kind::REAL_TIME, ykc::ReadRealTime { pile, gun }), Some(gun))
            }
            Action::SendOcppCall(_) => return Err("unsupported"),
        })
    }

    /// 0x34 was sent: its session may begin.
    fn expect_start(&mut self, cx: &Context<'_>, connector: u32, session: &str) {
        let gun = Gun::from_number(u8::try_from(connector).unwrap_or(0));
        let (Ok(trade_no), Some(gun)) = (session.parse(), self.gun(gun)) else { return };
        gun.let_through(trade_no, "", cx.now.mono_ms);
    }

    pub(super) fn in_flight(&self, reply: u8, gun: Option<Gun>) -> bool {
        let same = |pending: &Pending| pending.reply == reply && pending.gun == gun && !pending.told;
        self.pending.iter().any(|pending| same(pending) && !pending.asks_first())
            || reply == kind::MODEL_SET_REPLY && self.push_in_flight()
    }

    /// A remote start is not answered, or its driver has time to plug in.
    pub(super) fn starts_in_flight(&self) -> bool {
        self.pending.iter().any(|pending| pending.reply == kind::REMOTE_START_REPLY)
    }

    pub(super) fn answer(
        &mut self,
        cx: &Context<'_>,
        fx: &mut Effects,
        command: &Command,
        outcome: CommandOutcome,
        code: &str,
    ) {
        let session = match &command.action {
            Some(Action::StartCharging(start)) => start.session.as_str(),
            Some(Action::StopCharging(stop)) => stop.session.as_str(),
            _ => "",
        };
        self.voice.answer(cx, fx, &Answer { session, ..Answer::to(command, outcome, code) });
    }

    /// The command that a frame of this type and gun answers.
    pub(super) fn take_pending(&mut self, reply: u8, gun: Option<Gun>) -> Option<Pending> {
        // Gun 00 in an answer means the whole pile (§10).
        let same =
            |pending: &Pending| pending.reply == reply && (pending.gun == gun || gun.is_none_or(Gun::is_whole_pile));
        let index = self.pending.iter().position(|pending| same(pending) && !pending.asks_first())?;
        let taken = self.pending.remove(index);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        Some(taken)
    }

    pub(super) fn on_reply(
        &mut self,
        cx: &Context<'_>,
        reply: u8,
        gun: Option<Gun>,
        ok: bool,
        code: u8,
        fx: &mut Effects,
    ) {
        let Some(pending) = self.take_pending(reply, gun) else {
            fx.malformed(Malformed::Unasked);
            return;
        };
        let outcome = if ok { CommandOutcome::Accepted } else { CommandOutcome::Rejected };
        let code = if ok { String::new() } else { format!("{code:02x}") };
        self.answer(cx, fx, &pending.command, outcome, &code);
    }

    /// 0x33. Reason 05 is not final: the driver has a minute to plug in.
    pub(super) fn on_start_reply(&mut self, cx: &Context<'_>, reply: &RemoteStartReplyView<'_>, fx: &mut Effects) {
        let Some(mut pending) = self.take_start(reply.trade_no()) else {
            fx.malformed(Malformed::Unasked);
            return;
        };
        let ok = reply.result().code() == 1;
        if ok {
            self.let_start(cx.now.mono_ms);
            self.answer(cx, fx, &pending.command, CommandOutcome::Accepted, "");
        } else {
            let code = format!("{:02x}", reply.failure().code());
            self.answer(cx, fx, &pending.command, CommandOutcome::Rejected, &code);
            if reply.failure() == StartFailure::NotPlugged && !pending.told {
                pending.told = true;
                pending.deadline_ms = cx.now.mono_ms + PLUG_IN_MS;
                self.pending.push(pending);
            } else if reply.failure() != StartFailure::NotPlugged
                && let Some(gun) = self.guns.iter_mut().find(|gun| gun.gun == reply.gun())
            {
                gun.will_not_begin(reply.trade_no());
            }
        }
    }

    /// The start of this session that has no answer yet, or not its last.
    fn take_start(&mut self, trade_no: TradeNo) -> Option<Pending> {
        if self.pending.is_empty() {
            return None;
        }
        let session = hex::encode(trade_no.0);
        let index = self.pending.iter().position(|pending| pending.starts(&session))?;
        let taken = self.pending.remove(index);
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        Some(taken)
    }

    /// 0x13 shows the session charging: what started it is answered, also where the charger has no 0x33.
    pub(super) fn start_began(&mut self, cx: &Context<'_>, trade_no: TradeNo, fx: &mut Effects) {
        if let Some(pending) = self.take_start(trade_no) {
            self.answer(cx, fx, &pending.command, CommandOutcome::Accepted, "");
        }
    }

    /// The record of the session is here. Some chargers say no 0x33 of a start that fails, and go straight to its record (§6.3).
    pub(super) fn start_recorded(&mut self, cx: &Context<'_>, record: &RecordView<'_>, fx: &mut Effects) {
        let Some(pending) = self.take_start(record.trade_no()) else { return };
        if record.total_energy().0 > 0 {
            self.answer(cx, fx, &pending.command, CommandOutcome::Accepted, "");
        } else if !pending.told {
            let code = format!("{:02x}", record.stop_reason().0);
            self.answer(cx, fx, &pending.command, CommandOutcome::Rejected, &code);
        }
    }

    /// 0x35.
    pub(super) fn on_stop_reply(&mut self, cx: &Context<'_>, reply: &RemoteStopReplyView<'_>, fx: &mut Effects) {
        let ok = reply.result().code() == 1;
        self.on_reply(cx, kind::REMOTE_STOP_REPLY, Some(reply.gun()), ok, reply.failure().code(), fx);
    }

    /// 0x56.
    pub(super) fn tell_time(&mut self, cx: &Context<'_>) -> ykc::TimeSync {
        // What was not answered for a day never will be.
        if self.unanswered == 0 || cx.now.mono_ms.saturating_sub(self.synced_ms) >= DAY_MS {
            (self.told_ms, self.unanswered) = (cx.now.wall_ms, 0);
        }
        self.unanswered = self.unanswered.saturating_add(1);
        self.synced_ms = cx.now.mono_ms;
        ykc::TimeSync { pile: self.id, time: ykc::Cp56::from_utc_ms(cx.now.wall_ms) }
    }

    /// 0x55 answers our own daily 0x56 too, so one that no command waits for is normal.
    pub(super) fn on_time_sync_reply(&mut self, cx: &Context<'_>, said: ykc::Cp56, fx: &mut Effects) {
        if let Some(charger_ms) = said.utc_ms() {
            let skew_ms = proven_skew(charger_ms, self.told_ms, cx.now.wall_ms);
            self.voice.say(cx, fx, Class::Kept, 0, EventBody::ClockReported(ClockReported { skew_ms }));
        }
        self.unanswered = self.unanswered.saturating_sub(1);
        if let Some(pending) = self.take_pending(kind::TIME_SYNC_REPLY, None) {
            self.answer(cx, fx, &pending.command, CommandOutcome::Accepted, "");
        }
    }

    /// Gives up on commands whose time is over.
    pub(super) fn expire(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        let now = cx.now.mono_ms;
        if self.pending.iter().all(|pending| pending.deadline_ms > now) {
            return;
        }
        let over: Vec<Pending> = self.pending.extract_if(.., |pending| pending.deadline_ms <= now).collect();
        for pending in over.iter().filter(|pending| !pending.told) {
            // A stop that was not sent: what runs there may be another driver's.
            let code = if pending.asks_first() { "state_unknown" } else { "" };
            self.answer(cx, fx, &pending.command, CommandOutcome::NoAnswer, code);
        }
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }

    /// The connection is gone: what was not answered is lost.
    pub(super) fn lose_commands(&mut self, cx: &Context<'_>, fx: &mut Effects) {
        for pending in std::mem::take(&mut self.pending).iter().filter(|pending| !pending.told) {
            self.answer(cx, fx, &pending.command, CommandOutcome::ConnectionLost, "");
        }
    }
}

/// How wrong a clock is at least that showed `charger_ms` at some moment between `told_ms` and `now_ms`. An answer that was long on
/// its way would otherwise make a right clock look slow by that time, and its sessions be billed at the prices of another hour.
const fn proven_skew(charger_ms: i64, told_ms: i64, now_ms: i64) -> i64 {
    if charger_ms < told_ms {
        charger_ms - told_ms
    } else if charger_ms > now_ms {
        charger_ms - now_ms
    } else {
        0
    }
}
