//! Stations of the registry.

use axum::{Json, extract::State as AxumState, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    State, cursor, edit,
    extract::{Caller, InBody, InPatch, InPath, InQuery},
    problem::Problem,
};
use crate::{
    registry::{self, StationEntry, Which},
    store::{TenantId, registry::Station},
};

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<cursor::PageQuery>,
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

/// A station as a client writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StationBody {
    station: String,
    name: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    latitude: String,
    #[serde(default)]
    longitude: String,
    #[serde(default)]
    phone: String,
    #[serde(default)]
    default_tariff: Option<String>,
}

const NAMES: edit::Names = &[("id", "station")];

impl StationBody {
    fn of(station: Station) -> Self {
        Self {
            station: station.id,
            name: station.name,
            address: station.address,
            latitude: station.latitude,
            longitude: station.longitude,
            phone: station.phone,
            default_tariff: Some(station.default_tariff).filter(|tariff| !tariff.is_empty()),
        }
    }

    fn entry(self, tenant: TenantId) -> StationEntry {
        StationEntry {
            tenant: tenant.0,
            id: self.station,
            name: self.name,
            address: self.address,
            latitude: self.latitude,
            longitude: self.longitude,
            phone: self.phone,
            default_tariff: self.default_tariff.unwrap_or_default(),
        }
    }
}

pub(super) async fn create(
    caller: Caller,
    AxumState(state): AxumState<State>,
    body: InBody<StationBody>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant;
    let mut tx = edit::begin(&state, &caller).await?;
    let put = registry::put_station(&mut tx, tenant, Which::New, body.value.entry(tenant)).await;
    let id = put.map_err(|error| edit::refused(error, "station", NAMES))?;
    let stored = tx.station(tenant, &id).await?.ok_or_else(Problem::internal)?;
    edit::commit(&state, tx).await?;
    Ok(edit::created(&format!("/v1/stations/{id}"), station(&stored)))
}

pub(super) async fn change(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
    InPatch(patch): InPatch,
) -> Result<Json<Value>, Problem> {
    let tenant = caller.tenant;
    let mut tx = edit::begin(&state, &caller).await?;
    let current = tx.station(tenant, &id).await?.ok_or_else(|| Problem::not_found("station"))?;
    let wanted = edit::merged(&StationBody::of(current), patch)?.entry(tenant);
    let put = registry::put_station(&mut tx, tenant, Which::Stored(&id), wanted).await;
    put.map_err(|error| edit::refused(error, "station", NAMES))?;
    let stored = tx.station(tenant, &id).await?.ok_or_else(Problem::internal)?;
    edit::commit(&state, tx).await?;
    Ok(Json(station(&stored)))
}

pub(super) async fn remove(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
) -> Result<StatusCode, Problem> {
    let mut tx = edit::begin(&state, &caller).await?;
    let gone = registry::remove_station(&mut tx, caller.tenant, &id).await;
    gone.map_err(|error| edit::refused(error, "station", NAMES))?;
    edit::removed(&state, tx).await
}
