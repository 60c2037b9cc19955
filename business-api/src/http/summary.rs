//! The figures of a live view.

use axum::{Json, extract::State as AxumState};
use serde_json::{Value, json};

use super::{State, extract::Caller, problem::Problem, text};

pub(super) async fn summary(caller: Caller, AxumState(state): AxumState<State>) -> Result<Json<Value>, Problem> {
    let now_ms = state.clock.now_ms();
    let s = state.store.summary(caller.tenant, now_ms).await?;
    Ok(Json(json!({
        "at": text::at(now_ms),
        "chargers": s.chargers,
        "chargers_online": s.chargers_online,
        "connectors": s.connectors,
        "connectors_charging": s.connectors_charging,
        "power_w": s.power_w,
        "orders": s.orders,
        "settled_today": s.settled_today,
        "energy_today_kwh": text::e4(s.energy_today_e4),
        "money_today_fen": s.money_today_fen,
        "energy_kwh": text::e4(s.energy_e4),
        "money_fen": s.money_fen,
        "booked_fen": s.booked_fen,
    })))
}
