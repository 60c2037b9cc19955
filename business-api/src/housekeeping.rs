//! Small regular chores: how deep the outbox is, and forgetting answers kept for repeated requests and readings whose start never came.

use std::{sync::Arc, time::Duration};

use events::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::{
    http::KEPT_MS,
    metrics::Metrics,
    status::Part,
    store::{DbError, Store},
    work::WAITS_MS,
};

const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Every how many looks old answers are forgotten: five minutes.
const FORGET_EVERY: u64 = 60;

pub(crate) async fn run(store: Store, clock: Clock, metrics: Arc<Metrics>, part: Part, shutdown: CancellationToken) {
    for look in 0_u64.. {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let forget = look % FORGET_EVERY == 0;
        match chores(&store, clock.now_ms(), &metrics, forget).await {
            Ok(depth) => {
                part.figure("outbox_depth", depth);
                part.well();
            }
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
