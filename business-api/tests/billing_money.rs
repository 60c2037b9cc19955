//! The edges of the rules that make money of energy: R8 to R16 of docs/billing.md, and figures too large for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod billing_support;

use billing_support::{a1, at, halves, options, sample, session, version};
use business_api::bill::{
    Bill, BillError, FreeWindow, Occupancy, Options, RULE_VERSION, Rate, Session, Source, Verdict, rate,
};
use business_api::tariff::Tariff;
use events::units::{AmountE4, EnergyE4, Fen};

fn bill(session: &Session) -> Bill {
    rate(&a1(), session, &options()).unwrap()
}

#[test]
fn r8_loss_rounds_half_up_per_segment() {
    let lossy = Options { loss_percent: 50, ..options() };
    let bill = rate(&a1(), &session("08:00:00", "09:00:00", "0.0001"), &lossy).unwrap();
    assert_eq!((bill.energy.0, bill.billed.0), (1, 2), "0.00015 kWh");
    let charger = rate(&a1(), &halves(), &Options { loss_percent: 10, ..options() }).unwrap();
    assert_eq!((charger.source, charger.billed.to_string()), (Source::Charger, "19.8000".into()));
}

#[test]
fn r9_r10_ties_go_up_twice() {
    let half = [("00:00", "24:00", "flat", "0.50000", "0.00500")];
    let tariff = Tariff::new(vec![version("T", "2025-01-01", None, &half)]).unwrap();
    let tiny = rate(&tariff, &session("08:00:00", "09:00:00", "0.0001"), &options()).unwrap();
    assert_eq!((tiny.electricity.0, tiny.electricity_fen), (1, Fen(0)), "0.00005 yuan is 0.0001, and that is 0 fen");
    let cent = rate(&tariff, &session("08:00:00", "09:00:00", "1"), &options()).unwrap();
    assert_eq!((cent.service.0, cent.service_fen), (50, Fen(1)), "half a fen");
    assert_eq!(cent.total_fen, Fen(51));
}

#[test]
fn r11_the_minimum_is_for_energy_and_after_the_discount() {
    let least = |kwh: &str, min: i64, discount: u32| {
        let options = Options { min_charge: Fen(min), service_discount_rate: Rate(discount), ..options() };
        rate(&a1(), &session("12:00:00", "12:03:00", kwh), &options).unwrap()
    };
    // 1 kWh flat: 62 + 45.
    for (min, discount, topup) in [(107, 10_000, 0), (108, 10_000, 1), (107, 0, 45), (62, 0, 0)] {
        let bill = least("1", min, discount);
        assert_eq!(
            (bill.min_topup_fen, bill.total_fen),
            (Fen(topup), Fen(min.max(if discount == 0 { 62 } else { 107 })))
        );
    }
    assert_eq!(least("0", 100, 10_000).min_topup_fen, Fen(0));
    assert_eq!(least("0.0001", 100, 10_000).total_fen, Fen(100), "however little");
}

#[test]
fn r12_discount_then_minimum_then_coupon_and_never_below_zero() {
    let options = Options { min_charge: Fen(100), service_discount_rate: Rate(5_000), coupon: Fen(30), ..options() };
    let bill = rate(&a1(), &session("12:00:00", "12:03:00", "1"), &options).unwrap();
    // 62 + 45 - 22 (45.00 x 0.5 = 22.5, up to 23) = 85, + 15, - 30
    assert_eq!((bill.service_discount_fen, bill.min_topup_fen, bill.coupon_fen), (Fen(22), Fen(15), Fen(30)));
    assert_eq!(bill.total_fen, Fen(70));
    let large =
        rate(&a1(), &session("12:00:00", "12:03:00", "1"), &Options { coupon: Fen(i64::MAX), ..options }).unwrap();
    assert_eq!((large.coupon_fen, large.total_fen), (Fen(100), Fen(0)));
    let dearer = Options { service_discount_rate: Rate(20_000), ..Options::default() };
    assert_eq!(rate(&a1(), &session("12:00:00", "12:03:00", "1"), &dearer).unwrap().service_discount_fen, Fen(0));
}

