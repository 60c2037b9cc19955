//! Every record that came under an order's session, beside each other.

use axum::{Json, extract::State as AxumState};
use events::{prost::Message as _, proto, units::EnergyE4};
use serde_json::{Value, json};

use super::{
    State, cursor,
    extract::{Caller, InPath, InQuery},
    problem::Problem,
    text,
};
use crate::{
    order::{CellEnergy, Record},
    store::settlement::RecordRow,
};

pub(super) async fn list(
    caller: Caller,
    AxumState(state): AxumState<State>,
    InPath(order_no): InPath<String>,
    InQuery(query): InQuery<cursor::PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = cursor::limit(query.limit)?;
    let filters = cursor::filters(&("records", &order_no));
    let after: Option<u32> = cursor::decode(query.cursor.as_deref(), &filters)?;
    let (mut tx, found) = super::orders::load(&state, &caller, &order_no).await?;
    let rows = tx.records_of_order(caller.tenant, &order_no, after.unwrap_or(0), limit + 1).await?;
    let order = &found.facts.order;
    // A bill is made of the record that counts, unless people settled by an estimate.
    let rated = tx.bill(caller.tenant, &order_no).await?.is_some() && order.estimate.is_none();
    let counts = order.record.as_ref().filter(|_| rated).map(|record| record.digest.to_string());
    let mut shown = Vec::with_capacity(rows.len());
    for row in rows {
        // The bytes of a version too many are in the dead letters, and its figures with them.
        let read = if row.body.is_empty() { None } else { Some(read(&row)?) };
        shown.push((row, read));
    }
    let item = |(row, read): &(RecordRow, Option<Read>)| {
        json!({
            "version": row.version,
            "billed": counts.as_ref() == Some(&row.digest),
            "received_at": text::at(row.received_at_ms),
            "digest": row.digest,
            "charger": row.charger,
            "session": row.session,
            "content": read.as_ref().map(|read| content(read, order.meter_start)),
        })
    };
    Ok(Json(cursor::page(shown, limit, &filters, |(row, _)| row.version, item)))
}

type Read = (proto::TransactionRecorded, Record);

fn read(row: &RecordRow) -> Result<Read, Problem> {
    let event = proto::TransactionRecorded::decode(row.body.as_slice()).ok();
    let read = event.and_then(|event| Record::from_event(&event).ok().map(|record| (event, record)));
    read.ok_or_else(|| {
        tracing::error!(order_no = row.order_no, digest = row.digest, "stored record unreadable");
        Problem::internal()
    })
}

/// What the charger said in it.
fn content((event, record): &Read, meter_start: Option<EnergyE4>) -> Value {
    let named = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let period = |period: &CellEnergy| {
        json!({
            "type": period.kind.name(),
            "price": period.price.to_string(),
            "energy_kwh": period.energy.to_string(),
            "amount_yuan": period.amount.to_string(),
        })
    };
    json!({
        "started_at": text::at(record.started_at_ms),
        "ended_at": text::at(record.ended_at_ms),
        "meter_start_kwh": record.meter_start.map(|reading| reading.to_string()),
        "meter_end_kwh": record.meter_end.map(|reading| reading.to_string()),
        "energy_kwh": record.total_energy(meter_start).map(|energy| energy.to_string()),
        "charger_amount_yuan": record.amount.map(|amount| amount.to_string()),
        "charger_split": record.periods.iter().map(period).collect::<Vec<_>>(),
        "start_mode": record.start_mode.name(),
        "stop_reason": record.stop_reason,
        "stop_reason_raw": record.stop_reason_raw,
        "card": named(&record.card),
        "token": named(&record.token),
        "vin": named(&record.vin),
        "raw_hex": hex::encode(&event.raw),
    })
}
