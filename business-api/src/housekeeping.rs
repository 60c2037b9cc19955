//! Small regular chores: how deep the outbox is, how many work items are open, and forgetting answers kept for repeated requests and readings whose start never came.

use std::{sync::Arc, time::Duration};

use events::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::{
    http::KEPT_MS,
    metrics::Metrics,
    order::WorkItem,
    status::Part,
    store::{DbError, Store},
    work::WAITS_MS,
};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Every how many looks open work items are counted: 15 s.
const COUNT_EVERY: u64 = 3;
/// Every how many looks old answers are forgotten: five minutes.
const FORGET_EVERY: u64 = 60;

pub(crate) async fn run(store: Store, clock: Clock, metrics: Arc<Metrics>, part: Part, shutdown: CancellationToken) {
    for look in 0_u64.. {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let done = async {
            let depth = chores(&store, clock.now_ms(), &metrics, look % FORGET_EVERY == 0).await?;
            part.figure("outbox_depth", depth);
            if look % COUNT_EVERY == 0 {
                part.figure("work_items_open", count_work_items(&store, &metrics).await?);
            }
            Ok::<_, DbError>(())
        };
        match done.await {
            Ok(()) => part.well(),
            Err(error) => part.ill(&error.to_string()),
        }
    }
}

async fn chores(store: &Store, now_ms: i64, metrics: &Metrics, forget: bool) -> Result<i64, DbError> {
    let mut tx = store.read_platform().await?;
    let depth = tx.outbox_depth().await?;
    let tenants = if forget { tx.tenants().await? } else { Vec::new() };
    drop(tx);
    #[expect(clippy::cast_precision_loss, reason = "a gauge; a depth beyond 2^52 is not reached")]
    metrics.outbox_depth.set(depth as f64);
    for (tenant, _) in tenants {
        let mut tx = store.write(tenant).await?;
        tx.forget_answers(tenant, now_ms - KEPT_MS).await?;
        metrics.samples_expired.increment(tx.forget_waiting(tenant, now_ms - WAITS_MS).await?);
        tx.commit().await?;
    }
    Ok(depth)
}

/// Of all tenants.
async fn count_work_items(store: &Store, metrics: &Metrics) -> Result<i64, DbError> {
    let mut tx = store.read_platform().await?;
    let mut open = [0_i64; WorkItem::ALL.len()];
    for (tenant, _) in tx.tenants().await? {
        tx.enter(tenant).await?;
        for (kind, items) in tx.open_work_items_by_kind(tenant).await? {
            for (known, open) in WorkItem::ALL.into_iter().zip(&mut open) {
                *open += if known.code() == kind { items } else { 0 };
            }
        }
    }
    for (gauge, open) in metrics.work_items_open.iter().zip(open) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge; 2^52 items are not reached")]
        gauge.set(open as f64);
    }
    Ok(open.iter().sum())
}