fn occupied(unplug: &str, rule: Occupancy) -> Bill {
    let session = Session { unplug_ms: Some(at(unplug)), ..session("21:00:00", "22:00:00", "1") };
    let options = Options { occupancy: Some(rule), coupon: Fen(1_000), ..options() };
    rate(&a1(), &session, &options).unwrap()
}

#[test]
fn r13_minutes_that_start_before_the_unplug() {
    let rule = || Occupancy { grace_min: 15, fen_per_min: Fen(10), ..Occupancy::default() };
    for (unplug, minutes) in [
        ("21:00:00", 0),
        ("22:15:00", 0),
        ("2025-11-11T22:15:00.001+08:00", 1),
        ("22:16:00", 1),
        ("2025-11-11T22:16:00.001+08:00", 2),
        ("22:30:00", 15),
    ] {
        let bill = occupied(unplug, rule());
        assert_eq!((bill.occupancy_minutes, bill.occupancy_fen), (minutes, Fen(10 * minutes as i64)), "{unplug}");
        assert_eq!(bill.total_fen, bill.occupancy_fen, "a coupon does not touch it");
    }
    let capped = occupied("23:00:00", Occupancy { cap: Some(Fen(101)), ..rule() });
    assert_eq!((capped.occupancy_minutes, capped.occupancy_fen), (45, Fen(101)));
}

#[test]
fn r13_free_windows_wrap_midnight_and_compare_minutes() {
    let window = |from: &str, to: &str| FreeWindow { from: from.parse().unwrap(), to: to.parse().unwrap() };
    let minutes = |unplug: &str, windows: Vec<FreeWindow>| {
        let rule = Occupancy { fen_per_min: Fen(1), free_windows: windows, ..Occupancy::default() };
        occupied(unplug, rule).occupancy_minutes
    };
    let next = "2025-11-12T08:00:00+08:00";
    assert_eq!(minutes(next, vec![]), 600);
    assert_eq!(minutes(next, vec![window("23:00", "07:00")]), 120);
    assert_eq!(minutes(next, vec![window("23:00", "24:00")]), 540);
    assert_eq!(minutes(next, vec![window("23:00", "23:00")]), 600, "from = to is empty");
    assert_eq!(minutes(next, vec![window("23:00", "01:00"), window("00:00", "02:00")]), 420, "overlap counts once");
    assert_eq!(minutes(next, vec![window("00:00", "24:00")]), 0);
    assert_eq!(minutes("2025-11-14T22:00:00+08:00", vec![window("23:00", "07:00")]), 3 * 960, "three whole days");
    assert_eq!(minutes("2125-11-11T22:00:00+08:00", vec![]), 36_524 * 1_440, "a century is a sum, not a loop");
}

#[test]
fn r14_tolerance_is_two_fen_or_half_a_percent() {
    let verdict = |kwh: &str, charger: i64| {
        let session = Session { charger_amount: Some(AmountE4(charger)), ..session("12:00:00", "13:00:00", kwh) };
        let comparison = bill(&session).comparison.unwrap();
        (comparison.diff.0, comparison.verdict)
    };
    // 1 kWh flat: 107 fen, tolerance 2. 20 kWh: 1247 + 900 = 2147, 0.5 % = 10.735, up to 11.
    for (kwh, charger, expect) in [
        ("1", 10_700, (0, Verdict::Match)),
        ("1", 10_649, (-1, Verdict::WithinTolerance)),
        ("1", 10_650, (0, Verdict::Match)),
        ("1", 10_900, (2, Verdict::WithinTolerance)),
        ("1", 10_950, (3, Verdict::AmountMismatch)),
        ("1", 10_500, (-2, Verdict::WithinTolerance)),
        ("1", 10_449, (-3, Verdict::AmountMismatch)),
        ("20", 215_800, (11, Verdict::WithinTolerance)),
        ("20", 215_900, (12, Verdict::AmountMismatch)),
        ("20", 0, (-2147, Verdict::AmountMismatch)),
    ] {
        assert_eq!(verdict(kwh, charger), expect, "{kwh} {charger}");
    }
}

