//! From a record to a bill or to the reason why there is none: plausibility, meters, cells, clocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod billing_support;
mod order_support;

use billing_support::{a1, b1};
use business_api::bill::{Flag, Options, Sample, Source};
use business_api::order::{
    Against, BillOutcome, ExceptionCode, Facts, Implausible, Input, Limits, Opening, Order, Placed, Protocol, Record,
    Settlement, State, open, plausible, settle, step,
};
use business_api::tariff::{PeriodKind, Tariff};
use events::units::{AmountE4, EnergyE4, Fen};
use order_support::{MINUTE, T0, asked, cell, estimate, placed, policy, record, started};

fn settled_with(record: Record, change: impl FnOnce(&mut Facts<'_>)) -> Settlement {
    settle_with(&a1(), Protocol::Ykc, None, record, change)
}

fn order_of(protocol: Protocol, meter_start: Option<i64>, record: Record) -> Order {
    let opening = Opening::Started {
        session: record.session.clone(),
        id_tag: None,
        started_at_ms: T0 + 30 * MINUTE,
        meter_start: meter_start.map(EnergyE4),
        offline: false,
    };
    let order = open(Placed { protocol, ..placed(Some("user-1")) }, T0, &opening, &policy()).order;
    step(&order, T0 + 91 * MINUTE, &Input::Recorded(Box::new(record)), &policy()).unwrap().order
}

fn settle_with(
    tariff: &Tariff,
    protocol: Protocol,
    meter_start: Option<i64>,
    record: Record,
    change: impl FnOnce(&mut Facts<'_>),
) -> Settlement {
    let (options, limits) = (Options::default(), Limits::default());
    let order = order_of(protocol, meter_start, record);
    let mut facts =
        Facts { tariff, samples: &[], clock_skew_ms: 0, rated_power_w: 60_000, options: &options, limits: &limits };
    change(&mut facts);
    settle(&order, &facts)
}

fn held(settlement: &Settlement) -> ExceptionCode {
    match settlement.outcome {
        BillOutcome::Held(code) => code,
        BillOutcome::Due { .. } => panic!("{settlement:?}"),
    }
}

/// OCPP: no total, no split, no amount; meter readings only.
fn ocpp(meter_end: Option<i64>) -> Record {
    Record {
        started_at_ms: None,
        meter_start: None,
        meter_end: meter_end.map(EnergyE4),
        energy: None,
        amount: None,
        periods: Vec::new(),
        ..record(1, 300_000)
    }
}

#[test]
fn a_ykc_record_is_billed_by_its_own_split() {
    let settlement = settled_with(record(1, 300_000), |_| {});
    let bill = settlement.bill.unwrap();
    assert_eq!((bill.source, bill.flags.len()), (Source::Charger, 0));
    assert_eq!(settlement.outcome, BillOutcome::Due { total: Fen(3_867), energy: EnergyE4(300_000) });
    assert_eq!(bill.comparison.unwrap().diff, Fen(0));
}

#[test]
fn a_price_that_is_not_ours_rejects_the_split_and_a_wrong_amount_is_held() {
    let mut stale = record(1, 300_000);
    stale.periods[1].price.0 -= 1;
    let settlement = settled_with(stale, |_| {});
    assert_eq!(settlement.bill.unwrap().flags, [Flag::ChargerSplitRejected]);
    let wrong = Record { amount: Some(AmountE4(500_000)), ..record(1, 300_000) };
    let settlement = settled_with(wrong, |_| {});
    assert_eq!(held(&settlement), ExceptionCode::AmountMismatch);
    assert!(settlement.bill.is_some() && settlement.detail.contains("50.00"), "{}", settlement.detail);
}

#[test]
fn cells_are_translated_by_the_model_the_charger_was_given() {
    let tariff = Tariff::new(vec![billing_support::version(
        "D-1",
        "2025-01-01",
        None,
        &[
            ("00:00", "10:00", "flat", "0.62340", "0.45"),
            ("10:00", "12:00", "deep_valley", "0.1", "0.2"),
            ("12:00", "24:00", "peak", "1.05470", "0.45"),
        ],
    )])
    .unwrap();
    let mut record = record(1, 300_000);
    record.periods = vec![cell(PeriodKind::Flat, 150_000), cell(PeriodKind::Valley, 150_000)];
    record.periods[1].price.0 = 30_000;
    record.amount = None;
    let bill = settle_with(&tariff, Protocol::Ykc, None, record, |_| {}).bill.unwrap();
    assert_eq!(bill.source, Source::Charger);
    assert_eq!(bill.segments[1].kind, PeriodKind::DeepValley, "the valley cell holds the deep valley");
}

#[test]
fn a_tariff_that_does_not_fit_is_billed_by_samples_and_its_amount_only_informs() {
    // 09:30 to 10:30 in B-1 is peak all along.
    let settlement = settle_with(&b1(), Protocol::Ykc, None, record(1, 300_000), |_| {});
    let bill = settlement.bill.unwrap();
    assert_eq!((bill.source, bill.flags.as_slice()), (Source::Linear, [Flag::ChargerPriceApproximate].as_slice()));
    assert!(matches!(settlement.outcome, BillOutcome::Due { .. }), "{:?}", bill.comparison);
}

#[test]
fn ocpp_energy_is_the_difference_of_meter_readings() {
    let registers = vec![Sample { at_ms: T0 + 60 * MINUTE, energy: EnergyE4(1_200_000) }];
    let record = Record { registers, ..ocpp(Some(1_300_000)) };
    let settlement = settle_with(&a1(), Protocol::Ocpp, Some(1_000_000), record, |_| {});
    let bill = settlement.bill.unwrap();
    assert_eq!((bill.energy, bill.source), (EnergyE4(300_000), Source::Samples));
    assert_eq!(bill.segments[0].energy, EnergyE4(200_000), "20 kWh until 10:00 by the reading that came with the stop");
    let nothing = settle_with(&a1(), Protocol::Ocpp, Some(1_000_000), ocpp(Some(1_000_000)), |_| {});
    assert_eq!(nothing.outcome, BillOutcome::Due { total: Fen(0), energy: EnergyE4(0) });
    let from_zero = settle_with(&a1(), Protocol::Ocpp, Some(0), ocpp(Some(0)), |_| {});
    assert_eq!(from_zero.outcome, BillOutcome::Due { total: Fen(0), energy: EnergyE4(0) });
}

#[test]
fn figures_that_contradict_each_other_are_held() {
    let backwards = settle_with(&a1(), Protocol::Ocpp, Some(1_000_000), ocpp(Some(999_999)), |_| {});
    let unknown = settle_with(&a1(), Protocol::Ocpp, None, ocpp(Some(1_300_000)), |_| {});
    let apart = settled_with(Record { meter_end: Some(EnergyE4(1_300_101)), ..record(1, 300_000) }, |_| {});
    for settlement in [&backwards, &unknown, &apart] {
        assert_eq!(held(settlement), ExceptionCode::EnergyInconsistent, "{settlement:?}");
        assert!(!settlement.detail.is_empty());
    }
    let close = settled_with(Record { meter_end: Some(EnergyE4(1_300_100)), ..record(1, 300_000) }, |_| {});
    assert!(close.bill.is_some());
    let no_meter = Record { meter_start: Some(EnergyE4(0)), meter_end: Some(EnergyE4(0)), ..record(1, 300_000) };
    assert!(settled_with(no_meter, |_| {}).bill.is_some(), "both zero is no reading");
}

/// A record whose total is 0 closes no order for nothing while its meter, its periods or its amount speak of a delivery; not where the
/// charger only has an approximation of the prices either.
#[test]
fn no_total_is_no_reason_to_close_what_claims_energy_or_money() {
    let no_meter = |record: Record| Record { meter_start: Some(EnergyE4(0)), meter_end: Some(EnergyE4(0)), ..record };
    let metered = Record { energy: Some(EnergyE4(0)), periods: Vec::new(), ..record(1, 500_000) };
    let split = no_meter(Record { energy: Some(EnergyE4(0)), amount: Some(AmountE4(0)), ..record(1, 200_000) });
    let paid = no_meter(Record { amount: Some(AmountE4(156_000)), ..record(1, 0) });
    let registers = vec![Sample { at_ms: T0 + 60 * MINUTE, energy: EnergyE4(1_200_000) }];
    for tariff in [a1(), b1()] {
        for record in [&metered, &split, &paid] {
            let settlement = settle_with(&tariff, Protocol::Ykc, None, record.clone(), |_| {});
            assert_eq!(held(&settlement), ExceptionCode::EnergyInconsistent, "{settlement:?}");
        }
        let stop = Record { registers: registers.clone(), ..ocpp(Some(1_000_000)) };
        let settlement = settle_with(&tariff, Protocol::Ocpp, Some(1_000_000), stop, |_| {});
        assert_eq!(held(&settlement), ExceptionCode::EnergyInconsistent, "readings between equal ends");
    }
    let more = no_meter(Record { energy: Some(EnergyE4(10_000)), amount: None, ..record(1, 200_000) });
    assert_eq!(held(&settled_with(more, |_| {})), ExceptionCode::EnergyInconsistent, "periods of more than the total");
    // A meter counts in steps, and half a fen is none.
    let step = Record { energy: Some(EnergyE4(0)), amount: Some(AmountE4(49)), ..record(1, 100) };
    assert_eq!(settled_with(step, |_| {}).outcome, BillOutcome::Due { total: Fen(0), energy: EnergyE4(0) });
}

/// What is next to nothing is worth nothing: then it must be all that the record claims.
#[test]
fn next_to_no_total_is_no_reason_to_close_what_claims_energy_or_money() {
    let of = |total: i64, periods: i64, moved: i64, amount: i64| Record {
        meter_end: Some(EnergyE4(1_000_000 + moved)),
        amount: Some(AmountE4(amount)),
        periods: vec![cell(PeriodKind::Valley, periods)],
        ..record(1, total)
    };
    for tariff in [a1(), b1()] {
        let settled = |record: Record| settle_with(&tariff, Protocol::Ykc, None, record, |_| {});
        for total in [1, 50, 100] {
            for record in [of(total, 500_000, total, 0), of(total, 500_000, total, 381_250)] {
                assert_eq!(held(&settled(record)), ExceptionCode::EnergyInconsistent);
            }
        }
        for total in [1, 50] {
            held(&settled(of(total, 0, total, 381_250))); // as what, says whether the amount only informs
        }
        assert_eq!(held(&settled(of(40, 40, 140, 0))), ExceptionCode::EnergyInconsistent, "more on the meter");
        assert_eq!(settled(of(40, 40, 40, 0)).outcome, BillOutcome::Due { total: Fen(0), energy: EnergyE4(40) });
    }
}

/// Business rules 1.1: the sum of the periods against the total, whatever the meter says.
#[test]
fn periods_that_do_not_add_up_to_the_total_are_held() {
    for meter_end in [1_300_000, 0] {
        let of = |apart: i64| {
            let mut record = Record { meter_end: Some(EnergyE4(meter_end)), amount: None, ..record(1, 300_000) };
            record.meter_start = record.meter_start.filter(|_| meter_end > 0).or(Some(EnergyE4(0)));
            record.periods[1].energy.0 += apart;
            settled_with(record, |_| {})
        };
        // Two periods, each rounded to 0.01 kWh: 0.02 kWh.
        for apart in [-201, 201, -150_000, 500_000] {
            assert_eq!(held(&of(apart)), ExceptionCode::EnergyInconsistent, "{apart}");
        }
        for apart in [-200, 0, 200] {
            assert!(of(apart).bill.is_some(), "{apart}");
        }
    }
    let unsplit = Record { periods: Vec::new(), ..record(1, 300_000) };
    assert!(settled_with(unsplit, |_| {}).bill.is_some(), "a charger that does not split its energy");
}

/// Before anybody saw current flow, too: such a record is billed, not taken for a start that failed.
#[test]
fn a_start_that_failed_is_told_by_a_record_that_claims_nothing() {
    let starting = asked(None, None).order;
    let failed = Input::StartRefused { code: "03".to_owned(), not_plugged: false };
    let failed = step(&starting, T0, &failed, &policy()).unwrap().order;
    let come = |order: &Order, record: Record| step(order, T0, &Input::Recorded(Box::new(record)), &policy()).unwrap();
    for order in [&starting, &failed] {
        let metered = Record { energy: Some(EnergyE4(0)), periods: Vec::new(), ..record(1, 500_000) };
        let split = Record { meter_end: Some(EnergyE4(1_000_000)), ..metered.clone() };
        let split = Record { periods: record(1, 200_000).periods, amount: Some(AmountE4(0)), ..split };
        let paid = Record { amount: Some(AmountE4(152_500)), ..record(1, 0) };
        for claiming in [metered, split, paid] {
            assert_eq!(come(order, claiming).order.state, State::Settling);
        }
        let nothing = come(order, record(1, 0));
        assert_eq!((nothing.order.state, nothing.order.settled), (State::StartFailed, None));
    }
}

#[test]
fn after_a_meter_reset_the_periods_must_agree() {
    let reset = || Record { meter_end: Some(EnergyE4(5)), ..record(1, 300_000) };
    assert!(settled_with(reset(), |_| {}).bill.is_some());
    let mut apart = reset();
    apart.periods[1].energy.0 -= 11;
    assert_eq!(held(&settled_with(apart, |_| {})), ExceptionCode::EnergyInconsistent);
    let none = Record { periods: Vec::new(), ..reset() };
    assert_eq!(held(&settled_with(none, |_| {})), ExceptionCode::EnergyInconsistent);
}

#[test]
fn times_that_cannot_be_are_held() {
    let times = |start: i64, end: i64| {
        held(&settled_with(Record { started_at_ms: Some(start), ended_at_ms: end, ..record(1, 300_000) }, |_| {}))
    };
    assert_eq!(times(T0, T0 - 1), ExceptionCode::BadTime);
    assert_eq!(times(946_684_800_000, 946_688_400_000), ExceptionCode::BadTime, "2000-01-01");
    assert_eq!(times(T0, T0 + 7 * 24 * 60 * MINUTE + 1), ExceptionCode::BadTime);
    let zero = Record { started_at_ms: Some(T0), ended_at_ms: T0 - 1, amount: None, ..record(1, 0) };
    let settlement = settled_with(zero, |_| {});
    assert_eq!(
        settlement.outcome,
        BillOutcome::Due { total: Fen(0), energy: EnergyE4(0) },
        "nothing is due, whatever the times"
    );
}

#[test]
fn more_energy_than_the_charger_can_give_is_held() {
    // One hour: 110 % of P, and 1 Wh of slack.
    for (rated_power_w, energy, believed) in [
        (60_000, 300_000, true),
        (27_271, 300_000, false),
        (27_272, 300_000, true),
        (0, 300_000, true),
        (10_000, 110_010, true),
        (10_000, 110_011, false),
    ] {
        let settlement =
            settled_with(Record { amount: None, ..record(1, energy) }, |facts| facts.rated_power_w = rated_power_w);
        assert_eq!(settlement.bill.is_some(), believed, "{rated_power_w} W {energy}");
        if !believed {
            assert_eq!(held(&settlement), ExceptionCode::EnergyImplausible);
        }
    }
    let limits = Limits { energy_percent: 200, ..Limits::default() };
    let mut session = business_api::bill::Session { start_ms: T0, end_ms: T0 + 60 * MINUTE, ..Default::default() };
    session.energy = EnergyE4(200_010);
    let against = Against { rated_power_w: 10_000, correction_ms: 0, recorded_at_ms: None, limits: &limits };
    assert_eq!(plausible(&session, &against), Ok(()));
    session.energy = EnergyE4(i64::MAX);
    let against = Against { rated_power_w: u32::MAX, ..against };
    assert!(matches!(plausible(&session, &against), Err(Implausible::Energy { .. })));
}

#[test]
fn a_record_of_the_future_is_held() {
    let came_ms = T0 + 91 * MINUTE;
    let ends = |ended_at_ms| Record {
        started_at_ms: Some(ended_at_ms - 60 * MINUTE),
        ended_at_ms,
        amount: None,
        ..record(1, 300_000)
    };
    // 4_102_444_800_000 is 2100.
    for (ended_at_ms, believed) in [
        (came_ms + 5 * MINUTE, true),
        (came_ms + 5 * MINUTE + 1, false),
        (came_ms + 1_440 * MINUTE, false),
        (4_102_444_800_000, false),
    ] {
        let settlement = settled_with(ends(ended_at_ms), |_| {});
        assert_eq!(settlement.bill.is_some(), believed, "{ended_at_ms}");
        if !believed {
            assert_eq!(held(&settlement), ExceptionCode::BadTime);
        }
    }
    // OCPP: only the stop has a time of its own.
    let stop = Record { ended_at_ms: 4_102_444_800_000, ..ocpp(Some(1_300_000)) };
    assert_eq!(held(&settle_with(&a1(), Protocol::Ocpp, Some(1_000_000), stop, |_| {})), ExceptionCode::BadTime);
    // A clock that is known to be wrong is judged as it is billed: by the times put right.
    let fast = settled_with(ends(came_ms + 30 * MINUTE), |facts| facts.clock_skew_ms = 30 * MINUTE);
    assert_eq!(fast.bill.unwrap().basis.end_ms, came_ms);
    // But not by a skew that alone makes a record of the future of it: its clock has been set since that was measured.
    let slow = settled_with(ends(came_ms), |facts| facts.clock_skew_ms = -30 * MINUTE);
    assert_eq!(slow.bill.unwrap().basis.end_ms, came_ms);
}

/// Measured before the clock was set, and told again long after: a session that began when it was heard to begin was timed rightly.
#[test]
fn a_skew_that_the_session_itself_contradicts_is_not_applied() {
    let of_start = |start_ms: i64, skew_ms: i64| {
        let record = Record {
            started_at_ms: Some(start_ms),
            ended_at_ms: start_ms + 60 * MINUTE,
            amount: None,
            ..record(1, 300_000)
        };
        // T0 is when it was heard to begin.
        settled_with(record, |facts| facts.clock_skew_ms = skew_ms).bill.unwrap().basis.start_ms
    };
    for skew_ms in [180 * MINUTE, -180 * MINUTE, 1_440 * MINUTE] {
        assert_eq!(of_start(T0 - MINUTE / 2, skew_ms), T0 - MINUTE / 2, "the record is right");
    }
    assert_eq!(of_start(T0 + 20 * MINUTE, 20 * MINUTE), T0, "the charger is 20 min fast");
    assert_eq!(of_start(T0 - 180 * MINUTE, -180 * MINUTE), T0, "3 h slow");
    assert_eq!(of_start(T0, 3 * MINUTE), T0 - 3 * MINUTE, "news takes as long as that");
}

#[test]
fn a_nonsense_clock_corrects_no_good_record() {
    let twenty_six_years = 26 * 365 * 1_440 * MINUTE;
    static SAMPLES: [Sample; 1] = [Sample { at_ms: T0 + 60 * MINUTE, energy: EnergyE4(200_000) }];
    for skew_ms in [-twenty_six_years, twenty_six_years, i64::MIN, i64::MAX, 1_440 * MINUTE + 1] {
        let settlement = settled_with(record(1, 300_000), |facts| {
            facts.clock_skew_ms = skew_ms;
            facts.samples = &SAMPLES;
        });
        let bill = settlement.bill.unwrap();
        assert_eq!((bill.basis.start_ms, bill.flags.len()), (T0 + 30 * MINUTE, 0), "{skew_ms}");
        assert_eq!(settlement.outcome, BillOutcome::Due { total: Fen(3_867), energy: EnergyE4(300_000) });
    }
    // Up to a day it is believed.
    let fast = Record {
        started_at_ms: Some(T0 + 1_470 * MINUTE),
        ended_at_ms: T0 + 1_530 * MINUTE,
        amount: None,
        ..record(1, 300_000)
    };
    let bill = settled_with(fast, |facts| facts.clock_skew_ms = 1_440 * MINUTE).bill.unwrap();
    assert_eq!((bill.basis.start_ms, bill.flags.as_slice()), (T0 + 30 * MINUTE, [Flag::ClockAdjusted].as_slice()));
}

#[test]
fn no_tariff_for_the_date_is_held() {
    let early = Record {
        started_at_ms: Some(T0 - 400 * 1_440 * MINUTE),
        ended_at_ms: T0 - 400 * 1_440 * MINUTE + 60 * MINUTE,
        ..record(1, 300_000)
    };
    assert_eq!(held(&settled_with(early, |_| {})), ExceptionCode::NoTariff);
}

#[test]
fn a_skewed_charger_is_billed_on_our_clock_and_its_live_data_is_on_it_already() {
    // The charger is 30 min fast: 10:00 to 11:00 by its clock is 09:30 to 10:30.
    let fast = || Record {
        started_at_ms: Some(T0 + 60 * MINUTE),
        ended_at_ms: T0 + 120 * MINUTE,
        amount: None,
        ..record(1, 300_000)
    };
    static SAMPLES: [Sample; 1] = [Sample { at_ms: T0 + 60 * MINUTE, energy: EnergyE4(200_000) }];
    let bill = settled_with(fast(), |facts| {
        facts.clock_skew_ms = 30 * MINUTE;
        facts.samples = &SAMPLES;
    })
    .bill
    .unwrap();
    assert_eq!((bill.flags.as_slice(), bill.source), ([Flag::ClockAdjusted].as_slice(), Source::Samples));
    assert_eq!(bill.basis.start_ms, T0 + 30 * MINUTE);
    assert_eq!(bill.segments[0].energy, EnergyE4(200_000), "the live frame of 10:00 stays at 10:00");
}

#[test]
fn an_estimate_is_billed_on_our_clock_without_the_record() {
    let order = asked(None, None).order;
    let order = step(&order, T0, &started(), &policy()).unwrap().order;
    let order = step(&order, T0 + 1, &Input::SessionEnded, &policy()).unwrap().order;
    let missing = Input::Timer(business_api::order::TimerKind::RecordMissing);
    let order = step(&order, T0 + 60 * MINUTE, &missing, &policy()).unwrap().order;
    let approved = Input::EstimateApproved { estimate: estimate(), payer: None };
    let order = step(&order, T0 + 61 * MINUTE, &approved, &policy()).unwrap().order;
    let (options, limits, tariff) = (Options::default(), Limits::default(), a1());
    let facts = Facts {
        tariff: &tariff,
        samples: &[],
        clock_skew_ms: 30 * MINUTE,
        rated_power_w: 1,
        options: &options,
        limits: &limits,
    };
    assert_eq!(held(&settle(&order, &facts)), ExceptionCode::EnergyImplausible, "an estimate must be believable too");
    let bill = settle(&order, &Facts { rated_power_w: 0, ..facts }).bill.unwrap();
    assert_eq!((bill.basis.start_ms, bill.total_fen), (T0 + 30 * MINUTE, Fen(3_867)));
}
