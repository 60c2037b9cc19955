//! One charge as physics: a battery, a power curve and a meter, in integers, so that a record adds up to the last digit.
//!
//! Power is constant over a cell of 5 s of charger time counted from the start, so the same seed gives the same energy at the
//! same moment however often somebody looks.

use crate::clock::{QUARTER_MS, next_quarter};

/// Watt-milliseconds in 0.0001 kWh.
pub(crate) const WMS_PER_E4: u64 = 360_000;
/// Watt-milliseconds in one watt-hour.
pub(crate) const WMS_PER_WH: u64 = 3_600_000;
const CELL_MS: i64 = 5_000;
/// Power rises to its full value over the first half minute, as converters do.
const SOFT_START_MS: i64 = 30_000;

/// The car: what it can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Car {
    /// Usable battery energy, 0.0001 kWh.
    pub capacity_e4: u64,
    /// State of charge at the start, 0.01 %.
    pub soc_start_bp: u64,
    /// Most the car draws, W.
    pub max_power_w: u64,
    /// The driver's wish: stop after this energy, 0.0001 kWh.
    pub wanted_e4: u64,
}

/// Why the current ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// SOC 100 %.
    Full,
    /// The driver has what was wanted.
    Satisfied,
    /// The balance is used up.
    Balance,
}

/// A running (or ended) charge.
#[derive(Clone, Debug)]
pub(crate) struct Charge {
    car: Car,
    rated_power_w: u64,
    /// The meter's register at the start, in Wms.
    register_start: u64,
    delivered: u64,
    started_ms: i64,
    at_ms: i64,
    cell_end_ms: i64,
    power_w: u64,
    ended: Option<Ended>,
    /// (quarter hour boundary, delivered by then in Wms).
    quarters: Vec<(i64, u64)>,
}

impl Charge {
    /// A charge that starts at `started_ms` on a meter that shows `register` Wms.
    pub(crate) fn new(car: Car, rated_power_w: u64, register: u64, started_ms: i64) -> Self {
        Self {
            car,
            rated_power_w,
            register_start: register,
            delivered: 0,
            started_ms,
            at_ms: started_ms,
            cell_end_ms: started_ms,
            power_w: 0,
            ended: None,
            quarters: Vec::new(),
        }
    }

    pub(crate) fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// How far the physics has been computed: the end of the charge once it ended by itself.
    pub(crate) fn at_ms(&self) -> i64 {
        self.at_ms
    }

    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// The meter's register now, Wms.
    pub(crate) fn register(&self) -> u64 {
        self.register_start + self.delivered
    }

    /// Output power now, W; 0 once ended.
    pub(crate) fn power_w(&self) -> u64 {
        if self.ended.is_some() { 0 } else { self.power_w }
    }

    /// State of charge, 0.01 %.
    pub(crate) fn soc_bp(&self) -> u64 {
        (self.car.soc_start_bp + self.delivered / self.wms_per_bp()).min(10_000)
    }

    /// Minutes to a full battery at the present power.
    pub(crate) fn remaining_minutes(&self) -> u64 {
        let missing = (10_000 - self.soc_bp()) * self.wms_per_bp();
        missing / 60_000 / self.power_w().max(1)
    }

    /// Register readings (Wms) at the quarter hours passed so far, oldest first.
    pub(crate) fn quarters(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        self.quarters.iter().map(|&(at, delivered)| (at, self.register_start + delivered))
    }

    /// Carries the charge on to `to_ms` or to its own end. `balance_left(charge)` says after every cell whether the money
    /// lasts; false ends the charge there.
    pub(crate) fn advance(&mut self, to_ms: i64, balance_lasts: impl Fn(&Self) -> bool) {
        while self.ended.is_none() && self.at_ms < to_ms {
            if self.at_ms >= self.cell_end_ms {
                self.cell_end_ms += CELL_MS;
                self.power_w = self.next_power();
            }
            let quarter = next_quarter(self.at_ms);
            let until = to_ms.min(self.cell_end_ms).min(quarter);
            self.flow(until);
            if self.at_ms == quarter {
                self.quarters.push((quarter, self.delivered));
            }
            let cell_done = self.at_ms == self.cell_end_ms;
            if self.ended.is_none() && cell_done && !balance_lasts(self) {
                self.ended = Some(Ended::Balance);
            }
        }
    }

    fn flow(&mut self, until_ms: i64) {
        let span_ms = u64::try_from(until_ms - self.at_ms).unwrap_or(0);
        let wanted = self.car.wanted_e4 * WMS_PER_E4;
        let to_full = (10_000 - self.car.soc_start_bp.min(10_000)) * self.wms_per_bp();
        let limit = wanted.min(to_full).saturating_sub(self.delivered);
        if self.power_w * span_ms < limit {
            self.delivered += self.power_w * span_ms;
            self.at_ms = until_ms;
        } else {
            let needed_ms = limit.div_ceil(self.power_w.max(1)).min(span_ms);
            self.delivered += limit;
            self.at_ms += i64::try_from(needed_ms).unwrap_or(0);
            self.ended = Some(if to_full <= wanted { Ended::Full } else { Ended::Satisfied });
        }
    }

