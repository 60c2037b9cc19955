//! Adds tariff groups and versions, ends versions, takes unused groups away. Prices of a stored version never change.

use axum::{
    Json,
    extract::State as AxumState,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    State, edit,
    extract::{Caller, InBody, InPatch, InPath},
    problem::Problem,
    tariffs::{group_body, version_body},
};
use crate::{
    registry::{self, EditError, TariffEntry, Which},
    store::{TenantId, Tx, tariffs::TariffGroup},
    tariff::{DayTable, LocalDate, PeriodText, TableError, TariffVersion},
};

/// A group as a client writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupBody {
    /// `<station>/<group number 1..16>`.
    tariff: String,
    #[serde(default)]
    name: String,
    versions: Vec<VersionBody>,
}

/// What may change of a stored group.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupPatch {
    #[serde(default)]
    name: String,
}

/// A version as a client writes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionBody {
    version: String,
    effective_from: LocalDate,
    #[serde(default)]
    effective_to: Option<LocalDate>,
    periods: Vec<PeriodBody>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeriodBody {
    from: String,
    to: String,
    #[serde(rename = "type")]
    kind: String,
    electricity_price: String,
    service_price: String,
}

const NAMES: edit::Names = &[("id", "tariff")];

impl VersionBody {
    fn of(version: &TariffVersion) -> Self {
        let periods = version.table.periods().into_iter().map(|period| PeriodBody {
            from: period.from.to_string(),
            to: period.to.to_string(),
            kind: period.slot.kind.name().to_owned(),
            electricity_price: period.slot.price.electricity.to_string(),
            service_price: period.slot.price.service.to_string(),
        });
        Self {
            version: version.version.clone(),
            effective_from: version.effective_from,
            effective_to: version.effective_to,
            periods: periods.collect(),
        }
    }

    /// `at` is the pointer of this version in the body.
    fn version(self, at: &str) -> Result<TariffVersion, Problem> {
        let texts: Vec<PeriodText> = self
            .periods
            .into_iter()
            .map(|period| PeriodText {
                from: period.from,
                to: period.to,
                kind: period.kind,
                elec: period.electricity_price,
                service: period.service_price,
            })
            .collect();
        let table = DayTable::from_text(&texts).map_err(|error| {
            let pointer = match &error {
                TableError::Time { index, .. }
                | TableError::Kind { index, .. }
                | TableError::Price { index, .. }
                | TableError::PriceRange { index, .. }
                | TableError::NotQuarterHour { index, .. }
                | TableError::Empty { index, .. }
                | TableError::Overlap { index, .. } => format!("{at}/periods/{index}"),
                TableError::Gap { .. } | TableError::SlotCount { .. } => format!("{at}/periods"),
            };
            Problem::field("invalid_value", &pointer, error.to_string())
        })?;
        let (version, effective_from, effective_to) = (self.version, self.effective_from, self.effective_to);
        Ok(TariffVersion { version, effective_from, effective_to, table })
    }
}

fn entry(tenant: TenantId, group: TariffGroup) -> TariffEntry {
    TariffEntry { tenant: tenant.0, id: group.id, name: group.name, versions: group.versions }
}

async fn stored(tx: &mut Tx, tenant: TenantId, id: &str) -> Result<TariffGroup, Problem> {
    tx.tariffs_of(tenant, &[id.to_owned()]).await?.pop().ok_or_else(|| Problem::not_found("tariff"))
}

fn find<'a>(group: &'a TariffGroup, version: &str) -> Result<&'a TariffVersion, Problem> {
    group.versions.iter().find(|it| it.version == version).ok_or_else(|| Problem::not_found("tariff version"))
}

/// Names exactly this state of a resource.
pub(super) fn etag(body: &Value) -> String {
    let hash = hex::encode(Sha256::digest(body.to_string().as_bytes()));
    format!("\"{}\"", hash.get(..32).unwrap_or_default())
}

