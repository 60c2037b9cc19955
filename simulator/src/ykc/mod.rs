//! A YKC V1.6 charger: one pile with its guns on one TCP connection.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | login, tariff, heartbeats, timers, bytes |
//! | `drivers.rs` | what people do: plug in, ask for a start, stop, leave |
//! | `orders.rs` | what the platform wants: start, stop, tariff, balance, time, reboot |
//! | `gun.rs` | one gun and its real-time frame |
//! | `records.rs` | transaction records and their retries |

mod drivers;
mod gun;
mod orders;
mod records;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Buf, BytesMut};
use codecs::ykc::{
    self, CheckResult, GunHealth, Heartbeat, LoginResult, Message, ModelCheck, ModelRequest, PileId, Scan, ScanOptions,
};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use self::gun::{Gun, Phase};
use self::records::Records;
use crate::charge::WMS_PER_E4;
use crate::charger::{Charger, Control, Hangup, Now, Outbox, World, within};
use crate::fault::Faults;
use crate::ledger::EntryId;
use crate::tariff::FourRates;
use crate::wire;

/// A frame unfinished for so many bytes is none: the longest is 259.
const UNREADABLE_MOST: usize = 4096;

/// How far the login is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// 0x01 sent; repeated at this time.
    LoggingIn(Instant),
    Up,
}

/// How far the tariff is (YKC V1.6 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    /// 0x05 is due at this time.
    Check(Instant),
    /// 0x09 is due at this time.
    Fetch(Instant),
    Current,
}

/// The charger.
pub(crate) struct YkcCharger {
    world: Arc<World>,
    rng: StdRng,
    pile: PileId,
    link: Link,
    seq: u16,
    last_answer: Instant,
    model: Model,
    model_no: [u8; 2],
    tariff: Option<FourRates>,
    guns: Vec<Gun>,
    records: Records,
    duplicates: Faults,
    /// Sessions of the plan that have not begun yet.
    planned: u32,
    starts: usize,
    locked: bool,
    power_pct: u8,
    reboot_when_idle: bool,
    winding_down: bool,
}

impl YkcCharger {
    pub(crate) fn new(world: Arc<World>, mut rng: StdRng) -> Self {
        let at = Instant::now();
        let now = world.now(at);
        let guns = (1..=world.config.connectors)
            .map(|number| Gun {
                number,
                phase: Phase::Idle { next_ms: now.ms + within(&mut rng, world.plan.first_gap_ms) },
                register: rng.random_range(0..5_000_000) * WMS_PER_E4 + rng.random_range(0..WMS_PER_E4),
                live_at: at,
                beat_at: at,
            })
            .collect();
        let duplicates = Faults::new(world.faults, rand::SeedableRng::from_rng(&mut rng));
        Self {
            pile: wire::ykc::pile(&world.config.id).unwrap_or(PileId::ZERO),
            link: Link::Down,
            seq: 0,
            last_answer: at,
            model: Model::Check(at),
            model_no: [0; 2],
            tariff: None,
            guns,
            records: Records::default(),
            duplicates,
            planned: world.plan.sessions,
            starts: 0,
            locked: false,
            power_pct: 100,
            reboot_when_idle: false,
            winding_down: false,
            world,
            rng,
        }
    }

    fn send(&mut self, body: &(impl ykc::Body + ?Sized), out: &mut Outbox) {
        out.message(wire::ykc::frame(self.seq, body));
        self.seq = self.seq.wrapping_add(1);
    }

    /// Answers a frame of the platform with its own sequence bytes.
    fn answer(seq: [u8; 2], body: &(impl ykc::Body + ?Sized), out: &mut Outbox) {
        let mut bytes = Vec::new();
        ykc::encode(seq, body, &mut bytes);
        out.message(bytes);
    }

    fn is_up(&self) -> bool {
        self.link == Link::Up
    }

    fn request_gap(&self) -> std::time::Duration {
        self.world.paced(10_000, self.world.floors.request_ms)
    }

    fn log_in(&mut self, now: Now, out: &mut Outbox) {
        let guns = self.world.config.connectors;
        self.send(&wire::ykc::login(self.pile, guns, self.world.is_dc()), out);
        self.link = Link::LoggingIn(now.at + self.request_gap());
    }

    fn logged_in(&mut self, now: Now) {
        self.link = Link::Up;
        self.last_answer = now.at;
        self.world.counters.accepted.fetch_add(1, Relaxed);
        self.model = Model::Check(now.at);
        self.records.logged_in(now.at);
        for gun in &mut self.guns {
            (gun.beat_at, gun.live_at) = (now.at, now.at);
        }
    }

