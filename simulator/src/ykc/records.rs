//! Transaction records: how they are made, and how they are sent until the platform has confirmed them (YKC V1.6 §0x3B, §0x40):
//! at once, again after 30, 60 and 90 s, once more at 300 s, and then after the next login.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use codecs::ykc::{
    Amount, Card, Cp56, Energy, Gun, MeterReading, PileId, Price, Record, RecordRate, RecordRates, StopReason,
    TradeFlag, TradeNo, Vin,
};
use tokio::time::Instant;

use crate::charge::{Charge, WMS_PER_E4, cut_by_quarter, e4_between};
use crate::charger::World;
use crate::clock::quarter_of_day;
use crate::ledger::EntryId;
use crate::tariff::FourRates;

/// Who started a session and with how much money.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub trade_no: TradeNo,
    /// As the driver showed it: card number or VIN; empty for a remote start.
    pub token: String,
    pub card: Card,
    pub vin: Vin,
    pub flag: TradeFlag,
    /// What may be spent, fen; 0 = no limit, as postpaid platforms send it.
    pub balance_fen: u32,
}

/// Energy by rate number, 0.0001 kWh: adds up to the meter difference.
pub(crate) fn energy_by_rate(charge: &Charge, tariff: &FourRates) -> [u64; 4] {
    let mut rates = [0; 4];
    for (from_ms, energy) in cut_by_quarter(charge) {
        if let Some(sum) = rates.get_mut(tariff.rate_at(quarter_of_day(from_ms))) {
            *sum += energy;
        }
    }
    rates
}

/// Amount of each rate as chargers compute it: price times energy, cut (not rounded) to 0.0001 yuan.
pub(crate) fn amounts(tariff: &FourRates, rates_e4: [u64; 4]) -> [u64; 4] {
    let mut amounts = [0; 4];
    for (rate, (amount, energy)) in amounts.iter_mut().zip(rates_e4).enumerate() {
        *amount = tariff.price(rate) * energy / 100_000;
    }
    amounts
}

/// The record of a finished charge.
pub(crate) fn record(
    pile: PileId,
    gun: Gun,
    start: &Start,
    charge: &Charge,
    register_start: u64,
    tariff: &FourRates,
    stop_reason: u8,
) -> Record {
    let rates_e4 = energy_by_rate(charge, tariff);
    let amounts = amounts(tariff, rates_e4);
    let mut rates = [RecordRate::default(); 4];
    for (rate, ((line, energy), amount)) in rates.iter_mut().zip(rates_e4).zip(amounts).enumerate() {
        let energy = Energy(narrow(energy));
        // No loss is charged: energy with loss is the energy.
        *line = RecordRate {
            price: Price(narrow(tariff.price(rate))),
            energy,
            energy_loss: energy,
            amount: Amount(narrow(amount)),
        };
    }
    let total = Energy(narrow(e4_between(register_start, charge.register())));
    Record {
        trade_no: start.trade_no,
        pile,
        gun,
        start_time: Cp56::from_utc_ms(charge.started_ms()),
        end_time: Cp56::from_utc_ms(charge.at_ms()),
        rates: RecordRates::Four(rates),
        meter_start: MeterReading::new(register_start / WMS_PER_E4),
        meter_end: MeterReading::new(charge.register() / WMS_PER_E4),
        total_energy: total,
        total_energy_loss: total,
        total_amount: Amount(narrow(amounts.iter().sum())),
        vin: start.vin,
        trade_flag: start.flag,
        trade_time: Cp56::from_utc_ms(charge.at_ms()),
        stop_reason: StopReason(stop_reason),
        physical_card: start.card,
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// Records that the platform has not confirmed.
#[derive(Debug, Default)]
pub(crate) struct Records {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    record: Record,
    entry: EntryId,
    /// Transmissions since the last login.
    sent: u32,
    /// None: not before the next login.
    due: Option<Instant>,
    /// Confirmed already; sent once more on purpose.
    again: bool,
}

impl Records {
    /// A new record, due at once.
    pub(crate) fn add(&mut self, now: Instant, record: Record, entry: EntryId) {
        self.waiting.push_back(Waiting { record, entry, sent: 0, due: Some(now), again: false });
    }

    /// A login was accepted: everything unconfirmed is due again.
    pub(crate) fn logged_in(&mut self, now: Instant) {
        for waiting in &mut self.waiting {
            (waiting.sent, waiting.due) = (0, Some(now));
        }
    }

    /// The records due now, with their ledger line and whether they were sent before; schedules the next transmission of each.
    pub(crate) fn due(&mut self, now: Instant, world: &World) -> Vec<(Record, EntryId)> {
        self.give_up(now, world);
        let mut due = Vec::new();
        for waiting in self.waiting.iter_mut().filter(|w| w.due.is_some_and(|at| at <= now)) {
            waiting.sent += 1;
            let floor = world.floors.record_retry_ms;
            waiting.due = match waiting.sent {
                sent if sent <= 3 || sent == world.records_sent_most => Some(now + world.paced(30_000, floor)),
                4 => Some(now + world.paced(210_000, floor)),
                _ => None,
            };
            due.push((waiting.record, waiting.entry));
        }
        self.waiting.retain(|w| !w.again || w.sent == 0);
        due
    }

    /// Forgets what was sent as often as this charger sends a record: the bill is lost.
    fn give_up(&mut self, now: Instant, world: &World) {
        let most = world.records_sent_most;
        let given_up = |w: &Waiting| most > 0 && w.sent >= most && w.due.is_some_and(|at| at <= now);
        for waiting in self.waiting.iter().filter(|waiting| given_up(waiting)) {
            world.counters.records_lost.fetch_add(1, Relaxed);
            world.ledger.update(waiting.entry, |line| line.lost = true);
        }
        self.waiting.retain(|waiting| !given_up(waiting));
    }

    /// A 0x40 came: the ledger line it belongs to, if the charger still waited for it. `duplicate`: send it once more.
    pub(crate) fn confirmed(&mut self, now: Instant, trade_no: TradeNo, duplicate: bool) -> Option<EntryId> {
        let at = self.waiting.iter().position(|w| w.record.trade_no == trade_no && !w.again)?;
        let waiting = self.waiting.remove(at)?;
        if duplicate {
            self.waiting.push_back(Waiting { sent: 0, due: Some(now), again: true, ..waiting });
        }
        Some(waiting.entry)
    }

    pub(crate) fn unconfirmed(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.waiting.iter().filter_map(|w| w.due).min()
    }
}
