//! The second implementation of the rating rules against the published cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use simulator::rating::{Expected, Sample, by_rates, by_samples, is_one_segment};
use simulator::tariff::FourRates;
use simulator::{Period, Slot, TariffBook};

/// Cases that need nothing but R4-R7, R9 and R10: no loss, no clock skew, no occupancy. Discounts come after these fees.
const CASES: [&str; 7] = ["B01", "B02", "B03", "B04", "B05", "B06", "B08"];

fn scaled(text: &str, places: usize) -> i64 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{fraction:0<places$}").parse().unwrap()
}

fn ms(text: &str) -> i64 {
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    assert!(text.ends_with("+08:00"), "{text}");
    // Days from the civil date (Hinnant), checked below against one known instant.
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    (days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19) - 8 * 3600) * 1000
}

fn slots(periods: &[Value]) -> Vec<Slot> {
    let minute = |text: &str| text[..2].parse::<usize>().unwrap() * 60 + text[3..].parse::<usize>().unwrap();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    (0..96)
        .map(|quarter| {
            let at = quarter * 15;
            let period =
                periods.iter().find(|p| minute(&text(p, "from")) <= at && at < minute(&text(p, "to"))).unwrap();
            Slot {
                period: serde_json::from_value(period["type"].clone()).unwrap(),
                elec_p5: u32::try_from(scaled(&text(period, "elec"), 5)).unwrap(),
                service_p5: u32::try_from(scaled(&text(period, "service"), 5)).unwrap(),
            }
        })
        .collect()
}

#[test]
fn published_cases_give_the_stated_fen() {
    assert_eq!(ms("2025-11-24T00:00:00+08:00"), 1_763_913_600_000);
    let file: Value = serde_json::from_str(include_str!("vectors/billing.json")).unwrap();
    let mut checked = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let id = case["id"].as_str().unwrap();
        if !CASES.contains(&id) {
            continue;
        }
        let table = slots(case["tariff"]["versions"][0]["periods"].as_array().unwrap());
        let session = &case["session"];
        let (start, end) = (ms(session["start"].as_str().unwrap()), ms(session["end"].as_str().unwrap()));
        let energy = scaled(session["energy_kwh"].as_str().unwrap(), 4);
        let got = if let Some(periods) = session["charger_periods"].as_array() {
            by_rates(&four(&table), [0, 1, 2, 3].map(|rate| scaled(periods[rate]["kwh"].as_str().unwrap(), 4)))
        } else {
            let samples = session["samples"].as_array().cloned().unwrap_or_default();
            let samples: Vec<Sample> = samples
                .iter()
                .map(|s| Sample {
                    at_ms: ms(s["t"].as_str().unwrap()),
                    energy_e4: scaled(s["kwh"].as_str().unwrap(), 4),
                })
                .collect();
            let mut shuffled = samples.clone();
            shuffled.reverse();
            let book = TariffBook::always(table);
            let got = by_samples(&book, start, end, energy, &samples).unwrap();
            assert_eq!(by_samples(&book, start, end, energy, &shuffled), Some(got), "{id}: order must not matter");
            let segments = case["expect"]["segments"].as_array().unwrap().len();
            assert_eq!(is_one_segment(&book, start, end), segments == 1, "{id}");
            got
        };
        let expect = |key: &str| case["expect"][key].as_i64().unwrap();
        let stated = Expected { electricity_fen: expect("electricity_fen"), service_fen: expect("service_fen") };
        assert_eq!(got, stated, "{id}");
        checked.push(id.to_owned());
    }
    assert_eq!(checked, CASES, "every case was there");
}

/// The tariff as a charger would hold it: one price pair per type.
fn four(table: &[Slot]) -> FourRates {
    let price = |period| table.iter().find(|s| s.period == period).map_or((0, 0), |s| (s.elec_p5, s.service_p5));
    let mut half_hours = [0; 48];
    for (half, rate) in half_hours.iter_mut().enumerate() {
        *rate = table[half * 2].period as u8;
    }
    FourRates { prices: [Period::Sharp, Period::Peak, Period::Flat, Period::Valley].map(price), half_hours }
}

#[test]
fn a_charger_table_is_exact_only_if_it_says_the_same() {
    let file: Value = serde_json::from_str(include_str!("vectors/billing.json")).unwrap();
    let periods = file["cases"][0]["tariff"]["versions"][0]["periods"].as_array().unwrap().clone();
    let table = slots(&periods);
    let book = TariffBook::always(table.clone());
    let version = book.on_day(20_000).unwrap();
    let good = four(&table);
    assert!(version.is_exactly(&good));
    let mut wrong_price = good;
    wrong_price.prices[2].1 += 1;
    assert!(!version.is_exactly(&wrong_price));
    let mut wrong_time = good;
    wrong_time.half_hours[20] = 3;
    assert!(!version.is_exactly(&wrong_time));
    let mut odd = table;
    odd[81].elec_p5 += 1;
    let odd = TariffBook::always(odd);
    assert!(!odd.on_day(20_000).unwrap().is_exactly(&good), "a quarter hour with a price of its own");
}

#[test]
fn versions_are_chosen_by_the_day_of_the_start() {
    let slot = |elec_p5| vec![Slot { period: Period::Flat, elec_p5, service_p5: 0 }; 96];
    let version =
        |from, to, price| simulator::TariffVersion { effective_from: from, effective_to: to, slots: slot(price) };
    let book = TariffBook {
        versions: vec![
            version(None, None, 100_000),
            version(Some(20_000), None, 200_000),
            version(Some(20_010), Some(20_011), 300_000),
        ],
    };
    let noon = |day: i64| day * 86_400_000 + 4 * 3_600_000;
    let cost = |day| by_samples(&book, noon(day), noon(day) + 60_000, 10_000, &[]).unwrap().electricity_fen;
    assert_eq!([cost(19_999), cost(20_000), cost(20_010), cost(20_011)], [100, 200, 300, 200]);
    let night = noon(20_000) - 13 * 3_600_000;
    assert_eq!(
        by_samples(&book, night, noon(20_000), 10_000, &[]).unwrap().electricity_fen,
        100,
        "locked at the start"
    );
}
