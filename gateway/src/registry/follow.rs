//! Follows `biz.registry.v1` into the replica. The listeners open when the topic has been read to its end once.

use std::{sync::Arc, time::Duration};

use events::{
    log::{EventLog, LogError, Start},
    topic::Topic,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Replica;
use crate::status::Part;

/// Records taken at once.
const BATCH: usize = 1_000;
/// How long a poll waits, and a failed reader before it begins anew.
const WAIT: Duration = Duration::from_millis(500);

/// Runs until `stop`; a failing log makes the part degraded, never the gateway.
pub(crate) async fn follow_registry(
    log: Arc<dyn EventLog>,
    replica: Arc<Replica>,
    part: Arc<Part>,
    loaded: watch::Sender<bool>,
    stop: CancellationToken,
) {
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = read(&*log, &replica, &part, &loaded) => outcome,
        };
        if let Err(error) = outcome {
            part.degrade(&error.to_string());
            tracing::warn!(%error, "the registry topic cannot be read; the replica stays as it is");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WAIT) => {}
        }
    }
}

async fn read(
    log: &dyn EventLog,
    replica: &Replica,
    part: &Part,
    loaded: &watch::Sender<bool>,
) -> Result<(), LogError> {
    let mut subscription = log.tail(&[Topic::Registry], Start::Beginning)?;
    loop {
        let batch = subscription.poll(BATCH, WAIT).await?;
        for record in &batch.records {
            if let Err(error) = replica.apply(&record.key, record.payload.as_deref()) {
                // A newer business side may write what this version does not know: skip, say so, go on.
                tracing::warn!(offset = record.position.offset, %error, "a registry record was skipped");
            }
        }
        if batch.at_end && !replica.loaded() {
            replica.set_loaded();
            let _ = loaded.send(true); // nobody waits any more: the gateway is stopping
        }
        if replica.loaded() {
            part.recover();
        }
    }
}
