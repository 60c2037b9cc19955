//! Commands to chargers and their state.

use axum::{
    Json,
    extract::State as AxumState,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use events::commands::{ReadLiveData, Reboot, SendOcppCall, SetTariff, SyncTime, UpdateBalance, command::Action};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State, cursor,
    extract::{Caller, InBody, InPath, InQuery, Trace},
    problem::Problem,
    text,
};
use crate::{
    command,
    store::{commands::CommandRow, live::ChargerView},
};

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Asked {
    Reboot {
        #[serde(default)]
        immediately: bool,
    },
    SyncTime {},
    SetTariff {
        tariff: Option<String>,
    },
    UpdateBalance {
        connector: u32,
        balance_fen: i64,
        #[serde(default)]
        physical_card: String,
    },
    ReadLiveData {
        connector: u32,
    },
    SendOcppCall {
        action: String,
        payload: Value,
    },
}

pub(super) async fn send(
    caller: Caller,
    trace: Trace,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
    body: InBody<Asked>,
) -> Result<Response, Problem> {
    let mut tx = state.store.write(caller.tenant).await?;
    let found = tx.chargers_of(caller.tenant, &[id]).await?;
    let charger = found.first().ok_or_else(|| Problem::not_found("charger"))?;
    let (connector, action) = action(body.value, charger)?;
    if let Action::SetTariff(set) = &action
        && tx.tariffs_of(caller.tenant, std::slice::from_ref(&set.tariff)).await?.is_empty()
    {
        return Err(Problem::field("unknown_tariff", "/tariff", "there is no such tariff"));
    }
    if !charger.live.online {
        return Err(Problem::conflict("charger_offline", "the charger is not connected"));
    }
    let about = command::About {
        tenant: caller.tenant,
        charger: &charger.id,
        connector,
        order_no: None,
        now_ms: state.clock.now_ms(),
        ttl_ms: state.config.command_ttl_ms,
        traceparent: &trace.traceparent,
    };
    let (row, outgoing) = command::issue(&about, action);
    tx.put_commands(caller.tenant, &[&row]).await?;
    tx.push_outbox(vec![outgoing], about.now_ms).await?;
    tx.commit().await?;
    state.bell.ring();
    let location = format!("/v1/commands/{}", row.command_id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(command_body(&row))).into_response())
}

fn action(asked: Asked, charger: &ChargerView) -> Result<(u32, Action), Problem> {
    let check = |connector: u32| {
        let known = (1..=charger.connectors).contains(&connector);
        known.then_some(connector).ok_or_else(|| {
            Problem::field(
                "unknown_connector",
                "/connector",
                format!("the charger has connectors 1 to {}", charger.connectors),
            )
        })
    };
    Ok(match asked {
        Asked::Reboot { immediately } => (0, Action::Reboot(Reboot { immediately })),
        Asked::SyncTime {} => (0, Action::SyncTime(SyncTime {})),
        Asked::SetTariff { tariff } => {
            let tariff = tariff.unwrap_or_else(|| charger.tariff.clone());
            (0, Action::SetTariff(SetTariff { tariff }))
        }
        Asked::UpdateBalance { connector, balance_fen, physical_card } => {
            if !(0..=i64::from(u32::MAX)).contains(&balance_fen) {
                return Err(Problem::field("invalid_value", "/balance_fen", "is 0 to 4294967295"));
            }
            let hex = physical_card.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !(physical_card.is_empty() || hex && physical_card.len() == 16) {
                return Err(Problem::field("invalid_value", "/physical_card", "has 16 hexadecimal digits"));
            }
            (check(connector)?, Action::UpdateBalance(UpdateBalance { physical_card, balance_fen }))
        }
        Asked::ReadLiveData { connector } => (check(connector)?, Action::ReadLiveData(ReadLiveData {})),
        Asked::SendOcppCall { action, payload } => {
            if !charger.protocol.starts_with("ocpp") {
                return Err(Problem::conflict("unsupported_by_protocol", "the charger does not speak OCPP"));
            }
            let name = (1..=50).contains(&action.len()) && action.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !name {
                return Err(Problem::field("invalid_value", "/action", "is the name of an OCPP action"));
            }
            if !payload.is_object() {
                return Err(Problem::field("invalid_value", "/payload", "is an object"));
            }
            (0, Action::SendOcppCall(SendOcppCall { action, payload_json: payload.to_string() }))
        }
    })
}

pub(super) async fn one(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    let found = tx.commands_of(caller.tenant, &[id]).await?;
    found.first().map(|row| Json(command_body(row))).ok_or_else(|| Problem::not_found("command"))
}

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(id): InPath<String>,
    InQuery(query): InQuery<cursor::PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filters = cursor::filters(&("commands", &id));
    let after: Option<(i64, String)> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let (issued_at_ms, command_id) = after.unwrap_or((i64::MAX, String::new()));
    let mut tx = state.store.read(caller.tenant).await?;
    let ids = [id];
    if tx.chargers_of(caller.tenant, &ids).await?.is_empty() {
        return Err(Problem::not_found("charger"));
    }
    let [id] = ids;
    let rows = tx.commands_to(caller.tenant, &id, (issued_at_ms, &command_id), limit + 1).await?;
    let place = |row: &CommandRow| (row.issued_at_ms, row.command_id.clone());
    Ok(Json(cursor::page(rows, limit, &filters, place, command_body)))
}

fn command_body(row: &CommandRow) -> Value {
    json!({
        "command_id": row.command_id,
        "charger": row.charger,
        "connector": row.connector,
        "kind": row.kind,
        "order_no": row.order_no,
        "state": row.state,
        "code": Some(&row.code).filter(|code| !code.is_empty()),
        "arguments": serde_json::from_str::<Value>(&row.arguments).unwrap_or_default(),
        "issued_at": text::at(row.issued_at_ms),
        "expires_at": text::at(row.expires_at_ms),
        "answered_at": text::at(row.answered_at_ms),
    })
}