    /// Constant current to 80 % SOC, then a taper to 8 % of it at 100 % (constant voltage), behind a soft start.
    fn next_power(&self) -> u64 {
        let most = self.car.max_power_w.min(self.rated_power_w);
        let above_knee = self.soc_bp().saturating_sub(8_000).min(2_000);
        let tapered = most * (2_000 * 100 - above_knee * 92) / (2_000 * 100);
        let running_ms = (self.at_ms - self.started_ms + CELL_MS).min(SOFT_START_MS);
        (tapered * u64::try_from(running_ms).unwrap_or(0) / u64::try_from(SOFT_START_MS).unwrap_or(1)).max(1)
    }

    fn wms_per_bp(&self) -> u64 {
        (self.car.capacity_e4 * WMS_PER_E4 / 10_000).max(1)
    }
}

/// Energy in 0.0001 kWh between two register readings (Wms), as a display that cuts would show them.
pub(crate) fn e4_between(from: u64, to: u64) -> u64 {
    (to / WMS_PER_E4).saturating_sub(from / WMS_PER_E4)
}

/// Energy of a charge cut at quarter hours: (start of the quarter hour or of the charge, energy e4). The parts add up to
/// `e4_between(start, end)` exactly, because all are differences of the same cut readings.
pub(crate) fn cut_by_quarter(charge: &Charge) -> Vec<(i64, u64)> {
    let mut parts = Vec::with_capacity(charge.quarters.len() + 1);
    let (mut from_ms, mut from) = (charge.started_ms, charge.register_start);
    for (at, register) in charge.quarters() {
        parts.push((from_ms, e4_between(from, register)));
        (from_ms, from) = (at, register);
    }
    parts.push((from_ms, e4_between(from, charge.register())));
    debug_assert!(parts.windows(2).all(|w| matches!(w, [a, b] if b.0 - a.0 <= QUARTER_MS)));
    parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const T0: i64 = 1_764_000_000_000 + 7 * 60_000;

    fn car(wanted_e4: u64) -> Car {
        Car { capacity_e4: 600_000, soc_start_bp: 3_000, max_power_w: 90_000, wanted_e4 }
    }

    #[test]
    fn energy_does_not_depend_on_how_often_it_is_looked_at() {
        let mut once = Charge::new(car(999_999), 120_000, 777_777_777, T0);
        let mut often = once.clone();
        once.advance(T0 + 3_600_000, |_| true);
        for step in 0..36_000 {
            often.advance(T0 + step * 97, |_| true);
        }
        often.advance(T0 + 3_600_000, |_| true);
        assert_eq!((once.register(), once.at_ms(), once.ended()), (often.register(), often.at_ms(), often.ended()));
        assert_eq!(cut_by_quarter(&once), cut_by_quarter(&often));
    }

    #[test]
    fn parts_add_up_to_the_meter_difference() {
        for register in [0, 1, 359_999, 123_456_789_012] {
            let mut charge = Charge::new(car(999_999), 120_000, register, T0);
            charge.advance(T0 + 10_000_000, |_| true);
            let parts: u64 = cut_by_quarter(&charge).iter().map(|p| p.1).sum();
            assert_eq!(parts, charge.register() / WMS_PER_E4 - register / WMS_PER_E4);
        }
    }

    #[test]
    fn a_battery_fills_and_the_power_tapers() {
        let mut charge = Charge::new(car(u64::MAX / WMS_PER_E4), 120_000, 0, T0);
        charge.advance(T0 + 10 * 60_000, |_| true);
        assert_eq!(charge.power_w(), 90_000, "constant current far below the knee");
        charge.advance(T0 + 30 * 60_000, |_| true);
        assert!(charge.soc_bp() > 8_000 && charge.power_w() < 90_000, "{} {}", charge.soc_bp(), charge.power_w());
        charge.advance(T0 + 10 * 3_600_000, |_| true);
        assert_eq!(charge.ended(), Some(Ended::Full));
        assert_eq!(charge.soc_bp(), 10_000);
        assert_eq!(charge.power_w(), 0);
        assert_eq!(e4_between(0, charge.register()), 420_000, "70 % of 60 kWh");
    }

    #[test]
    fn the_wish_and_the_balance_end_a_charge_exactly() {
        let mut charge = Charge::new(car(123_456), 120_000, 0, T0);
        charge.advance(T0 + 10 * 3_600_000, |_| true);
        assert_eq!((charge.ended(), e4_between(0, charge.register())), (Some(Ended::Satisfied), 123_456));
        let mut poor = Charge::new(car(123_456), 120_000, 0, T0);
        poor.advance(T0 + 10 * 3_600_000, |c| e4_between(0, c.register()) < 50_000);
        assert_eq!(poor.ended(), Some(Ended::Balance));
        let got = e4_between(0, poor.register());
        assert!((50_000..51_300).contains(&got), "at most one cell too much: {got}");
    }
}
