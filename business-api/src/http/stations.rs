//! Stations of the registry.

use axum::{Json, extract::State as AxumState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State, cursor,
    extract::{Caller, InPath, InQuery},
    problem::Problem,
};
use crate::store::registry::Station;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filters = cursor::filters(&"stations");
    let after: Option<String> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.stations(caller.tenant, &after.unwrap_or_default(), limit + 1).await?;
    Ok(Json(cursor::page(rows, limit, &filters, |station| station.id.clone(), station)))
}

pub(super) async fn one(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    let found = tx.station(caller.tenant, &id).await?.ok_or_else(|| Problem::not_found("station"))?;
    Ok(Json(station(&found)))
}

fn station(station: &Station) -> Value {
    json!({
        "station": station.id,
        "name": station.name,
        "address": station.address,
        "latitude": station.latitude,
        "longitude": station.longitude,
        "phone": station.phone,
        "default_tariff": Some(&station.default_tariff).filter(|tariff| !tariff.is_empty()),
    })
}
