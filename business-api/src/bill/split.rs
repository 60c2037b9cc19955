//! Rules R6 and R7: whose split is used, and the segments of a session that have one date, version, kind and price.

use events::units::EnergyE4;

use super::correct::Corrected;
use super::input::{ChargerSplit, Options, PricePolicy, Session, SplitTariff};
use super::result::BillError;
use crate::tariff::{LocalDate, MS_PER_SLOT, PeriodKind, Price, Slot, Tariff, TariffVersion};

/// The sum of a charger's split may differ from its total by this much: one last digit per period and some.
const SPLIT_TOLERANCE: i64 = 10;

/// Energy of one kind at one price, before it is priced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub from_ms: Option<i64>,
    pub to_ms: Option<i64>,
    pub slot: Slot,
    pub version: &'a TariffVersion,
    pub energy: EnergyE4,
}

/// What becomes of the charger's split.
#[derive(Debug)]
pub(super) enum Judged<'a> {
    /// There is none, or R3 or an approximate table rule it out.
    NotUsed,
    /// There is one that cannot be used.
    Rejected,
    /// Its parts.
    Accepted(Vec<Part<'a>>),
}

/// The version that prices a date under the policy, for a session that starts on `start`.
pub(super) fn version_on(
    tariff: &Tariff,
    policy: PricePolicy,
    start: LocalDate,
    date: LocalDate,
) -> Result<&TariffVersion, BillError> {
    let date = match policy {
        PricePolicy::LockAtStart => start,
        PricePolicy::BySlotDate => date,
    };
    tariff.on(date).ok_or(BillError::NoTariff { date })
}

/// R6a.
pub(super) fn judge<'a>(
    tariff: &'a Tariff,
    session: &Session,
    times: &Corrected,
    options: &Options,
) -> Result<Judged<'a>, BillError> {
    let Some(split) = &session.charger_split else { return Ok(Judged::NotUsed) };
    if times.adjusted || session.charger_price_approximate {
        return Ok(Judged::NotUsed);
    }
    let mut sum: i128 = 0;
    for period in &split.periods {
        if period.energy.is_negative() {
            return Err(BillError::Negative { field: "charger_periods" });
        }
        sum += i128::from(period.energy.0); // Fewer than 2^63 summands of 63 bits.
    }
    if (sum - i128::from(session.energy.0)).abs() > i128::from(SPLIT_TOLERANCE) {
        return Ok(Judged::Rejected);
    }
    let Some(locked) = tariff.on(LocalDate::of(times.start_ms)) else { return Ok(Judged::Rejected) };
    if matches!(&split.tariff, SplitTariff::Version(stated) if *stated != locked.version) {
        return Ok(Judged::Rejected);
    }
    Ok(parts_of(tariff, split, locked, times, options.price_policy).map_or(Judged::Rejected, Judged::Accepted))
}

/// The parts of the charger's split; `None` where a kind in use has not exactly one price or the charger states another.
fn parts_of<'a>(
    tariff: &'a Tariff,
    split: &ChargerSplit,
    locked: &'a TariffVersion,
    times: &Corrected,
    policy: PricePolicy,
) -> Option<Vec<Part<'a>>> {
    let mut parts = Vec::new();
    for period in split.periods.iter().filter(|period| period.energy != EnergyE4::ZERO) {
        let price = only_price(tariff, locked, period.kind, times, policy)?;
        if period.price.is_some_and(|stated| stated != price.sum()) {
            return None;
        }
        let slot = Slot { kind: period.kind, price };
        parts.push(Part { from_ms: None, to_ms: None, slot, version: locked, energy: period.energy });
    }
    Some(parts)
}

/// The one price pair of a kind. By slot date "the table" is that of every date of the session: where the versions differ,
/// an energy per kind cannot be told apart by date.
fn only_price(
    tariff: &Tariff,
    locked: &TariffVersion,
    kind: PeriodKind,
    times: &Corrected,
    policy: PricePolicy,
) -> Option<Price> {
    let price = locked.table.only_price(kind)?;
    if policy == PricePolicy::BySlotDate {
        let (first, last) = (LocalDate::of(times.start_ms).0, LocalDate::of(times.end_ms.saturating_sub(1)).0);
        for date in first..=last {
            let version = tariff.on(LocalDate(date))?;
            if version.table.only_price(kind).is_some_and(|other| other != price)
                || (version.table.only_price(kind).is_none()
                    && version.table.slots().iter().any(|slot| slot.kind == kind))
            {
                return None;
            }
        }
    }
    Some(price)
}

/// R6b without the energies: maximal runs of slots with one date, version, kind and price. `end_ms` is after `start_ms`.
pub(super) fn cut<'a>(tariff: &'a Tariff, times: &Corrected, policy: PricePolicy) -> Result<Vec<Part<'a>>, BillError> {
    let start_date = LocalDate::of(times.start_ms);
    let mut parts: Vec<Part<'a>> = Vec::new();
    let mut from_ms = times.start_ms;
    while from_ms < times.end_ms {
        let date = LocalDate::of(from_ms);
        let version = version_on(tariff, policy, start_date, date)?;
        let slot = version.table.at(from_ms);
        let slot_end = from_ms.div_euclid(MS_PER_SLOT).saturating_add(1).saturating_mul(MS_PER_SLOT);
        let to_ms = slot_end.min(times.end_ms);
        match parts.last_mut() {
            Some(last)
                if last.slot == slot
                    && last.version.version == version.version
                    && last.from_ms.is_some_and(|at_ms| LocalDate::of(at_ms) == date) =>
            {
                last.to_ms = Some(to_ms);
            }
            _ => {
                let (from_ms, to_ms, energy) = (Some(from_ms), Some(to_ms), EnergyE4::ZERO);
                parts.push(Part { from_ms, to_ms, slot, version, energy });
            }
        }
        from_ms = to_ms;
    }
    Ok(parts)
}