#[test]
fn r15_total_adds_up() {
    let occupancy = Some(Occupancy { fen_per_min: Fen(3), ..Occupancy::default() });
    let options =
        Options { occupancy, min_charge: Fen(500), coupon: Fen(7), service_discount_rate: Rate(9_000), ..options() };
    let session = Session { unplug_ms: Some(at("13:10:00")), ..session("12:00:00", "13:00:00", "3.3333") };
    let bill = rate(&a1(), &session, &options).unwrap();
    let sum = bill.electricity_fen.0 + bill.service_fen.0 - bill.service_discount_fen.0 + bill.min_topup_fen.0
        - bill.coupon_fen.0
        + bill.occupancy_fen.0;
    assert_eq!(bill.total_fen.0, sum);
    assert_eq!(bill.total_fen, Fen(500 - 7 + 30));
}

#[test]
fn r16_a_bill_explains_itself_and_reads_back() {
    let session = Session { charger_amount: Some(AmountE4(233_403)), clock_skew_ms: 5_000, ..halves() };
    let bill = bill(&session);
    assert_eq!((bill.rule_version, bill.tariff_version.as_deref()), (RULE_VERSION, Some("A-1")));
    assert_eq!(bill.basis.clock_skew_ms, 5_000);
    let text = serde_json::to_string(&bill).unwrap();
    assert_eq!(serde_json::from_str::<Bill>(&text).unwrap(), bill);
    assert_eq!(rate(&a1(), &session, &options()).unwrap(), bill);
    for segment in &bill.segments {
        let fee = (segment.billed.0 * segment.price.electricity.0 * 2 + 100_000) / 200_000;
        assert_eq!(segment.electricity.0, fee, "every fee can be computed from what the segment stores");
    }
}

#[test]
fn figures_too_large_are_an_error_and_never_wrap() {
    let huge = session("08:00:00", "09:00:00", "922337203685477.5807");
    assert!(matches!(rate(&a1(), &huge, &Options { loss_percent: 1, ..options() }), Err(BillError::TooLarge { .. })));
    assert!(rate(&a1(), &huge, &options()).is_ok(), "what fits is billed");
    let dear =
        Tariff::new(vec![version("T", "2025-01-01", None, &[("00:00", "24:00", "flat", "42949.67295", "0")])]).unwrap();
    assert!(matches!(rate(&dear, &huge, &options()), Err(BillError::TooLarge { .. })));
    let ok = session("08:00:00", "09:00:00", "1");
    for wrong in [
        Session { start_ms: i64::MIN, end_ms: i64::MAX, ..ok.clone() },
        Session { start_ms: i64::MIN, clock_skew_ms: i64::MAX, ..ok.clone() },
        Session { clock_skew_ms: i64::MIN, ..ok.clone() },
        Session { samples: vec![sample("08:30:00", "1")], clock_skew_ms: i64::MIN, ..ok.clone() },
    ] {
        let error = rate(&a1(), &wrong, &options()).unwrap_err();
        assert!(matches!(error, BillError::TooLong | BillError::TooLarge { .. }), "{error}");
    }
    let long = Session { end_ms: ok.start_ms + 366 * 86_400_000 + 1, ..ok.clone() };
    assert_eq!(rate(&a1(), &long, &options()), Err(BillError::TooLong));
    let unset_clock = Session { start_ms: 946_684_800_000, energy: EnergyE4(0), ..ok.clone() };
    assert_eq!(rate(&a1(), &unset_clock, &options()).unwrap().total_fen, Fen(0), "nothing to bill, whatever the clock");
    let rule = Occupancy { grace_min: u32::MAX, fen_per_min: Fen(i64::MAX), ..Occupancy::default() };
    let stays = Session { unplug_ms: Some(i64::MAX), ..ok };
    let occupied = Options { occupancy: Some(rule), ..options() };
    assert_eq!(rate(&a1(), &stays, &occupied), Err(BillError::TooLarge { field: "occupancy" }));
}
