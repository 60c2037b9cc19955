//! T22: an order whose record never came, or cannot be billed, is settled by an estimate. One person asks, another approves.

use axum::{
    extract::State as AxumState,
    http::{StatusCode, Uri},
    response::Response,
};
use events::units::EnergyE4;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    State,
    extract::{Caller, IdempotencyKey, InBody, InPath, Trace},
    idempotent::{Answer, Once},
    orders::{ATTEMPTS, order},
    problem::Problem,
    text,
};
use crate::{
    order::{Estimate, ExceptionCode},
    store::{
        Tx,
        orders::{EstimateAsked, OrderRow},
    },
    tariff::parse_instant,
    work::{Rules, Wanted, Work},
};

/// Longest reason, characters.
const REASON_MAX: usize = 400;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Figures {
    energy_kwh: String,
    started_at: String,
    ended_at: String,
    reason: String,
    /// Who pays, where the order does not know.
    account: Option<String>,
}

#[derive(Clone, Copy)]
enum Act {
    Ask,
    Approve,
}

pub(super) async fn ask(
    caller: Caller,
    key: IdempotencyKey,
    trace: Trace,
    uri: Uri,
    AxumState(state): AxumState<State>,
    InPath(order_no): InPath<String>,
    body: InBody<Figures>,
) -> Result<Response, Problem> {
    once(Act::Ask, &caller, &key, &trace, &uri, &state, &order_no, &body).await
}

pub(super) async fn approve(
    caller: Caller,
    key: IdempotencyKey,
    trace: Trace,
    uri: Uri,
    AxumState(state): AxumState<State>,
    InPath(order_no): InPath<String>,
    body: InBody<Figures>,
) -> Result<Response, Problem> {
    once(Act::Approve, &caller, &key, &trace, &uri, &state, &order_no, &body).await
}

