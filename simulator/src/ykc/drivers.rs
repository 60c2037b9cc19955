//! What people do at a YKC charger: plug in, show a card or a VIN, stop, unplug; and the end of a charge, whoever ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use codecs::ykc::{
    Card, Flag, Grant, RemoteStartReply, StartAnswerView, StartMode, StartRequest, TradeFlag, TradeNo, Vin,
};
use rand::Rng;
use tokio::time::Instant;

use super::YkcCharger;
use super::gun::{Gun, Phase, Running};
use super::records::{Start, record};
use crate::charge::{Charge, Ended};
use crate::charger::{Control, Now, Outbox, within};
use crate::config::StartBy;
use crate::fleet::FleetEvent;
use crate::ledger::SessionEntry;
use crate::rating::{by_rates, by_samples, is_one_segment};
use crate::tariff::FourRates;

/// Stop reasons (YKC V1.6 §8).
pub(super) const STOPPED_BY_APP: u8 = 0x40;
const FULL: u8 = 0x41;
const MONEY_LIMIT: u8 = 0x43;
const STOPPED_BY_HAND: u8 = 0x45;
pub(super) const POWER_LOST: u8 = 0x83;

impl YkcCharger {
    /// Lets time pass at one gun.
    pub(super) fn drive(&mut self, now: Now, index: usize, out: &mut Outbox) {
        let Some(gun) = self.guns.get_mut(index) else { return };
        match &mut gun.phase {
            Phase::Idle { next_ms } if *next_ms <= now.ms => self.next_driver(now, index, out),
            Phase::Asking { ask_at, waiting, .. } if *ask_at <= now.at => {
                let unanswered = *waiting;
                self.ask(now, index, unanswered, out);
            }
            Phase::WaitingPlug { start, plug_ms, until_ms } => {
                let (plugged, late) = (*plug_ms <= now.ms && plug_ms <= until_ms, *until_ms <= now.ms);
                let start = start.clone();
                if plugged {
                    let reply = self.start_reply(index, start.trade_no, None);
                    self.send_if_up(&reply, out);
                    self.prepare(now, index, start, out);
                } else if late {
                    // Silent, and must not start (YKC V1.6 §6.3).
                    self.rest(now, index, 0, out);
                }
            }
            Phase::Preparing { begin_ms, .. } if *begin_ms <= now.ms => self.begin(now, index, out),
            Phase::Charging(running) => {
                let energy = running.advance(now.ms);
                self.world.counters.energy_e4.fetch_add(energy, Relaxed);
                let ended = running.charge.ended();
                if let Some(ended) = ended {
                    let reason = match ended {
                        Ended::Full => FULL,
                        Ended::Satisfied => STOPPED_BY_HAND,
                        Ended::Balance => MONEY_LIMIT,
                    };
                    self.finish(now, index, reason, out);
                }
            }
            Phase::Finished { unplug_ms } if *unplug_ms <= now.ms => {
                let gap = within(&mut self.rng, self.world.plan.gap_ms);
                self.rest(now, index, gap, out);
            }
            Phase::Idle { .. } | Phase::Asking { .. } | Phase::Preparing { .. } | Phase::Finished { .. } => {}
        }
    }

    /// When the gun's driver (or physics) next does something.
    pub(super) fn driver_wakes_at(&self, gun: &Gun) -> Instant {
        let at_ms = |ms| self.world.ticker.instant_of(ms);
        let far = Instant::now() + std::time::Duration::from_secs(3600);
        match &gun.phase {
            Phase::Idle { next_ms } if self.planned > 0 => at_ms(*next_ms),
            Phase::Idle { .. } => far,
            Phase::Asking { ask_at, .. } => *ask_at,
            Phase::WaitingPlug { plug_ms, until_ms, .. } => at_ms((*plug_ms).min(*until_ms)),
            Phase::Preparing { begin_ms, .. } => at_ms(*begin_ms),
            // The battery fills offline as well, with nobody to tell.
            Phase::Charging(_) if !self.is_up() => {
                Instant::now() + self.world.paced(15_000, self.world.floors.live_data_ms)
            }
            Phase::Charging(_) => gun.live_at,
            Phase::Finished { unplug_ms } => at_ms(*unplug_ms),
        }
    }

