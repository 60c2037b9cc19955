//! JSON of a case to the input of the engine, field by field, each error with its path.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::Value;

use super::{Case, CasesError, Problem};
use crate::bill::{
    ChargerPeriod, ChargerSplit, FreeWindow, Occupancy, Options, PricePolicy, Sample, Session, SplitTariff,
};
use crate::tariff::{DayTable, PeriodText, Tariff, TariffVersion, parse_instant};

const TARIFF: &[&str] = &["versions"];
const VERSION: &[&str] = &["version", "effective_from", "effective_to", "periods"];
const PERIOD: &[&str] = &["from", "to", "type", "elec", "service"];
const SESSION: &[&str] = &[
    "start",
    "end",
    "energy_kwh",
    "samples",
    "charger_periods",
    "charger_tariff_version",
    "charger_amount_yuan",
    "clock_skew_s",
    "unplug",
];
const SAMPLE: &[&str] = &["t", "kwh"];
const CHARGER_PERIOD: &[&str] = &["type", "kwh"];
const OPTIONS: &[&str] = &[
    "loss_percent",
    "service_discount_rate",
    "min_charge_fen",
    "coupon_fen",
    "price_policy",
    "clock_tolerance_s",
    "occupancy",
];
const OCCUPANCY: &[&str] = &["grace_min", "fen_per_min", "cap_fen", "free_windows"];

/// A value and the way to it.
#[derive(Clone)]
struct At<'a> {
    case: &'a str,
    path: String,
    value: &'a Value,
}

pub(super) fn case(id: &str, value: &Value) -> Result<Case, CasesError> {
    let at = At { case: id, path: String::new(), value };
    at.object()?;
    let options = at.optional("options").map(|options| read_options(&options)).transpose()?.unwrap_or_default();
    Ok(Case {
        id: id.to_owned(),
        title: value.get("title").and_then(Value::as_str).unwrap_or_default().to_owned(),
        tariff: read_tariff(&at.field("tariff")?)?,
        session: read_session(&at.field("session")?)?,
        options,
        expect: value.get("expect").cloned(),
    })
}

fn read_tariff(at: &At<'_>) -> Result<Tariff, CasesError> {
    at.only(TARIFF)?;
    let versions = at.field("versions")?;
    let read = versions.items()?.iter().map(read_version).collect::<Result<Vec<_>, _>>()?;
    Tariff::new(read).map_err(|error| at.problem(Problem::Tariff(error)))
}

fn read_version(at: &At<'_>) -> Result<TariffVersion, CasesError> {
    at.only(VERSION)?;
    let periods = at.field("periods")?;
    let texts = periods.items()?.iter().map(read_period).collect::<Result<Vec<_>, _>>()?;
    Ok(TariffVersion {
        version: at.field("version")?.text()?.to_owned(),
        effective_from: at.field("effective_from")?.parsed()?,
        effective_to: at.optional("effective_to").map(|to| to.parsed()).transpose()?,
        table: DayTable::from_text(&texts).map_err(|error| periods.problem(Problem::Table(error)))?,
    })
}

fn read_period(at: &At<'_>) -> Result<PeriodText, CasesError> {
    at.only(PERIOD)?;
    let text = |key| at.field(key).and_then(|at| at.text().map(ToOwned::to_owned));
    Ok(PeriodText {
        from: text("from")?,
        to: text("to")?,
        kind: text("type")?,
        elec: text("elec")?,
        service: text("service")?,
    })
}

fn read_session(at: &At<'_>) -> Result<Session, CasesError> {
    at.only(SESSION)?;
    let mut session = Session {
        start_ms: at.field("start")?.instant()?,
        end_ms: at.field("end")?.instant()?,
        energy: at.field("energy_kwh")?.parsed()?,
        charger_amount: at.optional("charger_amount_yuan").map(|at| at.parsed()).transpose()?,
        unplug_ms: at.optional("unplug").map(|at| at.instant()).transpose()?,
        ..Session::default()
    };
    if let Some(skew) = at.optional("clock_skew_s") {
        let ms = skew.integer()?.checked_mul(1_000);
        session.clock_skew_ms = ms.ok_or_else(|| skew.problem(Problem::OutOfRange))?;
    }
    if let Some(samples) = at.optional("samples") {
        for sample in samples.items()? {
            sample.only(SAMPLE)?;
            let (at_ms, energy) = (sample.field("t")?.instant()?, sample.field("kwh")?.parsed()?);
            session.samples.push(Sample { at_ms, energy });
        }
    }
    let tariff = match at.optional("charger_tariff_version") {
        Some(version) => SplitTariff::Version(version.text()?.to_owned()),
        None => SplitTariff::NotStated,
    };
    if let Some(split) = at.optional("charger_periods") {
        let mut periods = Vec::new();
        for period in split.items()? {
            period.only(CHARGER_PERIOD)?;
            let (kind, energy) = (period.field("type")?.parsed()?, period.field("kwh")?.parsed()?);
            periods.push(ChargerPeriod { kind, energy, price: None });
        }
        session.charger_split = Some(ChargerSplit { periods, tariff });
    }
    Ok(session)
}

