//! Orders: start, stop, list, one, its timeline, its bill.

use axum::{
    Json,
    extract::State as AxumState,
    http::{StatusCode, Uri},
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State, cursor,
    estimate::estimate_body,
    extract::{Caller, IdempotencyKey, InBody, InPath, InQuery, Trace},
    idempotent::{Answer, Once},
    problem::Problem,
    text,
};
use crate::{
    bill::Bill,
    order::{ExceptionCode, Input, Opening, RecordStatus, StopBy, order_tag, trade_number},
    store::{
        Tx,
        orders::{Line, OrderFilter, OrderRow},
    },
    tariff::{LocalDate, Tariff},
    work::{Rules, Wanted, Work},
};

/// Attempts when a consumer changes the same order at the same moment.
pub(super) const ATTEMPTS: u32 = 4;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    charger: String,
    connector: u32,
    /// Who pays.
    account: String,
    /// What the charger is told that the payer has, fen.
    balance_fen: Option<i64>,
}

pub(super) async fn start(
    caller: Caller,
    key: IdempotencyKey,
    trace: Trace,
    uri: Uri,
    AxumState(state): AxumState<State>,
    body: InBody<Start>,
) -> Result<Response, Problem> {
    let now_ms = state.clock.now_ms();
    let once = Once { caller: &caller, path: uri.path(), key: &key, body_hash: &body.hash, now_ms };
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let mut tx = state.store.write(caller.tenant).await?;
        if let Some(earlier) = once.earlier(&mut tx).await? {
            return Ok(earlier);
        }
        let outcome = start_in(&mut tx, &state, &caller, &trace, &body.value, now_ms).await;
        match outcome {
            Err(problem) if problem.code == "changed_meanwhile" && left > 0 => {}
            outcome => {
                let response = once.finish(&state.store, tx, outcome).await;
                state.bell.ring();
                return response;
            }
        }
    }
}

/// T1: the guards, then the order and its command in one transaction.
async fn start_in(
    tx: &mut Tx,
    state: &State,
    caller: &Caller,
    trace: &Trace,
    asked: &Start,
    now_ms: i64,
) -> Result<Answer, Problem> {
    let account = asked.account.as_str();
    if !(1..=64).contains(&account.len()) || account.chars().any(char::is_control) {
        return Err(Problem::field("invalid_value", "/account", "has 1 to 64 printable characters"));
    }
    if asked.balance_fen.is_some_and(|balance| !(1..=i64::from(u32::MAX)).contains(&balance)) {
        return Err(Problem::field("invalid_value", "/balance_fen", "is 1 to 4294967295"));
    }
    let tenant = caller.tenant;
    // Two starts on one connector at the same moment: the second waits here and then finds the first.
    tx.lock_connector(tenant, &asked.charger, asked.connector).await?;
    let mut wanted = Wanted { billing: true, ..Wanted::default() };
    wanted.chargers.insert(asked.charger.clone());
    let mut rules = Rules::of(&state.config);
    rules.balance_fen = asked.balance_fen.unwrap_or(rules.balance_fen);
    let mut work = Work::load(tx, tenant, now_ms, &rules.into(), &state.metrics, &wanted).await?;
    work.traceparent.clone_from(&trace.traceparent);
    let opening = guard(&work, asked, now_ms)?;
    if tx.in_arrears(tenant, account).await? {
        return Err(Problem::conflict("payer_in_arrears", "the payer has an order that is not paid"));
    }
    let tariff = work.chargers.get(&asked.charger).map(|charger| charger.tariff.clone()).unwrap_or_default();
    let placed = work.place(&asked.charger, asked.connector, now_ms, Some(account.to_owned()), &tariff);
    let order_no = work.open(placed, now_ms, &opening, "api");
    let body = work.order(&order_no).map(order).unwrap_or_default();
    work.flush(tx).await?;
    Ok(Answer { status: StatusCode::CREATED, location: Some(format!("/v1/orders/{order_no}")), body })
}

