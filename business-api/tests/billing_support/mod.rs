//! Tariffs and sessions for the billing tests: A-1 and B-1 of the worked cases, times as text.
#![allow(dead_code)]

use business_api::bill::{ChargerPeriod, ChargerSplit, Options, Sample, Session, SplitTariff, cases};
use business_api::tariff::{DayTable, PeriodKind, PeriodText, Tariff, TariffVersion, parse_instant};

/// UTC ms of a local time on 2025-11-11, or of a whole instant.
pub fn at(text: &str) -> i64 {
    let whole = if text.contains('T') { text.to_owned() } else { format!("2025-11-11T{text}+08:00") };
    parse_instant(&whole).expect(text)
}

pub fn tariff_of_case(id: &str) -> Tariff {
    let cases = cases::read(include_str!("../vectors/billing-vectors.json")).expect("vectors");
    cases.into_iter().find(|case| case.id == id).expect(id).tariff
}

pub fn a1() -> Tariff {
    tariff_of_case("B01")
}

pub fn b1() -> Tariff {
    tariff_of_case("B06")
}

/// (from, to, kind, electricity, service)
pub type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

pub fn table(rows: &[Row]) -> DayTable {
    let text = |row: &Row| PeriodText {
        from: row.0.to_owned(),
        to: row.1.to_owned(),
        kind: row.2.to_owned(),
        elec: row.3.to_owned(),
        service: row.4.to_owned(),
    };
    DayTable::from_text(&rows.iter().map(text).collect::<Vec<_>>()).expect("table")
}

pub fn version(name: &str, from: &str, to: Option<&str>, rows: &[Row]) -> TariffVersion {
    TariffVersion {
        version: name.to_owned(),
        effective_from: from.parse().expect("date"),
        effective_to: to.map(|to| to.parse().expect("date")),
        table: table(rows),
    }
}

pub fn session(start: &str, end: &str, kwh: &str) -> Session {
    Session { start_ms: at(start), end_ms: at(end), energy: kwh.parse().expect(kwh), ..Session::default() }
}

pub fn sample(t: &str, kwh: &str) -> Sample {
    Sample { at_ms: at(t), energy: kwh.parse().expect(kwh) }
}

pub fn options() -> Options {
    Options::default()
}

pub fn split(periods: &[(PeriodKind, &str)]) -> ChargerSplit {
    let period =
        |(kind, kwh): &(PeriodKind, &str)| ChargerPeriod { kind: *kind, energy: kwh.parse().expect(kwh), price: None };
    ChargerSplit { periods: periods.iter().map(period).collect(), tariff: SplitTariff::NotStated }
}

/// 09:40 to 10:20, 18 kWh, half flat and half peak by the charger.
pub fn halves() -> Session {
    let charger_split = Some(split(&[(PeriodKind::Peak, "9.1"), (PeriodKind::Flat, "8.9")]));
    Session { charger_split, ..session("09:40:00", "10:20:00", "18") }
}
