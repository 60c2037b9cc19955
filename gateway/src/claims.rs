//! Claims of other nodes (`ev.session.v1`): a later one fences our session of its charger.

use std::{sync::Arc, time::Duration};

use events::{
    log::{LogError, Start},
    prost::Message as _,
    proto::{Envelope, envelope::Body},
    topic::Topic,
};
use tokio_util::sync::CancellationToken;

use crate::{
    shard::Shared,
    status::{Part, real_ms},
};

const BATCH: usize = 1_000;
const WAIT: Duration = Duration::from_millis(500);
/// Claims this old only matter for the order of epochs, which the clock keeps as well.
const LOOK_BACK_MS: i64 = 10 * 60 * 1000;

/// Runs until `stop`.
pub(crate) async fn follow_claims(shared: Arc<Shared>, part: Arc<Part>, stop: CancellationToken) {
    loop {
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = read(&shared, &part) => outcome,
        };
        if let Err(error) = outcome {
            part.degrade(&error.to_string());
            tracing::warn!(%error, "the claims of other nodes cannot be read");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(WAIT) => {}
        }
    }
}

async fn read(shared: &Shared, part: &Part) -> Result<(), LogError> {
    let mut subscription = shared.log.tail(&[Topic::Session], Start::At(real_ms() - LOOK_BACK_MS))?;
    loop {
        let batch = subscription.poll(BATCH, WAIT).await?;
        part.recover();
        for record in &batch.records {
            let Some(Ok(envelope)) = record.payload.as_deref().map(Envelope::decode) else { continue };
            let Some(Body::SessionClaimed(claim)) = &envelope.body else { continue };
            if envelope.node == shared.config.node || claim.released {
                continue;
            }
            if let Some(seat) = shared.live.observe(&envelope.charger, envelope.epoch) {
                shared.tell_fenced(seat);
            }
        }
    }
}
