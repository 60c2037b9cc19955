//! 0x13 real-time data: a sample always; status, start and end of a session when they change.

use codecs::ykc::{self, GunState, RealTimeView, TradeNo, kind};
use events::proto::{
    AlarmRaised, CommandOutcome, SessionEnded, SessionStarted, StatusChanged, envelope::Body as EventBody,
};

use super::{Pile, authorize::Authorized};
use crate::{
    session::{Class, Context, Effects},
    translate,
};

/// What a gun said last.
#[derive(Debug)]
pub(super) struct Gun {
    pub gun: ykc::Gun,
    state: u8,
    plugged: u8,
    /// Idle frames in a row while a session was thought to run.
    idle: u8,
    after_session: bool,
    fault_bits: u16,
    /// The session that runs; zero = none.
    pub trade_no: TradeNo,
    /// The last session whose record arrived: late frames of it start nothing.
    recorded: TradeNo,
    /// The last session that ended without its record being in the log yet.
    pub unrecorded: Option<Box<Unrecorded>>,
    /// The last start that was let through and has not begun yet: a card or VIN that we granted, or 0x34.
    pub authorized: Option<Box<Authorized>>,
}

/// A session whose bill is still to come.
#[derive(Debug)]
pub(super) struct Unrecorded {
    pub trade_no: TradeNo,
    /// Monotonic, ms.
    ended_ms: u64,
    /// A start was refused for it, and the business side told.
    pub told: bool,
}

/// Not a state of the protocol: nothing was said yet.
const NEVER: u8 = 0xff;
/// A session is over when this many frames in a row show the gun idle (§5, 0x13).
const IDLE_MEANS_OVER: u8 = 2;

impl Gun {
    const fn new(gun: ykc::Gun) -> Self {
        Self {
            gun,
            state: NEVER,
            plugged: NEVER,
            idle: 0,
            after_session: false,
            fault_bits: 0,
            trade_no: TradeNo::ZERO,
            recorded: TradeNo::ZERO,
            unrecorded: None,
            authorized: None,
        }
    }

    /// What it said of itself last; `None` before it said anything.
    pub fn said(&self) -> Option<GunState> {
        (self.state != NEVER).then(|| GunState::from(self.state))
    }

    pub fn let_through(&mut self, trade_no: TradeNo, token: &str, now_ms: u64) {
        self.authorized = Some(Box::new(Authorized { trade_no, token: token.to_owned(), at_ms: now_ms }));
    }

    /// The start of this session has failed, or is over.
    pub fn will_not_begin(&mut self, trade_no: TradeNo) {
        self.authorized.take_if(|start| start.trade_no == trade_no);
    }

    fn awaits_record(&mut self, trade_no: TradeNo, now_ms: u64) {
        self.unrecorded = Some(Box::new(Unrecorded { trade_no, ended_ms: now_ms, told: false }));
    }

    /// The session before, if its record is missing and has been for less than `within_ms`: a pile with an unsettled record starts
    /// no other, but a record that is lost for good does not block a gun for ever.
    pub fn unsettled(&mut self, now_ms: u64, within_ms: u64) -> Option<&mut Unrecorded> {
        self.unrecorded.as_deref_mut().filter(|open| now_ms.saturating_sub(open.ended_ms) < within_ms)
    }

    /// Why the running session is over after this frame, if it is.
    fn over(&mut self, view: &RealTimeView<'_>) -> Option<&'static str> {
        if self.trade_no.is_zero() {
            return None;
        }
        let trade_no = translate::ykc::named(view.trade_no());
        if !trade_no.is_zero() && trade_no != self.trade_no {
            return Some("other_session");
        }
        if view.state() == GunState::Charging {
            self.idle = 0;
            return None;
        }
        if view.plugged().code() == 0 {
            return Some("unplugged");
        }
        if view.state() == GunState::Idle {
            self.idle += 1;
        }
        (self.idle >= IDLE_MEANS_OVER).then_some("idle")
    }
}

impl Pile {
    pub(super) fn gun(&mut self, gun: ykc::Gun) -> Option<&mut Gun> {
        // A pile has a handful; a peer that invents more is not remembered.
        const GUNS_MAX: usize = 32;
        match self.guns.iter().position(|known| known.gun == gun) {
            Some(index) => self.guns.get_mut(index),
            None if self.guns.len() < GUNS_MAX => {
                self.guns.reserve_exact(1);
                self.guns.push(Gun::new(gun));
                self.guns.last_mut()
            }
            None => None,
        }
    }

    pub(super) fn is_charging(&self) -> bool {
        self.guns.iter().any(|gun| !gun.trade_no.is_zero())
    }

    /// Every gun is known to do nothing, and none is about to begin. Of a pile that names no guns it is not known whether all were heard of.
    pub(super) fn is_idle(&self, now_ms: u64) -> bool {
        let heard = self.guns.iter().filter(|gun| gun.state != NEVER).count();
        let charges = |gun: &Gun| !gun.trade_no.is_zero() || gun.state == GunState::Charging.code();
        let all_heard = self.gun_count > 0 && heard >= usize::from(self.gun_count) && !self.let_start;
        (all_heard || now_ms >= self.unsure_until_ms) && !self.guns.iter().any(charges) && !self.starts_in_flight()
    }

