//! Adds, changes and takes away chargers.

use axum::{Json, extract::State as AxumState, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    State,
    chargers::detail,
    edit,
    extract::{Caller, InBody, InPatch, InPath},
    problem::Problem,
};
use crate::{
    registry::{self, ChargerEntry, Which},
    store::{TenantId, registry::Charger},
};

/// A charger as a client writes it. Without `Debug`: it holds the secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChargerBody {
    charger: String,
    station: String,
    #[serde(default)]
    name: String,
    protocol: String,
    #[serde(default = "one")]
    connector_count: u32,
    rated_power_w: u32,
    /// Its own tariff group; none = the station's default.
    #[serde(default)]
    bound_tariff: Option<String>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    profile: String,
    /// Password of OCPP Basic authentication; comes in and never leaves.
    #[serde(default, skip_serializing)]
    secret: Option<String>,
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

const NAMES: edit::Names = &[
    ("id", "charger"),
    ("connectors", "connector_count"),
    ("rated_power_kw", "rated_power_w"),
    ("tariff", "bound_tariff"),
    ("password", "secret"),
];

impl ChargerBody {
    fn of(charger: Charger) -> Self {
        Self {
            charger: charger.id,
            station: charger.station,
            name: charger.name,
            protocol: charger.protocol,
            connector_count: charger.connectors,
            rated_power_w: charger.rated_power_w,
            bound_tariff: Some(charger.tariff).filter(|tariff| !tariff.is_empty()),
            enabled: charger.enabled,
            profile: charger.profile,
            secret: None,
        }
    }

    fn entry(self, tenant: TenantId) -> Result<ChargerEntry, Problem> {
        let rated_power_kw = registry::kilowatts(self.rated_power_w)
            .ok_or_else(|| Problem::field("invalid_value", "/rated_power_w", "must be 1..=2000000"))?;
        if self.secret.as_deref() == Some("") {
            return Err(Problem::field("invalid_value", "/secret", "must not be empty; null asks for none"));
        }
        Ok(ChargerEntry {
            tenant: tenant.0,
            id: self.charger,
            station: self.station,
            name: self.name,
            protocol: self.protocol,
            connectors: self.connector_count,
            rated_power_kw,
            tariff: self.bound_tariff.unwrap_or_default(),
            password: self.secret.unwrap_or_default(),
            profile: self.profile,
            enabled: self.enabled,
        })
    }
}

pub(super) async fn create(
    caller: Caller,
    AxumState(state): AxumState<State>,
    body: InBody<ChargerBody>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant;
    let wanted = body.value.entry(tenant)?;
    let mut tx = edit::begin(&state, &caller).await?;
    let put = registry::put_charger(&mut tx, tenant, Which::New, wanted, false).await;
    let id = put.map_err(|error| edit::refused(error, "charger", NAMES))?;
    let location = format!("/v1/chargers/{id}");
    let stored = detail(&mut tx, tenant, id).await?.ok_or_else(Problem::internal)?;
    edit::commit(&state, tx).await?;
    Ok(edit::created(&location, stored))
}

pub(super) async fn change(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
    InPatch(patch): InPatch,
) -> Result<Json<Value>, Problem> {
    let tenant = caller.tenant;
    let mut tx = edit::begin(&state, &caller).await?;
    let current = tx.registered_charger(tenant, &id).await?.ok_or_else(|| Problem::not_found("charger"))?;
    // A secret that the patch does not name stays; null takes it away.
    let keep_secret = !patch.contains_key("secret");
    let wanted = edit::merged(&ChargerBody::of(current), patch)?.entry(tenant)?;
    let put = registry::put_charger(&mut tx, tenant, Which::Stored(&id), wanted, keep_secret).await;
    put.map_err(|error| edit::refused(error, "charger", NAMES))?;
    let stored = detail(&mut tx, tenant, id).await?.ok_or_else(Problem::internal)?;
    edit::commit(&state, tx).await?;
    Ok(Json(stored))
}

pub(super) async fn remove(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
) -> Result<StatusCode, Problem> {
    let mut tx = edit::begin(&state, &caller).await?;
    let gone = registry::remove_charger(&mut tx, caller.tenant, &id).await;
    gone.map_err(|error| edit::refused(error, "charger", NAMES))?;
    edit::removed(&state, tx).await
}
