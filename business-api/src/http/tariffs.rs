//! Tariff groups with their versions, and what a hypothetical session would cost.

use axum::{Json, extract::State as AxumState, http::StatusCode, response::Response};
use events::units::EnergyE4;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State, cursor,
    extract::{Caller, InBody, InPath, InQuery},
    orders::bill_body,
    problem::Problem,
    tariff_edit::tagged,
};
use crate::{
    bill::{BillError, Sample, Session, rate},
    store::tariffs::TariffGroup,
    tariff::{BillingModel, Tariff, TariffVersion, parse_instant},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    station: Option<String>,
}

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let station = query.station.unwrap_or_default();
    let filters = cursor::filters(&("tariffs", &station));
    let after: Option<String> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.tariffs_after(caller.tenant, &station, &after.unwrap_or_default(), limit + 1).await?;
    Ok(Json(cursor::page(rows, limit, &filters, |group| group.id.clone(), group_body)))
}

pub(super) async fn one(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath((station, group)): InPath<(String, String)>,
) -> Result<Response, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    let found = tx.tariffs_of(caller.tenant, &[format!("{station}/{group}")]).await?;
    let found = found.first().map(|group| tagged(StatusCode::OK, group_body(group)));
    found.ok_or_else(|| Problem::not_found("tariff"))
}

pub(super) fn version_body(version: &TariffVersion) -> Value {
    let model = BillingModel::of(&version.table);
    json!({
        "version": version.version,
        "effective_from": version.effective_from.to_string(),
        "effective_to": version.effective_to.map(|date| date.to_string()),
        "periods": version.table.periods().iter().map(|period| json!({
            "from": period.from.to_string(),
            "to": period.to.to_string(),
            "type": period.slot.kind.name(),
            "electricity_price": period.slot.price.electricity.to_string(),
            "service_price": period.slot.price.service.to_string(),
        })).collect::<Vec<_>>(),
        "charger_table": {
            "exact": model.exact(),
            "not_representable": model.not_representable,
            "content_hash": model.content_hash(),
        },
    })
}

pub(super) fn group_body(group: &TariffGroup) -> Value {
    json!({
        "tariff": group.id,
        "station": group.station,
        "group_no": group.group_no,
        "name": group.name,
        "versions": group.versions.iter().map(version_body).collect::<Vec<_>>(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Preview {
    tariff: String,
    start: String,
    end: String,
    energy_kwh: String,
    #[serde(default)]
    samples: Vec<Point>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    at: String,
    energy_kwh: String,
}

const POINTS_MAX: usize = 800;

pub(super) async fn preview(
    caller: Caller,
    AxumState(state): AxumState<State>,
    body: InBody<Preview>,
) -> Result<Json<Value>, Problem> {
    let asked = body.value;
    let session = session_of(&asked)?;
    let mut tx = state.store.read(caller.tenant).await?;
    let found = tx.tariffs_of(caller.tenant, std::slice::from_ref(&asked.tariff)).await?;
    let group = found.into_iter().next();
    let group = group.ok_or_else(|| Problem::field("unknown_tariff", "/tariff", "there is no such tariff"))?;
    let tariff = Tariff::new(group.versions).map_err(|_| Problem::internal())?;
    match rate(&tariff, &session, &state.config.billing) {
        Ok(bill) => Ok(Json(bill_body(&bill))),
        Err(error @ BillError::NoTariff { .. }) => Err(Problem::field("no_tariff", "/start", error.to_string())),
        Err(error) => Err(Problem::field("invalid_value", "", error.to_string())),
    }
}

fn session_of(asked: &Preview) -> Result<Session, Problem> {
    let instant = |pointer: &str, text: &str| {
        parse_instant(text).map_err(|error| Problem::field("invalid_value", pointer, error.to_string()))
    };
    let energy = |pointer: &str, text: &str| {
        let parsed = text.parse::<EnergyE4>().ok().filter(|energy| !energy.is_negative());
        parsed.ok_or_else(|| {
            Problem::field("invalid_value", pointer, "is a decimal number of kWh, at most four decimals")
        })
    };
    if asked.samples.len() > POINTS_MAX {
        return Err(Problem::field("invalid_value", "/samples", format!("has at most {POINTS_MAX} points")));
    }
    let (start_ms, end_ms) = (instant("/start", &asked.start)?, instant("/end", &asked.end)?);
    if end_ms < start_ms {
        return Err(Problem::field("invalid_value", "/end", "is before start"));
    }
    let mut samples = Vec::with_capacity(asked.samples.len());
    for (index, point) in asked.samples.iter().enumerate() {
        samples.push(Sample {
            at_ms: instant(&format!("/samples/{index}/at"), &point.at)?,
            energy: energy(&format!("/samples/{index}/energy_kwh"), &point.energy_kwh)?,
        });
    }
    Ok(Session { start_ms, end_ms, energy: energy("/energy_kwh", &asked.energy_kwh)?, samples, ..Session::default() })
}
