//! The edges of the rules that say how much energy falls where: R1 to R7 of docs/billing.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod billing_support;

use billing_support::{a1, at, b1, halves, options, sample, session, split, version};
use business_api::bill::{
    Bill, BillError, Flag, Occupancy, Options, PricePolicy, Session, Source, SplitTariff, Verdict, needs_samples, rate,
};
use business_api::tariff::{PeriodKind, Tariff};
use events::units::{AmountE4, EnergyE4, Fen, PriceP5};

fn bill(session: &Session) -> Bill {
    rate(&a1(), session, &options()).unwrap()
}

/// (kind, energy) of each segment.
fn parts(bill: &Bill) -> Vec<(PeriodKind, String)> {
    bill.segments.iter().map(|segment| (segment.kind, segment.energy.to_string())).collect()
}

#[test]
fn r1_negative_quantities_are_refused() {
    let ok = session("08:00:00", "09:00:00", "1");
    for (wrong, field) in [
        (Session { energy: EnergyE4(-1), ..ok.clone() }, "energy_kwh"),
        (Session { samples: vec![sample("08:30:00", "-0.0001")], ..ok.clone() }, "samples"),
        (Session { charger_amount: Some(AmountE4(-1)), ..ok.clone() }, "charger_amount_yuan"),
        (Session { charger_split: Some(split(&[(PeriodKind::Flat, "-1")])), ..ok.clone() }, "charger_periods"),
    ] {
        assert_eq!(rate(&a1(), &wrong, &options()), Err(BillError::Negative { field }));
    }
    for (wrong, field) in [
        (Options { min_charge: Fen(-1), ..options() }, "min_charge_fen"),
        (Options { coupon: Fen(-1), ..options() }, "coupon_fen"),
    ] {
        assert_eq!(rate(&a1(), &ok, &wrong), Err(BillError::Negative { field }));
    }
}

#[test]
fn r2_dates_and_slots_are_those_of_utc_plus_8() {
    // 15:30Z to 16:30Z is 23:30 to 00:30 in China.
    let bill = bill(&session("2025-11-11T15:30:00Z", "2025-11-11T16:30:00Z", "2"));
    assert_eq!(parts(&bill), [(PeriodKind::Valley, "1.0000".into()), (PeriodKind::Valley, "1.0000".into())]);
    assert_eq!(bill.segments[0].to_ms, Some(at("2025-11-12T00:00:00+08:00")));
}

#[test]
fn r3_a_skew_of_exactly_the_tolerance_adjusts_nothing() {
    for (skew_ms, adjusted) in [(60_000, false), (60_001, true), (-60_000, false), (-60_001, true), (0, false)] {
        let bill = bill(&Session { clock_skew_ms: skew_ms, ..halves() });
        assert_eq!(bill.flags.contains(&Flag::ClockAdjusted), adjusted, "{skew_ms}");
        assert_eq!(bill.source == Source::Charger, !adjusted, "an adjusted clock rules the split out: {skew_ms}");
        assert!(!bill.flags.contains(&Flag::ChargerSplitRejected), "and that is not a rejection: {skew_ms}");
        assert_eq!(bill.basis.start_ms, at("09:40:00") - if adjusted { skew_ms } else { 0 });
    }
    let wide = Options { clock_tolerance_s: 420, ..options() };
    let skewed = Session { clock_skew_ms: 420_000, ..halves() };
    assert_eq!(rate(&a1(), &skewed, &wide).unwrap().flags, []);
}

#[test]
fn r3_shifts_unplug_time_and_samples_too() {
    let occupancy = Some(Occupancy { fen_per_min: Fen(1), ..Occupancy::default() });
    let fast = Session {
        clock_skew_ms: 600_000,
        samples: vec![sample("10:00:00", "5")],
        unplug_ms: Some(at("10:25:00")),
        ..session("09:40:00", "10:20:00", "18")
    };
    let bill = rate(&a1(), &fast, &Options { occupancy, ..options() }).unwrap();
    assert_eq!(bill.basis.unplug_ms, Some(at("10:15:00")));
    assert_eq!(bill.occupancy_minutes, 5);
    // The sample now stands at 09:50: 13 kWh in 20 min after it, half of them before 10:00.
    assert_eq!(parts(&bill), [(PeriodKind::Flat, "11.5000".into()), (PeriodKind::Peak, "6.5000".into())]);
}