fn read_options(at: &At<'_>) -> Result<Options, CasesError> {
    at.only(OPTIONS)?;
    let mut options = Options::default();
    if let Some(loss) = at.optional("loss_percent") {
        options.loss_percent = loss.small()?;
    }
    if let Some(rate) = at.optional("service_discount_rate") {
        options.service_discount_rate = rate.parsed()?;
    }
    if let Some(fen) = at.optional("min_charge_fen") {
        options.min_charge.0 = fen.integer()?;
    }
    if let Some(fen) = at.optional("coupon_fen") {
        options.coupon.0 = fen.integer()?;
    }
    if let Some(seconds) = at.optional("clock_tolerance_s") {
        options.clock_tolerance_s = seconds.small()?;
    }
    if let Some(policy) = at.optional("price_policy") {
        options.price_policy = match policy.text()? {
            "lock_at_start" => PricePolicy::LockAtStart,
            "by_slot_date" => PricePolicy::BySlotDate,
            _ => return Err(policy.bad_text("is neither lock_at_start nor by_slot_date")),
        };
    }
    options.occupancy = at.optional("occupancy").map(|at| read_occupancy(&at)).transpose()?;
    Ok(options)
}

fn read_occupancy(at: &At<'_>) -> Result<Occupancy, CasesError> {
    at.only(OCCUPANCY)?;
    let mut occupancy = Occupancy::default();
    occupancy.fen_per_min.0 = at.field("fen_per_min")?.integer()?;
    if let Some(minutes) = at.optional("grace_min") {
        occupancy.grace_min = minutes.small()?;
    }
    if let Some(cap) = at.optional("cap_fen") {
        occupancy.cap = Some(events::units::Fen(cap.integer()?));
    }
    if let Some(windows) = at.optional("free_windows") {
        for window in windows.items()? {
            let ends = window.items()?;
            let [from, to] = ends.as_slice() else { return Err(window.problem(Problem::NotA("a pair of times"))) };
            occupancy.free_windows.push(FreeWindow { from: from.parsed()?, to: to.parsed()? });
        }
    }
    Ok(occupancy)
}

impl<'a> At<'a> {
    fn problem(&self, problem: Problem) -> CasesError {
        CasesError::Field { case: self.case.to_owned(), field: self.path.clone(), problem }
    }

    fn object(&self) -> Result<&'a serde_json::Map<String, Value>, CasesError> {
        self.value.as_object().ok_or_else(|| self.problem(Problem::NotA("an object")))
    }

    /// Refuses a field that nobody reads.
    fn only(&self, known: &[&str]) -> Result<(), CasesError> {
        match self.object()?.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, value)) => Err(self.child(key, value).problem(Problem::Unknown)),
            None => Ok(()),
        }
    }

    fn child(&self, key: &str, value: &'a Value) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { case: self.case, path, value }
    }

    fn field(&self, key: &str) -> Result<Self, CasesError> {
        match self.object()?.get(key) {
            Some(value) => Ok(self.child(key, value)),
            None => Err(self.child(key, self.value).problem(Problem::Missing)),
        }
    }

    /// A field that may be left out or null.
    fn optional(&self, key: &str) -> Option<Self> {
        self.value.get(key).filter(|value| !value.is_null()).map(|value| self.child(key, value))
    }

    fn items(&self) -> Result<Vec<Self>, CasesError> {
        let items = self.value.as_array().ok_or_else(|| self.problem(Problem::NotA("a list")))?;
        let item = |(index, value)| At { case: self.case, path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    fn text(&self) -> Result<&'a str, CasesError> {
        self.value.as_str().ok_or_else(|| self.problem(Problem::NotA("a string")))
    }

    fn bad_text(&self, why: impl Display) -> CasesError {
        let text = self.value.as_str().unwrap_or_default().to_owned();
        self.problem(Problem::Text { text, why: why.to_string() })
    }

    fn parsed<T: FromStr<Err: Display>>(&self) -> Result<T, CasesError> {
        self.text()?.parse().map_err(|error| self.bad_text(error))
    }

    fn instant(&self) -> Result<i64, CasesError> {
        parse_instant(self.text()?).map_err(|error| self.bad_text(error))
    }

    /// An integer: 3 is one, 3.0 is not.
    fn integer(&self) -> Result<i64, CasesError> {
        match (self.value.as_i64(), self.value.is_u64()) {
            (Some(value), _) => Ok(value),
            (None, true) => Err(self.problem(Problem::OutOfRange)),
            (None, false) => Err(self.problem(Problem::NotA("an integer"))),
        }
    }

    fn small(&self) -> Result<u32, CasesError> {
        u32::try_from(self.integer()?).map_err(|_| self.problem(Problem::OutOfRange))
    }
}
