//! Tables, versions and what of them fits a YKC frame.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod billing_support;

use billing_support::{Row, a1, b1, table, version};
use business_api::tariff::{
    BillingModel, DayTable, LocalDate, LocalTime, NotRepresentable, PeriodKind, PeriodText, Price, SLOTS, Slot,
    TableError, Tariff, TariffError, instant_text, parse_instant,
};
use events::units::PriceP5;
use proptest::prelude::*;

fn read(rows: &[Row]) -> Result<DayTable, TableError> {
    let text = |row: &Row| PeriodText {
        from: row.0.into(),
        to: row.1.into(),
        kind: row.2.into(),
        elec: row.3.into(),
        service: row.4.into(),
    };
    DayTable::from_text(&rows.iter().map(text).collect::<Vec<_>>())
}

fn at(text: &str) -> LocalTime {
    text.parse().unwrap()
}

#[test]
fn periods_must_cover_the_day_exactly() {
    let good = ("00:00", "12:00", "flat", "0.5", "0.4");
    assert!(read(&[("12:00", "24:00", "peak", "1", "0.4"), good]).is_ok(), "in any order");
    for (second, error) in [
        (("12:15", "24:00", "peak", "1", "0"), TableError::Gap { at: at("12:00") }),
        (("12:00", "23:45", "peak", "1", "0"), TableError::Gap { at: at("23:45") }),
        (("11:45", "24:00", "peak", "1", "0"), TableError::Overlap { index: 1, other: 0, at: at("11:45") }),
        (("12:00", "12:00", "peak", "1", "0"), TableError::Empty { index: 1, from: at("12:00"), to: at("12:00") }),
        (("22:00", "06:00", "peak", "1", "0"), TableError::Empty { index: 1, from: at("22:00"), to: at("06:00") }),
        (("12:00", "23:59", "peak", "1", "0"), TableError::NotQuarterHour { index: 1, field: "to", at: at("23:59") }),
        (("12:10", "24:00", "peak", "1", "0"), TableError::NotQuarterHour { index: 1, field: "from", at: at("12:10") }),
        (
            ("12:00", "24:00", "peak", "-1", "0"),
            TableError::PriceRange { index: 1, field: "elec", price: PriceP5(-100_000) },
        ),
        (
            ("12:00", "24:00", "peak", "1", "42949.67296"),
            TableError::PriceRange { index: 1, field: "service", price: PriceP5(4_294_967_296) },
        ),
    ] {
        assert_eq!(read(&[good, second]), Err(error), "{second:?}");
    }
    assert_eq!(read(&[]), Err(TableError::Gap { at: at("00:00") }));
}