#[test]
fn r4_samples_outside_are_dropped_and_the_rest_is_made_to_rise() {
    let clean = Session {
        samples: vec![sample("09:50:00", "4"), sample("10:00:00", "6"), sample("10:10:00", "6")],
        ..session("09:40:00", "10:20:00", "8")
    };
    let dirty = Session {
        samples: vec![
            sample("10:20:00", "7"), // at the end
            sample("10:10:00", "5"), // falls: raised to 6
            sample("10:00:00", "6"), // the later of two at one time, by energy
            sample("10:00:00", "2"),
            sample("09:50:00", "4"),
            sample("09:40:00", "3"), // at the start
            sample("09:39:59", "1"), // before it
            sample("11:00:00", "9"), // after the end
        ],
        ..clean.clone()
    };
    let (clean, dirty) = (bill(&clean), bill(&dirty));
    assert_eq!(dirty, clean);
    assert_eq!(dirty.basis.samples_used, 3);
    assert_eq!(parts(&dirty), [(PeriodKind::Flat, "6.0000".into()), (PeriodKind::Peak, "2.0000".into())]);
}

#[test]
fn r4_a_sample_above_the_total_is_cut_to_it() {
    let over = Session { samples: vec![sample("09:50:00", "99")], ..session("09:40:00", "10:20:00", "8") };
    assert_eq!(parts(&bill(&over)), [(PeriodKind::Flat, "8.0000".into()), (PeriodKind::Peak, "0.0000".into())]);
}

#[test]
fn r4_no_sample_left_is_a_straight_line() {
    let outside = Session { samples: vec![sample("09:40:00", "1")], ..session("09:40:00", "10:20:00", "8") };
    assert_eq!(bill(&outside).source, Source::Linear);
    assert_eq!(bill(&outside).basis.samples_used, 0);
}

#[test]
fn r5_ties_of_the_curve_go_up_and_nothing_is_lost() {
    // Half of 0.0001 kWh falls before 10:00: 0.00005 rounds up to 0.0001 and leaves 0 for after.
    let bill = bill(&session("09:40:00", "10:20:00", "0.0001"));
    assert_eq!(parts(&bill), [(PeriodKind::Flat, "0.0001".into()), (PeriodKind::Peak, "0.0000".into())]);
}

#[test]
fn r6a_a_split_within_a_wh_of_the_total_is_used() {
    for (kwh, used) in [("18.0010", true), ("18.0011", false), ("17.9990", true), ("17.9989", false)] {
        let bill = bill(&Session { energy: kwh.parse().unwrap(), ..halves() });
        assert_eq!(bill.source == Source::Charger, used, "{kwh}");
        assert_eq!(bill.flags.contains(&Flag::ChargerSplitRejected), !used, "{kwh}");
    }
    let used = bill(&Session { energy: "18.0010".parse().unwrap(), ..halves() });
    assert_eq!(used.energy.to_string(), "18.0010");
    assert_eq!(used.billed.to_string(), "18.0000", "the charger's energies are billed as they are");
}

#[test]
fn r6a_another_version_or_price_rejects_the_split() {
    let state = |tariff: SplitTariff| {
        let mut session = halves();
        session.charger_split.as_mut().unwrap().tariff = tariff;
        bill(&session).source
    };
    assert_eq!(state(SplitTariff::Version("A-1".into())), Source::Charger);
    assert_eq!(state(SplitTariff::Version("A-0".into())), Source::Linear);
    let price = |p5: i64| {
        let mut session = halves();
        session.charger_split.as_mut().unwrap().periods[0].price = Some(PriceP5(p5));
        bill(&session)
    };
    assert_eq!(price(105_470 + 45_000).source, Source::Charger);
    assert_eq!(price(105_470 + 45_001).flags, [Flag::ChargerSplitRejected]);
}