fn guard(work: &Work, asked: &Start, now_ms: i64) -> Result<Opening, Problem> {
    let Some(charger) = work.chargers.get(&asked.charger) else {
        return Err(Problem::field("unknown_charger", "/charger", "there is no such charger"));
    };
    let Some(connector) = work.connectors.get(&(asked.charger.clone(), asked.connector)) else {
        return Err(Problem::field("unknown_connector", "/connector", "the charger has no such connector"));
    };
    if !charger.enabled {
        return Err(Problem::conflict("charger_disabled", "the charger is switched off"));
    }
    if !charger.live.online {
        return Err(Problem::conflict("charger_offline", "the charger is not connected"));
    }
    if matches!(connector.status.as_str(), "faulted" | "unavailable" | "reserved") {
        return Err(Problem::conflict("connector_unavailable", format!("the connector is {}", connector.status)));
    }
    let charging = matches!(connector.status.as_str(), "charging" | "suspended");
    if charging || !work.live_orders(&asked.charger, Some(asked.connector)).is_empty() {
        return Err(Problem::conflict("connector_busy", "the connector has an order that is not over"));
    }
    let has_version = |tariff: &Tariff| tariff.on(LocalDate::of(now_ms)).is_some();
    if !work.tariff(&charger.tariff).is_some_and(has_version) {
        return Err(Problem::conflict("no_tariff", "no tariff is in force on this charger"));
    }
    let (mut session, mut id_tag) = (None, None);
    if charger.protocol == "ykc" {
        // A number already taken (once in five thousand within one second) is refused by the unique key.
        let counter = rand::random_range(crate::order::COUNTERS);
        let number = trade_number(&charger.id, asked.connector, now_ms, counter);
        session = Some(number.map_err(|error| Problem::field("unknown_connector", "/connector", error.to_string()))?);
    } else {
        id_tag = Some(order_tag(rand::random()));
    }
    Ok(Opening::Asked { session, id_tag, prepay: None, hold: None })
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stop {
    #[serde(default)]
    by: By,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    User,
    Operator,
}

pub(super) async fn stop(
    caller: Caller,
    key: IdempotencyKey,
    trace: Trace,
    uri: Uri,
    AxumState(state): AxumState<State>,
    InPath(order_no): InPath<String>,
    body: InBody<Stop>,
) -> Result<Response, Problem> {
    let now_ms = state.clock.now_ms();
    let once = Once { caller: &caller, path: uri.path(), key: &key, body_hash: &body.hash, now_ms };
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let mut tx = state.store.write(caller.tenant).await?;
        if let Some(earlier) = once.earlier(&mut tx).await? {
            return Ok(earlier);
        }
        let outcome = stop_in(&mut tx, &state, &caller, &trace, &order_no, body.value, now_ms).await;
        match outcome {
            Err(problem) if problem.code == "changed_meanwhile" && left > 0 => {}
            outcome => {
                let response = once.finish(&state.store, tx, outcome).await;
                state.bell.ring();
                return response;
            }
        }
    }
}

