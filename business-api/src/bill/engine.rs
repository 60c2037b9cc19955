//! The rules in their order: correct the clock, choose the split, price the parts, sum, discount, compare.

use events::units::{AmountE4, EnergyE4, Fen};

use super::RULE_VERSION;
use super::correct::{Corrected, correct};
use super::curve::Curve;
use super::input::{Options, Session};
use super::occupancy::occupancy;
use super::result::{Basis, Bill, BillError, Comparison, Flag, Segment, Source, Verdict};
use super::rounding::{half_up, scaled};
use super::split::{Judged, Part, cut, judge, version_on};
use crate::tariff::{LocalDate, Slot, Tariff};

/// Rates a session: rules R1 to R16.
///
/// # Errors
/// [`BillError`]: no tariff version for a date, a negative quantity, or figures too large for 64 bits.
pub fn rate(tariff: &Tariff, session: &Session, options: &Options) -> Result<Bill, BillError> {
    check(session, options)?;
    let times = correct(session, options)?;
    let Split { source, parts, samples_used, mut flags } = split(tariff, session, &times, options)?;
    let segments = parts.iter().map(|part| price(part, options)).collect::<Result<Vec<_>, _>>()?;

    let billed = EnergyE4(sum(segments.iter().map(|segment| segment.billed.0), "billed_kwh")?);
    let electricity = AmountE4(sum(segments.iter().map(|segment| segment.electricity.0), "elec_yuan4")?);
    let service = AmountE4(sum(segments.iter().map(|segment| segment.service.0), "service_yuan4")?);
    let electricity_fen = fen(electricity)?;
    let service_fen = fen(service)?;
    let charging_fen = add(electricity_fen, service_fen)?;

    // R12, then R11, then the coupon.
    let rate = i64::from(options.service_discount_rate.0);
    let discounted = scaled(service.0, rate, 1_000_000, "service_discount_fen")?;
    let service_discount_fen = Fen(service_fen.0.saturating_sub(discounted).max(0));
    let after_discount = Fen(charging_fen.0 - service_discount_fen.0); // 0 <= discount <= service <= charging
    let short = options.min_charge.0 - after_discount.0; // both are >= 0
    let min_topup_fen = if session.energy == EnergyE4::ZERO { Fen::ZERO } else { Fen(short.max(0)) };
    let so_far = add(after_discount, min_topup_fen)?;
    let coupon_fen = options.coupon.min(so_far);
    let (occupancy_minutes, occupancy_fen) = match (&options.occupancy, times.unplug_ms) {
        (Some(rule), Some(unplug_ms)) => occupancy(rule, times.end_ms, unplug_ms)?,
        _ => (0, Fen::ZERO),
    };
    let total_fen = add(Fen(so_far.0 - coupon_fen.0), occupancy_fen)?;

    let comparison = session
        .charger_amount
        .map(|amount| compare(amount, charging_fen, !session.charger_price_approximate))
        .transpose()?;
    if times.adjusted {
        flags.push(Flag::ClockAdjusted);
    }
    if session.charger_price_approximate {
        flags.push(Flag::ChargerPriceApproximate);
    }
    flags.sort_unstable();
    Ok(Bill {
        rule_version: RULE_VERSION,
        tariff_version: tariff.on(LocalDate::of(times.start_ms)).map(|version| version.version.clone()),
        source,
        energy: session.energy,
        billed,
        segments,
        electricity,
        service,
        electricity_fen,
        service_fen,
        service_discount_fen,
        min_topup_fen,
        coupon_fen,
        occupancy_minutes,
        occupancy_fen,
        total_fen,
        comparison,
        flags,
        basis: Basis {
            start_ms: times.start_ms,
            end_ms: times.end_ms,
            unplug_ms: times.unplug_ms,
            clock_skew_ms: session.clock_skew_ms,
            samples_used: u32::try_from(samples_used).unwrap_or(u32::MAX),
            options: options.clone(),
        },
    })
}

/// Whether samples can change the bill: the charger's split is not usable and the session crosses an edge between prices.
/// An order that needs them waits for the live data that is still under way before it is rated.
///
/// # Errors
/// As [`rate`].
pub fn needs_samples(tariff: &Tariff, session: &Session, options: &Options) -> Result<bool, BillError> {
    check(session, options)?;
    let times = correct(session, options)?;
    if session.energy == EnergyE4::ZERO || times.end_ms <= times.start_ms {
        return Ok(false);
    }
    if matches!(judge(tariff, session, &times, options)?, Judged::Accepted(_)) {
        return Ok(false);
    }
    Ok(cut(tariff, &times, options.price_policy)?.len() > 1)
}