    fn frame(&mut self, now: Now, frame: ykc::Frame<'_>, out: &mut Outbox) -> Result<(), Hangup> {
        self.world.counters.messages_received.fetch_add(1, Relaxed);
        let Ok(message) = frame.message() else {
            self.bad();
            return Ok(());
        };
        if message.pile().is_some_and(|pile| pile != self.pile) {
            // A strict charger drops what is not for it.
            self.bad();
            return Ok(());
        }
        match message {
            Message::LoginAck(ack) if matches!(self.link, Link::LoggingIn(_)) => match ack.result() {
                LoginResult::Ok => self.logged_in(now),
                LoginResult::Refused | LoginResult::Other(_) => return Err(Hangup::Refused),
            },
            _ if !self.is_up() => {}
            Message::HeartbeatAck(_) => self.last_answer = now.at,
            Message::ModelCheckAck(ack) if matches!(self.model, Model::Check(_)) => {
                let same = ack.result() == CheckResult::Same && self.tariff.is_some();
                self.model = if same { Model::Current } else { Model::Fetch(now.at) };
            }
            Message::ModelAnswer(model) => self.take_tariff(&model),
            Message::RecordConfirm(confirm) => self.confirmed(now, &confirm),
            other => return self.order(now, frame.seq, other, out),
        }
        Ok(())
    }

    fn take_tariff(&mut self, model: &ykc::BillingModelView<'_>) {
        let mut four = FourRates { prices: [(0, 0); 4], half_hours: model.slots() };
        for (price, rate) in four.prices.iter_mut().zip(model.rates()) {
            *price = (rate.energy.0, rate.service.0);
        }
        self.tariff = Some(four);
        self.model_no = model.model_no();
        self.model = Model::Current;
    }

    fn confirmed(&mut self, now: Now, confirm: &ykc::RecordConfirmView<'_>) {
        let accepted = confirm.result() == ykc::RecordResult::Accepted;
        let again = accepted && self.duplicates.duplicates_record();
        let Some(entry) = self.records.confirmed(now.at, confirm.trade_no(), again) else { return };
        let counters = &self.world.counters;
        if accepted {
            counters.records_acknowledged.fetch_add(1, Relaxed);
            counters.duplicates.fetch_add(u64::from(again), Relaxed);
            self.world.ledger.update(entry, |line| line.acknowledged = true);
            let session = confirm.trade_no().to_string();
            self.world.tell(crate::fleet::FleetEvent::RecordAcknowledged { charger: self.world.id(), session });
        } else {
            counters.records_lost.fetch_add(1, Relaxed);
            self.world.ledger.update(entry, |line| line.lost = true);
        }
    }

    fn count_transmission(&self, entry: EntryId) {
        let mut before = 0;
        self.world.ledger.update(entry, |line| {
            before = line.transmissions;
            line.transmissions += 1;
        });
        self.world.counters.retries.fetch_add(u64::from(before > 0), Relaxed);
    }

    fn bad(&self) {
        self.world.counters.messages_bad.fetch_add(1, Relaxed);
    }

    /// Sends what is due: login, tariff check, heartbeats, records, real-time data.
    fn keep_time(&mut self, now: Now, out: &mut Outbox) -> Result<(), Hangup> {
        match self.link {
            Link::Down => return Ok(()),
            Link::LoggingIn(again) if again <= now.at => self.log_in(now, out),
            Link::LoggingIn(_) => return Ok(()),
            Link::Up => {}
        }
        if now.at >= self.silent_at() {
            return Err(Hangup::Silent);
        }
        let again = now.at + self.request_gap();
        match self.model {
            Model::Check(at) if at <= now.at => {
                self.send(&ModelCheck { pile: self.pile, model_no: self.model_no }, out);
                self.model = Model::Check(again);
            }
            Model::Fetch(at) if at <= now.at => {
                self.send(&ModelRequest { pile: self.pile }, out);
                self.model = Model::Fetch(again);
            }
            Model::Check(_) | Model::Fetch(_) | Model::Current => {}
        }
        for (record, entry) in self.records.due(now.at, &Arc::clone(&self.world)) {
            self.count_transmission(entry);
            self.send(&record, out);
        }
        let beat = self.world.paced(10_000, self.world.floors.heartbeat_ms);
        for index in 0..self.guns.len() {
            let Some(gun) = self.guns.get_mut(index) else { continue };
            if gun.beat_at <= now.at {
                gun.beat_at = now.at + beat;
                let body = Heartbeat { pile: self.pile, gun: gun.no(), gun_state: GunHealth::Normal };
                self.send(&body, out);
            }
            self.show(now, index, false, out);
        }
        Ok(())
    }