async fn stop_in(
    tx: &mut Tx,
    state: &State,
    caller: &Caller,
    trace: &Trace,
    order_no: &str,
    asked: Stop,
    now_ms: i64,
) -> Result<Answer, Problem> {
    let mut wanted = Wanted::default();
    wanted.orders.insert(order_no.to_owned());
    let rules = Rules::of(&state.config).into();
    let mut work = Work::load(tx, caller.tenant, now_ms, &rules, &state.metrics, &wanted).await?;
    work.traceparent.clone_from(&trace.traceparent);
    let found = work.order(order_no).ok_or_else(|| Problem::not_found("order"))?;
    let by = match asked.by {
        By::User => StopBy::User,
        By::Operator => StopBy::Operator,
    };
    let before = found.facts.order.state;
    if work.step(order_no, now_ms, Input::StopAsked { by, client: caller.client.clone() }).is_err() {
        let detail = format!("an order in {} cannot be stopped", before.name());
        return Err(Problem::conflict("order_not_charging", detail));
    }
    work.flush(tx).await?;
    let body = tx.order(caller.tenant, order_no).await?.as_ref().map(order).unwrap_or_default();
    Ok(Answer { status: StatusCode::ACCEPTED, location: Some(format!("/v1/orders/{order_no}")), body })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    state: Option<String>,
    exception_code: Option<String>,
    record_status: Option<String>,
    charger: Option<String>,
    station: Option<String>,
    account: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InQuery(query): InQuery<ListQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    named("state", query.state.as_ref(), &crate::order::State::ALL.map(crate::order::State::name))?;
    let codes = ExceptionCode::ALL.map(ExceptionCode::name);
    named("exception_code", query.exception_code.as_ref(), &codes)?;
    named("record_status", query.record_status.as_ref(), &RecordStatus::ALL.map(RecordStatus::name))?;
    let filter = OrderFilter {
        state: query.state.unwrap_or_default(),
        exception_code: query.exception_code.unwrap_or_default(),
        record_status: query.record_status.unwrap_or_default(),
        charger: query.charger.unwrap_or_default(),
        station: query.station.unwrap_or_default(),
        account: query.account.unwrap_or_default(),
        from_ms: cursor::instant("from", query.from, i64::MIN)?,
        to_ms: cursor::instant("to", query.to, i64::MAX)?,
    };
    let filters = cursor::filters(&filter);
    let after: Option<(i64, String)> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let (created_at_ms, order_no) = after.unwrap_or((i64::MAX, String::new()));
    let mut tx = state.store.read(caller.tenant).await?;
    let rows = tx.orders(caller.tenant, &filter, (created_at_ms, &order_no), limit + 1).await?;
    let place = |row: &OrderRow| (row.facts.order.created_at_ms, row.facts.order.order_no.clone());
    Ok(Json(cursor::page(rows, limit, &filters, place, order)))
}

/// A filter is one of the names that there are.
fn named(filter: &str, asked: Option<&String>, names: &[&str]) -> Result<(), Problem> {
    match asked {
        Some(asked) if !names.contains(&asked.as_str()) => {
            Err(Problem::bad_request("bad_query", format!("{filter} is one of {}", names.join(", "))))
        }
        _ => Ok(()),
    }
}

pub(super) async fn load(state: &State, caller: &Caller, order_no: &str) -> Result<(Tx, OrderRow), Problem> {
    let mut tx = state.store.read(caller.tenant).await?;
    let found = tx.order(caller.tenant, order_no).await?.ok_or_else(|| Problem::not_found("order"))?;
    Ok((tx, found))
}

pub(super) async fn one(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(order_no): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let (_, found) = load(&state, &caller, &order_no).await?;
    Ok(Json(order(&found)))
}

pub(super) async fn timeline(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(order_no): InPath<String>,
    InQuery(query): InQuery<cursor::PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filters = cursor::filters(&("timeline", &order_no));
    let after: Option<u32> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let (mut tx, _) = load(&state, &caller, &order_no).await?;
    let lines = tx.lines(caller.tenant, &order_no, after.unwrap_or(0), limit + 1).await?;
    let line = |line: &Line| {
        let entry = &line.entry;
        json!({
            "at": text::at(entry.at_ms),
            "what": entry.what,
            "transition": Some(&entry.transition).filter(|name| !name.is_empty()),
            "from": entry.from.map(crate::order::State::name),
            "to": entry.to.name(),
            "detail": entry.detail,
        })
    };
    Ok(Json(cursor::page(lines, limit, &filters, |line| line.seq, line)))
}