    pub(super) fn person(&mut self, now: Now, control: &Control, out: &mut Outbox) {
        let gun_of = |connector: u32| usize::try_from(connector).ok().and_then(|c| c.checked_sub(1));
        match control {
            Control::Start { connector, by } => {
                let Some(index) = gun_of(*connector) else { return };
                if self
                    .guns
                    .get(index)
                    .is_some_and(|gun| matches!(gun.phase, Phase::Idle { .. } | Phase::Finished { .. }))
                {
                    self.plug_in(now, index, by.clone(), out);
                }
            }
            Control::Stop { connector } => {
                let Some(index) = gun_of(*connector) else { return };
                self.leave(now, index, out);
            }
            // The driver task cuts the line.
            Control::Disconnect { .. } => {}
        }
    }

    /// Whoever is at the gun stops and goes.
    pub(super) fn leave(&mut self, now: Now, index: usize, out: &mut Outbox) {
        match self.guns.get(index).map(|gun| &gun.phase) {
            Some(Phase::Charging(_) | Phase::Preparing { .. }) => self.finish(now, index, STOPPED_BY_HAND, out),
            Some(Phase::Asking { .. }) => {
                self.world.counters.sessions_skipped.fetch_add(1, Relaxed);
                self.rest(now, index, 0, out);
            }
            Some(Phase::WaitingPlug { .. }) => self.rest(now, index, 0, out),
            Some(Phase::Idle { .. } | Phase::Finished { .. }) | None => {}
        }
    }

    fn next_driver(&mut self, now: Now, index: usize, out: &mut Outbox) {
        if self.planned == 0 || self.winding_down {
            return;
        }
        let starts = &self.world.plan.starts;
        let Some(by) = starts.get(self.starts % starts.len().max(1)).cloned() else { return };
        self.starts += 1;
        self.planned -= 1;
        self.plug_in(now, index, by, out);
    }

    fn plug_in(&mut self, now: Now, index: usize, by: StartBy, out: &mut Outbox) {
        let read_vin = if matches!(by, StartBy::Vin(_)) { 5_000 } else { 1_000 };
        let ask_at = now.at + self.world.paced(read_vin, 0);
        self.set_phase(now, index, Phase::Asking { by, attempts: 0, ask_at, waiting: false }, out);
    }

    /// Sends 0x31, or gives up after too many refusals and silences.
    fn ask(&mut self, now: Now, index: usize, unanswered: bool, out: &mut Outbox) {
        let able = self.is_up() && self.tariff.is_some() && !self.locked;
        let most = self.world.plan.start_attempts.max(1);
        let again = now.at + self.world.paced(30_000, self.world.floors.request_ms);
        let pile = self.pile;
        let Some(gun) = self.guns.get_mut(index) else { return };
        let number = gun.no();
        let Phase::Asking { by, attempts, ask_at, waiting } = &mut gun.phase else { return };
        *ask_at = again;
        if !able {
            // The driver waits: a charger without line, tariff or permission does not even ask.
            *waiting = false;
            return;
        }
        if *attempts >= most {
            self.refused(index, if unanswered { "no answer" } else { "refused" });
            self.world.counters.sessions_skipped.fetch_add(1, Relaxed);
            let gap = within(&mut self.rng, self.world.plan.gap_ms);
            self.rest(now, index, gap, out);
            return;
        }
        *attempts += 1;
        *waiting = true;
        let (start_mode, physical_card, vin) = match by {
            StartBy::Vin(vin) => (StartMode::Vin, Card::ZERO, Vin::new(vin).map_or(Vin::NONE, |vin| vin.reversed())),
            StartBy::Card(card) | StartBy::IdTag(card) => {
                (StartMode::Card, card.parse().unwrap_or(Card::ZERO), Vin::NONE)
            }
        };
        let request = StartRequest {
            pile,
            gun: number,
            start_mode,
            password_needed: Flag::No,
            physical_card,
            password: [0; 16],
            vin,
        };
        self.send(&request, out);
    }