    /// Sends real-time data of a gun if it is due, or at once on a change.
    fn show(&mut self, now: Now, index: usize, changed: bool, out: &mut Outbox) {
        let charging = self.world.paced(15_000, self.world.floors.live_data_ms);
        let idle = self.world.paced(300_000, 5_000);
        let up = self.is_up();
        let Some(gun) = self.guns.get_mut(index) else { return };
        if up && (changed || gun.live_at <= now.at) {
            gun.live_at = now.at + if matches!(gun.phase, Phase::Charging(_)) { charging } else { idle };
            let frame = gun.real_time(self.pile);
            self.send(&frame, out);
        }
    }

    /// Three heartbeats without an answer (YKC V1.6 §6.2).
    fn silent_at(&self) -> Instant {
        self.last_answer + self.world.paced(30_000, self.world.floors.silence_ms)
    }

    fn is_idle(&self) -> bool {
        !self.guns.iter().any(Gun::is_busy)
    }
}

impl Charger for YkcCharger {
    fn connected(&mut self, now: Now, out: &mut Outbox) {
        self.seq = 0;
        self.log_in(now, out);
    }

    fn disconnected(&mut self, _: Now) {
        if self.is_up() {
            self.world.counters.accepted.fetch_sub(1, Relaxed);
        }
        self.link = Link::Down;
    }

    fn received(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) -> Result<(), Hangup> {
        let mut bytes = std::mem::take(input);
        let (mut at, mut step) = (0, Ok(()));
        while let (Some(rest), Ok(())) = (bytes.get(at..), step) {
            match ykc::scan(rest, ScanOptions::default()) {
                Scan::Incomplete { .. } => break,
                Scan::Skip { consumed, .. } => {
                    self.bad();
                    at += consumed;
                }
                Scan::Frame { frame, consumed } => {
                    step = self.frame(now, frame, out);
                    at += consumed;
                }
            }
        }
        bytes.advance(at.min(bytes.len()));
        let unreadable = bytes.len() > UNREADABLE_MOST;
        *input = bytes;
        step.and(if unreadable { Err(Hangup::Garbage) } else { Ok(()) })
    }

    fn tick(&mut self, now: Now, out: &mut Outbox) -> Result<(), Hangup> {
        for index in 0..self.guns.len() {
            self.drive(now, index, out);
        }
        self.keep_time(now, out)?;
        if self.reboot_when_idle && self.is_idle() {
            self.reboot_when_idle = false;
            return Err(Hangup::Reboot);
        }
        Ok(())
    }

    fn wake_at(&self) -> Instant {
        let world = &self.world;
        let guns = self
            .guns
            .iter()
            .flat_map(|gun| [Some(self.driver_wakes_at(gun)), self.is_up().then_some(gun.beat_at.min(gun.live_at))]);
        let link = match (self.link, self.model) {
            (Link::LoggingIn(at), _) => Some(at),
            (Link::Up, Model::Check(at) | Model::Fetch(at)) => Some(at),
            (Link::Up | Link::Down, _) => None,
        };
        let records = self.records.wake_at().filter(|_| self.is_up());
        let silent = self.is_up().then(|| self.silent_at());
        let far = Instant::now() + world.paced(60_000, 10_000);
        guns.chain([link, records, silent]).flatten().min().unwrap_or(far).min(far)
    }

    fn control(&mut self, now: Now, control: &Control, out: &mut Outbox) {
        self.person(now, control, out);
    }

    fn wind_down(&mut self, now: Now, out: &mut Outbox) {
        self.winding_down = true;
        self.world.counters.sessions_skipped.fetch_add(u64::from(self.planned), Relaxed);
        self.planned = 0;
        for index in 0..self.guns.len() {
            self.leave(now, index, out);
        }
    }

    fn is_settled(&self) -> bool {
        self.is_idle() && self.records.unconfirmed() == 0
    }

    fn is_done(&self) -> bool {
        self.planned == 0 && self.is_settled() && !self.guns.iter().any(|g| matches!(g.phase, Phase::Asking { .. }))
    }

    fn spoil(&self, message: &[u8]) -> Vec<u8> {
        let mut copy = message.to_vec();
        if let Some(last) = copy.last_mut() {
            // Only one checksum byte is changed: the copy has its right length, and neither byte order matches.
            *last ^= 0x5A;
        }
        copy
    }

    fn takes_garbage(&self) -> bool {
        true
    }
}