pub(super) async fn bill(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(order_no): InPath<String>,
) -> Result<Json<Value>, Problem> {
    let (mut tx, _) = load(&state, &caller, &order_no).await?;
    let row = tx.bill(caller.tenant, &order_no).await?;
    let row = row.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no_bill", "the order has no bill yet"))?;
    let bill: Bill = serde_json::from_str(&row.content).map_err(|error| {
        tracing::error!(order_no, %error, "stored bill unreadable");
        Problem::internal()
    })?;
    let about = [("order_no", order_no.into()), ("billed_at", json!(text::at(row.created_at_ms)))];
    Ok(Json(text::with(bill_body(&bill), about)))
}

/// A bill as REST shows it, for orders and previews.
pub(super) fn bill_body(bill: &Bill) -> Value {
    let segment = |segment: &crate::bill::Segment| {
        json!({
            "from": text::at(segment.from_ms),
            "to": text::at(segment.to_ms),
            "type": segment.kind.name(),
            "tariff_version": segment.tariff_version,
            "electricity_price": segment.price.electricity.to_string(),
            "service_price": segment.price.service.to_string(),
            "energy_kwh": segment.energy.to_string(),
            "billed_kwh": segment.billed.to_string(),
            "electricity_yuan": segment.electricity.to_string(),
            "service_yuan": segment.service.to_string(),
        })
    };
    json!({
        "currency": "CNY",
        "rule_version": bill.rule_version,
        "tariff_version": bill.tariff_version,
        "source": bill.source,
        "energy_kwh": bill.energy.to_string(),
        "billed_kwh": bill.billed.to_string(),
        "segments": bill.segments.iter().map(segment).collect::<Vec<_>>(),
        "electricity_fen": bill.electricity_fen.0,
        "service_fen": bill.service_fen.0,
        "service_discount_fen": bill.service_discount_fen.0,
        "min_topup_fen": bill.min_topup_fen.0,
        "coupon_fen": bill.coupon_fen.0,
        "occupancy_minutes": bill.occupancy_minutes,
        "occupancy_fen": bill.occupancy_fen.0,
        "total_fen": bill.total_fen.0,
        "charger_comparison": bill.comparison.map(|it| json!({
            "charger_fen": it.charger.0,
            "diff_fen": it.diff.0,
            "tolerance_fen": it.tolerance.0,
            "verdict": it.verdict,
        })),
        "flags": bill.flags,
    })
}

pub(super) fn order(row: &OrderRow) -> Value {
    let (facts, o) = (&row.facts, &row.facts.order);
    let fees = facts.fees_fen.filter(|_| o.settled.is_some());
    json!({
        "order_no": o.order_no,
        "version": row.version.max(1),
        "state": o.state.name(),
        "exception_code": o.exception.map(ExceptionCode::name),
        "close_reason": o.close_reason,
        "station": row.station,
        "charger": o.charger,
        "connector": o.connector,
        "protocol": o.protocol,
        "session": o.session,
        "id_tag": o.id_tag,
        "start_mode": o.start_mode.name(),
        "account": o.payer,
        "tariff": o.tariff,
        "charger_offline": o.charger_offline,
        "record_status": o.record_status,
        "record_late": o.record_late,
        "stop_reason": o.record.as_ref().map(|record| &record.stop_reason),
        "created_at": text::at(o.created_at_ms),
        "accepted_at": text::at(o.accepted_at_ms),
        "started_at": text::at(o.started_at_ms),
        "ended_at": text::at(o.ended_at_ms),
        "closed_at": text::at(o.closed_at_ms),
        "energy_seen_kwh": o.energy_seen.map(|energy| energy.to_string()),
        "energy_kwh": o.settled.map(|settled| settled.energy.to_string()),
        "electricity_fen": fees.map(|(electricity, _, _)| electricity),
        "service_fen": fees.map(|(_, service, _)| service),
        "other_fen": fees.map(|(_, _, other)| other),
        "total_fen": o.settled.map(|settled| settled.total.0),
        "energy_source": o.settled.map(|settled| settled.source),
        "estimate": estimate_body(row),
    })
}
