//! From a record to a bill, and from a bill to the end of an order: T23 to T27.

use events::units::{EnergyE4, Fen};

use super::effect::Effect;
use super::input::BillOutcome;
use super::plausibility::{Against, Implausible, Limits, plausible};
use super::record::{Protocol, Record};
use super::state::{ExceptionCode, Hold, Order, Settled, State};
use super::step::Work;
use crate::bill::{self, Bill, BillError, ChargerPeriod, ChargerSplit, Options, Sample, Session, SplitTariff, Verdict};
use crate::tariff::{BillingModel, LocalDate, PeriodKind, Tariff};

/// What billing needs beside the order.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The tariff group that the order is bound to.
    pub tariff: &'a Tariff,
    /// Energy since the start. YKC: on the platform's clock, its live data carries no time. OCPP: on the charger's.
    pub samples: &'a [Sample],
    /// Charger's clock minus the platform's, ms.
    pub clock_skew_ms: i64,
    /// Of the connector; 0 = not known.
    pub rated_power_w: u32,
    /// How to rate.
    pub options: &'a Options,
    /// What is believed.
    pub limits: &'a Limits,
}

/// What came of billing an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The input to go on with.
    pub outcome: BillOutcome,
    /// The bill, also where it is held for its amount.
    pub bill: Option<Bill>,
    /// Why it is held, for the work item.
    pub detail: String,
}

/// Bills an order in [`State::Settling`]: plausibility first, then the rules.
#[must_use]
pub fn settle(order: &Order, facts: &Facts<'_>) -> Settlement {
    let held = |code, bill, detail| Settlement { outcome: BillOutcome::Held(code), bill, detail };
    let session = match bill_session(order, facts) {
        Ok(session) => session,
        Err(why) => return held(why.code(), None, why.to_string()),
    };
    let against = Against {
        rated_power_w: facts.rated_power_w,
        correction_ms: facts.options.correction_ms(session.clock_skew_ms),
        recorded_at_ms: order.recorded_at_ms.filter(|_| order.estimate.is_none()),
        limits: facts.limits,
    };
    if let Err(why) = plausible(&session, &against) {
        return held(why.code(), None, why.to_string());
    }
    match bill::rate(facts.tariff, &session, facts.options) {
        Err(error @ BillError::NoTariff { .. }) => held(ExceptionCode::NoTariff, None, error.to_string()),
        Err(error) => held(ExceptionCode::BillFailed, None, error.to_string()),
        Ok(bill) if bill.amount_mismatch() => {
            let detail = bill.comparison.map(|it| format!("charger {} yuan, difference {}", it.charger, it.diff));
            held(ExceptionCode::AmountMismatch, Some(bill), detail.unwrap_or_default())
        }
        Ok(bill) => {
            if let Some(claim) = claim_beside(order, &bill, facts.limits) {
                let detail = format!("{} kWh, nothing due, but {claim}", bill.energy);
                return held(ExceptionCode::EnergyInconsistent, Some(bill), detail);
            }
            let outcome = BillOutcome::Due { total: bill.total_fen, energy: bill.energy };
            Settlement { outcome, bill: Some(bill), detail: String::new() }
        }
    }
}

/// What the record of next to no energy claims beside it, where nothing is due for that: the amount also where it only informs.
fn claim_beside(order: &Order, bill: &Bill, limits: &Limits) -> Option<String> {
    let next_to_nothing = bill.total_fen == Fen::ZERO && bill.energy <= limits.meter_tolerance;
    let record = order.record.as_ref().filter(|_| next_to_nothing && order.estimate.is_none())?;
    record.claim_of_energy(order.meter_start).or_else(|| {
        let comparison = bill.comparison.filter(|it| it.verdict == Verdict::AmountMismatch)?;
        Some(format!("the amount is {} yuan", comparison.charger))
    })
}

