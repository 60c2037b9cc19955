//! What a session should cost, computed a second time: rules R4, R5, R6, R7 (lock at start), R9 and R10 of the billing rules,
//! written from the rules alone and sharing no code with the billing engine. Two implementations check each other.
//!
//! Integers only: energy in 0.0001 kWh (e4), price in 0.00001 yuan/kWh (p5), fees per segment in 0.0001 yuan, totals in fen.

use serde::{Deserialize, Serialize};

use crate::clock::{local_day, next_quarter, quarter_of_day};
use crate::tariff::{FourRates, Slot, TariffBook};

/// What a session should cost, in fen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Electricity, fen.
    pub electricity_fen: i64,
    /// Service, fen.
    pub service_fen: i64,
}

/// A point of the cumulative curve: energy since the start of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sample {
    /// UTC ms, charger's clock.
    pub at_ms: i64,
    /// Energy since the start, 0.0001 kWh.
    pub energy_e4: i64,
}

/// Cost of a session of `energy_e4` in [`start_ms`, `end_ms`) by its samples (R4, R5, R6b/c, R7, R9, R10).
/// None: no tariff version is valid on the day of the start.
#[must_use]
pub fn by_samples(
    book: &TariffBook,
    start_ms: i64,
    end_ms: i64,
    energy_e4: i64,
    samples: &[Sample],
) -> Option<Expected> {
    let table = &book.on_day(local_day(start_ms))?.slots;
    let slot_at = |ms: i64| table.get(quarter_of_day(ms)).copied();
    let mut fees = Fees::default();
    if energy_e4 > 0 && end_ms <= start_ms {
        fees.add(energy_e4, slot_at(start_ms)?);
    } else if energy_e4 > 0 {
        let curve = curve(start_ms, end_ms, energy_e4, samples);
        let (mut from, mut reading) = (start_ms, 0);
        while from < end_ms {
            let slot = slot_at(from)?;
            let mut to = next_quarter(from);
            // A segment is a maximal run of slots of one local date, type and price pair; midnight always cuts.
            while to < end_ms && slot_at(to)? == slot && local_day(to) == local_day(from) {
                to = next_quarter(to);
            }
            let at_end = reading_at(&curve, to.min(end_ms));
            fees.add(at_end - reading, slot);
            (from, reading) = (to, at_end);
        }
    }
    Some(fees.total())
}

/// Cost by the charger's own split (R6a): one segment for each rate with energy.
#[must_use]
pub fn by_rates(four: &FourRates, rates_e4: [i64; 4]) -> Expected {
    let mut fees = Fees::default();
    for ((elec_p5, service_p5), energy) in four.prices.into_iter().zip(rates_e4) {
        fees.add_priced(energy, elec_p5, service_p5);
    }
    fees.total()
}

/// True if the whole of [`start_ms`, `end_ms`) is one segment, so that every split of it costs the same.
#[must_use]
pub fn is_one_segment(book: &TariffBook, start_ms: i64, end_ms: i64) -> bool {
    let Some(version) = book.on_day(local_day(start_ms)) else { return false };
    let first = version.slots.get(quarter_of_day(start_ms));
    let last_ms = (end_ms - 1).max(start_ms);
    local_day(start_ms) == local_day(last_ms)
        && (quarter_of_day(start_ms)..=quarter_of_day(last_ms)).all(|quarter| version.slots.get(quarter) == first)
}

/// R4: the cumulative curve with its ends added.
fn curve(start_ms: i64, end_ms: i64, energy_e4: i64, samples: &[Sample]) -> Vec<Sample> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let mut points = vec![Sample { at_ms: start_ms, energy_e4: 0 }];
    let mut highest = 0;
    for sample in sorted.into_iter().filter(|s| s.at_ms > start_ms && s.at_ms < end_ms) {
        highest = sample.energy_e4.clamp(highest, energy_e4);
        let point = Sample { at_ms: sample.at_ms, energy_e4: highest };
        match points.last_mut() {
            Some(last) if last.at_ms == sample.at_ms => *last = point,
            _ => points.push(point),
        }
    }
    points.push(Sample { at_ms: end_ms, energy_e4 });
    points
}

/// R5: the curve at `at_ms`, linear between neighbouring points.
fn reading_at(curve: &[Sample], at_ms: i64) -> i64 {
    for (a, b) in curve.iter().zip(curve.iter().skip(1)) {
        if at_ms <= b.at_ms {
            let rise = i128::from(b.energy_e4 - a.energy_e4) * i128::from(at_ms - a.at_ms);
            return a.energy_e4 + narrow(half_up(rise, i128::from(b.at_ms - a.at_ms)));
        }
    }
    curve.last().map_or(0, |last| last.energy_e4)
}

/// Sums of fees of 4 decimals (R9), turned into fen once (R10).
#[derive(Default)]
struct Fees {
    elec_yuan4: i128,
    service_yuan4: i128,
}

impl Fees {
    fn add(&mut self, energy_e4: i64, slot: Slot) {
        self.add_priced(energy_e4, slot.elec_p5, slot.service_p5);
    }

    fn add_priced(&mut self, energy_e4: i64, elec_p5: u32, service_p5: u32) {
        let fee = |price: u32| half_up(i128::from(energy_e4) * i128::from(price), 100_000);
        self.elec_yuan4 += fee(elec_p5);
        self.service_yuan4 += fee(service_p5);
    }

    fn total(&self) -> Expected {
        let fen = |yuan4: i128| narrow(half_up(yuan4, 100));
        Expected { electricity_fen: fen(self.elec_yuan4), service_fen: fen(self.service_yuan4) }
    }
}

fn half_up(n: i128, d: i128) -> i128 {
    (2 * n + d).div_euclid(2 * d.max(1))
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