/// The resource and its entity tag.
pub(super) fn tagged(status: StatusCode, body: Value) -> Response {
    let tag = HeaderValue::from_str(&etag(&body));
    let mut response = (status, Json(body)).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Prices are money: who changes a tariff must say which state of it he saw.
fn precondition(headers: &HeaderMap, current: &Value) -> Result<(), Problem> {
    let mut given = headers.get_all(header::IF_MATCH).iter();
    let Some(first) = given.next() else {
        let detail = "this change needs an If-Match header with the ETag of what it changes";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if_match_required", detail));
    };
    if given.next().is_some() {
        return Err(Problem::bad_request("repeated_header", "a request has one If-Match header"));
    }
    let tag = etag(current);
    let matches = first.to_str().is_ok_and(|given| given.split(',').map(str::trim).any(|one| one == "*" || one == tag));
    if matches {
        return Ok(());
    }
    let detail = "it was changed since, or the ETag is another resource's: read it again";
    Err(Problem::new(StatusCode::PRECONDITION_FAILED, "if_match_failed", detail))
}

/// Problems of a version that is a resource of its own: its members without the way that leads to it in the group.
fn refused_version(error: EditError) -> Problem {
    let error = match error {
        EditError::Invalid(mut problems) => {
            for problem in problems.iter_mut().filter(|problem| problem.key.starts_with("versions")) {
                problem.key = problem.key.split_once("].").map(|(_, member)| member.to_owned()).unwrap_or_default();
            }
            EditError::Invalid(problems)
        }
        error => error,
    };
    edit::refused(error, "tariff", NAMES)
}

pub(super) async fn create(
    caller: Caller,
    AxumState(state): AxumState<State>,
    body: InBody<GroupBody>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant;
    let group = body.value;
    let mut versions = Vec::with_capacity(group.versions.len());
    for (index, version) in group.versions.into_iter().enumerate() {
        versions.push(version.version(&format!("/versions/{index}"))?);
    }
    let wanted = TariffEntry { tenant: tenant.0, id: group.tariff, name: group.name, versions };
    let mut tx = edit::begin(&state, &caller).await?;
    let put = registry::put_tariff(&mut tx, tenant, Which::New, wanted, state.clock.now_ms()).await;
    let id = put.map_err(|error| edit::refused(error, "tariff", NAMES))?;
    let body = group_body(&stored(&mut tx, tenant, &id).await?);
    edit::commit(&state, tx).await?;
    let mut response = tagged(StatusCode::CREATED, body);
    edit::locate(&mut response, &format!("/v1/tariffs/{id}"));
    Ok(response)
}

/// Its name, the only member that may change.
pub(super) async fn change(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath((station, group)): InPath<(String, String)>,
    headers: HeaderMap,
    InPatch(patch): InPatch,
) -> Result<Response, Problem> {
    let (tenant, id) = (caller.tenant, format!("{station}/{group}"));
    let mut tx = edit::begin(&state, &caller).await?;
    let mut group = stored(&mut tx, tenant, &id).await?;
    precondition(&headers, &group_body(&group))?;
    group.name = edit::merged(&GroupPatch { name: group.name.clone() }, patch)?.name;
    let (group, now_ms) = (entry(tenant, group), state.clock.now_ms());
    let put = registry::put_tariff(&mut tx, tenant, Which::Stored(&id), group, now_ms).await;
    put.map_err(|error| edit::refused(error, "tariff", NAMES))?;
    let body = group_body(&stored(&mut tx, tenant, &id).await?);
    edit::commit(&state, tx).await?;
    Ok(tagged(StatusCode::OK, body))
}

pub(super) async fn remove(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath((station, group)): InPath<(String, String)>,
) -> Result<StatusCode, Problem> {
    let mut tx = edit::begin(&state, &caller).await?;
    let gone = registry::remove_tariff(&mut tx, caller.tenant, &format!("{station}/{group}")).await;
    gone.map_err(|error| edit::refused(error, "tariff", NAMES))?;
    edit::removed(&state, tx).await
}

pub(super) async fn version(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath((station, group, version)): InPath<(String, String, String)>,
) -> Result<Response, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    let group = stored(&mut tx, caller.tenant, &format!("{station}/{group}")).await?;
    Ok(tagged(StatusCode::OK, version_body(find(&group, &version)?)))
}

/// Adds a version that begins tomorrow or later: no day that has begun is priced anew.
pub(super) async fn add_version(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath((station, group)): InPath<(String, String)>,
    body: InBody<VersionBody>,
) -> Result<Response, Problem> {
    let (tenant, id) = (caller.tenant, format!("{station}/{group}"));
    let mut tx = edit::begin(&state, &caller).await?;
    let mut group = stored(&mut tx, tenant, &id).await?;
    let new = body.value.version("")?;
    if group.versions.iter().any(|it| it.version == new.version) {
        return Err(Problem::conflict("already_exists", "the tariff has a version of this name"));
    }
    let name = new.version.clone();
    group.versions.push(new);
    let (group, now_ms) = (entry(tenant, group), state.clock.now_ms());
    let put = registry::put_tariff(&mut tx, tenant, Which::Stored(&id), group, now_ms).await;
    put.map_err(refused_version)?;
    let body = version_body(find(&stored(&mut tx, tenant, &id).await?, &name)?);
    edit::commit(&state, tx).await?;
    let mut response = tagged(StatusCode::CREATED, body);
    edit::locate(&mut response, &format!("/v1/tariffs/{id}/versions/{name}"));
    Ok(response)
}

/// Gives a version an end, another one, or none. No day that has begun gets or loses a price.
pub(super) async fn change_version(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath((station, group, name)): InPath<(String, String, String)>,
    headers: HeaderMap,
    InPatch(patch): InPatch,
) -> Result<Response, Problem> {
    let (tenant, id) = (caller.tenant, format!("{station}/{group}"));
    let mut tx = edit::begin(&state, &caller).await?;
    let mut group = stored(&mut tx, tenant, &id).await?;
    let before = find(&group, &name)?.clone();
    precondition(&headers, &version_body(&before))?;
    let wanted = edit::merged(&VersionBody::of(&before), patch)?.version("")?;
    if wanted.version != name {
        return Err(Problem::field("invalid_value", "/version", "cannot be changed"));
    }
    for version in group.versions.iter_mut().filter(|version| version.version == name) {
        version.clone_from(&wanted);
    }
    let (group, now_ms) = (entry(tenant, group), state.clock.now_ms());
    let put = registry::put_tariff(&mut tx, tenant, Which::Stored(&id), group, now_ms).await;
    put.map_err(refused_version)?;
    let body = version_body(find(&stored(&mut tx, tenant, &id).await?, &name)?);
    edit::commit(&state, tx).await?;
    Ok(tagged(StatusCode::OK, body))
}