#[expect(clippy::too_many_arguments, reason = "what the two handlers above extract, as it is")]
async fn once(
    act: Act,
    caller: &Caller,
    key: &IdempotencyKey,
    trace: &Trace,
    uri: &Uri,
    state: &State,
    order_no: &str,
    body: &InBody<Figures>,
) -> Result<Response, Problem> {
    let now_ms = state.clock.now_ms();
    let once = Once { caller, path: uri.path(), key, body_hash: &body.hash, now_ms };
    let mut left = ATTEMPTS;
    loop {
        left -= 1;
        let mut tx = state.store.write(caller.tenant).await?;
        if let Some(earlier) = once.earlier(&mut tx).await? {
            return Ok(earlier);
        }
        let outcome = act_in(act, &mut tx, state, caller, trace, order_no, &body.value, now_ms).await;
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

#[expect(clippy::too_many_arguments, reason = "one request and its transaction")]
async fn act_in(
    act: Act,
    tx: &mut Tx,
    state: &State,
    caller: &Caller,
    trace: &Trace,
    order_no: &str,
    figures: &Figures,
    now_ms: i64,
) -> Result<Answer, Problem> {
    let mut wanted = Wanted { billing: true, ..Wanted::default() };
    wanted.orders.insert(order_no.to_owned());
    let rules = Rules::of(&state.config).into();
    let mut work = Work::load(tx, caller.tenant, now_ms, &rules, &state.metrics, &wanted).await?;
    work.traceparent.clone_from(&trace.traceparent);
    let row = work.order(order_no).ok_or_else(|| Problem::not_found("order"))?;
    let (said, account) = read(figures, row, now_ms)?;
    let asked = pending(row).filter(|asked| same(&asked.estimate, &said) && asked.account == account);
    match act {
        Act::Ask => {
            let exception = held(row)?;
            if asked.is_none() {
                let estimate = Estimate { requested_by: caller.client.clone(), ..said };
                work.ask_estimate(order_no, EstimateAsked { estimate, account, at_ms: now_ms, exception });
            }
        }
        Act::Approve if settled_by(row).is_some_and(|done| same(done, &said)) => {} // Said again.
        Act::Approve => {
            held(row)?;
            let Some(asked) = asked else {
                return Err(match pending(row) {
                    None => Problem::conflict("no_estimate", "nobody has asked for an estimate of what is held now"),
                    Some(_) => Problem::conflict("estimate_differs", "another estimate was asked for: read it again"),
                });
            };
            if asked.estimate.requested_by == caller.client {
                let detail = "whoever asked for an estimate cannot approve it: another API key does";
                return Err(Problem::conflict("second_person_needed", detail));
            }
            work.approve_estimate(order_no, now_ms, &caller.client).map_err(|illegal| not_held(illegal.to_string()))?;
        }
    }
    work.flush(tx).await?;
    let body = tx.order(caller.tenant, order_no).await?.as_ref().map(order).unwrap_or_default();
    Ok(Answer { status: StatusCode::ACCEPTED, location: Some(format!("/v1/orders/{order_no}")), body })
}

fn not_held(detail: String) -> Problem {
    Problem::conflict("order_not_held", detail)
}

/// Why the order is held.
fn held(row: &OrderRow) -> Result<ExceptionCode, Problem> {
    let order = &row.facts.order;
    order.exception.ok_or_else(|| not_held(format!("an order in {} is not settled by an estimate", order.state.name())))
}

/// What was asked for about what holds the order now.
fn pending(row: &OrderRow) -> Option<&EstimateAsked> {
    let asked = row.facts.estimate_asked.as_ref();
    asked.filter(|asked| row.facts.order.exception == Some(asked.exception))
}

/// The estimate that settled the order; one that billing held has settled nothing.
fn settled_by(row: &OrderRow) -> Option<&Estimate> {
    let order = &row.facts.order;
    order.estimate.as_ref().filter(|_| order.exception.is_none())
}

/// The same figures and reason, whoever says them.
fn same(a: &Estimate, b: &Estimate) -> bool {
    let figures = |it: &Estimate| (it.energy, it.started_at_ms, it.ended_at_ms);
    figures(a) == figures(b) && a.reason == b.reason
}

/// The estimate, said by nobody yet, and who pays for it.
fn read(said: &Figures, row: &OrderRow, now_ms: i64) -> Result<(Estimate, String), Problem> {
    let invalid = |pointer: &str, detail: &str| Problem::field("invalid_value", pointer, detail);
    let instant = |pointer: &str, text: &str| parse_instant(text).map_err(|error| invalid(pointer, &error.to_string()));
    let printable = |text: &str| !text.trim().is_empty() && !text.chars().any(char::is_control);
    let energy = said.energy_kwh.parse::<EnergyE4>().ok().filter(|energy| !energy.is_negative());
    let energy = energy.ok_or_else(|| invalid("/energy_kwh", "is a decimal number of kWh, at most four decimals"))?;
    let started_at_ms = instant("/started_at", &said.started_at)?;
    let ended_at_ms = instant("/ended_at", &said.ended_at)?;
    if ended_at_ms < started_at_ms {
        return Err(invalid("/ended_at", "is before started_at"));
    }
    if ended_at_ms > now_ms {
        return Err(invalid("/ended_at", "is in the future"));
    }
    if !printable(&said.reason) || said.reason.chars().count() > REASON_MAX {
        return Err(invalid("/reason", "has 1 to 400 printable characters"));
    }
    let account = match (&said.account, &row.facts.order.payer) {
        (None, Some(payer)) => payer,
        (Some(account), None) if account.len() <= 64 && printable(account) => account,
        (Some(account), Some(payer)) if account == payer => payer,
        (Some(_), Some(_)) => return Err(invalid("/account", "the order has a payer, who stays")),
        (Some(_), None) => return Err(invalid("/account", "has 1 to 64 printable characters")),
        (None, None) => return Err(invalid("/account", "nobody pays for this order yet: name who does")),
    };
    let estimate = Estimate {
        energy,
        started_at_ms,
        ended_at_ms,
        requested_by: String::new(),
        approved_by: String::new(),
        reason: said.reason.clone(),
    };
    Ok((estimate, account.clone()))
}

/// The estimate that waits for its approval, else the one that was approved.
pub(super) fn estimate_body(row: &OrderRow) -> Option<Value> {
    let order = &row.facts.order;
    let asked = pending(row).map(|asked| (&asked.estimate, Some(&asked.account)));
    let (estimate, account) = asked.or_else(|| Some((order.estimate.as_ref()?, order.payer.as_ref())))?;
    Some(json!({
        "energy_kwh": estimate.energy.to_string(),
        "started_at": text::at(estimate.started_at_ms),
        "ended_at": text::at(estimate.ended_at_ms),
        "reason": estimate.reason,
        "account": account,
        "requested_by": estimate.requested_by,
        "approved_by": Some(&estimate.approved_by).filter(|name| !name.is_empty()),
    }))
}