    pub(super) fn on_real_time(&mut self, cx: &Context<'_>, view: &RealTimeView<'_>, fx: &mut Effects) {
        let connector = u32::from(view.gun().number());
        if !self.pending.is_empty()
            && let Some(pending) = self.take_pending(kind::REAL_TIME, Some(view.gun()))
        {
            self.answer(cx, fx, &pending.command, CommandOutcome::Accepted, "");
        }
        let Some(gun) = self.gun(view.gun()) else { return };
        let trade_no = translate::ykc::named(view.trade_no());
        let over = gun.over(view);
        let ended = over.map(|reason| (std::mem::replace(&mut gun.trade_no, TradeNo::ZERO), reason));
        if let Some((session, _)) = ended {
            gun.awaits_record(session, cx.now.mono_ms);
            (gun.idle, gun.after_session) = (0, true);
        }
        let charging = view.state() == GunState::Charging && !trade_no.is_zero() && trade_no != gun.recorded;
        let started = charging && gun.trade_no != trade_no;
        if started {
            gun.trade_no = trade_no;
            gun.idle = 0;
            gun.authorized = None;
        }
        if view.plugged().code() == 0 || view.state() == GunState::Charging {
            gun.after_session = false;
        }
        let faults_changed = gun.fault_bits != view.fault_bits();
        let changed = gun.state != view.state().code()
            || gun.plugged != view.plugged().code()
            || faults_changed
            || ended.is_some();
        (gun.state, gun.plugged, gun.fault_bits) = (view.state().code(), view.plugged().code(), view.fault_bits());
        let status = translate::ykc::status(view, gun.after_session);

        if started {
            self.start_began(cx, trade_no, fx);
        }
        if let Some((session, reason)) = ended {
            let body = SessionEnded { session: hex::encode(session.0), reason: reason.to_owned() };
            self.voice.say(cx, fx, Class::Kept, connector, EventBody::SessionEnded(body));
        }
        if started {
            let minutes = i64::from(view.charge_minutes());
            let body = SessionStarted {
                session: hex::encode(trade_no.0),
                token: String::new(),
                // Seen running: it began that long ago, to the minute.
                started_at_ms: cx.now.wall_ms - minutes * 60_000,
                meter_start_e4: None,
                offline: false,
                reservation: None,
            };
            self.voice.say(cx, fx, Class::Kept, connector, EventBody::SessionStarted(body));
        }
        if changed {
            let body = StatusChanged {
                status: status.into(),
                plugged: translate::ykc::plugged(view),
                error_code: if view.fault_bits() == 0 { String::new() } else { format!("{:04x}", view.fault_bits()) },
                info: String::new(),
                session: translate::ykc::session_id(trade_no),
            };
            self.voice.say(cx, fx, Class::Status, connector, EventBody::StatusChanged(body));
        }
        if faults_changed {
            let body = AlarmRaised {
                code: "hardware_fault".to_owned(),
                detail: format!("{:04x}", view.fault_bits()),
                active: view.fault_bits() != 0,
            };
            self.voice.say(cx, fx, Class::Kept, connector, EventBody::AlarmRaised(body));
        }
        let sample = translate::ykc::meter_sampled(view, status);
        self.voice.say(cx, fx, Class::Live, connector, EventBody::MeterSampled(sample));
    }

    /// The record of a session is here: it is over, whatever late frames say. It is settled when the log has the record.
    pub(super) fn on_recorded(&mut self, cx: &Context<'_>, gun: ykc::Gun, trade_no: TradeNo) {
        if translate::ykc::named(trade_no).is_zero() {
            return; // it may be the record of any session
        }
        let Some(gun) = self.gun(gun) else { return };
        gun.recorded = trade_no;
        gun.will_not_begin(trade_no);
        if gun.trade_no == trade_no {
            gun.trade_no = TradeNo::ZERO;
            (gun.idle, gun.after_session) = (0, true);
            gun.awaits_record(trade_no, cx.now.mono_ms);
        }
    }

    /// The log has the record of this session.
    pub(super) fn on_settled(&mut self, cx: &Context<'_>, trade_no: TradeNo, fx: &mut Effects) {
        let open = |gun: &&mut Gun| gun.unrecorded.as_ref().is_some_and(|open| open.trade_no == trade_no);
        let Some(gun) = self.guns.iter_mut().find(open) else { return };
        let connector = u32::from(gun.gun.number());
        if gun.unrecorded.take().is_some_and(|open| open.told) {
            self.record_missing(cx, connector, trade_no, false, fx);
        }
    }

    /// Tells that a session's record is missing while somebody wants the gun, or that it came after all.
    pub(super) fn record_missing(
        &mut self,
        cx: &Context<'_>,
        connector: u32,
        trade_no: TradeNo,
        active: bool,
        fx: &mut Effects,
    ) {
        let body = AlarmRaised { code: "record_missing".to_owned(), detail: hex::encode(trade_no.0), active };
        self.voice.say(cx, fx, Class::Kept, connector, EventBody::AlarmRaised(body));
    }

    /// 0x19: the charger's own word that a session ended, before its record.
    pub(super) fn on_charge_end(&mut self, cx: &Context<'_>, body: &[u8], fx: &mut Effects) {
        let Some(trade_no) = body.first_chunk().copied().map(TradeNo) else { return };
        let Some(gun_no) = body.get(23).copied().map(ykc::Gun) else { return };
        let Some(gun) = self.gun(gun_no) else { return };
        if trade_no.is_zero() || gun.trade_no != trade_no {
            return;
        }
        gun.trade_no = TradeNo::ZERO;
        gun.recorded = trade_no;
        gun.awaits_record(trade_no, cx.now.mono_ms);
        (gun.idle, gun.after_session) = (0, true);
        let body = SessionEnded { session: hex::encode(trade_no.0), reason: "charge_end".to_owned() };
        self.voice.say(cx, fx, Class::Kept, u32::from(gun_no.number()), EventBody::SessionEnded(body));
    }
}