/// The billing input of an order: its estimate, else its record.
///
/// # Errors
/// [`Implausible::Inconsistent`]: no start, no energy, or figures that contradict each other.
pub fn bill_session(order: &Order, facts: &Facts<'_>) -> Result<Session, Implausible> {
    let clock_skew_ms = order.skew_of_session_ms(facts.clock_skew_ms, facts.options, facts.limits);
    let correction_ms = facts.options.correction_ms(clock_skew_ms);
    let on_charger_clock = |at_ms: i64| at_ms.saturating_add(correction_ms);
    let live = |sample: &Sample| match order.protocol {
        Protocol::Ykc => Sample { at_ms: on_charger_clock(sample.at_ms), energy: sample.energy },
        Protocol::Ocpp => *sample,
    };
    let mut session = Session {
        samples: facts.samples.iter().map(live).collect(),
        clock_skew_ms,
        unplug_ms: order.unplugged_at_ms.map(on_charger_clock),
        ..Session::default()
    };
    if let Some(estimate) = &order.estimate {
        // An operator's times are the platform's: nothing to correct.
        session.clock_skew_ms = 0;
        session.samples = facts.samples.to_vec();
        session.unplug_ms = order.unplugged_at_ms;
        (session.start_ms, session.end_ms) = (estimate.started_at_ms, estimate.ended_at_ms);
        session.energy = estimate.energy;
        return Ok(session);
    }
    let inconsistent = |text: &str| Implausible::Inconsistent(text.to_owned());
    let record = order.record.as_ref().ok_or_else(|| inconsistent("no record"))?;
    let start_ms = record.started_at_ms.or(order.started_at_ms);
    session.start_ms = start_ms.ok_or_else(|| inconsistent("nobody says when it started"))?;
    session.end_ms = record.ended_at_ms;
    session.energy = energy_of(record, order.meter_start, facts.limits)?;
    session.charger_amount = record.amount;
    let meter_start = record.meter_start.or(order.meter_start);
    for point in &record.registers {
        let energy =
            meter_start.and_then(|start| point.energy.checked_sub(start)).filter(|energy| !energy.is_negative());
        session.samples.extend(energy.map(|energy| Sample { at_ms: point.at_ms, energy }));
    }
    if order.protocol == Protocol::Ykc {
        split_of(record, facts, &mut session);
    }
    if session.energy == EnergyE4::ZERO && session.end_ms < session.start_ms {
        session.unplug_ms = None; // Times that cannot be, and nothing delivered: no occupancy from them either.
    }
    Ok(session)
}

/// The charger's total, checked against its meter and its periods. A meter that ran backwards (reset, rollover) is not believed; then
/// the periods must agree with the total to the last digits. Whatever speaks of a delivery where the total is 0 contradicts it: nothing
/// is closed for nothing while its record claims energy or money.
fn energy_of(record: &Record, meter_start: Option<EnergyE4>, limits: &Limits) -> Result<EnergyE4, Implausible> {
    let inconsistent = |text: String| Err(Implausible::Inconsistent(text));
    let energy = metered_energy_of(record, meter_start, limits)?;
    if energy == EnergyE4::ZERO
        && let Some(claim) = record.claim_without_energy(meter_start)
    {
        return inconsistent(format!("no energy, but {claim}"));
    }
    let sum = record.periods_sum();
    let apart = (sum - i128::from(energy.0)).abs();
    // Each period in use may be rounded as coarsely as the meter. Of a total that is no more than that itself nothing is left to chance.
    let tolerance = i128::from(limits.meter_tolerance.0);
    let used = record.periods.iter().filter(|period| period.energy != EnergyE4::ZERO).count();
    let rounded = tolerance * i128::try_from(used).unwrap_or(1);
    let tolerance = if i128::from(energy.0) > rounded { rounded } else { tolerance };
    if !record.periods.is_empty() && apart > tolerance {
        let sum = EnergyE4(i64::try_from(sum).unwrap_or(i64::MAX));
        return inconsistent(format!("total {energy} kWh, {sum} kWh in the periods"));
    }
    Ok(energy)
}

fn metered_energy_of(record: &Record, meter_start: Option<EnergyE4>, limits: &Limits) -> Result<EnergyE4, Implausible> {
    let inconsistent = |text: String| Err(Implausible::Inconsistent(text));
    let metered = match (record.meter_start.or(meter_start), record.meter_end) {
        (Some(EnergyE4::ZERO), Some(EnergyE4::ZERO)) | (None, _) | (_, None) => None, // No meter reading at all.
        (Some(start), Some(end)) => end.checked_sub(start),
    };
    match (record.energy, metered) {
        (None, None) => match (record.meter_start.or(meter_start), record.meter_end) {
            (Some(start), Some(end)) if start == end => Ok(EnergyE4::ZERO),
            _ => inconsistent("neither total nor meter readings".to_owned()),
        },
        (None, Some(metered)) if metered.is_negative() => inconsistent("the meter ran backwards".to_owned()),
        (None, Some(metered)) => Ok(metered),
        (Some(total), None) => Ok(total),
        (Some(total), Some(metered)) if metered.is_negative() => {
            if periods_agree(record, total) {
                Ok(total)
            } else {
                inconsistent(format!("the meter ran backwards and the periods do not add up to {total} kWh"))
            }
        }
        (Some(total), Some(metered)) => {
            let apart = i128::from(total.0) - i128::from(metered.0);
            if apart.unsigned_abs() > i128::from(limits.meter_tolerance.0).unsigned_abs() {
                return inconsistent(format!("total {total} kWh, meter {metered} kWh"));
            }
            Ok(total)
        }
    }
}