    /// 0x32 came.
    pub(super) fn start_answered(&mut self, now: Now, answer: &StartAnswerView<'_>, out: &mut Outbox) {
        let number = answer.gun();
        let Some(index) = self.guns.iter().position(|gun| gun.no() == number) else { return self.bad() };
        let Some(Gun { phase: Phase::Asking { by, waiting, .. }, .. }) = self.guns.get_mut(index) else { return };
        *waiting = false;
        if answer.grant() != Grant::Granted {
            let reason = format!("{:02x}", answer.refusal().code());
            return self.refused(index, &reason);
        }
        let (token, card, vin, flag) = match by.clone() {
            StartBy::Vin(vin) => (vin.clone(), Card::ZERO, Vin::new(&vin).unwrap_or(Vin::NONE), TradeFlag::Vin),
            StartBy::Card(card) | StartBy::IdTag(card) => {
                (card.clone(), card.parse().unwrap_or(Card::ZERO), Vin::NONE, TradeFlag::Card)
            }
        };
        let start = Start { trade_no: answer.trade_no(), token, card, vin, flag, balance_fen: answer.balance().0 };
        self.prepare(now, index, start, out);
    }

    fn refused(&self, index: usize, reason: &str) {
        self.world.counters.starts_refused.fetch_add(1, Relaxed);
        let connector = u32::try_from(index + 1).unwrap_or(0);
        self.world.tell(FleetEvent::StartRefused { charger: self.world.id(), connector, reason: reason.to_owned() });
    }

    pub(super) fn prepare(&mut self, now: Now, index: usize, start: Start, out: &mut Outbox) {
        let handshake = self.rng.random_range(if self.world.is_dc() { 4_000..=12_000 } else { 1_000..=3_000 });
        self.set_phase(now, index, Phase::Preparing { start, begin_ms: now.ms + handshake }, out);
    }

    fn begin(&mut self, now: Now, index: usize, out: &mut Outbox) {
        let car = self.world.car(&mut self.rng);
        let rated = u64::from(self.world.config.rated_power_w) * u64::from(self.power_pct) / 100;
        let tariff = self.tariff.unwrap_or(FREE);
        let Some(gun) = self.guns.get_mut(index) else { return };
        let Phase::Preparing { start, begin_ms } = &gun.phase else { return };
        let (start, begin_ms) = (start.clone(), *begin_ms);
        let charge = Charge::new(car, rated, gun.register, begin_ms);
        let running = Running { start, charge, register_start: gun.register, tariff };
        let session = running.start.trade_no.to_string();
        self.world.counters.sessions_started.fetch_add(1, Relaxed);
        self.world.counters.charging.fetch_add(1, Relaxed);
        let connector = u32::from(gun.number);
        self.world.tell(FleetEvent::SessionStarted { charger: self.world.id(), connector, session, at_ms: begin_ms });
        self.set_phase(now, index, Phase::Charging(Box::new(running)), out);
    }

    /// Ends a charge (or an executed start without current) and makes its record.
    pub(super) fn finish(&mut self, now: Now, index: usize, reason: u8, out: &mut Outbox) {
        if matches!(self.guns.get(index).map(|gun| &gun.phase), Some(Phase::Preparing { .. })) {
            // Every executed start has a record, also one that is stopped before current flows.
            self.begin(now, index, out);
        }
        let unplug_ms = now.ms + self.rng.random_range(5_000..=30_000);
        let Some(gun) = self.guns.get_mut(index) else { return };
        let phase = std::mem::replace(&mut gun.phase, Phase::Finished { unplug_ms });
        let Phase::Charging(mut running) = phase else {
            gun.phase = phase;
            return;
        };
        let late = running.advance(now.ms.max(running.charge.started_ms()));
        gun.register = running.charge.register();
        let bill = record(
            self.pile,
            gun.no(),
            &running.start,
            &running.charge,
            running.register_start,
            &running.tariff,
            reason,
        );
        let connector = u32::from(gun.number);
        self.world.counters.energy_e4.fetch_add(late, Relaxed);
        self.world.counters.charging.fetch_sub(1, Relaxed);
        self.world.counters.sessions_done.fetch_add(1, Relaxed);
        let line = self.ledger_line(connector, &running, &bill);
        self.world.tell(FleetEvent::SessionEnded {
            charger: self.world.id(),
            connector,
            session: line.session.clone(),
            energy_e4: line.energy_e4,
            at_ms: line.end_ms,
        });
        let entry = self.world.ledger.push(line);
        self.records.add(now.at, bill, entry);
        // The record first, then the idle frame: the platform should not have to wait for either.
        for (record, entry) in
            if self.is_up() { self.records.due(now.at, &Arc::clone(&self.world)) } else { Vec::new() }
        {
            self.count_transmission(entry);
            self.send(&record, out);
        }
        self.show(now, index, true, out);
    }