#[test]
fn r6a_a_kind_with_two_prices_or_none_rejects_the_split() {
    let two = Tariff::new(vec![version(
        "T",
        "2025-01-01",
        None,
        &[
            ("00:00", "10:00", "flat", "0.5", "0.4"),
            ("10:00", "12:00", "flat", "0.6", "0.4"),
            ("12:00", "24:00", "valley", "0.3", "0.4"),
        ],
    )])
    .unwrap();
    let all_flat = Session { charger_split: Some(split(&[(PeriodKind::Flat, "18")])), ..halves() };
    assert_eq!(rate(&two, &all_flat, &options()).unwrap().flags, [Flag::ChargerSplitRejected]);
    let all_valley = Session { charger_split: Some(split(&[(PeriodKind::Valley, "18")])), ..halves() };
    assert_eq!(rate(&two, &all_valley, &options()).unwrap().source, Source::Charger, "valley has one price");
    let all_sharp = Session { charger_split: Some(split(&[(PeriodKind::Sharp, "18")])), ..halves() };
    assert_eq!(rate(&two, &all_sharp, &options()).unwrap().flags, [Flag::ChargerSplitRejected]);
    let unused =
        Session { charger_split: Some(split(&[(PeriodKind::Valley, "18"), (PeriodKind::Flat, "0")])), ..halves() };
    assert_eq!(
        rate(&two, &unused, &options()).unwrap().segments.len(),
        1,
        "an entry of 0 is skipped, whatever its kind"
    );
}

#[test]
fn r6a_an_approximate_charger_table_only_informs() {
    let approximate =
        Session { charger_price_approximate: true, charger_amount: Some(AmountE4(9_990_000)), ..halves() };
    let bill = bill(&approximate);
    assert_eq!((bill.source, bill.flags.as_slice()), (Source::Linear, [Flag::ChargerPriceApproximate].as_slice()));
    assert_eq!(bill.comparison.unwrap().verdict, Verdict::AmountMismatch);
    assert!(!bill.amount_mismatch());
}

#[test]
fn r6b_segments_are_runs_of_one_date_version_kind_and_price() {
    let same_kind_other_price = Tariff::new(vec![version(
        "T",
        "2025-01-01",
        None,
        &[
            ("00:00", "10:00", "flat", "0.5", "0.4"),
            ("10:00", "10:15", "flat", "0.5", "0.3"),
            ("10:15", "10:30", "peak", "0.5", "0.3"),
            ("10:30", "24:00", "peak", "0.5", "0.3"),
        ],
    )])
    .unwrap();
    let bill = rate(&same_kind_other_price, &session("09:00:00", "11:00:00", "8"), &options()).unwrap();
    assert_eq!(parts(&bill).len(), 3);
    assert_eq!(bill.segments[2].from_ms, Some(at("10:15:00")));
    assert_eq!(bill.segments[2].to_ms, Some(at("11:00:00")));
    let on_edge = rate(&b1(), &session("11:15:00", "13:45:00", "5"), &options()).unwrap();
    assert_eq!(parts(&on_edge), [(PeriodKind::DeepValley, "5.0000".into())], "an edge belongs to what follows");
}

#[test]
fn r6c_end_at_or_before_start_is_one_segment_in_the_slot_of_the_start() {
    for end in ["18:59:59", "19:00:00"] {
        let bill = bill(&Session { samples: vec![sample("19:00:00", "1")], ..session("19:00:00", end, "3") });
        assert_eq!((bill.source, parts(&bill)), (Source::Linear, vec![(PeriodKind::Sharp, "3.0000".into())]));
    }
}

#[test]
fn r6c_no_energy_is_no_segment_and_needs_no_tariff() {
    let empty = bill(&Session {
        charger_split: Some(split(&[(PeriodKind::Flat, "0")])),
        ..session("12:00:00", "12:10:00", "0")
    });
    assert_eq!((empty.source, empty.segments.len(), empty.total_fen), (Source::None, 0, Fen(0)));
    let before = session("1999-01-01T00:00:00+08:00", "1999-01-01T00:10:00+08:00", "0");
    assert_eq!(bill(&before).tariff_version, None);
}

fn new_year() -> Tariff {
    let old = [("00:00", "24:00", "flat", "0.5", "0.4")];
    let new = [("00:00", "24:00", "flat", "0.6", "0.4")];
    Tariff::new(vec![version("old", "2025-01-01", Some("2026-01-01"), &old), version("new", "2026-01-01", None, &new)])
        .unwrap()
}