fn periods_agree(record: &Record, total: EnergyE4) -> bool {
    !record.periods.is_empty() && (record.periods_sum() - i128::from(total.0)).abs() <= 10
}

/// The charger's cells as our kinds, by the billing model that the charger was given.
fn split_of(record: &Record, facts: &Facts<'_>, session: &mut Session) {
    let Some(version) = facts.tariff.on(LocalDate::of(session.start_ms)) else { return };
    let model = BillingModel::of(&version.table);
    session.charger_price_approximate = !model.exact();
    if record.periods.is_empty() {
        return;
    }
    let mut periods = Vec::with_capacity(record.periods.len());
    for cell in &record.periods {
        let kind = match cell.kind {
            PeriodKind::Sharp => model.kinds.first(),
            PeriodKind::Peak => model.kinds.get(1),
            PeriodKind::Flat => model.kinds.get(2),
            PeriodKind::Valley => model.kinds.get(3),
            PeriodKind::DeepValley => Some(&Some(PeriodKind::DeepValley)), // A dialect with a cell of its own.
        };
        // A cell that we gave no kind can be billed by no kind: its name will do for an entry of 0, and is refused else.
        let kind = kind.copied().flatten().unwrap_or(cell.kind);
        periods.push(ChargerPeriod { kind, energy: cell.energy, price: Some(cell.price) });
    }
    session.charger_split = Some(ChargerSplit { periods, tariff: SplitTariff::NotStated });
}

/// T24, T25, or on to the collection.
pub(super) fn billed(work: &mut Work, outcome: BillOutcome) -> bool {
    if work.state() != State::Settling || work.order.settled.is_some() {
        return match outcome {
            BillOutcome::Due { total, energy } => {
                work.order.settled.is_some_and(|settled| settled.total == total && settled.energy == energy)
            }
            BillOutcome::Held(code) => work.order.exception == Some(code),
        };
    }
    match outcome {
        BillOutcome::Held(code) => work.hold("T24", code),
        BillOutcome::Due { total, .. } if total.is_negative() => return false,
        BillOutcome::Due { total, energy } => {
            work.order.settled = Some(Settled { total, energy, source: work.order.energy_source() });
            if total == Fen::ZERO {
                work.go("T25", State::ClosedZero);
                work.give_back_all();
            } else {
                work.effect(Effect::Collect { amount: total });
            }
        }
    }
    true
}

/// T23.
pub(super) fn collected(work: &mut Work) -> bool {
    let Some(settled) = work.order.settled else { return false };
    match work.state() {
        State::Settling => {
            work.go("T23", State::Completed);
            complete(work, settled);
        }
        State::Completed => {}
        _ => return false,
    }
    true
}

/// T26.
pub(super) fn collect_failed(work: &mut Work, collected: Fen) -> bool {
    let Some(settled) = work.order.settled else { return false };
    match work.state() {
        State::Settling if !collected.is_negative() && collected < settled.total => {
            work.go("T26", State::Unpaid);
            work.order.collected = collected;
            use_up_hold(work);
            work.effect(Effect::BlockPayer);
        }
        State::Unpaid => {}
        _ => return false,
    }
    true
}

/// T27.
pub(super) fn arrears_paid(work: &mut Work) -> bool {
    let Some(settled) = work.order.settled else { return false };
    match work.state() {
        State::Unpaid => {
            work.go("T27", State::Completed);
            complete(work, settled);
            work.effect(Effect::UnblockPayer);
        }
        State::Completed => {}
        _ => return false,
    }
    true
}

fn complete(work: &mut Work, settled: Settled) {
    work.order.collected = settled.total;
    use_up_hold(work);
    if let Some(surplus) = work.order.paid.checked_sub(settled.total) {
        work.refund(surplus);
    }
    work.effect(Effect::AnnounceCompleted);
}

/// The collection deducts from what was frozen and gives back the rest.
fn use_up_hold(work: &mut Work) {
    if work.order.hold != Hold::None {
        work.order.hold = Hold::Released;
    }
}