    fn ledger_line(&self, connector: u32, running: &Running, bill: &codecs::ykc::Record) -> SessionEntry {
        let rates_e4 = super::records::energy_by_rate(&running.charge, &running.tariff);
        let (start_ms, end_ms) = (running.charge.started_ms(), running.charge.at_ms());
        let expected = self.world.tariff.as_ref().and_then(|book| {
            let version = book.on_day(crate::clock::local_day(start_ms))?;
            let energy_e4 = i64::from(bill.total_energy.0);
            if version.is_exactly(&running.tariff) {
                Some(by_rates(&running.tariff, rates_e4.map(|e4| i64::try_from(e4).unwrap_or(i64::MAX))))
            } else if energy_e4 == 0 || is_one_segment(book, start_ms, end_ms) {
                by_samples(book, start_ms, end_ms, energy_e4, &[])
            } else {
                // The platform splits by its own samples, whose times are its own: not for us to say.
                None
            }
        });
        SessionEntry {
            charger: self.world.id(),
            connector,
            protocol: self.world.protocol(),
            session: bill.trade_no.to_string(),
            token: running.start.token.clone(),
            start_ms,
            end_ms,
            meter_start_e4: bill.meter_start.raw(),
            meter_stop_e4: bill.meter_end.raw(),
            energy_e4: u64::from(bill.total_energy.0),
            rates_e4,
            charger_amount_yuan4: u64::from(bill.total_amount.0),
            stop_reason: format!("{:02x}", bill.stop_reason.0),
            samples: Vec::new(),
            samples_lost: 0,
            acknowledged: false,
            lost: false,
            transmissions: 0,
            expected,
        }
    }

    /// The gun is free; the next driver comes after `gap_ms`.
    pub(super) fn rest(&mut self, now: Now, index: usize, gap_ms: i64, out: &mut Outbox) {
        self.set_phase(now, index, Phase::Idle { next_ms: now.ms.saturating_add(gap_ms) }, out);
    }

    /// Every change of state or plug is shown at once (YKC V1.6 §0x13).
    pub(super) fn set_phase(&mut self, now: Now, index: usize, phase: Phase, out: &mut Outbox) {
        if let Some(gun) = self.guns.get_mut(index) {
            gun.phase = phase;
        }
        self.show(now, index, true, out);
    }

    pub(super) fn start_reply(
        &self,
        index: usize,
        trade_no: TradeNo,
        failure: Option<codecs::ykc::StartFailure>,
    ) -> RemoteStartReply {
        use codecs::ykc::{Outcome, StartFailure};
        RemoteStartReply {
            trade_no,
            pile: self.pile,
            gun: codecs::ykc::Gun::from_number(u8::try_from(index + 1).unwrap_or(0)),
            result: if failure.is_some() { Outcome::Failed } else { Outcome::Ok },
            failure: failure.unwrap_or(StartFailure::None),
        }
    }

    fn send_if_up(&mut self, body: &impl codecs::ykc::Body, out: &mut Outbox) {
        if self.is_up() {
            self.send(body, out);
        }
    }
}

/// A charger that was allowed to start has a tariff; this one only keeps the types honest.
const FREE: FourRates = FourRates { prices: [(0, 0); 4], half_hours: [2; 48] };