#[test]
fn a_wrong_text_names_period_and_field() {
    let good = ("00:00", "12:00", "flat", "0.5", "0.4");
    for (second, said) in [
        (("12:00", "24:01", "peak", "1", "0"), "period 1: to \"24:01\" is not a time HH:MM"),
        (("noon", "24:00", "peak", "1", "0"), "period 1: from \"noon\" is not a time HH:MM"),
        (("12:00", "24:00", "dear", "1", "0"), "period 1: type \"dear\" is not one of"),
        (("12:00", "24:00", "peak", "1.000000", "0"), "period 1: elec \"1.000000\" has more than 5 decimals"),
        (("12:00", "24:00", "peak", "1", ""), "period 1: service \"\" is empty"),
    ] {
        let error = read(&[good, second]).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn a_tariff_refuses_versions_that_decide_nothing() {
    let day = [("00:00", "24:00", "flat", "0.5", "0.4")];
    let v = |name, from, to| version(name, from, to, &day);
    assert_eq!(Tariff::new(vec![]), Err(TariffError::NoVersion));
    let twice = Tariff::new(vec![v("a", "2025-01-01", None), v("a", "2025-02-01", None)]);
    assert!(matches!(twice, Err(TariffError::SameName { .. })));
    let same = Tariff::new(vec![v("a", "2025-01-01", None), v("b", "2025-01-01", None)]);
    assert!(matches!(same, Err(TariffError::SameStart { .. })));
    let never = Tariff::new(vec![v("a", "2025-01-01", Some("2025-01-01"))]);
    assert!(matches!(never, Err(TariffError::NeverHolds { .. })));
}

#[test]
fn selects_by_local_date() {
    let day = [("00:00", "24:00", "flat", "0.5", "0.4")];
    let tariff = Tariff::new(vec![
        version("summer", "2025-07-01", Some("2025-09-01"), &day),
        version("base", "2025-01-01", Some("2026-01-01"), &day),
    ])
    .unwrap();
    for (date, expect) in [
        ("2024-12-31", None),
        ("2025-01-01", Some("base")),
        ("2025-06-30", Some("base")),
        ("2025-07-01", Some("summer")),
        ("2025-08-31", Some("summer")),
        ("2025-09-01", Some("base")),
        ("2025-12-31", Some("base")),
        ("2026-01-01", None),
    ] {
        assert_eq!(tariff.on(date.parse().unwrap()).map(|version| version.version.as_str()), expect, "{date}");
    }
    let text = serde_json::to_string(&tariff).unwrap();
    assert_eq!(serde_json::from_str::<Tariff>(&text).unwrap(), tariff);
    let wrong = text.replace("2025-09-01", "2025-07-01");
    assert!(serde_json::from_str::<Tariff>(&wrong).is_err(), "what is read is checked too");
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (days, text) in
        [(0, "1970-01-01"), (-1, "1969-12-31"), (11_016, "2000-02-29"), (20_403, "2025-11-11"), (47_541, "2100-03-01")]
    {
        assert_eq!(LocalDate(days).to_string(), text);
        assert_eq!(text.parse(), Ok(LocalDate(days)));
    }
    for wrong in
        ["2025-02-29", "2100-02-29", "2025-00-10", "2025-13-01", "2025-1-1", "25-01-01", "2025-01-01T", "2025-01-+1"]
    {
        assert!(wrong.parse::<LocalDate>().is_err(), "{wrong}");
    }
    for (text, ms) in [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T08:00:00+08:00", 0),
        ("1969-12-31T16:00:00.500-08:00", 500),
        ("2025-11-11T08:10:00.25+08:00", 1_762_819_800_250),
        ("2025-11-11t00:10:00.001000z", 1_762_819_800_001),
    ] {
        assert_eq!(parse_instant(text), Ok(ms), "{text}");
    }
    for wrong in [
        "2025-11-11T08:10:00",
        "2025-11-11T08:10+08:00",
        "2025-11-11T24:00:00Z",
        "2025-11-11T08:10:60Z",
        "2025-11-11T08:10:00.+08:00",
        "2025-11-11T08:10:00.0001Z",
        "2025-11-11T08:10:00+0800",
        "2025-11-11T08:10:00+24:00",
        "2025-11-11T08:10:00Z ",
        "",
        "é",
    ] {
        assert!(parse_instant(wrong).is_err(), "{wrong}");
    }
}

fn cells(model: &BillingModel) -> [Option<PeriodKind>; 4] {
    model.kinds
}

#[test]
fn a_table_of_four_prices_on_half_hours_fits_exactly() {
    let model = BillingModel::of(&a1().versions()[0].table);
    assert!(model.exact());
    let pair = |electricity, service| Price { electricity: PriceP5(electricity), service: PriceP5(service) };
    assert_eq!(
        model.prices,
        [pair(131_840, 45_000), pair(105_470, 45_000), pair(62_340, 45_000), pair(31_250, 45_000)]
    );
    assert_eq!(
        cells(&model),
        [Some(PeriodKind::Sharp), Some(PeriodKind::Peak), Some(PeriodKind::Flat), Some(PeriodKind::Valley)]
    );
    let mut expect = vec![3; 14];
    for (cell, count) in [(2, 6), (1, 4), (2, 4), (1, 6), (2, 4), (0, 4), (2, 4), (3, 2)] {
        expect.extend(std::iter::repeat_n(cell, count));
    }
    assert_eq!(model.half_hours, expect);
    assert_eq!(model.to_table().as_ref(), Some(&a1().versions()[0].table), "48 half hours are the 96 quarters again");
    let sent = model.to_registry();
    assert_eq!(sent.energy_price_p5, [131_840, 105_470, 62_340, 31_250]);
    assert_eq!((sent.exact, sent.half_hours.len()), (true, 48));
}

#[test]
fn deep_valley_takes_a_cell_that_is_left() {
    let no_valley = table(&[
        ("00:00", "12:00", "flat", "0.5", "0.4"),
        ("12:00", "14:00", "deep_valley", "0.1", "0.4"),
        ("14:00", "24:00", "peak", "1.0", "0.4"),
    ]);
    let model = BillingModel::of(&no_valley);
    assert_eq!(cells(&model), [None, Some(PeriodKind::Peak), Some(PeriodKind::Flat), Some(PeriodKind::DeepValley)]);
    assert_eq!(model.prices[0], model.prices[1], "an unused cell repeats the dearest");
    let with_valley = table(&[
        ("00:00", "12:00", "valley", "0.3", "0.4"),
        ("12:00", "14:00", "deep_valley", "0.1", "0.4"),
        ("14:00", "24:00", "peak", "1.0", "0.4"),
    ]);
    let model = BillingModel::of(&with_valley);
    assert_eq!(cells(&model), [Some(PeriodKind::DeepValley), Some(PeriodKind::Peak), None, Some(PeriodKind::Valley)]);
    assert!(model.exact());
}

#[test]
fn one_kind_with_two_prices_uses_a_second_cell() {
    let model = BillingModel::of(&table(&[
        ("00:00", "08:00", "flat", "0.5", "0.4"),
        ("08:00", "20:00", "flat", "0.6", "0.4"),
        ("20:00", "24:00", "valley", "0.3", "0.4"),
    ]));
    assert!(model.exact());
    assert_eq!(cells(&model), [Some(PeriodKind::Flat), None, Some(PeriodKind::Flat), Some(PeriodKind::Valley)]);
    assert_eq!((model.half_hours[0], model.half_hours[16], model.half_hours[47]), (2, 0, 3));
}

#[test]
fn five_kinds_of_four_prices_fit_but_cannot_be_told_apart() {
    let model = BillingModel::of(&table(&[
        ("00:00", "04:00", "valley", "0.3", "0.4"),
        ("04:00", "08:00", "flat", "0.5", "0.4"),
        ("08:00", "12:00", "peak", "1.0", "0.4"),
        ("12:00", "14:00", "deep_valley", "0.3", "0.4"),
        ("14:00", "24:00", "sharp", "1.2", "0.4"),
    ]));
    assert!(model.exact(), "every half hour shows its price");
    assert_eq!(cells(&model), [Some(PeriodKind::Sharp), Some(PeriodKind::Peak), Some(PeriodKind::Flat), None]);
    assert_eq!(model.half_hours[0], model.half_hours[24]);
}

#[test]
fn quarter_hours_show_the_dearer_quarter() {
    let model = BillingModel::of(&table(&[
        ("00:00", "09:45", "flat", "0.5", "0.4"),
        ("09:45", "11:15", "peak", "1.0", "0.4"),
        ("11:15", "24:00", "flat", "0.5", "0.4"),
    ]));
    assert_eq!(model.not_representable, Some(NotRepresentable::QuarterHours));
    assert_eq!(&model.half_hours[18..24], [2, 1, 1, 1, 1, 2].as_slice());
}

#[test]
fn surplus_prices_merge_upward_into_the_nearest() {
    let b1 = b1();
    let model = BillingModel::of(&b1.versions()[0].table);
    assert!(!model.exact());
    // Quarter edges at 11:15, 13:45, 20:15, 22:45; then five prices. Deep valley 0.42 is nearest to valley 0.78.
    assert_eq!(model.not_representable, Some(NotRepresentable::QuarterHours));
    assert_eq!(model.prices.map(|price| price.sum().0), [195_000, 158_000, 120_000, 78_000]);
    assert_eq!((model.half_hours[22], model.half_hours[23], model.half_hours[27]), (1, 3, 2));
    let five = BillingModel::of(&table(&[
        ("00:00", "04:00", "valley", "0.1", "0"),
        ("04:00", "08:00", "flat", "0.2", "0"),
        ("08:00", "12:00", "peak", "0.9", "0"),
        ("12:00", "14:00", "deep_valley", "0.05", "0"),
        ("14:00", "24:00", "sharp", "1.2", "0"),
    ]));
    assert_eq!(five.not_representable, Some(NotRepresentable::TooManyPrices));
    assert_eq!(five.half_hours[24], 3, "the deep valley shows the valley's price");
}

#[test]
fn the_hash_is_of_what_is_sent() {
    let a1 = BillingModel::of(&a1().versions()[0].table);
    let b1 = BillingModel::of(&b1().versions()[0].table);
    assert_ne!(a1.content_hash(), b1.content_hash());
    assert_eq!(a1.content_hash().len(), 64);
    for model in [&a1, &b1] {
        let digits = format!("{:04x}", model.model_no());
        assert!(digits.bytes().all(|digit| digit.is_ascii_digit()) && digits != "0000", "{digits}");
    }
    let mut dearer = a1.clone();
    dearer.prices[3].service.0 += 1;
    assert_ne!(dearer.content_hash(), a1.content_hash());
}

fn slots() -> impl Strategy<Value = Vec<Slot>> {
    let price =
        (0..4_i64, 0..3_i64).prop_map(|(e, s)| Price { electricity: PriceP5(e * 10_000), service: PriceP5(s * 7_000) });
    let slot = (prop::sample::select(PeriodKind::ALL.to_vec()), price).prop_map(|(kind, price)| Slot { kind, price });
    let runs = prop::collection::vec((0..7_usize, 1..12_usize), 1..30);
    (prop::collection::vec(slot, 1..8), runs).prop_map(|(palette, runs)| {
        let all =
            runs.iter().cycle().flat_map(|(pick, length)| std::iter::repeat_n(palette[pick % palette.len()], *length));
        all.take(SLOTS).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn periods_read_back(slots in slots()) {
        let table = DayTable::from_quarters(&slots).unwrap();
        prop_assert_eq!(&DayTable::from_periods(&table.periods()).unwrap(), &table);
        let text: Vec<PeriodText> = table.periods().iter().map(|period| period.to_text()).collect();
        prop_assert_eq!(&DayTable::from_text(&text).unwrap(), &table);
        let json = serde_json::to_string(&table).unwrap();
        prop_assert_eq!(serde_json::from_str::<DayTable>(&json).unwrap(), table);
    }

    #[test]
    fn a_charger_never_shows_too_little_and_exact_is_exact(slots in slots()) {
        let table = DayTable::from_quarters(&slots).unwrap();
        let model = BillingModel::of(&table);
        prop_assert_eq!(model.half_hours.len(), 48);
        for (quarter, slot) in slots.iter().enumerate() {
            let shown = model.prices[usize::from(model.half_hours[quarter / 2])];
            prop_assert!(shown.sum() >= slot.price.sum());
            prop_assert!(!model.exact() || shown == slot.price);
        }
        let halves_alike = slots.chunks(2).all(|half| half[0] == half[1]);
        let mut prices: Vec<Price> = slots.iter().map(|slot| slot.price).collect();
        prices.sort();
        prices.dedup();
        prop_assert_eq!(model.exact(), halves_alike && prices.len() <= 4);
    }

    #[test]
    fn instants_read_back(at_ms in -62_000_000_000_000_i64..250_000_000_000_000) {
        prop_assert_eq!(parse_instant(&instant_text(at_ms)), Ok(at_ms));
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,30}") {
        let _ = parse_instant(&text);
        let _ = text.parse::<LocalDate>();
        let _ = text.parse::<LocalTime>();
    }
}
