//! Chargers and connectors: registry and live state.

use axum::{Json, extract::State as AxumState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State, cursor,
    extract::{Caller, InPath, InQuery},
    problem::Problem,
    text,
};
use crate::store::{
    TenantId, Tx,
    alarms::Alarm,
    live::{ChargerFilter, ChargerView, Connector, ConnectorFilter},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    station: Option<String>,
    protocol: Option<String>,
    online: Option<bool>,
}

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filter = ChargerFilter {
        station: query.station.unwrap_or_default(),
        protocol: query.protocol.unwrap_or_default(),
        online: query.online,
    };
    let filters = cursor::filters(&filter);
    let after: Option<String> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.chargers(caller.tenant, &filter, &after.unwrap_or_default(), limit + 1).await?;
    Ok(Json(cursor::page(rows, limit, &filters, |charger| charger.id.clone(), charger)))
}

pub(super) async fn one(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    detail(&mut tx, caller.tenant, id).await?.map(Json).ok_or_else(|| Problem::not_found("charger"))
}

/// A charger with its connectors and open alarms.
pub(super) async fn detail(tx: &mut Tx, tenant: TenantId, id: String) -> Result<Option<Value>, Problem> {
    let ids = [id];
    let found = tx.chargers_of(tenant, &ids).await?;
    let Some(found) = found.first() else { return Ok(None) };
    let connectors = tx.connectors_of(tenant, &ids).await?;
    let connectors = connectors.iter().map(connector_body).collect();
    let alarms = tx.open_alarms(tenant, &found.id).await?.iter().map(alarm_body).collect();
    Ok(Some(text::with(charger(found), [("connectors", connectors), ("alarms", alarms)])))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectorsQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    station: Option<String>,
    charger: Option<String>,
    status: Option<String>,
}

pub(super) async fn connectors(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<ConnectorsQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filter = ConnectorFilter {
        station: query.station.unwrap_or_default(),
        charger: query.charger.unwrap_or_default(),
        status: query.status.unwrap_or_default(),
    };
    let filters = cursor::filters(&filter);
    let after: Option<(String, i64)> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let (charger, number) = after.unwrap_or_default();
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.connectors(caller.tenant, &filter, (&charger, number), limit + 1).await?;
    Ok(Json(cursor::page(rows, limit, &filters, |k| (k.charger.clone(), k.connector), connector_body)))
}

pub(super) async fn connectors_of(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
    InQuery(query): InQuery<cursor::PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filters = cursor::filters(&("connectors", &id));
    let after: Option<i64> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let mut tx = state.store.read(caller.tenant).await?;
    let ids = [id];
    if tx.chargers_of(caller.tenant, &ids).await?.is_empty() {
        return Err(Problem::not_found("charger"));
    }
    let [id] = ids;
    let filter = ConnectorFilter { charger: id.clone(), ..ConnectorFilter::default() };
    let rows = tx.connectors(caller.tenant, &filter, (&id, after.unwrap_or_default()), limit + 1).await?;
    Ok(Json(cursor::page(rows, limit, &filters, |k| k.connector, connector_body)))
}

pub(super) async fn connector(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath((id, number)): InPath<(String, u32)>,
) -> Result<Json<Value>, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.connectors_of(caller.tenant, &[id]).await?;
    let found = rows.iter().find(|row| row.connector == number).ok_or_else(|| Problem::not_found("connector"))?;
    Ok(Json(connector_body(found)))
}

fn charger(charger: &ChargerView) -> Value {
    let live = &charger.live;
    json!({
        "charger": charger.id,
        "station": charger.station,
        "name": charger.name,
        "protocol": charger.protocol,
        "enabled": charger.enabled,
        "connector_count": charger.connectors,
        "rated_power_w": charger.rated_power_w,
        "tariff": Some(&charger.tariff).filter(|tariff| !tariff.is_empty()),
        "bound_tariff": Some(&charger.bound_tariff).filter(|tariff| !tariff.is_empty()),
        "profile": charger.profile,
        "has_secret": charger.has_secret,
        "online": live.online,
        "since": text::at(live.changed_at_ms),
        "seen_at": text::at(live.seen_at_ms),
        "node": live.node,
        "remote_address": live.remote_address,
        "vendor": live.vendor,
        "model": live.model,
        "firmware": live.firmware,
        "clock_skew_ms": live.skew_ms,
    })
}

fn alarm_body(alarm: &Alarm) -> Value {
    json!({
        "connector": alarm.connector,
        "code": alarm.code,
        "detail": alarm.detail,
        "raised_at": text::at(alarm.raised_at_ms),
        "last_seen_at": text::at(alarm.last_seen_ms),
        "times": alarm.times,
    })
}

fn connector_body(k: &Connector) -> Value {
    json!({
        "charger": k.charger,
        "connector": k.connector,
        "status": k.status,
        "plugged": k.plugged,
        "error_code": k.error_code,
        "session": Some(&k.session).filter(|session| !session.is_empty()),
        "power_w": k.power_w,
        "voltage_dv": k.voltage_dv,
        "current_da": k.current_da,
        "soc_percent": k.soc_percent,
        "energy_kwh": k.energy_e4.map(text::e4),
        "updated_at": text::at(k.updated_at_ms),
    })
}