#[test]
fn r7_versions_that_change_at_midnight() {
    let over = session("2025-12-31T23:00:00+08:00", "2026-01-01T01:00:00+08:00", "10");
    let versions = |policy| {
        let bill = rate(&new_year(), &over, &Options { price_policy: policy, ..options() }).unwrap();
        (bill.segments.iter().map(|segment| segment.tariff_version.clone()).collect::<Vec<_>>(), bill.electricity_fen)
    };
    assert_eq!(versions(PricePolicy::LockAtStart), (vec!["old".to_owned(), "old".to_owned()], Fen(500)));
    assert_eq!(versions(PricePolicy::BySlotDate), (vec!["old".to_owned(), "new".to_owned()], Fen(550)));
    let from_midnight = session("2026-01-01T00:00:00+08:00", "2026-01-01T01:00:00+08:00", "10");
    assert_eq!(rate(&new_year(), &from_midnight, &options()).unwrap().tariff_version.as_deref(), Some("new"));
}

#[test]
fn r7_by_slot_date_a_split_over_two_prices_of_a_kind_cannot_be_told_apart() {
    let by_date = Options { price_policy: PricePolicy::BySlotDate, ..options() };
    let charger_split = Some(split(&[(PeriodKind::Flat, "10")]));
    let over = session("2025-12-31T23:00:00+08:00", "2026-01-01T01:00:00+08:00", "10");
    let over = Session { charger_split: charger_split.clone(), ..over };
    assert_eq!(rate(&new_year(), &over, &options()).unwrap().source, Source::Charger);
    assert_eq!(rate(&new_year(), &over, &by_date).unwrap().flags, [Flag::ChargerSplitRejected]);
    let until = session("2025-12-31T23:00:00+08:00", "2026-01-01T00:00:00+08:00", "10");
    let until = Session { charger_split, ..until };
    assert_eq!(rate(&new_year(), &until, &by_date).unwrap().source, Source::Charger, "it ends where the version ends");
}

#[test]
fn r7_the_latest_version_wins_and_none_is_an_error() {
    let base = [("00:00", "24:00", "flat", "0.5", "0.4")];
    let holiday = Tariff::new(vec![
        version("holiday", "2025-11-11", Some("2025-11-12"), &base),
        version("base", "2025-01-01", Some("2025-11-12"), &base),
    ])
    .unwrap();
    let locked =
        |start, end| rate(&holiday, &session(start, end, "1"), &options()).map(|bill| bill.tariff_version.unwrap());
    assert_eq!(locked("10:00:00", "11:00:00"), Ok("holiday".to_owned()));
    assert_eq!(locked("2025-11-10T10:00:00+08:00", "2025-11-10T11:00:00+08:00"), Ok("base".to_owned()));
    let date = "2025-11-12".parse().unwrap();
    let none = Err(BillError::NoTariff { date });
    assert_eq!(locked("2025-11-12T00:00:00+08:00", "2025-11-12T01:00:00+08:00"), none);
    // By slot date the end needs a version of its own; locked it does not.
    let over = session("23:30:00", "2025-11-12T00:30:00+08:00", "1");
    let by_date = Options { price_policy: PricePolicy::BySlotDate, ..options() };
    assert!(rate(&holiday, &over, &options()).is_ok());
    assert_eq!(rate(&holiday, &over, &by_date), Err(BillError::NoTariff { date }));
}

#[test]
fn samples_are_needed_where_they_can_change_the_bill() {
    let needs = |session: &Session| needs_samples(&a1(), session, &options()).unwrap();
    assert!(needs(&session("09:40:00", "10:20:00", "18")), "crosses an edge");
    assert!(!needs(&halves()), "the charger's split is used");
    assert!(needs(&Session { energy: EnergyE4(190_000), ..halves() }), "it is not");
    assert!(needs(&Session { clock_skew_ms: 61_000, ..halves() }));
    assert!(!needs(&session("08:00:00", "09:00:00", "18")), "one price");
    assert!(!needs(&session("09:40:00", "10:20:00", "0")));
    assert!(!needs(&session("10:20:00", "09:40:00", "18")));
}