fn check(session: &Session, options: &Options) -> Result<(), BillError> {
    let negative = |is: bool, field| if is { Err(BillError::Negative { field }) } else { Ok(()) };
    negative(session.energy.is_negative(), "energy_kwh")?;
    negative(session.samples.iter().any(|sample| sample.energy.is_negative()), "samples")?;
    negative(session.charger_amount.is_some_and(AmountE4::is_negative), "charger_amount_yuan")?;
    negative(options.min_charge.is_negative(), "min_charge_fen")?;
    negative(options.coupon.is_negative(), "coupon_fen")
}

struct Split<'a> {
    source: Source,
    parts: Vec<Part<'a>>,
    samples_used: usize,
    flags: Vec<Flag>,
}

/// R6.
fn split<'a>(
    tariff: &'a Tariff,
    session: &Session,
    times: &Corrected,
    options: &Options,
) -> Result<Split<'a>, BillError> {
    let mut flags = Vec::new();
    let judged = judge(tariff, session, times, options)?;
    if matches!(judged, Judged::Rejected) {
        flags.push(Flag::ChargerSplitRejected);
    }
    if session.energy == EnergyE4::ZERO {
        return Ok(Split { source: Source::None, parts: Vec::new(), samples_used: 0, flags });
    }
    if let Judged::Accepted(parts) = judged {
        return Ok(Split { source: Source::Charger, parts, samples_used: 0, flags });
    }
    if times.end_ms <= times.start_ms {
        let date = LocalDate::of(times.start_ms);
        let version = version_on(tariff, options.price_policy, date, date)?;
        let slot: Slot = version.table.at(times.start_ms);
        let (from_ms, to_ms) = (Some(times.start_ms), Some(times.end_ms));
        let parts = vec![Part { from_ms, to_ms, slot, version, energy: session.energy }];
        return Ok(Split { source: Source::Linear, parts, samples_used: 0, flags });
    }
    let mut parts = cut(tariff, times, options.price_policy)?;
    let curve = Curve::new(times.start_ms, times.end_ms, session.energy, times.samples.clone());
    for part in &mut parts {
        let (from, to) =
            (curve.at(part.from_ms.unwrap_or(times.start_ms))?, curve.at(part.to_ms.unwrap_or(times.end_ms))?);
        part.energy = to.checked_sub(from).ok_or(BillError::TooLarge { field: "energy" })?;
    }
    let samples_used = curve.samples_used();
    let source = if samples_used > 0 { Source::Samples } else { Source::Linear };
    Ok(Split { source, parts, samples_used, flags })
}

/// R8 and R9.
fn price(part: &Part<'_>, options: &Options) -> Result<Segment, BillError> {
    let with_loss = 100 + i64::from(options.loss_percent);
    let billed = scaled(part.energy.0, with_loss, 100, "billed_kwh")?;
    let fee = |price: i64, field| scaled(billed, price, 100_000, field).map(AmountE4);
    Ok(Segment {
        from_ms: part.from_ms,
        to_ms: part.to_ms,
        kind: part.slot.kind,
        price: part.slot.price,
        tariff_version: part.version.version.clone(),
        energy: part.energy,
        billed: EnergyE4(billed),
        electricity: fee(part.slot.price.electricity.0, "elec_yuan4")?,
        service: fee(part.slot.price.service.0, "service_yuan4")?,
    })
}

/// R14.
fn compare(charger: AmountE4, ours: Fen, binding: bool) -> Result<Comparison, BillError> {
    let field = "charger_amount_fen";
    let charger = fen(charger)?;
    let diff = charger.checked_sub(ours).ok_or(BillError::TooLarge { field })?;
    let half_percent = half_up(i128::from(ours.0) * 5, 1_000).and_then(|value| i64::try_from(value).ok());
    let tolerance = Fen(half_percent.ok_or(BillError::TooLarge { field })?.max(2));
    let verdict = match diff.0.unsigned_abs() {
        0 => Verdict::Match,
        size if size <= tolerance.0.unsigned_abs() => Verdict::WithinTolerance,
        _ => Verdict::AmountMismatch,
    };
    Ok(Comparison { charger, diff, tolerance, verdict, binding })
}

fn fen(amount: AmountE4) -> Result<Fen, BillError> {
    scaled(amount.0, 1, 100, "amount").map(Fen)
}

fn add(a: Fen, b: Fen) -> Result<Fen, BillError> {
    a.checked_add(b).ok_or(BillError::TooLarge { field: "total_fen" })
}

fn sum(mut values: impl Iterator<Item = i64>, field: &'static str) -> Result<i64, BillError> {
    values.try_fold(0_i64, i64::checked_add).ok_or(BillError::TooLarge { field })
}
